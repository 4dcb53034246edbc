"""Agreement between the processes of a run, before training and after each step.

Before training, the processes compare by messages what they are about to do
(`together`, `check_alike`, `told_by_all`). If one of them cannot take part, or differs,
all of them report it and stop. During training, `agreement` and `of_first` let them
decide the same where a decision depends on the time or on a signal.
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax._src import distributed as runtime
from jax.experimental.multihost_utils import broadcast_one_to_all
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxtext.errors import InputError

_WEEK = 7 * 24 * 60 * 60 * 1000  # ms; the runtime ends a wait for a lost process itself
_SHOWN = 8  # of the processes that differ in the same way
_calls = itertools.count()


def agreement() -> Callable[[Sequence[int]], list[int]]:
    """Creates a function that all processes call after each step to agree on values.

    It takes the values of this process, the same number at each call, and returns the
    largest value of any process. So a flag is set if it is set in any process.

    With several processes, it returns what was agreed on at the call before (zeros at
    the first call). The values travel while the devices take the next step, so nothing
    waits for them. With one process, it returns the values themselves.

    Returns:
      A function ``values -> values`` of int32.

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
    """Returns the values of process 0, in all processes; all call this.

    It is for what is measured, such as the number of steps that there is time for.

    Args:
      values: A pytree of numbers or arrays, with the same shapes in all processes.

    Returns:
      The pytree of process 0, as NumPy arrays.

    Example:
      >>> int(of_first(3))
      3
    """
    return broadcast_one_to_all(values)


def told_by_all(said: Any) -> list[Any]:
    """Returns what each process says, in their order; all call this.

    Messages go through the coordinator, not through the devices. So this works before
    the devices are used, and if they differ.

    Args:
      said: What this process says. Any JSON.

    Example:
      >>> told_by_all({"seed": 3})
      [{'seed': 3}]
    """
    # JAX has no public API for these messages, which its own processes use.
    state, text = runtime.global_state, json.dumps(said)
    if state.client is None:
        return [json.loads(text)]
    call = f"jaxtext/{next(_calls)}"
    state.client.key_value_set(f"{call}/{state.process_id}", text)
    return [
        json.loads(state.client.blocking_key_value_get(f"{call}/{process}", _WEEK))
        for process in range(state.num_processes)
    ]


def check_alike(facts: Mapping[str, Any]) -> None:
    """Checks that facts are the same in all processes; all call this.

    Args:
      facts: The facts, by the names to use in the message. Any JSON.

    Raises:
      InputError: In all processes, if any fact differs. The message names each, with
        both values and all processes that differ from process 0.

    Example:
      >>> check_alike({"--seed": 3})  # with one process, nothing can differ
    """
    first, *others = told_by_all(facts)
    differing: dict[tuple[str, str], list[int]] = {}  # processes by name and value
    for process, theirs in enumerate(others, 1):
        for name in first | theirs:
            # As text, in which NaN is the same as NaN.
            if json.dumps(first.get(name)) != json.dumps(theirs.get(name)):
                which = name, repr(theirs.get(name))
                differing.setdefault(which, []).append(process)
    if differing:
        told = "; ".join(
            f"{name} is {first.get(name)!r} in process 0 and {value} in "
            f"{_processes(which)}"
            for (name, value), which in differing.items()
        )
        raise InputError(
            f"the processes of this run differ: {told}; start all of them with the same"
        )


def _processes(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"process {numbers[0]}"
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    more = len(numbers) - _SHOWN
    return f"processes {shown}" + (f" and {more} more" if more > 0 else "")


@contextlib.contextmanager
def together() -> Iterator[None]:
    """A block that fails in all processes if it fails in one; all enter it.

    Without it, the others would wait for the failed process until it is taken for lost.

    Raises:
      InputError: If the block failed in another process, with the message from there.
        If it failed in this process, its own exception is raised.

    Example:
      >>> with together():
      ...     raise InputError("expected a text, got none")
      Traceback (most recent call last):
        ...
      jaxtext.errors.InputError: expected a text, got none
    """
    own = told = None
    try:
        yield
    except InputError as error:
        own, told = error, str(error)
    except BaseException as error:  # the others must not wait for this process
        own, told = error, f"{type(error).__name__}: {error}"
    said = told_by_all(told)
    if own is not None:
        raise own
    for process, text in enumerate(said):
        if text is not None:
            raise InputError(f"process {process} cannot take part: {text}")
