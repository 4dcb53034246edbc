"""The run that a new run starts from, with ``--init-from``.

The new run has the origin's architecture and its best parameters. It has the symbols of
both texts. Everything else is its own: the optimizer's state, schedule, noise, batches.

A run's identity keeps what it has to know of its origin. So it goes on without the
origin's directory, and another origin is refused.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxtext as jt
from charlm.build import restore
from charlm.checkpoints import described, read_about
from charlm.config import Config
from charlm.remembered import IDENTITY, has
from charlm.result import fingerprint
from common.names import as_typed
from common.screen import Screen
from jaxtext.errors import InputError
from jaxtext.text import Vocabulary
from jaxtext.training import extend_vocabulary
from jaxtext.types import Params

_NAMED = 10  # new symbols, at most


class Origin(NamedTuple):
    """What a run starts from.

    Attributes:
      identity: What the run's own identity keeps of it: the SHA-256 of the parameters,
        the vocabulary, and the ids of the symbols that ``--frequent`` counts.
      trained: The model and its parameters. ``None`` if they are not needed any more.
      described: The directory and the checkpoint, in words.
    """

    identity: dict[str, Any]
    trained: tuple[jt.LanguageModel, Params] | None = None
    described: str = ""

    @property
    def vocabulary(self) -> Vocabulary:
        """The symbols that the origin knows."""
        return Vocabulary.from_json(self.identity["vocabulary"])

    def frequent(self, vocabulary: Vocabulary) -> tuple[int, ...]:
        """The ids, in another vocabulary, of its symbols that ``--frequent`` counts."""
        ids = self.vocabulary.ids_in(vocabulary)
        return tuple(ids[self.identity["frequent"]].tolist())

    def params_for(
        self, model: jt.LanguageModel, vocabulary: Vocabulary, seed: int
    ) -> Params | None:
        """The origin's parameters as those of a model with more symbols, or noise.

        Args:
          model: A model of the same architecture.
          vocabulary: Its symbols, among them all of the origin's.
          seed: That of the parameters for new symbols.

        Returns:
          The parameters, ``None`` if they are not needed any more.
        """
        if self.trained is None:
            return None
        ids, key = self.vocabulary.ids_in(vocabulary), jax.random.key(seed)
        _, params = extend_vocabulary(*self.trained, ids, len(vocabulary), key=key)
        # Dropout is a layer without parameters, which the others are numbered with.
        layers = params["recurrent"]
        width = model.input_size or len(vocabulary)
        there = jax.eval_shape(lambda: model.cell.init(key, width))
        names = zip(*(sorted(x, key=int) for x in (there, layers)), strict=True)
        return {**params, "recurrent": {new: layers[old] for new, old in names}}


def find_origin(
    config: Config, known: dict[str, Any] | None, display: Screen
) -> Origin | None:
    """Finds what a run starts from, or has started from; ``None`` if from nothing.

    Args:
      config: The configuration.
      known: The identity of the run in ``--workdir``, if there is one already.
      display: Shows what is found.

    Raises:
      InputError: If ``--init-from`` has no run with a good checkpoint, or the run has
        started from another origin.
    """
    began = (known or {}).get("init_from")
    workdir = config.init_from
    if workdir is None:
        return None if began is None else Origin(began)
    if not has(workdir, IDENTITY):
        if began is None:
            raise InputError(
                f"--init-from: expected the directory of a run, got {workdir}, which "
                f"has no {IDENTITY}; give the one that char_gen.py printed"
            )
        display.say(
            f"note: {as_typed(workdir)} holds no run any more; this run knows what it "
            "started from, and goes on"
        )
        return Origin(began)
    found = _read(workdir, display.say)
    if known is not None and found.identity != began:
        of = "new parameters"
        if began is not None:
            of = f"parameters with SHA-256 {began['parameters_sha256']}"
        raise InputError(
            f"--init-from: the run in {config.workdir} started from {of}, and the best "
            f"ones of {as_typed(workdir)} have "
            f"{found.identity['parameters_sha256']}; leave --init-from out to go on, "
            "or choose another --workdir for a new run"
        )
    return found


def tell_origin(origin: Origin, vocabulary: Vocabulary, display: Screen) -> None:
    """Says what a run starts from, and which of its symbols are new."""
    known, new = origin.vocabulary, ", none new"
    if len(vocabulary) > len(known):
        points = sorted({*vocabulary.characters} - {*known.characters})
        names = [f"{x!r} (U+{ord(x):04X})" for x in points]
        if vocabulary.ends and not known.ends:
            names = ["the end of a document", *names]
        named = ", ".join(names[:_NAMED])
        if len(names) > _NAMED:
            named += f" and {len(names) - _NAMED:,} more"
        new = f", and {len(names):,} new ones, which start untrained: {named}"
    display.say(f"starting from {origin.described}: {len(known):,} symbols{new}")


def _read(workdir: Path, say: Callable[[str], None]) -> Origin:
    about = read_about(workdir, warn=say)
    model, found = restore(workdir, about, warn=say)
    params = jax.tree.map(np.asarray, found.arrays)
    identity = {
        "parameters_sha256": fingerprint(params),
        "vocabulary": about["vocabulary"],
        "frequent": list(model.frequent),
    }
    where = f"{as_typed(workdir)}, {described(found)}"
    return Origin(identity, (model, params), where)
