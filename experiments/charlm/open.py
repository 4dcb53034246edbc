"""Opening a run: everything it needs, checked before anything is written."""

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterator
from functools import partial

import jax
from common.flags import flag
from common.screen import Screen

import jaxtext as jt
from charlm import batches as char_batch
from charlm import build as char_build
from charlm import config as char_config
from charlm.config import Config
from charlm.plan import plan
from charlm.remembered import remember
from charlm.run import Clock, Run
from jaxtext.errors import InputError
from jaxtext.runs.agreement import check_alike, of_first, together, told_by_all
from jaxtext.runs.checkpoint import Checkpoints, read_about
from jaxtext.runs.interrupt import Request
from jaxtext.runs.workdir import (
    check_identity,
    check_shared,
    claim,
    read_identity,
    write_json,
)
from jaxtext.text import cache
from jaxtext.text.encoded import encode
from jaxtext.text.sources import resolve

EMPTIED_WITHIN = 0.2  # seconds, a directory that is being removed


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
    with together():
        corpus = _read_corpus(config, display, stop)
        train, validation, val_sha256 = _divide(config, corpus, display, stop)
    identity = char_config.identity(config, corpus.sha256, val_sha256)
    workdir = config.workdir or char_config.default_workdir(corpus.name, identity)
    check_alike(_facts(config, identity, workdir))
    with together():
        known = _known(workdir)
        fitted, devices = _batch(config, len(train), workdir, known, identity)
        identity["fitted"] = fitted and fitted._asdict()
        batches = char_batch.build_batches(config, train, fitted)
        trainer = char_build.build_trainer(
            config, len(corpus.vocabulary), batches.batch_size, devices
        )
    _say_batch(config, len(train), fitted, len(devices), display)
    if len(validation) < 2:
        validation = validation[:0]
    check_shared(workdir)
    with contextlib.ExitStack() as held:
        with together():
            claimed = None
            if jax.process_index() == 0:
                claimed = held.enter_context(claim(workdir, identity))

            def warn(text):
                # Of a directory that is gone, one message is enough. Who removes it
                # empties it first, and saves may fail of that.
                time.sleep(EMPTIED_WITHIN)
                if claimed is None or claimed.is_there():
                    display.say(text)

            checkpoints = Checkpoints(workdir, keep=config.keep, warn=warn)
        run = Run(
            config,
            identity,
            corpus,
            batches,
            validation,
            workdir,
            trainer.model,
            trainer.parallel,
            len(devices),
            checkpoints,
            clock,
            stop,
            claimed,
        )
        result = _finished_result(run)
        if of_first(result is not None):
            run.result = result or {}
            _remember(config, workdir)
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
            display.say(
                f"going on from step {found.step} in {workdir}, with the same text"
                f"{_called_then(found.about['corpus'], corpus)}"
            )
        else:
            display.say(f"a new run in {workdir}")
        plan(run, state, found and found.about["plan"], display)
        opt_state = char_build.planned_for(state.opt_state, run.steps)
        run.state = trainer.parallel.place(state._replace(opt_state=opt_state))
        _remember(config, workdir)  # not before: a run that cannot begin leaves none
        yield run


def _remember(config, workdir):
    with together():
        if jax.process_index() == 0:
            remember(config, workdir)


def _facts(config, identity, workdir):
    """What has to be the same in all processes, by the names that it is told by."""
    fields = dataclasses.asdict(config)
    for name in ("process_id", "coordinator", "corpus", "val_corpus"):
        del fields[name]
    return {
        **{flag(name): value for name, value in fields.items()},
        "--workdir": os.path.abspath(workdir),
        "the SHA-256 of --corpus": identity["corpus"],
        "the SHA-256 of --val-corpus": identity["val_corpus"],
        "the kind of device": jax.devices()[0].device_kind,
        "the number of devices of each": jax.local_device_count(),
    }


def _known(workdir):
    """What the run in a directory is, as process 0 finds it; ``None`` if there is none.

    Its checkpoints know it too, should ``config.json`` be missing.
    """
    known = None
    if jax.process_index() == 0:
        known = read_identity(workdir)
        if known is None and any(workdir.glob("checkpoints/latest/*")):
            with contextlib.suppress(InputError):  # what is damaged is told later
                found = read_about(workdir, which="latest", warn=lambda text: None)
                known = found.about["identity"]
    return told_by_all(known)[0]


def _batch(config, characters, workdir, known, identity):
    """The batch of a short text, and the devices: those that there are, for a new run.

    One that goes on keeps its batch, and has as many devices as that divides between.
    """
    if known is None:
        return char_batch.fit(config, characters), jax.devices()
    # First of all: in another text the batch might have no place.
    check_identity(workdir, known, identity | {"fitted": known.get("fitted")})
    fitted = known.get("fitted") and char_batch.Fitted(**known["fitted"])
    size = fitted.batch_size if fitted else config.batch_size
    return fitted, char_batch.dividing_devices(size, config.slices)


def _say_batch(config, characters, fitted, devices, display):
    if fitted is not None:
        display.say(
            f"note: {characters:,} characters to train on are too few for "
            f"{config.batch_size} streams of {config.seq_len}; using "
            f"{fitted.batch_size} of {fitted.seq_len}"
        )
    if devices < jax.device_count():
        display.say(
            f"note: the batch that the run has divides between {devices} of the "
            f"{jax.device_count()} devices; the others have nothing to do"
        )


def _called_then(before, corpus):
    """What to say of a text that had another name when the checkpoint was saved."""
    return "" if before["name"] == corpus.name else f", called {before['name']} then"


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
    path = run.workdir / "result.json"
    try:
        result = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):  # a damaged one can be made again
        return None
    if not (isinstance(result, dict) and {"steps", "minutes"} <= result.keys()):
        return None
    # Results did not always tell on how many steps their numbers stand.
    result = {"train_nats_of_steps": None, "chars_per_second_of_steps": None} | result
    if result.get("workdir") != str(run.workdir):  # it was moved, or is a copy
        result["workdir"] = str(run.workdir)
        if jax.process_index() == 0:
            write_json(path, result)
    config, asked = run.config, run.asked_steps
    enough_steps = asked is not None and result["steps"] >= asked
    enough_time = config.minutes and (result["minutes"] or 0) >= config.minutes
    return result if enough_steps or enough_time else None
