"""sample.py: rules of decoding, several texts, and how likely they are."""

import json
import math

import numpy as np
import pytest
from test_sample import TEXT, of_bytes, workdir, write, written  # noqa: F401

SAID = ["--length", 60, "--temperature", 1.5]


@pytest.fixture
def wrote(workdir, capfdbinary):  # noqa: F811
    """What the run over characters writes with some flags, and what is told."""

    def run(*args):
        status, out, err = write(capfdbinary, "--workdir", workdir, *args)
        assert status == 0, err
        return out, err

    return run


def test_rules_reach_the_text(wrote):
    plain, _ = wrote(*SAID)
    assert set("hle") & set(plain)
    assert not set("hle") & set(wrote(*SAID, "--forbid", "hle")[0])
    assert set(wrote(*SAID, "--only", "hle")[0]) == set("hle")
    assert set(wrote(*SAID, "--only", "hle", "--forbid", "e")[0]) == set("hl")
    # With the same noise, each of these changes what is drawn.
    for flags in (
        *(["--top-k", 2], ["--top-p", 0.3], ["--min-p", 0.9], ["--typical-p", 0.2]),
        ["--repetition-penalty", 3.0, "--window", 5],
    ):
        assert wrote(*SAID, *flags)[0] != plain
    greedy = wrote("--length", 60, "--temperature", 0)[0]
    assert wrote(*SAID, "--top-k", 1)[0] == greedy


def test_a_stop_string_ends_the_text(wrote):
    plain, _ = wrote(*SAID)
    end = plain[9:11]
    expected = plain[: plain.index(end) + 2]
    assert wrote(*SAID, "--stop", end)[0] == expected
    assert wrote(*SAID, "--stop", "wwwww", end)[0] == expected
    longer, _ = wrote(*SAID, "--stop", end, "--min-length", 30)
    assert len(longer) > 30


def test_several_texts_the_first_as_alone(wrote):
    alone, _ = wrote(*SAID)
    out, _ = wrote(*SAID, "--count", 3)
    parts = out.split("----- text ")[1:]
    assert [x[:7] for x in parts] == ["1 of 3\n", "2 of 3\n", "3 of 3\n"]
    texts = [x[7:-1] for x in parts]
    assert texts[0] == alone
    assert len(set(texts)) == 3


def test_lines_of_json_have_the_same_texts_and_their_probability(wrote):
    out, _ = wrote(*SAID, "--count", 3)
    lines, err = wrote(*SAID, "--count", 3, "--jsonl", "--score")
    assert "log-probability" not in err
    found = [json.loads(line) for line in lines.splitlines()]
    assert [x["index"] for x in found] == [0, 1, 2]
    assert [x["text"] for x in found] == [x[7:-1] for x in out.split("----- text ")[1:]]
    for one in found:
        assert (one["symbols"], one["ended"]) == (60, False)
        mean = one["log_probability"] / 60
        assert one["mean_log_probability"] == pytest.approx(mean)
    stopped, _ = wrote(*SAID, "--stop", found[0]["text"][:5], "--jsonl")
    one = json.loads(stopped)
    assert one == {"index": 0, "text": one["text"], "symbols": 5, "ended": True}


def test_the_score_is_that_of_the_text_in_a_file(wrote, tmp_path):
    out, err = wrote(*SAID, "--score")
    (tmp_path / "text").write_text(out)
    scored, _ = wrote("--score-file", tmp_path / "text")
    assert scored in err
    total = float(scored.split()[1])
    other, _ = wrote("--score-file", tmp_path / "text", "--prompt", "😀 hell")
    assert float(other.split()[1]) != total
    mean = float(scored.split("; ")[1].split()[0])
    assert math.isclose(total, -60 * mean, abs_tol=0.01)
    bits = float(scored.split(" and ")[1].split()[0])
    assert math.isclose(bits, mean / math.log(2), abs_tol=1e-3)


def test_the_best_of_several_is_the_likeliest(wrote):
    lines, _ = wrote(*SAID, "--count", 5, "--jsonl", "--score")
    found = [json.loads(line) for line in lines.splitlines()]
    best = max(found, key=lambda x: x["mean_log_probability"])
    assert best["index"] > 0  # else the test shows nothing
    assert wrote(*SAID, "--best-of", 5)[0] == best["text"]


def test_beams_find_what_is_likelier_than_the_likeliest_steps(wrote):
    def total(*flags):
        line, _ = wrote("--length", 12, "--jsonl", "--score", *flags)
        return json.loads(line)["log_probability"]

    greedy = total("--temperature", 0)
    assert total("--beams", 1) == pytest.approx(greedy)
    assert total("--beams", 16) > greedy


def test_bytes_are_kept_to_utf8(of_bytes, capfdbinary):  # noqa: F811
    args = ["--workdir", of_bytes, "--length", 200, "--temperature", 2]
    with pytest.raises(UnicodeDecodeError):
        written(capfdbinary, *args)[1].decode()
    status, out, _ = written(capfdbinary, *args, "--utf8")
    assert (status, len(out)) == (0, 200)
    out.decode()
    line = json.loads(written(capfdbinary, *args, "--jsonl")[1])
    assert bytes.fromhex(line["hex"]).decode(errors="replace") == line["text"]
    assert "hex" not in json.loads(written(capfdbinary, *args, "--utf8", "--jsonl")[1])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--top-p", "0"], "--top-p: expected a number above 0, up to 1, got 0"),
        (["--min-p", "2"], "--min-p: expected a number from 0 to 1, got 2"),
        (["--window", "4"], "--window: expected --repetition-penalty with it"),
        (["--min-length", "4"], "--min-length: expected --stop or --documents with it"),
        (["--forbid", "hx"], "--forbid: the character 'x' (U+0078) at position 1"),
        (["--stop", "x"], "--stop: the character 'x'"),
        (["--stop", ""], "--stop: expected a word, got ''"),
        (["--only", ""], "--only: expected at least one character that may be w"),
        (["--only", "h", "--forbid", "h"], "--forbid: expected at least one charac"),
        (["--utf8"], "--utf8: expected a model over bytes"),
        (["--count", "0"], "--count: expected a whole number of 1 or more, got 0"),
        (["--beams", "2", "--top-k", "3"], "--top-k: expected no --beams with it"),
        (["--beams", "2", "--count", "3"], "--count: expected no --beams with it"),
        (["--best-of", "2", "--count", "3"], "--count: expected no --best-of with"),
        (["--length-penalty", "2"], "--length-penalty: expected --beams and --stop"),
        (["--score-file", "missing"], "cannot read missing (No such file"),
        (["--score-file", "f", "--stop", "h"], "--stop: expected no --score-file"),
    ],
)
def test_bad_rules_are_one_line(workdir, args, said, capfdbinary):  # noqa: F811
    status, out, err = write(capfdbinary, "--workdir", workdir, *args)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) == 1


def test_what_is_several_bytes_is_no_character_of_bytes(of_bytes, capfdbinary):  # noqa: F811
    args = ["--workdir", of_bytes, "--only", "aé"]
    status, _, err = write(capfdbinary, *args)
    assert status == 2
    assert "--only: expected ASCII characters for a model over bytes, got 'é'" in err


def test_an_empty_text_has_the_probability_one(wrote):
    for flags in ([], ["--beams", 2]):
        line, _ = wrote("--length", 0, "--jsonl", "--score", *flags)
        assert np.allclose(json.loads(line)["log_probability"], 0)
