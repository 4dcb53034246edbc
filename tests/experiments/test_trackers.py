"""TensorBoard and Weights & Biases: told which run it is, and never a reason to end.

Modules that write down how they are called stand for both.
"""

import importlib
import sys

import char_gen
import pytest

SMALL = [
    "--hidden",
    "8",
    "--batch-size",
    "8",
    "--seq-len",
    "8",
    "--eval-every",
    "10",
    "--sample-every",
    "0",
]
STAND_IN = """
calls = []

def init(**options): calls.append(("init", options))
def log(record, step): calls.append(("log", step))
def finish(): calls.append(("finish",))

class SummaryWriter:
    def __init__(self, logdir, purge_step=None, filename_suffix=""):
        calls.append(("writer", purge_step))
    def add_scalar(self, name, value, step): calls.append((name, step))
    def flush(self): pass
    def close(self): calls.append(("close",))
"""


@pytest.fixture
def clients(tmp_path, monkeypatch):
    """Both clients, found as whatever lies on PYTHONPATH is."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    found = []
    for name in ("wandb", "tensorboardX"):
        (folder / f"{name}.py").write_text(STAND_IN)
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        found.append(importlib.import_module(name))
    yield found
    for name in ("wandb", "tensorboardX"):
        sys.modules.pop(name)


@pytest.fixture
def gen(tmp_path):
    (tmp_path / "fox").write_text("the quick brown fox jumps over the lazy dog\n" * 60)
    of = ["--corpus", str(tmp_path / "fox"), "--workdir", str(tmp_path / "run")]

    def run(*words):
        return char_gen.main([*of, *SMALL, *map(str, words)])

    return run


def options(client):
    return [call[1] for call in client.calls if call[0] == "init"]


def test_a_run_that_goes_on_is_one_run(gen, clients, tmp_path):
    wandb, tensorboard = clients
    for steps in (10, 20):
        assert gen("--steps", steps, "--wandb", "--tensorboard") == 0
    first, second = options(wandb)
    assert first == second
    assert first["id"] == (tmp_path / "run" / "wandb-id").read_text()
    assert len(first["id"]) == 16
    assert first["resume"] == "allow"
    assert [call for call in wandb.calls if call[0] == "finish"] == [("finish",)] * 2
    logged = [call[1] for call in wandb.calls if call[0] == "log"]
    assert logged == [10, 10, 20, 20]
    begun = [call[1] for call in tensorboard.calls if call[0] == "writer"]
    assert begun == [1, 11]
    assert ("val_nats_per_char", 20) in tensorboard.calls
    assert tensorboard.calls[-1] == ("close",)


def test_another_run_has_another_id(gen, clients, tmp_path):
    for name in ("one", "two"):
        words = ("--workdir", tmp_path / name, "--steps", 3, "--wandb")
        assert gen(*words) == 0
    first, second = options(clients[0])
    assert first["id"] != second["id"]


def test_what_is_gone_back_over_is_purged(gen, clients):
    wandb, tensorboard = clients
    words = ("--learning-rate", 1e38, "--steps", 100, "--max-skips", 3)
    assert gen(*words, "--max-rollbacks", 2, "--tensorboard", "--wandb") == 3
    begun = [call[1] for call in tensorboard.calls if call[0] == "writer"]
    assert begun == [1, 1, 1]
    assert len(options(wandb)) == 1


@pytest.mark.parametrize("extra", ["wandb", "tensorboard"])
def test_one_that_fails_is_left_out(extra, gen, clients, capsys, monkeypatch):
    def unreachable(*args, **options):
        raise ConnectionError("the network is\naway")

    wandb, tensorboard = clients
    monkeypatch.setattr(wandb, "log", unreachable)
    monkeypatch.setattr(tensorboard.SummaryWriter, "add_scalar", unreachable)
    assert gen("--steps", 20, f"--{extra}") == 0
    said = f"{extra} takes no more metrics (the network is away); training goes on"
    assert capsys.readouterr().err.count(said) == 1


def test_one_that_cannot_begin_is_an_error(gen, clients, capsys, monkeypatch):
    def refused(**options):
        raise ValueError("no key")

    monkeypatch.setattr(clients[0], "init", refused)
    assert gen("--steps", 3, "--wandb") == 2
    said = "error: --wandb: it cannot begin (no key); mend that, or leave the flag out"
    assert said in capsys.readouterr().err
