"""`jax.experimental.pallas.mosaic_gpu`, imported when something of it is asked for.

It takes a second to import, and a JAX that is too old for the kernels may lack any part
of it. The library must import there all the same.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    from jax.experimental.pallas import mosaic_gpu

    return getattr(mosaic_gpu, name)
