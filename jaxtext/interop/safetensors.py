"""Weights, configuration and vocabulary in one file, in the safetensors format."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxtext.errors import InputError
from jaxtext.files import write_durably
from jaxtext.interop.fitting import check_vocabulary
from jaxtext.interop.peer import peer
from jaxtext.interop.written import model_of, written
from jaxtext.model import LanguageModel
from jaxtext.text import Vocabulary
from jaxtext.types import Params

_FORMAT = "jaxtext 1"
_OWN = {"format", "model", "vocabulary"}


class Loaded(NamedTuple):
    """What `load_safetensors` returns.

    Attributes:
      model: The model.
      params: Its parameters.
      vocabulary: What its symbols are; ``None`` if the file does not say.
      about: What was saved about it besides, by name.
    """

    model: LanguageModel
    params: Params
    vocabulary: Vocabulary | None
    about: dict[str, str]


def save_safetensors(
    path: Path | str,
    model: LanguageModel,
    params: Params,
    vocabulary: Vocabulary | None = None,
    *,
    about: Mapping[str, str] = {},
) -> None:
    """Saves a language model in the safetensors format.

    Many libraries read this format, and none of them executes anything in it. An array
    is named by its path, with dots: ``recurrent.0.kernel``. The metadata has the model
    in ``model`` and the vocabulary in ``vocabulary``, both JSON.

    Args:
      path: The file, which appears complete or not at all.
      model: The model, made of this library's constructors.
      params: Its parameters. Their types are kept.
      vocabulary: What its symbols are.
      about: More strings for the metadata, by name.

    Raises:
      InputError: If a cell has a function or an initializer of your own, the vocabulary
        has another number of symbols than the model, a name in `about` is one of the
        format's own, or the package ``safetensors`` is missing.
      OSError: If the file cannot be written.

    Example:
      >>> import tempfile, jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=3)
      >>> ids, vocabulary = jnp.array([[0]]), Vocabulary("chars", "abc")
      >>> params = model.init(jax.random.key(0), None, ids)["params"]
      >>> path = Path(tempfile.mkdtemp()) / "net.safetensors"
      >>> save_safetensors(path, model, params, vocabulary)
      >>> found = load_safetensors(path)
      >>> found.model == model, found.vocabulary == vocabulary
      (True, True)

    References:
      https://huggingface.co/docs/safetensors
    """
    save = peer("safetensors.flax", "safetensors").save
    metadata = {"format": _FORMAT, "model": json.dumps(written(model))}
    if vocabulary is not None:
        check_vocabulary(model, vocabulary)
        metadata["vocabulary"] = json.dumps(vocabulary.to_json())
    if taken := _OWN & about.keys():
        raise InputError(f"about: expected other names than {', '.join(sorted(taken))}")
    arrays = jax.tree.map(jnp.asarray, flatten_dict(params, sep="."))
    write_durably(Path(path), save(arrays, {**about, **metadata}))


def load_safetensors(path: Path | str) -> Loaded:
    """Loads a model that `save_safetensors` saved.

    Args:
      path: The file. Nothing in it is executed.

    Returns:
      The model, its parameters, its vocabulary, and what else was saved about it.

    Raises:
      InputError: If it is not such a file, its arrays are not those of its model, or
        the package ``safetensors`` is missing.
      OSError: If the file cannot be read.
    """
    safetensors = peer("safetensors", "safetensors")
    with open(path, "rb"):
        pass  # for the error that any other file has
    try:
        with safetensors.safe_open(path, "flax") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise InputError(
            f"expected a file in the safetensors format, got {path}: {error}"
        ) from error
    if metadata.get("format") != _FORMAT or "model" not in metadata:
        raise InputError(
            f"expected a file that save_safetensors wrote, with the format {_FORMAT} "
            f"in its metadata, got {path} without it"
        )
    model = model_of(_from_json(metadata["model"], path))
    vocabulary = None
    if "vocabulary" in metadata:
        vocabulary = Vocabulary.from_json(_from_json(metadata["vocabulary"], path))
        check_vocabulary(model, vocabulary)
    ids = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    expected = jax.eval_shape(model.init, jax.random.key(0), None, ids)["params"]
    flat: Any = flatten_dict(expected, sep=".")
    wanted, shapes = ({k: x.shape for k, x in y.items()} for y in (flat, arrays))
    if differing := {k for k, _ in wanted.items() ^ shapes.items()}:
        raise InputError(
            f"expected in {path} the arrays of its model, got others of the names "
            f"{', '.join(sorted(differing))}"
        )
    params = unflatten_dict(arrays, sep=".")
    about = {k: x for k, x in metadata.items() if k not in _OWN}
    return Loaded(model, params, vocabulary, about)


def _from_json(text: str, path: Path | str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise InputError(f"expected JSON in the metadata of {path}, got another text")
    return value
