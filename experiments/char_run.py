"""One run of a character-level language model: opened, planned, saved, summed up."""

import contextlib
import hashlib
import json
import math
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import char_config
import jax
import numpy as np
from char_config import Config
from watch import Screen

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.training import DataParallel, Metrics, checkpoint, evaluate
from jaxtext.training.workdir import claim

DEFAULT_STEPS = 5000


@dataclass
class Run:
    """What a run is made of, and how far it has come."""

    config: Config
    identity: dict[str, Any]
    corpus: jt.text.Corpus
    batches: jt.text.Streams | jt.text.Windows
    validation: jt.text.Ids
    workdir: Path
    model: jt.LanguageModel
    parallel: DataParallel
    started: float  # time.monotonic() when the process began
    result: dict[str, Any] | None = None  # once it is finished

    # The state is placed on the devices; the counters below belong to it.
    state: Any = None  # a TrainState
    step: int = 0
    steps: int = 0  # the plan
    seconds_before: float = 0.0  # spent by earlier processes
    saved_step: int | None = None
    best: dict[str, Any] = field(default_factory=dict)  # step, val_nats_per_char

    # Of this process alone.
    resumed_from_step: int = 0
    deadline: float = math.inf
    compile_seconds: float = 0.0
    training_seconds: float = 0.0
    records: list[dict[str, Any]] = field(default_factory=list)

    def batch(self, k: int) -> jt.text.Batch:
        """Batch `k` of the run."""
        return self.batches.batch(self.config.seed, k)

    def seconds(self) -> float:
        """Wall-clock seconds of this run, those of earlier processes included."""
        return self.seconds_before + time.monotonic() - self.started

    def out_of_time(self) -> bool:
        """Whether the wall-clock budget allows no further step."""
        return time.monotonic() > self.deadline

    def chars_per_second(self) -> float:
        """Training speed of this process: compilation, validation, saving left out."""
        characters = (self.step - self.resumed_from_step) * (
            self.batches.characters_per_batch
        )
        return characters / self.training_seconds if characters else 0.0

    def is_best(self, val: float) -> bool:
        """Whether a validation loss is better than any before it."""
        return val < self.best.get("val_nats_per_char", math.inf)

    def about(self) -> dict[str, Any]:
        """What a checkpoint holds beside its arrays."""
        return {
            "identity": self.identity,
            "corpus": {"name": self.corpus.name, "sha256": self.corpus.sha256},
            "vocabulary": self.corpus.vocabulary.to_json(),
            "plan": {"steps": self.steps, "minutes": self.config.minutes},
            "seconds": self.seconds(),
            "best": self.best,
        }

    def save(self) -> None:
        """Saves the whole state as the latest checkpoint."""
        state = self.parallel.collect(self.state)
        # The last step's metrics, which would tell, come a step later than it.
        if not all(np.isfinite(x).all() for x in jax.tree.leaves(state.params)):
            self.give_up(self.step, "parameters that are not finite")
        checkpoint.save_latest(self.workdir, state, self.about())
        self.saved_step = self.step

    def require_finite(self, step: int, metrics: Metrics) -> None:
        """Raises `InputError` if a step could not be taken."""
        if not metrics.finite:
            norm = metrics.gradient_norm
            self.give_up(step, f"loss {metrics.loss}, gradient norm {norm}")

    def give_up(self, step: int, why: str) -> NoReturn:
        """Raises the `InputError` of a run that has diverged."""
        kept = (
            "nothing was saved yet"
            if self.saved_step is None
            else f"the checkpoint of step {self.saved_step} is good"
        )
        raise InputError(
            f"training stopped at step {step}: {why}; {kept}; try a lower "
            "--learning-rate"
        )


@contextlib.contextmanager
def open_run(config: Config, display: Screen, started: float) -> Iterator[Run]:
    """Opens the run that a configuration names, new or where it stopped.

    Everything that can be wrong with the configuration or the text is found before
    anything is written. The run's directory is held until the end.

    Raises:
      InputError: For bad input of any kind.
    """
    corpus = _read_corpus(config, display)
    train, validation = jt.text.split(corpus.ids, config.val_fraction)
    batches = _make_batches(config, train, display)
    identity = char_config.identity(config, corpus.sha256)
    model = char_config.build_model(
        identity,
        len(corpus.vocabulary),
        backend=config.backend,
        remat=config.remat,
    )
    optimizer = char_config.build_optimizer(config)
    parallel = jt.training.data_parallel(
        model,
        optimizer,
        batches.batch_size,
        slices=config.slices,
        strategy=config.data_parallel,
    )
    workdir = config.workdir or char_config.default_workdir(corpus.name, identity)
    if len(validation) < 2:
        validation = validation[:0]
    run = Run(
        config, identity, corpus, batches, validation, workdir, model, parallel, started
    )
    with claim(workdir, identity):
        if _is_finished(run):
            yield run
            return
        key = jax.random.key(config.seed)
        state = jt.training.create_state(model, optimizer, key, batches.batch_size)
        found = checkpoint.restore_latest(workdir, state)
        if found is not None:
            state = found.arrays
            run.step = run.resumed_from_step = run.saved_step = found.step
            run.seconds_before = found.about["seconds"]
            run.best = found.about["best"]
            display.say(f"going on from step {found.step} in {workdir}")
        else:
            display.say(f"a new run in {workdir}")
        _plan(run, state, found and found.about["plan"], display)
        opt_state = char_config.planned_for(state.opt_state, run.steps)
        run.state = parallel.place(state._replace(opt_state=opt_state))
        yield run


def summary(run: Run) -> dict[str, Any]:
    """The result of a finished run: what its last line says."""
    params = run.parallel.collect(run.state).params
    val = None
    if len(run.validation):
        chosen = params
        if run.best.get("step", run.step) != run.step:
            chosen = checkpoint.restore_params(run.workdir, params).arrays
        val = evaluate(run.model, chosen, run.validation)
    epoch_start = run.step - run.batches.batches_per_epoch
    losses = [r["loss"] for r in run.records if "loss" in r and r["step"] > epoch_start]
    rss_unit = 1 if sys.platform == "darwin" else 1024
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * rss_unit
    return {
        "cell": run.config.cell,
        "steps": run.step,
        "parameters": sum(x.size for x in jax.tree.leaves(params)),
        "val_nats_per_char": val,
        "val_bits_per_char": val and val / math.log(2),
        "best_step": run.best.get("step"),
        "train_nats_per_char": float(np.mean(losses)) if losses else None,
        "chars_per_second": run.chars_per_second(),
        "compile_seconds": run.compile_seconds,
        "devices": jax.local_device_count(),
        "workdir": str(run.workdir),
        "corpus": run.corpus.name,
        "corpus_sha256": run.corpus.sha256,
        "vocabulary": len(run.corpus.vocabulary),
        "resumed_from_step": run.resumed_from_step,
        "parameters_sha256": _fingerprint(params),
        "peak_memory_mb": rss / 2**20,
        "minutes": run.config.minutes,
        "seconds": run.seconds(),
    }


def _read_corpus(config, display):
    display.start("reading the corpus", total=1)

    def progress(done, total):
        display.advance(done, total)

    corpus = jt.text.load(
        config.corpus, vocab=config.vocab, limit=config.characters, progress=progress
    )
    display.stop()
    display.say(
        f"corpus {corpus.name}: {len(corpus.ids):,} characters, "
        f"{len(corpus.vocabulary)} distinct"
    )
    return corpus


def _make_batches(config, train, display):
    """The batches of a configuration, smaller ones where the text is that short."""
    if config.stride is not None:
        return jt.text.Windows(train, config.batch_size, config.seq_len, config.stride)
    unit = jax.local_device_count() * config.slices
    size, length = jt.text.fit(len(train), config.batch_size, config.seq_len, unit)
    if (size, length) != (config.batch_size, config.seq_len):
        display.say(
            f"note: {len(train):,} characters to train on are too few for "
            f"{config.batch_size} streams of {config.seq_len}; using {size} of {length}"
        )
    return jt.text.Streams(train, size, length)


def _is_finished(run):
    """Whether the run has done what is asked of it; `run.result` is then set."""
    path = run.workdir / "result.json"
    try:
        result = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):  # a damaged one can be made again
        return False
    config, asked = run.config, _asked_steps(run)
    enough_steps = asked is not None and result["steps"] >= asked
    enough_time = config.minutes and (result["minutes"] or 0) >= config.minutes
    if enough_steps or enough_time:
        run.result, run.step = result, result["steps"]
    return run.result is not None


def _asked_steps(run):
    """How many steps the configuration asks for; ``None`` if it gives a time alone."""
    config = run.config
    if config.steps is not None:
        return config.steps
    if config.minutes is not None:
        return None
    if config.epochs is not None:
        return max(1, round(config.epochs * run.batches.batches_per_epoch))
    return DEFAULT_STEPS


def _plan(run, state, before, display):
    """Compiles the step, and decides how many steps there will be, and until when."""
    minutes = run.config.minutes
    asked = _asked_steps(run)
    known = asked or (before and before["minutes"] == minutes and before["steps"])
    display.start("compiling", total=1)
    # A few seconds of steps on a copy of the state tell the speed.
    measuring = 0.0 if known or not minutes else min(3.0, minutes)
    run.compile_seconds, step_seconds = _measure(run, state, measuring)
    if minutes:
        budget = minutes * 60 - run.seconds_before
        once, at_the_end = _validation_seconds(run, state)
        every = run.config.eval_every
        on_the_way = 0.0 if every else 7 * once
        step_seconds += once / every if every else 0.0
        # The rest is for the last checkpoint, the curve and a sample.
        run.deadline = run.started + budget - at_the_end - 2.0
        left = run.deadline - time.monotonic() - on_the_way
        # Speed varies by a few percent, and a schedule cut short costs more than
        # the time that is left over.
        affordable = run.step + max(1, int(0.93 * left / step_seconds))
        run.steps = known or affordable
    else:
        run.steps = known
    run.steps = max(run.steps, run.step)
    display.stop()
    if before and before["steps"] != run.steps:
        display.say(
            f"the schedule is planned anew: {run.steps} steps, not {before['steps']}"
        )
    epochs = run.steps / run.batches.batches_per_epoch
    display.say(f"planned: {run.steps} steps, {epochs:.1f} epochs")


def _measure(run, state, seconds):
    """Compile time, and the time of a step, the median over so many seconds."""
    placed = run.parallel.place(state)
    batch = run.parallel.shard(run.batch(run.step))
    begin = time.monotonic()
    placed, metrics = run.parallel.step(placed, batch)
    jax.block_until_ready(metrics)
    ticks = [time.monotonic()]
    while len(ticks) < 3 or ticks[-1] - ticks[0] < seconds:
        batch = run.parallel.shard(run.batch(run.step + len(ticks)))
        before = metrics
        placed, metrics = run.parallel.step(placed, batch)
        jax.block_until_ready(before)  # as in training, one step is under way
        ticks.append(time.monotonic())
    # The first tick finds its step done: it is left out.
    return ticks[0] - begin, float(np.median(np.diff(ticks[1:])))


def _validation_seconds(run, state):
    """What validating takes once while training, and when that has ended."""
    if not len(run.validation):
        return 0.0, 0.0
    part = run.validation[: run.config.eval_characters]
    evaluate(run.model, state.params, part[:2048])  # compiles
    begin = time.monotonic()
    evaluate(run.model, state.params, part)
    once = time.monotonic() - begin
    return once, once + once * len(run.validation) / len(part)


def _fingerprint(params):
    """SHA-256 of the parameters' names and bytes."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()
