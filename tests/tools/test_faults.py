"""faults.py: a short campaign, what it intercepts, and what it would find."""

import errno
import json
import subprocess
import sys

import faults
import pytest
from campaign import saves, syscalls
from campaign.saves import undurable
from campaign.syscalls import CHANGES, KILL, Call, Intercepted
from campaign.tally import Tally

needs_seccomp = pytest.mark.skipif(
    bool(syscalls.supported()), reason=str(syscalls.supported())
)


@pytest.mark.thorough
@needs_seccomp
def test_a_short_campaign_finds_nothing(tmp_path, capsys):
    families = "kill,write-points,errors,reads,bits,damage,pickles"
    kept = tmp_path / "kept"
    status = faults.main(["--quick", "--families", families, "--kept", str(kept)])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert not kept.exists(), [*kept.glob("*/why.txt")]
    assert status == 0
    assert set(result["families"]) == set(families.split(","))
    for name, counts in result["families"].items():
        assert counts["tried"] == counts["survived"] + counts["refused"] > 0, name
    assert result["silently_wrong"] == result["failed"] == 0
    ended = result["families"]["kill"]["also"]["runs that ended as if unhurt"]
    assert ended >= 1  # more, where a kill comes too late to hurt
    assert result["families"]["bits"]["also"]["files"] > 20


def test_an_unknown_family_is_refused():
    with pytest.raises(SystemExit, match="no families"):
        faults.main(["--families", "kill,thrill"])


def _written(path, decide):
    """What came of a process that writes, fsyncs and renames, and all its calls."""
    program = (
        "import os, sys, threading\n"
        "def write():\n"
        "    with open(sys.argv[1] + '.part', 'w') as file:\n"
        "        file.write('x'); file.flush(); os.fsync(file.fileno())\n"
        "    os.rename(sys.argv[1] + '.part', sys.argv[1])\n"
        "failed = []\n"
        "threading.excepthook = lambda args: failed.append(args.exc_value)\n"
        "thread = threading.Thread(target=write); thread.start(); thread.join()\n"
        "sys.exit(failed[0].errno if failed else 0)\n"
    )
    seen = []

    def note(call):
        if not call.path.startswith(str(path)):
            return 0
        seen.append(call)
        return decide(len(seen))

    command = [sys.executable, "-c", program, str(path)]
    with Intercepted(command, CHANGES, note, stderr=subprocess.DEVNULL) as process:
        status = process.wait(60)
    return status, seen


@needs_seccomp
def test_system_calls_of_any_thread_are_seen_failed_and_the_last(tmp_path):
    path = tmp_path / "file"
    part = f"{path}.part"
    status, seen = _written(path, lambda number: 0)
    assert status == 0
    assert seen == [
        Call("openat", part),
        Call("write", part),
        Call("fsync", part),
        Call("rename", part, str(path)),
    ]
    assert path.read_text() == "x"
    path.unlink()

    status, seen = _written(path, lambda number: errno.EIO * (number == 3))
    assert status == errno.EIO
    assert [call.name for call in seen] == ["openat", "write", "fsync"]
    assert not path.exists()

    status, seen = _written(path, lambda number: KILL * (number == 4))
    assert status == -9
    assert (tmp_path / "file.part").read_text() == "x"
    assert not path.exists()


def test_what_is_not_on_the_disk_when_it_gets_its_name_is_found():
    saved = [
        Call("mkdir", "/c/saving-2"),
        Call("openat", "/c/saving-2/a"),
        Call("writev", "/c/saving-2/a"),
        Call("fsync", "/c/saving-2/a"),
        Call("fsync", "/c/saving-2"),
        Call("rename", "/c/saving-2", "/c/2"),
        Call("fsync", "/c"),
        Call("rename", "/c/1", "/c/removing-1"),
        Call("unlinkat", "/c/removing-1/a"),
        Call("rmdir", "/c/removing-1"),
    ]
    assert undurable(saved) == []
    of_file, of_folder, of_series = (n for n in range(10) if saved[n].name == "fsync")
    for left_out, missed in (
        (of_file, "/c/saving-2/a"),
        (of_folder, "/c/saving-2"),
        (of_series, "/c"),
    ):
        calls = [call for n, call in enumerate(saved) if n != left_out]
        assert undurable(calls) == [missed]
    late = [*saved[:4], Call("write", "/c/saving-2/a"), *saved[4:]]
    assert undurable(late) == ["/c/saving-2/a"]


class _Answers:
    """A process that saves, of which the answers are known beforehand."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, do, **details):
        return self.answers.pop(0)


@pytest.mark.parametrize(
    ("answer", "found", "then", "trouble"),
    [
        ({"killed": True}, (1, True), (3, True), None),
        ({"killed": True}, (2, True), (3, True), None),
        ({"killed": True}, (2, False), (3, True), "not what was saved"),
        ({"killed": True}, (0, True), (3, True), "restored"),
        ({"killed": True}, (1, True), (2, True), "the next save"),
        ({"step": 2}, (1, True), (3, True), "restored"),
        ({"error": "OSError", "is_os_error": True}, (1, True), (3, True), None),
        ({"error": "KeyError", "is_os_error": False}, (1, True), (3, True), "no OSErr"),
    ],
)
def test_trouble_after_a_save_of_step_2_is_told(tmp_path, answer, found, then, trouble):
    (tmp_path / "checkpoints" / "latest").mkdir(parents=True)
    restored, again = (
        {"step": step, "equal": equal, "warnings": []} for step, equal in (found, then)
    )
    told = saves._trouble(answer, _Answers(restored, {}, again), tmp_path, 1)
    assert told is None if trouble is None else trouble in told


def test_a_failure_is_counted_and_its_evidence_kept(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "log").write_text("what happened")
    tally = Tally("bits", tmp_path / "kept")
    tally.survive(lost=2)
    tally.fail("it was lost", run, silently=True)
    assert (tally.tried, tally.survived, tally.silently_wrong) == (2, 1, 1)
    assert (tmp_path / "kept" / "bits-1" / "why.txt").read_text() == "it was lost\n"
    assert (tmp_path / "kept" / "bits-1" / "run" / "log").read_text() == "what happened"
    assert "bits-1" in tally.to_json()["reasons"][0]
