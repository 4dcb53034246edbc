"""Opening a run: everything it needs, checked before anything is written."""

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import jax

from charlm import batches, build
from charlm.config import Config
from charlm.identity import default_workdir, identity
from charlm.origin import find_origin, tell_origin
from charlm.plan import Plan, asked_steps
from charlm.planning import make_plan
from charlm.remembered import remember
from charlm.result import Result, finished_result
from charlm.run import Clock, Run
from charlm.spent import Spent
from charlm.texts import decided, divide, frequent_symbols, read_corpus
from common.flags import flag
from common.rules import fields_without
from common.screen import Screen
from jaxtext.buckets import absolute, explained
from jaxtext.errors import InputError
from jaxtext.runs.agreement import check_alike, of_first, together, told_by_all
from jaxtext.runs.checkpoint import Checkpoints, read_about
from jaxtext.runs.distributed import unusual_settings
from jaxtext.runs.interrupt import Request
from jaxtext.runs.storage import storage
from jaxtext.runs.workdir import check_identity, check_shared, claim, read_identity

EMPTIED_WITHIN = 0.2  # seconds, a directory that is being removed


@contextlib.contextmanager
def open_run(
    config: Config, display: Screen, clock: Clock, stop: Request, spent: Spent
) -> Iterator[tuple[Run, Result | None]]:
    """Opens the run that a configuration names, new or where it stopped.

    Everything that can be wrong with the configuration or the text is found before
    anything is written. The run's directory is held until the end. In a dry run a
    directory in the place of temporary files takes all that would be written to it.

    Args:
      config: The configuration.
      display: Shows what happens.
      clock: Tells the seconds since the process began.
      stop: Is polled meanwhile.
      spent: Is told what the time goes to.

    Yields:
      The run, and its result if it has already done what is asked.

    Raises:
      InputError: For bad input of any kind.
      Stopped: If `stop` says so.
    """
    for name, value in unusual_settings().items():
        display.say(
            f"note: {name} is {value}: parameters and losses are not those of the same "
            "command without that setting"
        )
    with together():
        known = _known(config.workdir)
        origin = find_origin(config, known, display)
        corpus = read_corpus(config, known, display, stop, origin and origin.vocabulary)
        config = decided(config, corpus)
        train, validation, val_sha256 = divide(config, corpus, display, stop)
    own = identity(config, corpus.sha256, val_sha256, origin and origin.identity)
    workdir = config.workdir or default_workdir(corpus.name, own)
    check_alike(_facts(config, own, workdir))
    with together():
        known = known or _known(workdir)
        fitted, devices = _batch(config, len(train), workdir, known, own)
        own["fitted"] = fitted and fitted._asdict()
        documents = corpus.mode != "none"
        end = corpus.vocabulary.end
        read = batches.build_batches(config, train, fitted, end if documents else None)
        vocab_size = len(corpus.vocabulary)
        if origin is None:
            frequent = frequent_symbols(config, train, vocab_size)
        else:  # probabilities would not stay the same with others
            frequent = origin.frequent(corpus.vocabulary)
        trainer = build.build_trainer(
            config,
            vocab_size,
            read.batch_size,
            devices,
            frequent=frequent,
            end=end,
        )
    _say_batch(config, len(train), fitted, len(devices), display)
    if not config.dry_run:
        check_shared(workdir)
    with contextlib.ExitStack() as held:
        written = workdir
        with together():
            if config.dry_run:
                storage(workdir).check_usable()
                written = Path(held.enter_context(tempfile.TemporaryDirectory()))
            claimed = None
            if jax.process_index() == 0:
                claimed = held.enter_context(claim(written, own))

            def warn(text):
                # Of a directory that is gone, one message is enough. Who removes it
                # empties it first, and saves may fail of that.
                time.sleep(EMPTIED_WITHIN)
                if claimed is None or claimed.is_there():
                    display.say(text)

            checkpoints = Checkpoints(written, keep=config.keep, warn=warn)
        run = Run(
            config=config,
            identity=own,
            corpus=corpus,
            batches=read,
            validation=validation if len(validation) > 1 else validation[:0],
            workdir=workdir,
            model=trainer.model,
            parallel=trainer.parallel,
            devices=len(devices),
            checkpoints=checkpoints,
            clock=clock,
            stop=stop,
            claim=claimed,
            spent=spent,
            plan=Plan(asked_steps(config, read.batches_per_epoch), config.minutes),
        )
        result = None if config.dry_run else finished_result(run)
        if of_first(result is not None):
            _remember(config, workdir)
            yield run, result or {}
            return
        state = _beginning(config, trainer, origin, corpus.vocabulary)
        with spent.on("restoring"):
            if config.dry_run:
                found = _latest_about(workdir, state, display)
            else:
                found = checkpoints.restore_latest(state)
        if found is not None:
            check_identity(workdir, found.about["identity"], own)
            state = found.arrays
            run.progress.go_on_from(found)
            spent.go_on_from(found.about.get("spent"), found.about["seconds"])
            display.say(
                f"going on from step {found.step} in {workdir}, with the same text"
                f"{_called_then(found.about['corpus'], corpus)}"
            )
        else:
            if origin is not None:
                _check_begins(origin, workdir)
                run.progress.validated_step = -1  # so that step 0 is validated
            display.say(f"a new run in {workdir}")
            if origin is not None:
                tell_origin(origin, corpus.vocabulary, display)
        with spent.on("measuring"):
            make_plan(run, state, found and found.about["plan"], display)
        opt_state = build.planned_for(state.opt_state, run.plan.steps)
        run.progress.state = trainer.parallel.place(state._replace(opt_state=opt_state))
        if not config.dry_run:  # nor before: a run that cannot begin leaves none
            _remember(config, workdir)
        yield run, None


def _latest_about(workdir, state, display):
    """The checkpoint that a run would go on from, but with the arrays of `state`."""
    if not storage(workdir).series("latest").steps():
        return None
    found = read_about(workdir, which="latest", warn=display.say)
    return found._replace(arrays=state)


def _remember(config, workdir):
    with together():
        if jax.process_index() == 0:
            remember(config, workdir)


def _beginning(config, trainer, origin, vocabulary):
    """The state before the first step."""
    key = jax.random.key(config.seed)
    params = origin and origin.params_for(trainer.model, vocabulary, config.seed)
    return trainer.create(key, params)


def _check_begins(origin, workdir):
    """Raises `InputError` if a run was stopped before it had saved its beginning."""
    if origin.trained is None:
        raise InputError(
            f"the run in {workdir} has no checkpoint, and starts from another run's "
            "parameters; give that run as --init-from again"
        )


def _facts(config, own, workdir):
    """What has to be the same in all processes, by the names that messages use."""
    differing = fields_without(Config, "alike")
    fields = dataclasses.asdict(config)
    return {
        **{flag(name): x for name, x in fields.items() if name not in differing},
        "--workdir": str(absolute(workdir)),
        "the SHA-256 of --corpus": own["corpus"],
        "the SHA-256 of --val-corpus": own["val_corpus"],
        "the SHA-256 of what --init-from has": own.get("init_from", {}).get(
            "parameters_sha256"
        ),
        "the kind of device": jax.devices()[0].device_kind,
        "the number of devices of each": jax.local_device_count(),
    }


def _known(workdir):
    """What the run in a directory is, as process 0 finds it; ``None`` if there is none.

    Its checkpoints know it too, should ``config.json`` be missing.
    """
    known = None
    with together():
        if jax.process_index() == 0 and workdir is not None:
            known = read_identity(workdir)
            with explained(workdir):
                steps = () if known else storage(workdir).series("latest").steps()
            if steps:
                # What is damaged is told later.
                with contextlib.suppress(InputError):
                    found = read_about(workdir, which="latest", warn=lambda text: None)
                    known = found.about["identity"]
    return told_by_all(known)[0]


def _batch(config, characters, workdir, known, own):
    """The batch of a short text, and the devices: those that there are, for a new run.

    One that goes on keeps its batch, and has as many devices as that divides between.
    """
    if known is None:
        return batches.fit(config, characters), jax.devices()
    # First of all: in another text the batch might have no place.
    check_identity(workdir, known, own | {"fitted": known.get("fitted")})
    fitted = known.get("fitted") and batches.Fitted(**known["fitted"])
    size = fitted.batch_size if fitted else config.batch_size
    return fitted, batches.dividing_devices(size, config.slices)


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
