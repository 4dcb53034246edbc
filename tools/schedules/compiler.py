"""Compiles a recurrent layer for a TPU, without a TPU.

`compiled` does it in another process, because libtpu reads its flags once in a process.
Any number of these may run at once.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from measuring.workload import FORWARD, Workload

from jaxtext.types import BackendName
from jaxtext.versions import known_flags


class Chip(NamedTuple):
    """A TPU with one core, with its published numbers (cloud.google.com/tpu/docs).

    The clock is the peak divided by the operations that the matrix units do in a cycle.
    For v5e these are 2 operations in each of 4 units of 128 x 128. For v6e they follow
    from the schedules of libtpu: twice 2 units of 256 x 256.
    """

    accelerator: str
    topology: str
    flops_per_second: float  # of bfloat16 products
    bytes_per_second: float  # to and from HBM
    flops_per_slot: int

    @property
    def clock(self) -> float:
        """Cycles a second: 1.5e9, and 1.75e9."""
        return self.flops_per_second / self.flops_per_slot


CHIPS = {
    "v5e": Chip("v5litepod-4", "v5e:2x2", 197e12, 819e9, 2 * 4 * 128 * 128),
    "v6e": Chip("v6e-4", "v6e:2x2", 918e12, 1638e9, 2 * 4 * 256 * 256),
}


class Layer(NamedTuple):
    """A layer over a sequence, a direction, a backend and a chip."""

    work: Workload
    direction: str
    backend: BackendName
    chip: str

    def name(self) -> str:
        """All of them in one line."""
        return f"{self.chip} {self.work.name()} {self.direction} {self.backend}"


def environment(chip: str, dump: str | Path | None = None) -> dict[str, str]:
    """The environment of a process that compiles for a chip.

    Args:
      chip: One of `CHIPS`.
      dump: The directory for libtpu's dump, or ``None`` for no dump.
    """
    # The compiler for TPUs would read the flags that are meant for CPUs.
    own = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    dumping = known_flags(
        f"--xla_jf_dump_to={dump}",
        "--xla_jf_dump_llo_text=true",
        variable="LIBTPU_INIT_ARGS",
    )
    return own | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "JAX_PLATFORMS": "cpu",
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": CHIPS[chip].accelerator,
        "TPU_WORKER_HOSTNAMES": "localhost",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
        "LIBTPU_INIT_ARGS": "" if dump is None else " ".join(dumping),
    }


def compiled(layer: Layer, *, schedule: bool = True) -> dict[str, Any]:
    """Compiles a layer in another process.

    Args:
      layer: The layer.
      schedule: Whether to dump and read its schedules, which takes some more seconds
        and 50 to 500 MB of temporary files.

    Returns:
      ``failed``, the reason, if it does not compile. Otherwise ``reason``, why `auto`
      has chosen its backend; ``pallas_kernels``, the names of those in the program; and
      ``temporary_bytes``. With `schedule` also ``steps``, the result of
      `dumped.per_step`, and ``kernels``, a row for each with at least a hundredth of
      all slots; or ``unknown``, the reason why these are not known.
    """
    with tempfile.TemporaryDirectory(prefix="tpu-schedule-") as directory:
        asked = json.dumps([layer, directory if schedule else None])
        done = subprocess.run(
            [sys.executable, "-m", "schedules.compiler", asked],
            env=environment(layer.chip, directory if schedule else None),
            capture_output=True,
            text=True,
        )
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        return {"failed": said[-1] if said else f"exit status {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1])


def compiled_all(
    layers: Sequence[Layer],
    *,
    schedule: bool,
    jobs: int,
    show: Callable[[Layer, dict[str, Any]], None],
) -> list[dict[str, Any]]:
    """`compiled` of each layer, `jobs` at once. Calls `show` with each result."""

    def one(layer):
        found = compiled(layer, schedule=schedule)
        show(layer, found)
        return found

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, layers))


def _compile(layer: Layer, directory: Path | None) -> dict[str, Any]:
    """Computes the result of `compiled`, in the process that it starts."""
    import jax
    import jax.numpy as jnp
    from jax.experimental import topologies
    from measuring.cells import cell_of

    import jaxtext as jt

    work, chip = layer.work, CHIPS[layer.chip]
    topology = topologies.get_topology_desc(platform="tpu", topology_name=chip.topology)
    cell = cell_of(work)

    def forward(params, state, xs):
        return jt.unroll(
            cell, params, state, xs, time_major=True, backend=layer.backend
        )

    def loss(params, state, xs, cotangent):
        return jnp.sum(forward(params, state, xs)[1] * cotangent)

    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), work.input))
    state = jax.eval_shape(lambda: cell.initial_state((work.batch,)))
    leading = work.time, work.batch
    xs = jax.ShapeDtypeStruct((*leading, work.input), work.dtype)
    cotangent = jax.ShapeDtypeStruct((*leading, work.hidden), work.dtype)
    function, arguments = forward, (params, state, xs)
    if layer.direction != FORWARD:
        function = jax.value_and_grad(loss, (0, 1, 2))
        arguments = params, state, xs, cotangent
    sharding = jax.sharding.SingleDeviceSharding(topology.devices[0])

    def there(x):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    # `auto` chooses for the devices of the mesh.
    mesh = jax.sharding.Mesh(topology.devices[:1], ("devices",))
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        lowered = jax.jit(function).lower(*jax.tree.map(there, arguments))
        (reason,) = jt.explain_backend(
            cell, params, state, xs, time_major=True, backend=layer.backend
        )
    made = lowered.compile()
    memory, text = made.memory_analysis(), made.as_text()
    assert memory is not None
    assert text is not None
    kernel = re.compile(r'%(\S+) = .*custom_call_target="tpu_custom_call"')
    result: dict[str, Any] = {
        "reason": reason,
        "temporary_bytes": memory.temp_size_in_bytes,
        "pallas_kernels": kernel.findall(text),
    }
    if directory is not None:
        result |= _schedule(directory, work.time)
    return result


def _schedule(directory, steps):
    from schedules.bundles import UnresolvedError
    from schedules.dumped import per_step, program

    try:
        made = program(directory)
    except UnresolvedError as error:
        return {"unknown": str(error)}
    shares = per_step(made, steps)
    least = shares["total"].slots * steps / 100
    rows = [
        {
            "kernel": kernel.name,
            "executions": kernel.executions,
            "pallas": kernel.pallas,
        }
        | kernel.once._asdict()
        for kernel in made.kernels
        if kernel.executions * kernel.once.slots >= least
    ]
    return {
        "steps": {name: share._asdict() for name, share in shares.items()},
        "kernels": rows,
    }


def main() -> int:
    """Compiles the layer in the first argument, and prints the result as one line."""
    (work, *rest), directory = json.loads(sys.argv[1])
    layer = Layer(Workload(*work), *rest)
    path = None if directory is None else Path(directory)
    try:
        found = _compile(layer, path)
    except Exception as error:  # a compiler may raise anything
        first, *_ = str(error).splitlines() or [""]
        found = {"failed": f"{type(error).__name__}: {first}"}
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
