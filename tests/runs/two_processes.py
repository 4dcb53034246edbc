# ruff: noqa: E402 (a parent is to import little, and comes first)
"""What test_distributed.py runs, twice at a time: ``SCENE COORDINATOR ID FILE``.

FILE is where a process leaves what it found, as JSON.
"""

import importlib.util
import json
import os
import signal
import sys
import time
from pathlib import Path

NAME = "jaxtext.runs.supervise"
ROOT = Path(__file__).parents[2]

if __name__ == "__main__":
    # What a parent needs, and no more: importing JAX is most of what this does.
    spec = importlib.util.spec_from_file_location(
        NAME, ROOT.joinpath(*NAME.split(".")).with_suffix(".py")
    )
    sys.modules[NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[NAME])
    if not sys.modules[NAME].supervised():
        sys.exit(sys.modules[NAME].supervise())

import jax
import numpy as np
from jax.sharding import SingleDeviceSharding

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.runs import distributed
from jaxtext.runs.agreement import agreement, of_first

B, T, V, STEPS, SAVED = 16, 6, 7, 12, 5
HEARTBEAT = 5


def setup(strategy, devices=None):
    """The same in all processes: what is trained, and what it reads."""
    # Imported here, since most scenes train nothing: it is half of what they import.
    import optax

    from jaxtext.training import create_state, data_parallel

    model = jt.LanguageModel(jt.stack(jt.lstm(6), jt.dropout(0.3)), V)
    optimizer = optax.adam(1e-2)
    ids = np.random.default_rng(0).integers(0, V, 3000).astype(np.uint8)
    streams = jt.text.Streams(ids, B, T)
    parallel = data_parallel(
        model, optimizer, B, devices, slices=2, average_decay=0.9, strategy=strategy
    )
    state = create_state(model, optimizer, jax.random.key(1), B, average=True)

    def batch(k):
        return jax.tree.map(lambda x: x[parallel.rows], streams.batch(0, k))

    return model, parallel, state, batch, ids


def train(strategy, file):
    """Trains, saves on the way, and goes on once more from what was saved."""
    import orbax.checkpoint as ocp

    from jaxtext.training import evaluate
    from jaxtext.training.loop import run

    model, parallel, state, batch, ids = setup(strategy)
    placed, losses, agreed, votes = parallel.place(state), [], [], agreement()
    process = jax.process_index()
    path = file.parent / strategy
    for progress in run(parallel, placed, batch, 0, STEPS):
        losses += [metrics.loss for _, metrics in progress.metrics]
        step = progress.step
        agreed.append(votes([step == 3 + 2 * process, 10 * process + step]))
        if step == SAVED:
            with ocp.StandardCheckpointer() as checkpointer:
                checkpointer.save(path, parallel.collect(progress.state))
    assert int(state.step) == 0  # placing took a copy
    params = parallel.params(progress.state)
    found = {
        "losses": losses,
        "agreed": agreed,
        "rows": [parallel.rows.start, parallel.rows.stop],
        "params": [np.asarray(x).tobytes().hex() for x in jax.tree.leaves(params)],
        "first": int(of_first(process + 8)),
    }
    if process == 0:  # alone
        found["evaluated"] = evaluate(model, params, ids)

    one = SingleDeviceSharding(jax.local_devices()[0])
    like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=one), state
    )
    with ocp.StandardCheckpointer() as checkpointer:
        placed = parallel.place(checkpointer.restore(path, like))
    again = []
    for progress in run(parallel, placed, batch, SAVED, STEPS):
        again += [metrics.loss for _, metrics in progress.metrics]
    return found | {"again": again}


def take_part(scene, file, signals):
    """What one process does once both are there."""
    process = jax.process_index()
    if scene == "killed":
        found = {strategy: train(strategy, file) for strategy in ("pmap", "sharded")}
        file.write_text(json.dumps(found))
    of_first(0)
    print("together", file=sys.stderr, flush=True)
    if scene == "all at the end":
        os.kill(os.getpid(), signal.SIGTERM)  # for the handler there was before
        time.sleep(1 + process)
        return 128 + signals[0]
    if process == 1:
        if scene == "fails":
            return 2
        os.kill(os.getpid(), {"killed": signal.SIGKILL, "hangs": signal.SIGSTOP}[scene])
    of_first(0)  # which process 1 does not join
    return 0


def main():
    scene, coordinator, process, file = sys.argv[1:]
    given = coordinator, 2, int(process)
    signals = []
    signal.signal(signal.SIGTERM, lambda number, frame: signals.append(number))
    try:
        if scene == "never came":
            try:
                distributed.initialize()  # nothing here tells what there is
            except InputError as error:
                Path(file).write_text(json.dumps(str(error)))
        distributed.run(
            lambda: take_part(scene, Path(file), signals),
            *given,
            heartbeat_seconds=HEARTBEAT,
            meet_seconds=1 if scene == "never came" else 300,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
