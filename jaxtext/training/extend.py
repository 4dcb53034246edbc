"""A trained model with more symbols, to go on with another text."""

from functools import partial

import jax
import numpy as np
from numpy.typing import ArrayLike

from jaxtext.checks import fitted
from jaxtext.errors import InputError
from jaxtext.keys import typed_key
from jaxtext.model import LanguageModel, symbol_columns
from jaxtext.quantities import count, shown
from jaxtext.types import Key, Params


def extend_vocabulary(
    model: LanguageModel,
    params: Params,
    ids: ArrayLike,
    vocab_size: int,
    *,
    key: Key,
) -> tuple[LanguageModel, Params]:
    """Gives a trained model more symbols, or its symbols other ids.

    Whatever belongs to a symbol keeps its values and moves to the place of the new id:
    its row of the embedding, or of the cell's input kernel if the cell reads one-hot
    rows; and its column and bias of the output layer. What belongs to a new symbol
    starts as in a new model. All other parameters stay as they are.

    Without new symbols the model computes the same function as before. With ``N`` new
    ones, the logits of the others do not change, as long as none of the new ones is
    read; so their probabilities keep their ratios. (In an adaptive softmax, the new
    symbols are rare ones.)

    Args:
      model: The model that was trained, with ``V`` symbols.
      params: Its parameters.
      ids: ``[V]`` distinct integers in ``[0, W)``, the new id of each symbol, such as
        `jaxtext.text.Vocabulary.ids_in` returns.
      vocab_size: ``W``, the number of symbols to have, at least ``V``.
      key: The key for the parameters of new symbols.

    Returns:
      The model with ``W`` symbols, and its parameters. They have the dtypes of
      `params`. The frequent symbols of an adaptive softmax are the same ones.

    Raises:
      InputError: If the ids are not as above, or parameters do not fit the model.

    Example:
      >>> import jaxtext as jt
      >>> model = jt.LanguageModel(jt.gru(8), vocab_size=2)
      >>> params = model.init(jax.random.key(0), None, [[0]])["params"]
      >>> before = jt.text.Vocabulary("chars", "ac")
      >>> after = before.union(jt.text.Vocabulary("chars", "abc"))
      >>> model, params = extend_vocabulary(
      ...     model, params, before.ids_in(after), len(after), key=jax.random.key(1)
      ... )
      >>> model.vocab_size, params["output"]["kernel"].shape
      (3, (8, 3))
    """
    ids = _checked(model, ids, vocab_size)
    frequent = tuple(ids[list(model.frequent)].tolist())
    end = None if model.end is None else int(ids[model.end])
    extended = model.clone(vocab_size=vocab_size, frequent=frequent, end=end)
    own, longer = _shapes(model), _shapes(model.clone(vocab_size=len(ids) + 1))
    params = fitted("params", own, params, cast=False)
    fresh = jax.jit(partial(_params, extended))(typed_key(key))
    columns = _columns(model, extended, ids)

    def move(path, old, new, shape, longer_shape):
        """`old` in the places that its symbols have in `new`."""
        index = [np.arange(size) for size in shape.shape]
        for axis, size in enumerate(shape.shape):
            if size != longer_shape.shape[axis]:  # it counts symbols
                last = axis == len(index) - 1
                index[axis] = columns if _is_column(path, last, model) else ids
        return new.astype(old.dtype).at[np.ix_(*index)].set(old)

    params = jax.tree.map_with_path(move, params, fresh, own, longer)
    return extended, params


def _checked(model, ids, vocab_size):
    found, vocab_size = np.asarray(ids), count("vocab_size", vocab_size)
    whole = np.issubdtype(found.dtype, np.integer)
    if not whole or found.shape != (model.vocab_size,):
        raise InputError(
            f"ids: expected an integer for each of the {model.vocab_size} symbols of "
            f"the model, got {shown(found)}"
        )
    distinct = np.unique(found)
    if distinct[0] < 0 or distinct[-1] >= vocab_size or len(distinct) < len(found):
        raise InputError(
            f"ids: expected {len(found)} distinct integers of 0 to {vocab_size - 1}, "
            f"got {len(distinct)} of {distinct[0]} to {distinct[-1]}"
        )
    return found.astype(np.int32)


def _params(model, key):
    return model.init(key, None, [[0]])["params"]


def _shapes(model):
    return jax.eval_shape(partial(_params, model), jax.random.key(0))


def _is_column(path, last, model):
    """Whether an axis that counts symbols is in the order of the output layer."""
    name = path[0].key
    return {
        "output": last,  # the other one is the width of a cell that passes symbols on
        "bias": True,
        "embedding": model.tied,
        "recurrent": False,
    }[name]


def _columns(model, extended, ids):
    """The new column of each column of the output layer."""
    if not model.frequent:
        return ids
    columns = np.empty(model.columns, np.int32)
    columns[len(model.frequent)] = len(model.frequent)  # the class of rare symbols
    old, new = (symbol_columns(x.frequent, x.vocab_size) for x in (model, extended))
    columns[old] = new[ids]
    return columns
