"""The training of experiments/char_gen.py with given flags, ready to be timed."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).parents[2] / "experiments"))

import jax

import jaxtext as jt
from charlm.batches import build_batches, fit
from charlm.build import build_trainer
from charlm.parse import parse
from charlm.texts import frequent_symbols


class Training(NamedTuple):
    """What a training loop takes.

    Attributes:
      parallel: The data-parallel step.
      state: The initial state.
      batch: Maps the number of a step to its batch.
      characters_per_batch: Characters that a step trains on, on average.
    """

    parallel: Any
    state: Any
    batch: Callable
    characters_per_batch: float


def training(flags: Sequence[str]) -> Training:
    """Builds the training that char_gen.py builds from these flags.

    Raises:
      InputError: If char_gen.py would refuse the flags.
    """
    config = parse(list(flags))
    corpus = jt.text.load(config.corpus, limit=config.characters)
    text, _ = jt.text.split(corpus.ids, config.val_fraction)
    batches = build_batches(config, text, fit(config, len(text)))
    vocab_size = len(corpus.vocabulary)
    frequent = frequent_symbols(config, text, vocab_size)
    trainer = build_trainer(config, vocab_size, batches.batch_size, frequent=frequent)
    return Training(
        trainer.parallel,
        trainer.create(jax.random.key(config.seed)),
        partial(batches.batch, 0),
        batches.characters_per_batch,
    )
