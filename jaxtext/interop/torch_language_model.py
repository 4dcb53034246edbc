"""A whole language model for PyTorch: embedding, layers, output."""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxtext.errors import InputError
from jaxtext.floats import accumulation_dtype
from jaxtext.interop.fitting import refuse_documents
from jaxtext.interop.peer import peer
from jaxtext.interop.torch import to_torch
from jaxtext.interop.written import Call, built, call_of
from jaxtext.model import LanguageModel
from jaxtext.parameters import numbered, parts_of
from jaxtext.types import Params


def to_torch_language_model(model: LanguageModel, params: Params) -> Any:
    """Converts a language model and its parameters to a module of PyTorch.

    ::

        logits, state = module(ids)               ids [B, T], logits [B, T, V]
        logits, state = module(more_ids, state)

    The module can be trained on: `jaxtext.dropout` and `jaxtext.variational_dropout`
    become dropout, with the same rates. It is returned in evaluation mode, so call
    ``module.train()`` first. Noise on weights and hidden states (`weight_drop`,
    `recurrent_dropout`) is left out.

    The names in its ``state_dict`` are ``embedding.weight`` (if there is one),
    ``layers.N.weight_ih_l0`` and so on for layer ``N`` of the stack, counting layers of
    dropout, ``output.weight`` and ``output.bias``. A residual layer is
    ``layers.N.layer``. If the embedding is tied, ``output.weight`` is the same tensor.

    Args:
      model: The model. Its cell is `rnn`, `lstm` or `gru`, or a `stack` of these, of
        `residual` around them, and of dropout.
      params: Its parameters.

    Returns:
      A ``torch.nn.Module`` on the CPU, in the dtype of the parameters.

    Raises:
      InputError: If the model has other cells, an adaptive softmax (`frequent`), or an
        `end` of documents.

    Example:
      >>> import jax, torch
      >>> import jaxtext as jt
      >>> layers = jt.stack(jt.lstm(8), jt.dropout(0.5), jt.residual(jt.lstm(8)))
      >>> model = jt.LanguageModel(layers, vocab_size=65, tied=True)
      >>> params = model.init(jax.random.key(0), None, jnp.array([[0]]))["params"]
      >>> module = to_torch_language_model(model, params)
      >>> logits, state = module(torch.tensor([[1, 2, 3]]))
      >>> logits.shape
      torch.Size([1, 3, 65])
    """
    torch = peer("torch", "torch")
    refuse_documents(model, "the module")
    if model.frequent:
        raise InputError(
            "frequent: expected a model with an ordinary softmax, as torch's adaptive "
            f"one has other weights, got one of {len(model.frequent)} frequent symbols"
        )
    call, recurrent = call_of(model.cell), params["recurrent"]
    calls, parts = (call,), [recurrent]
    if call.name == "stack":
        calls = call.arguments["cells"]
        parts = parts_of(recurrent, numbered(len(calls)))
    layers = [_layer(*both) for both in zip(calls, parts, strict=True)]
    vectors = params.get("embedding")
    if model.tied:
        kernel, bias = params["embedding"], params["bias"]
    else:
        kernel, bias = params["output"]["kernel"].T, params["output"]["bias"]
    module = _classes()["LanguageModel"](
        model.vocab_size,
        None if vectors is None else _tensor(torch, vectors),
        layers,
        None if model.tied else _tensor(torch, kernel),
        _tensor(torch, bias),
    )
    return module.eval()


def _layer(call: Call, params: Params) -> Any:
    """One layer of a stack."""
    torch, classes = peer("torch", "torch"), _classes()
    if call.name == "dropout":
        return torch.nn.Dropout(call.arguments["rate"])
    if call.name == "variational_dropout":
        return classes["VariationalDropout"](call.arguments["rate"])
    if call.name == "residual":
        return classes["Residual"](_layer(call.arguments["cell"], params))
    if call.name == "recurrent_dropout":
        return _layer(call.arguments["cell"], params)
    if call.name not in ("rnn", "lstm", "gru"):
        raise InputError(
            "to_torch_language_model: expected rnn, lstm or gru, with residual and "
            f"dropout around them, got {call.name}"
        )
    if "bias" not in params:
        width = params["kernel"].shape[1]
        params = {**params, "bias": jnp.zeros(width, params["kernel"].dtype)}
        if call.name == "gru":
            params["recurrent_bias"] = jnp.zeros(width // 3, params["kernel"].dtype)
        call = call._replace(arguments={**call.arguments, "use_bias": True})
    return to_torch(built(call), params)


def _tensor(torch: Any, array: Any) -> Any:
    """A copy; torch reads no bfloat16 from NumPy, and float32 holds it."""
    dtype = getattr(torch, jnp.dtype(array.dtype).name)
    wide = accumulation_dtype(array.dtype)
    return torch.tensor(np.asarray(array).astype(wide), dtype=dtype)


@functools.cache
def _classes() -> dict[str, Any]:
    """The classes of modules, made when torch is first needed."""
    torch = peer("torch", "torch")
    nn = torch.nn

    class Residual(nn.Module):
        """Adds the input of a layer to its output."""

        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, xs, state=None):
            ys, state = self.layer(xs, state)
            return xs + ys, state

    class VariationalDropout(nn.Module):
        """Dropout with one mask for all steps of a sequence."""

        def __init__(self, rate):
            super().__init__()
            self.rate = rate

        def forward(self, xs):
            mask = torch.ones_like(xs[:, :1])
            return xs * nn.functional.dropout(mask, self.rate, self.training)

        def extra_repr(self):
            return f"rate={self.rate}"

    class LanguageModel(nn.Module):
        """Predicts each symbol of a text from the symbols before it."""

        def __init__(self, vocab_size, vectors, layers, kernel, bias):
            super().__init__()
            self.vocab_size = vocab_size
            self.embedding = None
            weight = None if kernel is None else nn.Parameter(kernel)
            if vectors is not None:
                self.embedding = nn.Embedding.from_pretrained(vectors, freeze=False)
                weight = self.embedding.weight if weight is None else weight
            assert weight is not None  # what is tied has an embedding
            self.layers = nn.ModuleList(layers)
            self.output = nn.Linear(weight.shape[1], vocab_size, device="meta")
            self.output.weight, self.output.bias = weight, nn.Parameter(bias)

        def forward(self, ids, state=None):
            """Logits ``[B, T, V]`` and the state after ``ids [B, T]``."""
            if self.embedding is None:
                dtype = self.output.weight.dtype
                xs = nn.functional.one_hot(ids, self.vocab_size).to(dtype)
            else:
                xs = self.embedding(ids)
            before = [None] * len(self.layers) if state is None else state
            after = []
            for layer, of_layer in zip(self.layers, before, strict=True):
                new = None
                if isinstance(layer, nn.Dropout | VariationalDropout):
                    xs = layer(xs)
                else:
                    xs, new = layer(xs, of_layer)
                after.append(new)
            return self.output(xs), after

    return {
        "Residual": Residual,
        "VariationalDropout": VariationalDropout,
        "LanguageModel": LanguageModel,
    }
