"""Opening a run: everything it needs, checked before anything is written."""

import contextlib
import dataclasses
import json
import secrets
import zlib
from collections.abc import Iterator
from functools import partial

import char_build
import char_config
import jax
import numpy as np
from char_config import Config
from char_plan import asked_steps, plan
from char_run import Clock, Run
from watch import Screen

import jaxtext as jt
from jaxtext.errors import InputError
from jaxtext.text import cache
from jaxtext.text.encoded import encode
from jaxtext.text.sources import resolve
from jaxtext.training.agreement import of_first
from jaxtext.training.checkpoint import Checkpoints
from jaxtext.training.files import write_durably
from jaxtext.training.interrupt import Request
from jaxtext.training.workdir import check_identity, claim


@contextlib.contextmanager
def open_run(
    config: Config, display: Screen, clock: Clock, stop: Request
) -> Iterator[Run]:
    """Opens the run that a configuration names, new or where it stopped.

    Everything that can be wrong with the configuration or the text is found before
    anything is written. The run's directory is held until the end.

    Args:
      config: The configuration.
      display: Is told what happens.
      clock: Tells the seconds since the process began.
      stop: Is polled meanwhile.

    Raises:
      InputError: For bad input of any kind.
      Stopped: If `stop` says so.
    """
    corpus = _read_corpus(config, display, stop)
    train, validation, val_sha256 = _divide(config, corpus, display, stop)
    batches = char_build.build_batches(config, train, display.say)
    identity = char_config.identity(config, corpus.sha256, val_sha256)
    trainer = char_build.build_trainer(
        config, len(corpus.vocabulary), batches.batch_size
    )
    _check_alike(config, corpus.sha256, val_sha256)
    workdir = config.workdir or char_config.default_workdir(corpus.name, identity)
    if len(validation) < 2:
        validation = validation[:0]
    first = jax.process_index() == 0
    with claim(workdir, identity) if first else contextlib.nullcontext():
        _check_shared(workdir)
        checkpoints = Checkpoints(workdir, keep=config.keep, warn=display.say)
        run = Run(
            config,
            identity,
            corpus,
            batches,
            validation,
            workdir,
            trainer.model,
            trainer.parallel,
            checkpoints,
            clock,
            stop,
        )
        result = _finished_result(run)
        if of_first(result is not None):
            run.result = result or {}
            yield run
            return
        state = trainer.create(jax.random.key(config.seed))
        found = checkpoints.restore_latest(state)
        if found is not None:
            check_identity(workdir, found.about["identity"], identity)
            state = found.arrays
            run.take_over(found)
            run.resumed_from_step = found.step
            run.seconds_before = found.about["seconds"]
            run.best, run.rollbacks = found.about["best"], found.about["rollbacks"]
            display.say(f"going on from step {found.step} in {workdir}")
        else:
            display.say(f"a new run in {workdir}")
        plan(run, state, found and found.about["plan"], display)
        opt_state = char_build.planned_for(state.opt_state, run.steps)
        run.state = trainer.parallel.place(state._replace(opt_state=opt_state))
        yield run


def _check_alike(config, sha256, val_sha256):
    """Raises `InputError` where this process would train on something of its own."""
    fields = dataclasses.asdict(config) | {"corpus": sha256, "val_corpus": val_sha256}
    for name in ("process_id", "coordinator", "workdir"):
        del fields[name]
    digest = zlib.crc32(json.dumps(fields).encode())
    if of_first(np.uint32(digest)) != digest:
        raise InputError(
            "process 0 of this run has other flags or another corpus; give all of them "
            "the same"
        )


def _check_shared(workdir):
    """Raises `InputError` if this process sees another directory than process 0."""
    if jax.process_count() == 1:
        return
    token, path = of_first(np.uint32(secrets.randbits(32))), workdir / ".shared"
    if jax.process_index() == 0:
        write_durably(path, str(token).encode())
    of_first(0)
    if not path.exists() or path.read_text() != str(token):
        raise InputError(
            f"{workdir.absolute()} is not the directory that process 0 has; give all "
            "processes one --workdir, on a file system that they share"
        )


def _read_corpus(config, display, stop):
    progress = _reading("the corpus", display, stop)
    corpus = jt.text.load(
        config.corpus,
        vocab=config.vocab,
        limit=config.characters,
        progress=progress,
        warn=display.say,
    )
    display.stop()
    display.say(
        f"corpus {corpus.name}: {len(corpus.ids):,} characters, "
        f"{len(corpus.vocabulary)} distinct"
    )
    return corpus


def _reading(what, display, stop):
    """Begins a bar; returns what moves it, and ends the reading on a signal."""
    display.start(f"reading {what}", total=1)

    def progress(done, total):
        stop.check()
        display.advance(done, total)

    return progress


def _divide(config, corpus, display, stop):
    """What to train on, what to validate on, and the hash of the latter, if apart."""
    if not config.val_corpus:
        return *jt.text.split(corpus.ids, config.val_fraction), None
    progress = _reading("the text to validate on", display, stop)
    waiting = partial(progress, 0, 1)
    with resolve(
        config.val_corpus, cache=cache.root(), waiting=waiting, warn=display.say
    ) as sources:
        validation = encode(sources, corpus.vocabulary, progress=progress)
    display.stop()
    return corpus.ids, validation.ids, validation.sha256


def _finished_result(run):
    """What the run came to, if it has done what is asked of it already."""
    try:
        result = json.loads((run.workdir / "result.json").read_text("utf-8"))
    except (FileNotFoundError, ValueError):  # a damaged one can be made again
        return None
    if not (isinstance(result, dict) and {"steps", "minutes"} <= result.keys()):
        return None
    config, asked = run.config, asked_steps(run)
    enough_steps = asked is not None and result["steps"] >= asked
    enough_time = config.minutes and (result["minutes"] or 0) >= config.minutes
    return result if enough_steps or enough_time else None
