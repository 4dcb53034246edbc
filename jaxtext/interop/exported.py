"""A language model as compiled functions, which JAX alone runs: ``jax.export``."""

import io
import json
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxtext.errors import InputError
from jaxtext.files import write_durably
from jaxtext.interop.fitting import check_vocabulary
from jaxtext.interop.peer import peer
from jaxtext.model import LanguageModel
from jaxtext.text import Vocabulary
from jaxtext.types import Params

PLATFORMS = "cpu", "cuda", "tpu"


def save_exported(
    path: Path | str,
    model: LanguageModel,
    params: Params,
    vocabulary: Vocabulary | None = None,
) -> None:
    """Saves a language model as functions that need JAX, and no jaxtext, to run.

    The file is a zip archive of three:

    - ``step``: ``(state, ids [B]) -> (state, logits [B, V])`` reads one symbol.
    - ``read``: ``(state, ids [B, T]) -> (state, logits [B, T, V])`` reads part of a
      text. The logits of each place are those of the symbol that follows.
    - ``about.json``: ``vocabulary``, as `jaxtext.text.Vocabulary.to_json` or null, and
      ``state``, the width and the dtype of each array of the state.

    Both functions are serialized by `jax.export`, with the parameters inside, for any
    ``B`` and ``T`` of 1 or more, on CPU, GPU (CUDA) and TPU. The state is a list of
    arrays ``[B, width]``, zeros at the beginning of a text. Ids are int32, and logits
    float32. Cells run step by step in a scan, which every platform has.

    Args:
      path: The file, which appears complete or not at all.
      model: The model, of any cells that have a step.
      params: Its parameters.
      vocabulary: What its symbols are.

    Raises:
      InputError: If a cell has no step, the vocabulary has another number of symbols
        than the model, or the package ``flatbuffers`` is missing.
      OSError: If the file cannot be written.

    Example:
      >>> import tempfile, jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=3)
      >>> params = model.init(jax.random.key(0), None, jnp.array([[0]]))["params"]
      >>> path = Path(tempfile.mkdtemp()) / "net.jax"
      >>> save_exported(path, model, params)
      >>> with zipfile.ZipFile(path) as file:
      ...     step = jax.export.deserialize(bytearray(file.read("step")))
      >>> _, logits = step.call([jnp.zeros((2, 8))], jnp.array([0, 1]))
      >>> logits.shape
      (2, 3)

    References:
      https://docs.jax.dev/en/latest/export/export.html
    """
    peer("flatbuffers", "flatbuffers")
    if vocabulary is not None:
        check_vocabulary(model, vocabulary)
    if model.cell.step is None:
        raise InputError(
            "cell: expected one with a step, since it is to write; got one that needs "
            "the whole sequence (is part of it bidirectional?)"
        )
    model = model.clone(backend="scan")
    structure = jax.tree.structure(model.initial_state(()))
    widths = jax.eval_shape(lambda: model.initial_state((1,)))
    parts = [(x.shape[-1], x.dtype) for x in jax.tree.leaves(widths)]

    def through(method, state, ids):
        state = jax.tree.unflatten(structure, state)
        state, logits = model.apply({"params": params}, state, ids, method=method)
        return jax.tree.leaves(state), logits

    def serialized(method, axes):
        # Both names in one scope, so that both functions have the same B.
        shape = jax.export.symbolic_shape(axes)
        state = [jax.ShapeDtypeStruct((shape[0], n), dtype) for n, dtype in parts]
        ids = jax.ShapeDtypeStruct(shape, jnp.int32)
        function = jax.jit(lambda state, ids: through(method, state, ids))
        made = jax.export.export(function, platforms=PLATFORMS)(state, ids)
        return bytes(made.serialize())

    about = {
        "vocabulary": None if vocabulary is None else vocabulary.to_json(),
        "state": [[n, jnp.dtype(dtype).name] for n, dtype in parts],
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("step", serialized("step", "b"))
        file.writestr("read", serialized("__call__", "b, t"))
        file.writestr("about.json", json.dumps(about))
    write_durably(Path(path), archive.getvalue())
