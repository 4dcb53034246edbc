"""What a command would do, found out without writing anything: ``--dry-run``."""

import contextlib
from functools import partial
from typing import Any

import jax

from charlm.config import Config
from charlm.planning import measure
from charlm.run import Run
from common.names import as_typed
from common.screen import Screen
from jaxtext.errors import InputError
from jaxtext.runs.storage import storage
from jaxtext.training import TrainState

MEASURED = 1.0  # seconds of steps


def report(run: Run, display: Screen) -> dict[str, Any]:
    """Tells what the run would be, and returns it as JSON.

    Args:
      run: It is open and planned.
      display: Shows it.

    Raises:
      InputError: If the disk has no space for its checkpoints.
    """
    state, plan = run.progress.state, run.plan
    if not plan.step_seconds:
        measure(run, run.parallel.collect(state), MEASURED, display)
    display.stop()
    memory = _step_memory(run)
    params = run.parallel.params(state)
    size, best = _bytes(run.parallel.collect(state)), _bytes(params)
    # One more than are kept, until it is complete.
    needed = (run.config.keep + 1) * size + 2 * best
    free = storage(run.workdir).free()
    if free is not None and free < needed:
        raise InputError(
            f"{run.workdir}: expected {_megabytes(needed)} of disk space for its "
            f"checkpoints, got {_megabytes(free)}; free some, keep fewer (--keep), or "
            "choose another `workdir`"
        )
    seconds = (plan.steps - run.progress.step) * plan.step_seconds
    found = {
        "workdir": str(run.workdir),
        "step": run.progress.step,
        "steps": plan.steps,
        "epochs": plan.steps / run.batches.batches_per_epoch,
        "step_seconds": plan.step_seconds,
        "training_seconds": seconds,
        "validation_characters": len(run.validation),
        "vocabulary": len(run.corpus.vocabulary),
        "batch_size": run.batches.batch_size,
        "seq_lens": sorted(set(run.batches.lengths)),
        "devices": run.devices,
        "parameters": sum(x.size for x in jax.tree.leaves(params)),
        "shapes": _shapes(params),
        "step_memory_bytes": memory,
        "checkpoint_bytes": size,
        "disk_bytes_needed": needed,
        "disk_bytes_free": free,
    }
    if jax.process_index() == 0:
        for name, shape in found["shapes"].items():
            display.say(f"  {name:<40} {' x '.join(map(str, shape))}")
        display.tell(_rows(found, run.config))
    return found


def _rows(found, config: Config):
    step, lengths = found["step"], ", ".join(map(str, found["seq_lens"]))
    memory = found["step_memory_bytes"]
    per_device = "not known" if memory is None else f"{_megabytes(memory)} a device"
    devices = "1 device" if found["devices"] == 1 else f"{found['devices']} devices"
    begins = f"goes on from step {step:,}" if step else "a new run"
    return {
        "run": f"{as_typed(found['workdir'])}, {begins}",
        "model": f"{config.cell.upper()}, {found['parameters']:,} parameters, "
        f"{found['vocabulary']:,} symbols",
        "batch": f"{found['batch_size']} streams of {lengths}, on {devices}",
        "memory": f"{per_device}, for the step with state and batch",
        "disk": f"{_megabytes(found['disk_bytes_needed'])} of {_free(found)}",
        "plan": f"{found['steps']:,} steps, {found['epochs']:.1f} epochs",
        "time": f"{found['training_seconds']:,.0f} s of training, at "
        f"{1e3 * found['step_seconds']:.3g} ms a step; validation, samples and saving "
        "come on top",
    }


def _step_memory(run):
    """Bytes that the compiled step takes on a device, if its backend tells."""
    if jax.process_count() > 1:
        return None
    cycle = range(len(run.batches.lengths))
    longest = max((run.batch(k) for k in cycle), key=lambda x: x.inputs.shape[1])
    state: TrainState = run.parallel.collect(run.progress.state)
    shapes = jax.eval_shape(lambda *x: x, state, longest)
    with contextlib.suppress(NotImplementedError, jax.errors.JaxRuntimeError):
        compiled = run.parallel.lower(*shapes).compile()
        memory = compiled.memory_analysis()
        if memory is not None:
            return (
                memory.argument_size_in_bytes
                + memory.output_size_in_bytes
                - memory.alias_size_in_bytes
                + memory.temp_size_in_bytes
            )
    return None


def _shapes(params):
    leaves = jax.tree_util.tree_leaves_with_path(params)
    name = partial(jax.tree_util.keystr, simple=True, separator=".")
    return {name(path): x.shape for path, x in leaves}


def _bytes(tree):
    return sum(x.nbytes for x in jax.tree.leaves(tree))


def _free(found):
    free = found["disk_bytes_free"]
    return "a bucket" if free is None else f"{_megabytes(free)} that are free"


def _megabytes(size):
    return f"{size / 1e6:,.1f} MB"
