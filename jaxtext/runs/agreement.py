"""What all processes have to agree on: before they begin, and after each step.

Before they begin, each says by messages what it is about to do, and all see whether one
of them cannot, or is about to do something else. After each step they decide alike what
depends on time or a signal.
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

_WEEK = 7 * 24 * 60 * 60 * 1000  # milliseconds; the runtime ends who waits for the lost
_calls = itertools.count()


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


def told_by_all(said: Any) -> list[Any]:
    """What each process has to say, in their order; all of them call this.

    It goes by way of the coordinator and not of the devices: so it does before these
    are looked at, and where they differ.

    Args:
      said: JSON.

    Example:
      >>> told_by_all({"seed": 3})
      [{'seed': 3}]
    """
    return list(_messages(said))


def check_alike(facts: Mapping[str, Any]) -> None:
    """Raises `InputError` in all processes, which all call this, if their facts differ.

    Args:
      facts: What has to be the same in all: JSON, by the names that it is told by.

    Raises:
      InputError: Naming each that differs, with both values.

    Example:
      >>> check_alike({"--seed": 3})  # alone, a process differs from none
    """
    messages = _messages(facts)
    first = next(messages)
    here = runtime.global_state.process_id, json.loads(json.dumps(facts))
    # This process's own before others are waited for: there may be none to come, where
    # what differs is how many they are.
    for process, theirs in itertools.chain([here], enumerate(messages, 1)):
        differing = [
            f"{name} is {first.get(name)!r} in process 0 and {theirs.get(name)!r} in "
            f"process {process}"
            for name in first | theirs
            # As text, in which NaN is the same as NaN.
            if json.dumps(first.get(name)) != json.dumps(theirs.get(name))
        ]
        if differing:
            raise InputError(
                f"the processes of this run differ: {'; '.join(differing)}; give all "
                "of them the same"
            )


@contextlib.contextmanager
def together() -> Iterator[None]:
    """A block that all processes enter, and that fails in all if it fails in one.

    Where one fails and the others go on, they wait for it until it is taken for lost.

    Raises:
      InputError: Where it failed in another process, with what that says. Where it
        failed in this one, its own exception goes on.

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
    except BaseException as error:  # the others are not to wait for this one
        own, told = error, f"{type(error).__name__}: {error}"
    said = told_by_all(told)
    if own is not None:
        raise own
    for process, text in enumerate(said):
        if text is not None:
            raise InputError(f"process {process} cannot take part: {text}")


def _messages(said):
    """What each process says, from process 0 on, each waited for when it is asked."""
    # JAX has no public name for the messages by which its own processes meet.
    state, text = runtime.global_state, json.dumps(said)
    if state.client is None:
        yield json.loads(text)
        return
    call = f"jaxtext/{next(_calls)}"
    state.client.key_value_set(f"{call}/{state.process_id}", text)
    for process in range(state.num_processes):
        found = state.client.blocking_key_value_get(f"{call}/{process}", _WEEK)
        yield json.loads(found)
