"""--profile: which steps are traced, what tools find, and what cannot be traced."""

import gzip
import json
import re
from collections import Counter

import char_gen
import jax
import pytest

SMALL = (
    "--hidden 8 --batch-size 8 --seq-len 8 --steps 12 --sample-every 0 --eval-every 12"
)


@pytest.fixture
def gen(tmp_path, capsys):
    (tmp_path / "fox").write_text("the quick brown fox jumps over the lazy dog\n" * 20)

    def run(name, *words):
        of = ["--corpus", str(tmp_path / "fox"), "--workdir", str(tmp_path / name)]
        status = char_gen.main([*of, *SMALL.split(), *map(str, words)])
        captured = capsys.readouterr()
        return status, json.loads(captured.out or "null"), captured.err

    return run


def traces(run):
    return sorted((run / "profile").rglob("*.xplane.pb"))


def events(path):
    """The names and arguments of all events."""
    (found,) = path.parent.glob("*.trace.json.gz")
    trace = json.loads(gzip.decompress(found.read_bytes()))
    return [(x["name"], x.get("args", {})) for x in trace["traceEvents"] if "ts" in x]


def test_the_steps_that_are_asked_for_are_traced(gen, tmp_path):
    """All that the device did for them and nothing else, and the result is the same."""
    _, plain, _ = gen("plain")
    status, result, said = gen("run", "--profile", "5:3")
    assert status == 0
    assert result["parameters_sha256"] == plain["parameters_sha256"]
    assert result["spent"]["profiling"] > 0
    assert "\ntraced steps 5 to 7: " in said
    (path,) = traces(tmp_path / "run")
    found = events(path)
    steps = [args["step_num"] for name, args in found if name == "train"]
    assert steps == ["5", "6", "7"]
    names = [name for name, _ in found]
    assert names.count("batch") == 3
    assert "metrics" in names
    runs = [args for _, args in found if "hlo_op" in args]
    # The step is what the device did most. Of each, all operations are there.
    step, _ = Counter(x["hlo_module"] for x in runs).most_common(1)[0]
    each = Counter(x["run_id"] for x in runs if x["hlo_module"] == step)
    assert len(each) == 3
    assert len(set(each.values())) == 1


def test_a_part_that_came_is_traced(gen, tmp_path):
    _, _, said = gen("run", "--profile", "11:5")
    assert "\ntraced steps 11 to 12: " in said
    assert traces(tmp_path / "run")


def test_steps_that_do_not_come_are_told(gen, tmp_path):
    status, _, said = gen("run", "--profile", "13:2")
    assert status == 0
    assert "note: --profile 13:2 is passed over: training ended at step 12" in said
    status, result, said = gen("run", "--profile", "12:2", "--steps", 15)
    assert (status, result["steps"]) == (0, 15)
    assert "note: --profile 12:2 is passed over: the run goes on after step 12" in said
    assert not (tmp_path / "run" / "profile").exists()


def test_a_trace_that_cannot_be_written_ends_no_run(gen, tmp_path, monkeypatch):
    def full(*args):
        stop_trace()
        raise OSError(28, "No space left on device")

    stop_trace = jax.profiler.stop_trace
    monkeypatch.setattr(jax.profiler, "stop_trace", full)
    status, result, said = gen("run", "--profile", "5:1")
    assert (status, result["steps"]) == (0, 12)
    (told,) = [x for x in said.splitlines() if x.startswith("the trace could not")]
    assert "No space left on device" in told
    assert "traced steps" not in said

    def busy(*args, **options):
        raise RuntimeError("Only one profile may be run at a time.")

    monkeypatch.setattr(jax.profiler, "start_trace", busy)
    status, result, said = gen("other", "--profile", "5:1")
    assert (status, result["steps"]) == (0, 12)
    assert said.count("Only one profile may be run at a time.") == 1


@pytest.mark.parametrize("word", ["5", "5:0", "0:5", "-1:5", "5:2:1", "five:2", ""])
def test_what_names_no_steps_is_refused(word, gen, tmp_path):
    status, _, said = gen("run", f"--profile={word}")
    assert status == 2
    expected = "error: --profile: expected START:COUNT, two whole numbers of 1 or more"
    assert said.startswith(expected)
    assert not (tmp_path / "run").exists()


def test_xprof_opens_it(gen, tmp_path):
    """What XProf and TensorBoard's profile plugin show first."""
    convert = pytest.importorskip("xprof.convert.raw_to_tool_data")
    gen("run", "--profile", "5:2")
    paths = [str(path) for path in traces(tmp_path / "run")]
    assert {"overview_page", "trace_viewer@"} <= {*convert.xspace_to_tool_names(paths)}
    overview, _ = convert.xspace_to_tool_data(paths, "overview_page", {})
    assert b"No step marker" not in overview
    shown, _ = convert.xspace_to_tool_data(paths, "trace_viewer", {})
    for name in ("train", "batch"):
        assert re.search(rf'"name": ?"{name}', shown)
