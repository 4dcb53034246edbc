"""Processes that say what they are about to do, before they do it."""

import json
import threading
from types import SimpleNamespace

import pytest

from jaxtext.errors import InputError
from jaxtext.runs import agreement, workdir
from jaxtext.runs.storage import disk


class Messages:
    """What the coordinator keeps: a stand-in for the runtime's client."""

    def __init__(self, **kept):
        self.kept, self.changed = kept, threading.Condition()

    def key_value_set(self, key, value):
        with self.changed:
            self.kept[key] = value
            self.changed.notify_all()

    def blocking_key_value_get(self, key, timeout):
        with self.changed:
            assert self.changed.wait_for(lambda: key in self.kept, 5), key
            return self.kept[key]


@pytest.fixture
def meet(monkeypatch):
    """``meet(me, count, *others)``: the messages of others at the next calls."""

    def meet(me, count, *others):
        client = Messages()
        state = SimpleNamespace(client=client, process_id=me, num_processes=count)
        runtime = SimpleNamespace(global_state=state)
        monkeypatch.setattr(agreement, "runtime", runtime)
        monkeypatch.setattr(agreement, "_calls", iter(range(100)))
        for call, said in enumerate(others):
            for process, text in said.items():
                client.key_value_set(f"jaxtext/{call}/{process}", json.dumps(text))
        return client

    return meet


def test_all_hear_all(meet):
    meet(1, 3, {0: "a", 2: None})
    assert agreement.told_by_all({"b": (1, 2)}) == ["a", {"b": [1, 2]}, None]


@pytest.mark.parametrize("me", [0, 1, 2, 3])
def test_each_process_names_all_that_differs_with_both_values(me, meet):
    said = [{"--seed": 1, "--cell": "gru"}, {"--seed": 1}, {"--seed": 2}, {"--seed": 2}]
    others = {k: x for k, x in enumerate(said) if k != me}
    meet(me, 4, others)
    with pytest.raises(InputError) as error:
        agreement.check_alike(said[me])
    told = "--cell is 'gru' in process 0 and None in processes 1, 2, 3;"
    assert told in str(error.value)
    assert "--seed is 1 in process 0 and 2 in processes 2, 3;" in str(error.value)


def test_of_many_that_differ_some_are_named(meet):
    others = {k: {"--seed": 2} for k in range(1, 64)}
    meet(0, 64, others)
    told = "and 2 in processes 1, 2, 3, 4, 5, 6, 7, 8 and 55 more;"
    with pytest.raises(InputError, match=told):
        agreement.check_alike({"--seed": 1})


def test_alike_are_alike(meet):
    meet(1, 2, {0: {"--seq-len": [8, 4]}})
    agreement.check_alike({"--seq-len": (8, 4)})


def test_what_fails_in_one_fails_in_all(meet):
    client = meet(1, 3, {0: None, 2: "no text"}, {0: None, 2: None})
    told = "process 2 cannot take part: no text"
    with pytest.raises(InputError, match=told), agreement.together():
        pass
    with pytest.raises(InputError, match="no disk"), agreement.together():
        raise InputError("no disk")
    assert json.loads(client.kept["jaxtext/1/1"]) == "no disk"


def test_a_directory_that_is_not_shared(meet, tmp_path, monkeypatch):
    """Process 1 does not see what process 0 has made; nothing of it is left."""
    monkeypatch.setattr(disk.jax, "process_count", lambda: 2)
    for seen in (None, "it is another"):
        meet(0, 2, {1: ""}, {1: None}, {1: seen})
        if seen is None:
            workdir.check_shared(tmp_path / "a" / "run")
            assert not list((tmp_path / "a" / "run").iterdir())
        else:
            with pytest.raises(InputError, match="process 1 cannot take part: it is"):
                workdir.check_shared(tmp_path / "b" / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_directory_that_is_another_here(meet, tmp_path, monkeypatch):
    monkeypatch.setattr(disk.jax, "process_count", lambda: 2)
    monkeypatch.setattr(disk.jax, "process_index", lambda: 1)
    meet(1, 2, {0: ".shared-1"}, {0: None}, {0: None})
    with pytest.raises(InputError, match="is not the directory that process 0 has"):
        workdir.check_shared(tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_whatever_ends_a_block_goes_on():
    with pytest.raises(KeyError, match="stopped"), agreement.together():
        raise KeyError("stopped")


def test_what_is_not_a_number_is_like_itself():
    agreement.check_alike({"--x": float("nan")})
