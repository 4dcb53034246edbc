"""The public names. `jaxtext/interop/__init__.py` loads each when it is first used."""

from .equinox import from_equinox, to_equinox
from .exported import save_exported
from .haiku import from_haiku, to_haiku
from .html import to_html
from .keras import from_keras, to_keras
from .linen import from_linen, to_linen
from .linen_modules import LinenCell, LinenRNN
from .nnx import from_nnx, to_nnx
from .nnx_language_model import NNXLanguageModel
from .nnx_modules import NNXRNN, NNXCell
from .precision import round_weights
from .safetensors import load_safetensors, save_safetensors
from .torch import from_torch, to_torch
from .torch_language_model import to_torch_language_model

__all__ = [
    "NNXRNN",
    "LinenCell",
    "LinenRNN",
    "NNXCell",
    "NNXLanguageModel",
    "from_equinox",
    "from_haiku",
    "from_keras",
    "from_linen",
    "from_nnx",
    "from_torch",
    "load_safetensors",
    "round_weights",
    "save_exported",
    "save_safetensors",
    "to_equinox",
    "to_haiku",
    "to_html",
    "to_keras",
    "to_linen",
    "to_nnx",
    "to_torch",
    "to_torch_language_model",
]
