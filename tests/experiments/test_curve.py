"""The loss curve of a run."""

from charlm.curve import draw_curve


def test_curve_without_records_is_a_picture_too(tmp_path):
    draw_curve([], tmp_path / "curve.png", "nothing yet")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
