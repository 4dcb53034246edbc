"""Examples that need another library run where it is installed."""

import os
from importlib.util import find_spec

os.environ.setdefault("KERAS_BACKEND", "jax")

# typed/calls.py is for type checkers alone.
collect_ignore = ["tests/typed/calls.py"]
collect_ignore += [
    f"jaxtext/interop/{module}.py"
    for module in ("torch", "torch_language_model", "keras", "haiku", "equinox")
    if find_spec(module.split("_")[0]) is None
]
if find_spec("constriction") is None:
    collect_ignore += ["jaxtext/compression/__init__.py"]
