"""A model that reads texts symbol by symbol, and predicts what comes next."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxtext.model import LanguageModel
from jaxtext.training.dynamic import DynamicRule, learnt, scaled
from jaxtext.types import Params


class Learning(NamedTuple):
    """What dynamic evaluation needs beside the model.

    Attributes:
      rule: Its hyperparameters.
      rms: ``RMS_g``, from `jaxtext.training.gradient_rms`.
    """

    rule: DynamicRule
    rms: Params


class Reader:
    """Reads `B` texts side by side, one symbol of each at a time.

    Encoder and decoder both go by this. So they run the same compiled programs on the
    same numbers, and get the same probabilities, bit for bit. A program that reads many
    symbols at once would add up its sums in another order, and round otherwise.

    Args:
      model: The model.
      params: Its parameters.
      streams: ``B``.
      learning: Goes on learning from what was read, as `evaluate_dynamic` does, where
        ``B`` is 1. ``None``: the parameters stay as they are.
    """

    def __init__(
        self,
        model: LanguageModel,
        params: Params,
        streams: int,
        learning: Learning | None = None,
    ):
        self._model, self._params = model, params
        self._state = model.initial_state((streams,))
        self._said = np.full((streams, model.vocab_size), 1 / model.vocab_size, "f4")
        self._segment = None if learning is None else _Segment(model, params, learning)

    def probabilities(self) -> np.ndarray:
        """``[B, V]`` float32: of the next symbol of each text.

        All symbols are equally likely before anything was read.
        """
        return np.asarray(self._said)

    def read(self, ids: np.ndarray) -> None:
        """Reads the next symbol of each text.

        The device works on, and `probabilities` waits for it.

        Args:
          ids: ``[B]`` integers.
        """
        ids = ids.astype(np.int32)
        if self._segment is not None:
            self._params = self._segment.add(self._params, self._state, ids)
        of = self._model, self._params, self._state, ids
        self._state, self._said = _step(*of)


class _Segment:
    """The symbols since the last update of the parameters."""

    def __init__(self, model, params, learning):
        self._learn = partial(
            _learn,
            model,
            trained=params,
            rms=learning.rms,
            scalars=scaled(learning.rule, learning.rms),
        )
        self._length = learning.rule.segment
        self._ids, self._before = [], None

    def add(self, params, state, ids):
        """The parameters to read the next symbol with.

        Args:
          params: Those until now.
          state: The state before the symbol.
          ids: The symbol.
        """
        if len(self._ids) == self._length:  # each of them has been predicted from
            symbols = np.stack([*self._ids, ids], axis=1)
            params = self._learn((params, self._before), symbols)
            self._ids = []
        if not self._ids:
            self._before = state
        self._ids.append(ids)
        return params


@partial(jax.jit, static_argnums=0)
def _step(model, params, state, ids):
    state, logits = model.apply({"params": params}, state, ids, method="step")
    return state, jax.nn.softmax(logits)


@partial(jax.jit, static_argnums=0)
def _learn(model, carry, symbols, *, trained, rms, scalars):
    inputs, targets = symbols[:, :-1], symbols[:, 1:]
    counts = jnp.ones(targets.shape, bool)
    (params, _), _ = learnt(
        model, carry, trained, rms, scalars, inputs, targets, counts
    )
    return params
