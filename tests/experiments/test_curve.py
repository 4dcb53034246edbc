"""The loss curve of a run."""

from charlm.curve import draw_curve


def test_curve_without_records_is_a_picture_too():
    assert draw_curve([], "nothing yet").startswith(b"\x89PNG")
