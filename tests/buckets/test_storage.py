"""A run in a bucket: what is in it is complete or not there, and found if damaged."""

import time

import jax
import numpy as np
import optax
import pytest

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.runs import checkpoint
from jaxtext.runs.checkpoint import Checkpoints
from jaxtext.runs.log import MetricsLog, read_metrics
from jaxtext.runs.storage import bucket, bucket_series, storage
from jaxtext.runs.workdir import claim
from jaxtext.training import create_state

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def url(store, folder):
    """A workdir that nobody has used."""
    bucket_of = storage(store.url(folder))
    yield store.url(folder)
    assert bucket_of._lease is None


def make_state(step=0):
    model = jt.LanguageModel(jt.stack(jt.lstm(4), jt.dropout(0.1)), 5)
    state = create_state(model, optax.adamw(1e-3), jax.random.key(3), 2)
    params = jax.tree.map(lambda x: 0 * x + step, state.params)
    return state._replace(step=state.step + step, params=params)


def saved(url, *steps):
    """A run that has saved these steps, each parameter being its step."""
    checkpoints = Checkpoints(url, keep=2)
    for step in steps:
        checkpoints.save_latest(make_state(step), {"n": step})
        checkpoints.finish()
    return checkpoints


def is_filled_with(step, params):
    return all((np.asarray(x) == step).all() for x in jax.tree.leaves(params))


def test_a_state_comes_back_and_superseded_ones_go(url, store, folder):
    checkpoints = saved(url, 3, 5, 7)
    assert checkpoints.steps("latest") == [5, 7]
    found = Checkpoints(url).restore_latest(make_state())
    assert (found.step, found.about) == (7, {"n": 7})
    assert is_filled_with(7, found.arrays.params)
    names = store.names(f"{folder}/checkpoints/latest/")
    assert {x.split("/")[3] for x in names} == {"5", "7"}


def test_going_back_replaces_a_checkpoint_of_the_same_step(url):
    checkpoints = saved(url, 3, 5)
    checkpoints.forget_after(3)
    assert checkpoints.steps("latest") == [3]
    checkpoints.save_latest(make_state(3), {"n": "again"})
    checkpoints.finish()
    assert checkpoint.read_about(url, which="latest").about == {"n": "again"}


def test_readers_see_the_best_by_itself(url):
    checkpoints = saved(url, 9)
    checkpoints.save_best(4, make_state(4).params, {"n": 4})
    checkpoints.finish()
    assert checkpoint.read_about(url).about == {"n": 4}
    found = checkpoint.restore_params(url, make_state().params)
    assert is_filled_with(4, found.arrays)
    with pytest.raises(InputError, match="holds those of step 4, 9"):
        checkpoint.read_about(url, which=5)


def test_what_a_killed_save_left_is_removed(url, store, folder):
    saved(url, 3)
    latest = f"{folder}/checkpoints/latest"
    before = store.names(latest)
    for name in before:  # of a save that had all but its manifest
        if not name.endswith("/manifest.sha256"):
            store.write(name.replace("/3/", "/5/"), store.read(name))
    store.write(f"{latest}/saving-5", b"-")
    assert storage(url).series("latest").steps() == [3]
    assert checkpoint.read_about(url, which="latest").step == 3
    Checkpoints(url)
    assert store.names(latest) == before


def test_what_a_killed_removal_left_is_removed(url, store, folder):
    saved(url, 3, 5)
    latest = f"{folder}/checkpoints/latest"
    store.remove(f"{latest}/3/manifest.sha256")
    store.write(f"{latest}/removing-3", b"-")
    assert storage(url).series("latest").steps() == [5]
    Checkpoints(url)
    assert {x.split("/")[3] for x in store.names(latest)} == {"5"}


def test_a_save_that_lacked_nothing_but_its_end_is_kept(url, store, folder):
    saved(url, 3)
    store.write(f"{folder}/checkpoints/latest/saving-3", b"-")
    assert Checkpoints(url).restore_latest(make_state()).step == 3
    assert not any("saving" in name for name in store.names(folder))


def _flipped(store, name):
    data = bytearray(store.read(name))
    data[len(data) // 2] ^= 4
    store.write(name, bytes(data))


@pytest.mark.parametrize("harm", ["flip", "remove", "add"])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used(
    harm, url, store, folder
):
    saved(url, 3, 5)
    name = f"{folder}/checkpoints/latest/5/params/_METADATA"
    if harm == "flip":
        _flipped(store, name)
    elif harm == "remove":
        store.remove(name)
    else:
        store.write(f"{name}.more", b"-")
    with pytest.warns(UserWarning, match=r"latest/5 is damaged: params/_METADATA"):
        assert Checkpoints(url).restore_latest(make_state()).step == 3
    assert store.names(f"{folder}/checkpoints/damaged/latest-5/")
    assert not store.names(f"{folder}/checkpoints/latest/5/")


@pytest.mark.thorough
@pytest.mark.parametrize("harm", ["flip", "remove"])
def test_any_damaged_object_is_found(harm, url, store, folder):
    saved(url, 3)
    latest = f"{folder}/checkpoints/latest/3/"
    for name in store.names(latest):
        data = store.read(name)
        if harm == "flip" and not data:
            continue
        _flipped(store, name) if harm == "flip" else store.remove(name)
        series = bucket_series.BucketSeries(
            storage(url)._objects, "latest", lambda: None
        )
        assert series.steps() == [3]
        with pytest.raises(bucket_series.manifest.DamageError), series.opened(3):
            pass
        store.write(name, data)
    with series.opened(3):
        pass


def test_a_save_that_fails_leaves_the_one_before_it_and_is_told(url, store):
    checkpoints = saved(url, 3)
    store.fault = lambda method, path: "403"
    checkpoints.save_latest(make_state(5), {})
    told = r"step 5 could not be saved .*no permission"
    with pytest.warns(UserWarning, match=told), pytest.raises(PermissionError):
        checkpoints.finish()
    store.fault = lambda method, path: None
    assert Checkpoints(url).restore_latest(make_state()).step == 3
    checkpoints.save_latest(make_state(7), {})
    with pytest.warns(UserWarning, match="step 7 was saved .*: saving works again"):
        checkpoints.finish()
    assert checkpoints.steps("latest") == [3, 7]


def test_nothing_is_committed_before_the_manifest(url, store, folder):
    checkpoints, order = saved(url, 3), []

    def seen(method, path):
        if method in ("PUT", "POST") and "checkpoints" in path:
            order.append(path)

    store.fault = seen
    if store.scheme == "gs":  # the names are in the bodies of its uploads
        pytest.skip("this server's requests do not tell what they write")
    checkpoints.save_latest(make_state(5), {})
    checkpoints.finish()
    written = [path.partition("latest/")[2].partition("?")[0] for path in order]
    assert written[0] == "saving-5"
    manifest = written.index("5/manifest.sha256")
    assert all(name.startswith("5/") for name in written[1 : manifest + 1])
    assert not any(name.startswith("5/") for name in written[manifest + 1 :])


def test_the_log_is_whole_with_each_checkpoint_and_is_rewound(url, monkeypatch):
    log = MetricsLog(url, 0)
    checkpoints = Checkpoints(url)
    for step in (10, 20):
        log.append({"step": step})
    first = log.size // 2
    assert read_metrics(log.path) == []
    checkpoints.save_latest(make_state(20), {})
    checkpoints.finish()
    assert [x["step"] for x in read_metrics(log.path)] == [10, 20]
    log.append({"step": 30})
    log.flush()
    assert len(read_metrics(log.path)) == 3
    log = MetricsLog(url, first)
    assert [x["step"] for x in log.records()] == [10]
    assert len(read_metrics(log.path)) == 1
    monkeypatch.setattr(bucket.BucketLog, "every", 0.0)
    log.append({"step": 20})
    end = time.monotonic() + 20
    while len(read_metrics(log.path)) == 1 and time.monotonic() < end:
        time.sleep(0.05)
    assert read_metrics(log.path)[-1] == {"step": 20}


def test_a_log_that_cannot_be_written_is_written_later(url, store):
    log = MetricsLog(url, 0)
    store.fault = lambda method, path: "403"
    log.append({"step": 1})
    with pytest.raises(PermissionError):
        log.flush()
    store.fault = lambda method, path: None
    log.flush()
    assert read_metrics(log.path) == [{"step": 1}]


def test_an_identity_is_kept_and_compared(url):
    with claim(url, {"cell": "lstm"}) as held:
        assert held.is_there()
    with pytest.raises(InputError, match="cell is 'lstm' there"), claim(url, {}):
        pass


def test_a_bucket_that_is_not_there_cannot_be_a_workdir(store):
    url = f"{store.scheme}://no-such-bucket/run"
    for use in (lambda: storage(url).check(), lambda: claim(url, {}).__enter__()):
        with pytest.raises(InputError, match=r"no-such-bucket.*no such bucket"):
            use()
