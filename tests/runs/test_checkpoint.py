"""Checkpoints: what is saved comes back, and what is damaged never does."""

import errno
import os
import pickle
import shutil
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.runs import checkpoint
from jaxtext.runs.checkpoint import Checkpoints, arrays
from jaxtext.runs.checkpoint.contents import items_of
from jaxtext.runs.storage import manifest, storage
from jaxtext.training import create_state


def save(workdir, step, items):
    """Saves items that no training state of today has."""
    series = storage(workdir).series("latest")
    series.save(step, lambda path: arrays.save(path, items, {}), keep=2)


def make_state(step=0):
    model = jt.LanguageModel(jt.stack(jt.lstm(4), jt.dropout(0.1)), 5)
    state = create_state(model, optax.adamw(1e-3), jax.random.key(3), 2)
    return state._replace(step=state.step + step)


def saved(workdir, *steps, series="latest"):
    """A run's directory with these checkpoints, each parameter being its step."""
    checkpoints = Checkpoints(workdir)
    for step in steps:
        state = make_state(step)
        params = jax.tree.map(lambda x: 0 * x + step, state.params)  # noqa: B023
        if series == "latest":
            checkpoints.save_latest(state._replace(params=params), {"n": step})
        else:
            checkpoints.save_best(step, params, {"n": step})
        checkpoints.finish()
    return workdir / "checkpoints" / series


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def is_filled_with(value, params):
    return all((x == value).all() for x in jax.tree.leaves(params))


def test_a_state_comes_back_bit_for_bit(tmp_path):
    state = make_state(12)
    about = {"vocabulary": "aé\n\0😀", "best": {"step": None}}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_latest(state, about)
    about["vocabulary"] = "changed while it is being saved"
    checkpoints.finish()
    found = checkpoints.restore_latest(jax.eval_shape(lambda: state))
    assert (found.step, found.about["vocabulary"]) == (12, "aé\n\0😀")
    assert jax.tree.structure(found.arrays) == jax.tree.structure(state)
    for a, b in zip(*map(jax.tree.leaves, (found.arrays, state)), strict=True):
        assert a.dtype == b.dtype
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def averaged(step, raw, average):
    """A state that keeps an average, all parameters being so much."""
    state = make_state(step)

    def filled(value):
        return jax.tree.map(lambda x: 0 * x + value, state.params)

    return state._replace(params=filled(raw), average=filled(average))


def test_with_an_average_both_come_back_and_the_average_alone_is_predicted_with(
    tmp_path,
):
    checkpoints = Checkpoints(tmp_path)
    for step in (3, 5):
        checkpoints.save_latest(averaged(step, step, -step), {})
        checkpoints.finish()
    like = averaged(0, 0, 0)
    for up_to, step in ((None, 5), (4, 3)):
        found = checkpoints.restore_latest(like, up_to=up_to)
        assert found.step == int(found.arrays.step) == step
        assert jax.tree.structure(found.arrays) == jax.tree.structure(like)
        assert is_filled_with(step, found.arrays.params)
        assert is_filled_with(-step, found.arrays.average)
    # Who predicts need not know that there is one.
    found = checkpoint.restore_params(tmp_path, make_state().params)
    assert is_filled_with(-5, found.arrays)


def test_an_average_that_was_not_kept_is_not_made_up(tmp_path):
    saved(tmp_path, 3)
    with pytest.raises(InputError, match="cannot be restored"):
        Checkpoints(tmp_path).restore_latest(averaged(0, 0, 0))


def test_states_saved_before_there_was_an_average_are_restored(tmp_path):
    class Before(NamedTuple):
        params: Any
        opt_state: Any
        carry: Any
        key: Any
        step: Any
        skipped: Any

    state = make_state(7)
    rest = Before(*state[:-1])._replace(params=())
    items = {"params": state.params, "training": rest}
    save(tmp_path, 7, items)
    found = Checkpoints(tmp_path).restore_latest(state).arrays
    assert jax.tree.structure(found) == jax.tree.structure(state)
    assert found.average == ()
    assert int(found.step) == 7
    for a, b in zip(*map(jax.tree.leaves, (found.params, state.params)), strict=True):
        np.testing.assert_array_equal(a, b)


TWELVE = jt.stack(*[jt.rnn(2)] * 12)  # of which, as strings, 10 is before 2
LAYERS = jt.stack(jt.variational_dropout(0.1), jt.lstm(4), jt.stack(jt.gru(3)))


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("cell", [LAYERS, TWELVE], ids=["layers", "twelve"])
def test_states_saved_when_layers_were_in_a_tuple_are_restored(cell, average, tmp_path):
    model = jt.LanguageModel(cell, 5, embedding=4)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))
    state = create_state(model, optimizer, jax.random.key(3), 2, average=average)
    random = np.random.default_rng(0)
    filled = jax.tree.map(  # no two parts of it alike
        lambda x: np.asarray(random.random(x.shape), x.dtype), state._replace(key=())
    )
    state = filled._replace(key=state.key, step=np.int32(7))

    def in_tuples(tree):
        """The same with a tuple wherever there is a dict of numbers."""
        if isinstance(tree, dict) and tree and all(map(str.isdigit, tree)):
            count = max(map(int, tree)) + 1
            return tuple(in_tuples(tree.get(str(n), ())) for n in range(count))
        if isinstance(tree, dict):
            return {key: in_tuples(of_key) for key, of_key in tree.items()}
        if isinstance(tree, tuple):
            parts = map(in_tuples, tree)
            return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
        return tree

    before = in_tuples(state)
    assert type(before.params["recurrent"]) is tuple
    assert type(before.opt_state[1][0].mu["recurrent"]) is tuple
    items = items_of(before)
    save(tmp_path, 7, items)
    found = Checkpoints(tmp_path).restore_latest(state).arrays
    assert jax.tree.structure(found) == jax.tree.structure(state)
    for a, b in zip(*map(jax.tree.leaves, (found, state)), strict=True):
        if a is found.key:
            a, b = map(jax.random.key_data, (a, b))
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    # Who evaluates or writes reads them as well.
    like = jax.eval_shape(lambda: state.params)
    params = checkpoint.restore_params(tmp_path, like).arrays
    expected = state.average if average else state.params
    for a, b in zip(*map(jax.tree.leaves, (params, expected)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_of_another_model_says_what_differs(tmp_path):
    saved(tmp_path, 3)
    like = create_state(
        jt.LanguageModel(jt.stack(jt.lstm(4), jt.gru(4)), 5),
        optax.adamw(1e-3),
        jax.random.key(3),
        2,
    )
    with pytest.raises(InputError, match="params/recurrent/1/kernel"):
        Checkpoints(tmp_path).restore_latest(like)


def test_what_is_saved_is_the_state_at_that_time(tmp_path):
    """The caller's buffers hold the next state before the save is on the disk."""
    step = jax.jit(
        lambda s: s._replace(params=jax.tree.map(lambda x: x * 0 - 7, s.params)),
        donate_argnums=0,
    )
    state = make_state(1)
    expected = jax.tree.map(np.array, state.params)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_latest(state, {})
    state = step(state)
    checkpoints.finish()
    found = checkpoints.restore_latest(state).arrays.params
    assert is_filled_with(-7, state.params)
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_parameters_come_from_the_best_else_the_latest(tmp_path):
    with pytest.raises(InputError, match="no checkpoint; expected"):
        checkpoint.read_about(tmp_path)
    saved(tmp_path, 9)
    assert checkpoint.read_about(tmp_path)[:2] == (9, {"n": 9})
    saved(tmp_path, 4, series="best")
    found = checkpoint.restore_params(tmp_path, make_state().params)
    assert found[:2] == (4, {"n": 4})
    assert is_filled_with(4, found.arrays)


def test_the_newest_are_kept_and_a_step_taken_again_replaces(tmp_path):
    directory = saved(tmp_path, 1, 2, 3)
    assert names(directory) == ["2", "3"]
    Checkpoints(tmp_path).forget_after(2)  # a run that goes back
    assert names(directory) == ["2"]
    saved(tmp_path, 2, 4)
    assert names(directory) == ["2", "4"]
    saved(tmp_path, 1)  # removes nothing that lies ahead
    assert names(directory) == ["1", "2", "4"]
    Checkpoints(tmp_path).forget_after(4)
    (directory / "1" / manifest.NAME).unlink()
    shutil.rmtree(directory / "1")
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step in (5, 6):
        checkpoints.save_latest(make_state(step), {})
    checkpoints.finish()
    assert names(directory) == ["4", "5", "6"]
    assert names(saved(tmp_path, 5, 8, series="best")) == ["8"]
    assert names(saved(tmp_path, 3, series="best")) == ["3"]
    with pytest.raises(InputError, match="at least 2 checkpoints, got 1"):
        Checkpoints(tmp_path, keep=1)


def test_nothing_to_restore(tmp_path):
    assert Checkpoints(tmp_path).restore_latest(make_state()) is None
    saved(tmp_path, 5)
    assert Checkpoints(tmp_path).restore_latest(make_state(), up_to=4) is None
    assert Checkpoints(tmp_path).restore_latest(make_state(), up_to=5).step == 5


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def link(path):
    path.rename(path.parents[4] / "elsewhere")
    path.symlink_to(path.parents[4] / "elsewhere")


def pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("harm", [flip, truncate, zero, os.unlink, link, pipe])
def test_a_damaged_file_is_found_and_the_checkpoint_before_is_used(harm, tmp_path):
    directory = saved(tmp_path / "whole", 6, 7)
    files = [p.relative_to(directory) for p in directory.glob("7/**/*") if p.is_file()]
    assert len(files) > 20
    for k, file in enumerate(files):
        copy = tmp_path / str(k) / "a" / "b" / "7"
        shutil.copytree(directory / "7", copy)
        harm(copy.parent / file)
        # A flipped bit of the manifest may be one of any file's lines.
        name = "." if file.name == manifest.NAME else file.name
        with pytest.raises(manifest.DamageError, match=name):
            manifest.verify(copy, "latest 7")
    harm(directory / files[0])
    said = []
    checkpoints = Checkpoints(tmp_path / "whole", warn=said.append)
    found = checkpoints.restore_latest(make_state())
    assert (found.step, found.about) == (6, {"n": 6})
    assert is_filled_with(6, found.arrays.params)
    assert names(directory) == ["6"]
    assert names(directory.parent / "damaged") == ["latest-7"]
    (warning,) = said
    assert str(directory / "7") in warning
    assert "is damaged" in warning


def test_other_damage(tmp_path):
    directory = saved(tmp_path, 6, 7)
    manifest.verify(directory / "7", "latest 7")
    (directory / "7" / "params" / "more").write_text("")
    with pytest.raises(manifest.DamageError, match="params/more was added"):
        manifest.verify(directory / "7", "latest 7")
    (directory / "7" / "params" / "more").unlink()
    (directory / "7").rename(directory / "8")
    with pytest.raises(manifest.DamageError, match="manifest"):
        manifest.verify(directory / "8", "latest 8")
    (directory / "9").symlink_to(directory / "6")
    with pytest.raises(manifest.DamageError, match="link"):
        manifest.verify(directory / "9", "latest 6")
    found = Checkpoints(tmp_path, warn=str).restore_latest(make_state())
    assert found.step == 6


def test_a_disk_that_fails_after_the_check(tmp_path, monkeypatch):
    directory = saved(tmp_path, 6, 7)
    restore = ocp.Checkpointer.restore

    def failing(self, path, *args):
        if path.name == "7":
            raise ValueError("Error reading [os_error_code='5']")
        return restore(self, path, *args)

    monkeypatch.setattr(ocp.Checkpointer, "restore", failing)
    with pytest.warns(UserWarning, match="Input/output error"):
        assert Checkpoints(tmp_path).restore_latest(make_state()).step == 6
    assert names(directory) == ["6"]


def test_a_checkpoint_of_another_program_is_bad_input(tmp_path):
    directory = saved(tmp_path, 7)
    (directory / "7" / "params" / "_METADATA").write_text("nonsense")
    (directory / "7" / manifest.NAME).unlink()
    manifest.write(directory / "7", "latest 7")
    with pytest.raises(InputError, match="cannot be restored"):
        Checkpoints(tmp_path).restore_latest(make_state())


def test_names_that_are_no_steps_are_none_of_ours(tmp_path):
    directory = saved(tmp_path, 1)
    for name in ("02", "٣", "4x", "-5", ".DS_Store"):
        (directory / name).mkdir()
    assert Checkpoints(tmp_path).restore_latest(make_state()).step == 1
    assert len(names(directory)) == 6


def test_damaged_again_and_again(tmp_path):
    for _ in range(3):
        directory = saved(tmp_path, 6, 7)
        flip(directory / "7" / "about" / "metadata")
        with pytest.warns(UserWarning, match="is damaged"):
            assert Checkpoints(tmp_path).restore_latest(make_state()).step == 6
    damaged = directory.parent / "damaged"
    assert names(damaged) == ["latest-7", "latest-7-2", "latest-7-3"]
    flip(directory / "6" / "about" / "metadata")
    # Neither anew from the first step, as if nothing had been, nor now nor later.
    for _ in range(2):
        with pytest.raises(InputError, match="every checkpoint of this run is damaged"):
            Checkpoints(tmp_path, warn=str).restore_latest(make_state())


def test_a_reader_passes_over_damage_and_moves_nothing(tmp_path):
    saved(tmp_path, 9)
    best = saved(tmp_path, 4, series="best")
    flip(best / "4" / manifest.NAME)
    with pytest.warns(UserWarning, match="is damaged"):
        found = checkpoint.restore_params(tmp_path, make_state().params)
    assert is_filled_with(9, found.arrays)
    assert names(best) == ["4"]


def test_a_reader_goes_with_a_run_that_replaces_what_it_reads(tmp_path, monkeypatch):
    saved(tmp_path, 4, series="best")
    verify = manifest.verify

    def replaced_meanwhile(*args):
        monkeypatch.setattr(manifest, "verify", verify)
        saved(tmp_path, 5, series="best")
        verify(*args)

    monkeypatch.setattr(manifest, "verify", replaced_meanwhile)
    found = checkpoint.restore_params(tmp_path, make_state().params)
    assert is_filled_with(5, found.arrays)


def test_what_killed_saves_left_is_removed(tmp_path):
    directory = saved(tmp_path, 6, 7)
    shutil.copytree(directory / "7", directory / "saving-8")
    (directory / "saving-11").write_text("no directory")
    shutil.copytree(directory / "7", directory / "saving-9.orbax-checkpoint-tmp")
    shutil.copytree(directory / "7", directory / "removing-5")
    (directory / "saving-10").symlink_to(tmp_path)
    Checkpoints(tmp_path)
    assert names(directory) == ["6", "7"]


def test_a_save_that_lacked_its_name_alone_gets_it(tmp_path):
    directory = saved(tmp_path, 6, 7)
    (directory / "7").rename(directory / "saving-7")
    assert Checkpoints(tmp_path).restore_latest(make_state()).step == 7
    assert names(directory) == ["6", "7"]


def test_what_says_nothing_of_a_checkpoint_sets_none_aside(tmp_path, monkeypatch):
    directory = saved(tmp_path, 6, 7)

    def out_of_memory(self, path, *args):
        raise ValueError("RESOURCE_EXHAUSTED: out of memory")

    def too_many_files(path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def forbidden(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    for where, name, failing in [
        (ocp.Checkpointer, "restore", out_of_memory),
        (manifest, "_digest", too_many_files),
        (os, "listdir", forbidden),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(where, name, failing)
            with pytest.raises((ValueError, OSError)):
                Checkpoints(tmp_path).restore_latest(make_state())
    assert names(directory) == ["6", "7"]


def test_nothing_outside_the_directory_is_touched(tmp_path):
    saved(tmp_path / "run", 6)
    (tmp_path / "run" / "checkpoints" / "latest").rename(tmp_path / "elsewhere")
    (tmp_path / "run" / "checkpoints" / "latest").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="symbolic link"):
        Checkpoints(tmp_path / "run")


def failing(number):
    """Orbax as it is when the disk fails below TensorStore."""

    def save(self, path, *args, **options):
        os.mkdir(f"{path}.orbax-checkpoint-tmp")
        raise ValueError(f"Error writing [os_error_code='{number}']")

    return save


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_save_that_fails_leaves_what_was_and_the_next_tries_again(
    number, tmp_path, monkeypatch
):
    directory = saved(tmp_path, 6, 7)
    said = []
    checkpoints = Checkpoints(tmp_path, warn=said.append)
    with monkeypatch.context() as patch:
        patch.setattr(ocp.Checkpointer, "save", failing(number))
        for step in (8, 9):
            checkpoints.save_latest(make_state(step), {})
        with pytest.raises(OSError, match=os.strerror(number)):
            checkpoints.finish()
    assert names(directory) == ["6", "7"]
    (told,) = said  # of the second, which failed for the same, there is no need
    assert "step 8 could not be saved as latest" in told
    assert os.strerror(number) in told
    checkpoints.save_latest(make_state(12), {})
    checkpoints.finish()
    assert said[1:] == ["step 12 was saved as latest: saving works again"]
    assert names(directory) == ["12", "7"]


def test_restoring_unpickles_nothing(tmp_path, monkeypatch):
    saved(tmp_path, 6)

    def unpickle(*args, **options):
        raise AssertionError("a pickle can run any code")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, unpickle)
    assert Checkpoints(tmp_path).restore_latest(make_state()).step == 6


def test_another_shape_is_told_before_anything_is_read(tmp_path, monkeypatch):
    """Orbax finds it amid other reads, which end in tracebacks of their own."""
    saved(tmp_path, 3)
    monkeypatch.setattr(ocp.Checkpointer, "restore", None)
    like = make_state()
    like = like._replace(carry=jax.tree.map(lambda x: x[:1], like.carry))
    told = r"carry\.0\.c was saved with the shape \(2, 4\), but \(1, 4\) was expected"
    with pytest.raises(InputError, match=told):
        Checkpoints(tmp_path).restore_latest(like)


@pytest.mark.parametrize("name", ["[z]", "a\\b", "é\n", os.fsdecode(b"caf\xe9")])
def test_a_directory_may_have_any_name(name, tmp_path):
    workdir = tmp_path / name
    workdir.mkdir()
    saved(workdir, 3)
    found = checkpoint.restore_params(workdir, make_state().params)
    assert is_filled_with(3, found.arrays)
