"""Examples that need another library run where it is installed."""

import os
from importlib.util import find_spec

os.environ.setdefault("KERAS_BACKEND", "jax")

collect_ignore = [
    f"jaxtext/interop/{module}.py"
    for module in ("torch", "keras", "haiku", "equinox")
    if find_spec(module) is None
]
