"""The result of a finished run: as JSON, and as a person reads it."""

import hashlib
import json
import math
import resource
import sys
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from charlm.run import Run
from charlm.settings import settings
from charlm.spent import goodput, told
from common.names import as_typed, command, this_python
from common.screen import Screen
from jaxtext.files import as_json
from jaxtext.runs.agreement import of_first
from jaxtext.runs.checkpoint import restore_params
from jaxtext.runs.storage import storage

Result = dict[str, Any]

RESULT = "result.json"


def result_of(run: Run, display: Screen) -> Result:
    """The result of a run at its end. Each checkpoint that it names exists."""
    progress, speed = run.progress, run.speed
    params = run.parallel.params(progress.state)
    with run.spent.on("validating"):
        val, best_step = _validated(run, params, display)
    here, spent = run.spent.of_process(), run.spent.of_run()
    rss_unit = 1 if sys.platform == "darwin" else 1024
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * rss_unit
    return {
        "cell": run.config.cell,
        **settings(run.config),
        "steps": progress.step,
        "epochs": progress.step / run.batches.batches_per_epoch,
        "parameters": sum(x.size for x in jax.tree.leaves(params)),
        "val_nats_per_char": val,
        "val_bits_per_char": val and val / math.log(2),
        "best_step": best_step,
        "train_nats_per_char": progress.pass_loss.mean,
        "train_nats_of_steps": progress.pass_loss.steps,
        "chars_per_second": speed.chars_per_second(),
        "chars_per_second_of_steps": speed.steps,
        "compile_seconds": speed.compile_seconds,
        "programs": run.spent.programs,
        "programs_from_cache": run.spent.found,
        "devices": run.devices,
        "processes": jax.process_count(),
        "workdir": str(run.workdir),
        "corpus": run.corpus.name,
        "corpus_sha256": run.corpus.sha256,
        **({} if run.corpus.mode == "none" else {"documents": run.corpus.mode}),
        "vocabulary": len(run.corpus.vocabulary),
        "resumed_from_step": progress.resumed_from_step,
        "skipped_steps": int(progress.state.skipped.in_all),
        "rollbacks": len(progress.rollbacks),
        "parameters_sha256": fingerprint(params),
        "peak_memory_mb": rss / 2**20,
        # Used up, so that the same command has nothing left to do.
        "minutes": run.config.minutes if ended_by(run) == "minutes" else None,
        "patience": run.config.patience if ended_by(run) == "patience" else None,
        "ended_by": ended_by(run),
        "seconds": run.seconds(),
        "goodput": goodput(spent),
        "spent": spent,
        "spent_in_this_process": here,
    }


def read_result(workdir: Path) -> Result | None:
    """The result in a directory; ``None`` if there is none, or if it is damaged.

    Raises:
      OSError: If it cannot be read.
    """
    try:
        result: Any = json.loads(storage(workdir).read(RESULT) or b"")
    except ValueError:
        return None
    whole = isinstance(result, dict) and {"steps", "minutes"} <= result.keys()
    return result if whole else None


def ended_by(run: Run) -> Literal["steps", "minutes", "patience"]:
    """Which budget of a run was used up."""
    if run.progress.step == run.plan.asked:
        return "steps"
    if run.is_out_of_patience():
        return "patience"
    return "steps" if run.config.minutes is None else "minutes"


def finished_result(run: Run) -> Result | None:
    """The result in a run's directory, if the run has done what is asked already."""
    kept, result = storage(run.workdir), read_result(run.workdir)
    if result is None:
        return None
    # Older results do not say on how many steps their numbers stand, nor all flags, and
    # none of them ran out of patience.
    result = settings(run.config) | result
    for name in ("train_nats_of_steps", "chars_per_second_of_steps", "patience"):
        result.setdefault(name, None)
    if result.get("workdir") != str(run.workdir):  # it was moved, or is a copy
        result["workdir"] = str(run.workdir)
        if jax.process_index() == 0:
            kept.write(RESULT, as_json(result))
    minutes, asked = run.plan.minutes, run.plan.asked
    patience = run.config.patience
    enough_patience = patience is not None and (result["patience"] or 0) >= patience
    enough_steps = asked is not None and result["steps"] >= asked
    enough_time = minutes is not None and (result["minutes"] or 0) >= minutes
    return result if enough_steps or enough_time or enough_patience else None


def summary(result: Result, validated: int) -> dict[str, str]:
    """Seven lines about a result.

    Args:
      result: The result.
      validated: How many characters there are to validate on.
    """
    passes = f"{result['epochs']:.1f} passes over {result['corpus']}"
    parameters, symbols = result["parameters"], result["vocabulary"]
    cell = result["cell"].upper()
    trained = f"{result['steps']:,} steps, {passes}, {_time(result['seconds'])}"
    if result["patience"] is not None:
        trained += f", ended by --patience {result['patience']}"
    if result["skipped_steps"]:
        trained += f", {result['skipped_steps']:,} steps skipped"
    return {
        "run": as_typed(result["workdir"]),
        "model": f"{cell}, {parameters:,} parameters, {symbols:,} symbols",
        "trained": trained,
        "training": _training_loss(result),
        "validation": _validation_loss(result, validated),
        "speed": _speed(result),
        # Older results do not have it.
        **({"time": told(result["spent"])} if "spent" in result else {}),
    }


def commands(run: Run, result: Result) -> str:
    """Three commands: to sample from the run, to evaluate it, and to train it on."""
    folder, of = Path(__file__).parents[1], ("--workdir", as_typed(run.workdir))

    def script(name, *words):
        return command(this_python(), as_typed(folder / name), *of, *words)

    # A text that was piped in is nowhere any more: it has to be piped in again.
    piped = "-" in (run.config.val_corpus or run.config.corpus)
    text = ("--corpus", "-") if piped else ()
    if run.config.minutes:
        used = max(run.config.minutes, result["minutes"] or 0)
        more = "--minutes", f"{max(2 * used, run.plan.minutes_for_more()):g}"
    else:
        more = "--steps", str(2 * result["steps"])
    if result["patience"] is not None:
        more = (*more, "--no-patience")
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
    return f"{loss:.4f} nats per {_symbol(result)}, mean of the {of}"


def _validation_loss(result, validated):
    loss, bits = result["val_nats_per_char"], result["val_bits_per_char"]
    if loss is None:
        return "none: no text was kept for it"
    step = result["best_step"]
    return (
        f"{loss:.4f} nats, {bits:.4f} bits per {_symbol(result)} (all {validated:,}), "
        f"at step {step:,}, whose parameters sample.py uses"
    )


def _symbol(result):
    """What a loss is per: the ends of documents are symbols too."""
    return "symbol" if "documents" in result else "character"


def _speed(result):
    speed, devices = result["chars_per_second"], result["devices"]
    on = "1 device" if devices == 1 else f"{devices} devices"
    told = "not known, of so few steps" if speed is None else f"{speed:,.0f} chars/s"
    compiling = f"compiling took {result['compile_seconds']:.1f} s"
    return f"{told} on {on}; {compiling}; {result['peak_memory_mb']:,.0f} MB"


def _validated(run, params, display):
    """The loss of the best checkpoint on the whole validation text, and its step."""
    best, last = run.progress.best, run.progress.step
    if not len(run.validation):
        return None, None
    step = best.get("step", last)
    if best and of_first(step not in run.checkpoints.steps("best")):
        display.say(
            f"note: the best checkpoint, of step {step}, is not there any more; the "
            f"result is that of the last one, of step {last}"
        )
        return run.evaluate(params, run.validation), last
    if best and len(run.validation) <= run.config.eval_characters:
        return best["val_nats_per_char"], step  # it has been read to its end
    if step != last:
        found = restore_params(run.workdir, params, warn=display.say)
        params, step = found.arrays, found.step
    return run.evaluate(params, run.validation), step


def fingerprint(params):
    """SHA-256 of the parameters' names and bytes."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()
