"""Models in checkpoints: described when they are saved, and built again from that."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxtext.errors import InputError
from jaxtext.interop.fitting import check_vocabulary
from jaxtext.interop.written import model_of, written
from jaxtext.model import LanguageModel
from jaxtext.runs.checkpoint.reader import Which, read_about, restore_params
from jaxtext.text import Vocabulary
from jaxtext.types import Params


class Restored(NamedTuple):
    """What `restore_model` returns.

    Attributes:
      model: The model.
      params: Its parameters; if the run keeps an average of them, the average.
      vocabulary: What its symbols are; ``None`` if the checkpoint does not say.
      step: How many steps had been taken.
      about: The JSON that was saved with the checkpoint.
    """

    model: LanguageModel
    params: Params
    vocabulary: Vocabulary | None
    step: int
    about: dict[str, Any]


def describe(
    model: LanguageModel, vocabulary: Vocabulary | None = None
) -> dict[str, Any]:
    """Describes a model as JSON, to be saved with each of its checkpoints.

    `restore_model` then needs nothing but the directory. How the model runs (`backend`,
    `remat`) is left out, since it does not change the function.

    Args:
      model: The model, made of this library's constructors.
      vocabulary: What its symbols are.

    Returns:
      A dict with the key ``model``, and ``vocabulary`` if there is one. Add keys of
      your own as you like.

    Raises:
      InputError: If a cell has a function or an initializer of your own, or the
        vocabulary has another number of symbols than the model. Without a description,
        give the model itself to `restore_model`.

    Example:
      >>> import jaxtext as jt
      >>> describe(jt.LanguageModel(jt.gru(8), vocab_size=5))["model"]["cell"]
      'jt.gru(8)'
    """
    described: dict[str, Any] = {"model": written(model)}
    if vocabulary is not None:
        check_vocabulary(model, vocabulary)
        described["vocabulary"] = vocabulary.to_json()
    return described


def restore_model(
    workdir: Path | str,
    model: LanguageModel | None = None,
    *,
    which: Which = "best",
    warn: Callable[[str], None] = warnings.warn,
) -> Restored:
    """Restores a trained model: what computes, its parameters and its vocabulary.

    Args:
      workdir: A run's directory: that of ``char_gen.py``, or one whose checkpoints you
        saved with `describe`. The run may still be training.
      model: The model, for checkpoints that do not describe it.
      which: Which checkpoint; see `read_about`.
      warn: Called with a sentence about each damaged checkpoint that is passed over.

    Raises:
      InputError: If the run has no undamaged checkpoint of that kind, if the checkpoint
        describes no model and none is given, or if its parameters have other names or
        shapes than those of the model.

    Example:
      >>> import tempfile, optax, jaxtext as jt
      >>> from jaxtext.runs.checkpoint import Checkpoints
      >>> model, vocabulary = jt.LanguageModel(jt.gru(8), 3), Vocabulary("chars", "abc")
      >>> state = jt.training.create_state(model, optax.sgd(1), jax.random.key(0), 2)
      >>> workdir = tempfile.mkdtemp()
      >>> checkpoints = Checkpoints(workdir)
      >>> checkpoints.save_latest(state, describe(model, vocabulary))
      >>> checkpoints.finish()
      >>> found = restore_model(workdir)
      >>> found.model == model, found.vocabulary == vocabulary
      (True, True)
    """
    if model is None:
        model = _described(workdir, read_about(workdir, which=which, warn=warn).about)
    ids = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    like = jax.eval_shape(model.init, jax.random.key(0), None, ids)["params"]
    found = restore_params(workdir, like, which=which, warn=warn)
    vocabulary = _vocabulary(found.about)
    if vocabulary is not None:
        check_vocabulary(model, vocabulary)
    return Restored(model, found.arrays, vocabulary, found.step, found.about)


def _vocabulary(about: Mapping[str, Any]) -> Vocabulary | None:
    said = about.get("vocabulary")
    if isinstance(said, dict) and "kind" in said:
        return Vocabulary.from_json(said)
    return None  # or a program has saved something of its own under this name


def _described(workdir: Path | str, about: Mapping[str, Any]) -> LanguageModel:
    if "model" not in about:
        raise InputError(
            f"model: expected the one that was saved, as the checkpoint in {workdir} "
            "does not describe it, got none; give it, and save with describe(model)"
        )
    return model_of(about["model"])
