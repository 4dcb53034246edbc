"""What depends on time or a signal, decided alike by all processes at the same step."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental.multihost_utils import broadcast_one_to_all
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def agreement() -> Callable[[Sequence[int]], list[int]]:
    """Makes the function by which processes agree, called after each step by all.

    It takes this process's values, as many at each call, and returns the largest that
    any process gave: a flag is up if it is up anywhere. In several processes these are
    the values given at the call before (zeros at the first): they travel while the
    devices take the next step, and nothing waits for them. In one process they are
    those just given.

    Returns:
      ``values -> values``, int32.

    Example:
      >>> votes = agreement()
      >>> stop, save = votes([True, False])
      >>> stop, save
      (1, 0)
    """
    if jax.process_count() == 1:
        return lambda values: [int(value) for value in values]
    mesh = Mesh(np.array(jax.devices()), ("devices",))
    split = NamedSharding(mesh, PartitionSpec("devices"))
    same = NamedSharding(mesh, PartitionSpec())
    largest = jax.jit(lambda values: values.max(0), out_shardings=same)
    late = None

    def votes(values):
        nonlocal late
        own = np.array([values], np.int32)
        shape = mesh.size, len(values)
        everybodys = jax.make_array_from_callback(shape, split, lambda index: own)
        before, late = late, largest(everybodys)
        return [0] * len(values) if before is None else np.asarray(before).tolist()

    return votes


def of_first(values: Any) -> Any:
    """What process 0 has to say: its values, in all processes, which all call this.

    For what is measured, such as how many steps there is time for.

    Args:
      values: A pytree of numbers or arrays, of the same shapes in all processes.

    Returns:
      The same pytree of NumPy arrays, as process 0 has it.

    Example:
      >>> int(of_first(3))
      3
    """
    return broadcast_one_to_all(values)
