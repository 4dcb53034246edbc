"""Weights and modules for other libraries.

**Weights.** For each library there are two functions::

    cell, params = from_torch(module)
    cell, params = from_keras(module)
    cell, params = from_linen(module, variables)
    cell, params = from_nnx(module)
    cell, params = from_haiku(make_core, params)
    cell, params = from_equinox(module)

and back, ``to_torch(cell, params)`` and so on. Each ``to_`` function returns what its
``from_`` function takes.

A conversion reorders, transposes and merges weights so that outputs *and* gradients
stay the same. It raises `jaxtext.errors.InputError` if that is impossible: the two
libraries compute different functions (such as a GRU that resets before or after its
recurrent product), or one has no place for a weight of the other. Dtypes are kept.
Weights are copied, so training one network does not change the other.

**Modules of Flax.** `LinenCell` and `LinenRNN` make any cell a module of
``flax.linen``, `NNXCell` and `NNXRNN` one of ``flax.nnx``. `NNXLanguageModel` is
`jaxtext.LanguageModel`, which is a linen module, for nnx.

**Whole language models.** `to_html` makes a page that runs one in a browser.
`save_safetensors` and `load_safetensors` keep it in a file with its configuration and
vocabulary. `save_exported` writes it as functions of `jax.export`, and
`to_torch_language_model` makes a module of PyTorch.

Importing this package imports none of the other libraries. A function imports its
library when you call it, and tells you what to install if it is missing.

Example:
  >>> import jax
  >>> import jaxtext as jt
  >>> cell = jt.stack(jt.lstm(4), jt.lstm(4))
  >>> params = cell.init(jax.random.key(0), 3)
  >>> _, back = jt.interop.from_linen(*jt.interop.to_linen(cell, params))
  >>> jax.tree.all(jax.tree.map(jax.numpy.array_equal, params, back))
  True
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
