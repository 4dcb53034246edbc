"""What a finished run came to: as JSON, and as a person reads it."""

import hashlib
import math
import resource
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from common.names import as_typed, command, this_python
from common.screen import Screen

from charlm.plan import minutes_for_more
from charlm.run import Run
from jaxtext.runs.agreement import of_first
from jaxtext.runs.checkpoint import restore_params

Result = dict[str, Any]


def result_of(run: Run, display: Screen) -> Result:
    """What the run came to. Each checkpoint that it names is there."""
    params = run.parallel.params(run.state)
    val, best_step = _validated(run, params, display)
    rss_unit = 1 if sys.platform == "darwin" else 1024
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * rss_unit
    return {
        "cell": run.config.cell,
        "steps": run.step,
        "epochs": run.step / run.batches.batches_per_epoch,
        "parameters": sum(x.size for x in jax.tree.leaves(params)),
        "val_nats_per_char": val,
        "val_bits_per_char": val and val / math.log(2),
        "best_step": best_step,
        "train_nats_per_char": run.pass_loss.mean,
        "train_nats_of_steps": run.pass_loss.steps,
        "chars_per_second": run.chars_per_second(),
        "chars_per_second_of_steps": run.steps_taken,
        "compile_seconds": run.compile_seconds,
        "devices": run.devices,
        "processes": jax.process_count(),
        "workdir": str(run.workdir),
        "corpus": run.corpus.name,
        "corpus_sha256": run.corpus.sha256,
        "vocabulary": len(run.corpus.vocabulary),
        "resumed_from_step": run.resumed_from_step,
        "skipped_steps": int(run.state.skipped.in_all),
        "rollbacks": len(run.rollbacks),
        "parameters_sha256": _fingerprint(params),
        "peak_memory_mb": rss / 2**20,
        # Used up, so that the same command has nothing left to do.
        "minutes": None if run.step == run.asked_steps else run.config.minutes,
        "seconds": run.seconds(),
    }


def summary(result: Result) -> dict[str, str]:
    """Six lines about a result."""
    passes = f"{result['epochs']:.1f} passes over {result['corpus']}"
    parameters, symbols = result["parameters"], result["vocabulary"]
    cell = result["cell"].upper()
    trained = f"{result['steps']:,} steps, {passes}, {_time(result['seconds'])}"
    if result["skipped_steps"]:
        trained += f", {result['skipped_steps']:,} steps skipped"
    return {
        "run": as_typed(result["workdir"]),
        "model": f"{cell}, {parameters:,} parameters, {symbols:,} symbols",
        "trained": trained,
        "training": _training_loss(result),
        "validation": _validation_loss(result),
        "speed": _speed(result),
    }


def commands(run: Run) -> str:
    """Three lines: what to type to have it write, measure it, and train it on."""
    folder, of = Path(__file__).parents[1], ("--workdir", as_typed(run.workdir))

    def script(name, *words):
        return command(this_python(), as_typed(folder / name), *of, *words)

    # A text that was piped in is nowhere any more: it has to be piped in again.
    piped = "-" in (run.config.val_corpus or run.config.corpus)
    text = ("--corpus", "-") if piped else ()
    result = run.result or {}
    if run.config.minutes:
        used = max(run.config.minutes, result["minutes"] or 0)
        more = "--minutes", f"{max(2 * used, minutes_for_more(run)):g}"
    else:
        more = "--steps", str(2 * result["steps"])
    again = ("--corpus", "-") if "-" in run.config.corpus else ()
    lines = {
        "write": script("sample.py"),
        "measure": script("evaluate.py", *text),
        "train on": script("char_gen.py", *again, *more),
    }
    return "\n".join(f"{name:<9}{line}" for name, line in lines.items())


def _time(seconds):
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _training_loss(result):
    loss, steps = result["train_nats_per_char"], result["train_nats_of_steps"]
    if loss is None:
        return "no step of it was taken"
    of = {None: "last pass", 1: "1 step of the last pass"}
    of = of.get(steps, f"{steps} steps of the last pass")
    return f"{loss:.4f} nats per character, mean of the {of}"


def _validation_loss(result):
    loss, bits = result["val_nats_per_char"], result["val_bits_per_char"]
    if loss is None:
        return "none: no text was kept for it"
    step = result["best_step"]
    return f"{loss:.4f} nats, {bits:.4f} bits per character, at step {step:,}"


def _speed(result):
    speed, devices = result["chars_per_second"], result["devices"]
    on = "1 device" if devices == 1 else f"{devices} devices"
    told = "not known, of so few steps" if speed is None else f"{speed:,.0f} chars/s"
    compiling = f"compiling took {result['compile_seconds']:.1f} s"
    return f"{told} on {on}; {compiling}; {result['peak_memory_mb']:,.0f} MB"


def _validated(run, params, display):
    """What the best checkpoint comes to on the whole validation text, and its step."""
    if not len(run.validation):
        return None, None
    step = run.best.get("step", run.step)
    if run.best and of_first(step not in run.checkpoints.steps("best")):
        display.say(
            f"note: the best checkpoint, of step {step}, is not there any more; told "
            f"is what the last one comes to, of step {run.step}"
        )
        return run.evaluate(params, run.validation), run.step
    if run.best and len(run.validation) <= run.config.eval_characters:
        return run.best["val_nats_per_char"], step  # it has been read to its end
    if step != run.step:
        found = restore_params(run.workdir, params, warn=display.say)
        params, step = found.arrays, found.step
    return run.evaluate(params, run.validation), step


def _fingerprint(params):
    """SHA-256 of the parameters' names and bytes."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()
