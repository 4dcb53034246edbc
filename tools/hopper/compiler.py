"""Compiles a program for an H100, without a GPU.

JAX's plugin for CUDA contains XLA's compiler for GPUs, Mosaic GPU and ``ptxas``. They
need no GPU, only a description of one. Import this module before JAX, because the
plugin reads the environment when it is loaded.
"""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Without this the plugin looks for libraries of the driver.
os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from measuring.ours import CELLS
from measuring.workload import FORWARD, Workload

import jaxtext as jt
from jaxtext.versions import importable

# The description of a GPU, in a format of XLA.
_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84942979072
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  cuda_compute_capability { major: 9 minor: 0 }
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


def lacking() -> str | None:
    """A message about what is missing to compile for a GPU, or ``None``."""
    if not (importable("jax_cuda13_plugin") or importable("jax_cuda12_plugin")):
        return "JAX's plugin for CUDA is not installed: pip install 'jaxtext[cuda]'"
    return None


def kernels(work: Workload, direction: str, *, masks: bool) -> dict[str, Any]:
    """Compiles a layer with our kernels, and reads the compiler's report on each.

    Args:
      work: The layer.
      direction: Forward, or with gradients in parameters, state and inputs.
      masks: Whether to use lengths and resets.

    Returns:
      For each kernel by name: ``ptx_bytes``; ``registers`` of a thread;
      ``spilled_bytes``, of registers that did not fit; ``shared_bytes`` of a block;
      ``tensor_core_products``, the number of these instructions; and ``serialized``,
      whether ``ptxas`` makes each of them wait for the one before.
    """
    with tempfile.TemporaryDirectory() as directory:
        before = os.environ.get("MOSAIC_GPU_DUMP_TO")
        os.environ["MOSAIC_GPU_DUMP_TO"] = directory
        try:
            _compile(work, direction, masks)
        finally:
            os.environ.pop("MOSAIC_GPU_DUMP_TO")
            if before is not None:
                os.environ["MOSAIC_GPU_DUMP_TO"] = before
        reports = sorted(Path(directory).glob("*.ptxas"))
        return {re.sub(r"_\d+$", "", path.stem): _read(path) for path in reports}


def _compile(work, direction, masks):
    topology = topologies.get_topology_desc(
        platform="cuda", topology_name="", topology="1x1x1", target_config=_H100
    )
    mesh = Mesh(topology.devices[:1], ("devices",))
    sharding = NamedSharding(mesh, PartitionSpec())
    cell = CELLS[work.cell](work.hidden, dtype=work.dtype)

    def there(function):
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
            jax.eval_shape(function),
        )

    def loss(params, state, xs, lengths, resets):
        options = {"lengths": lengths, "resets": resets} if masks else {}
        results = jt.unroll(cell, params, state, xs, backend="mosaic_gpu", **options)
        leaves = jax.tree.leaves(results)
        return sum(jnp.sum(x.astype(jnp.float32)) for x in leaves)

    batch, time, width = work.batch, work.time, work.input
    operands = (
        there(lambda: cell.init(jax.random.key(0), width)),
        there(lambda: cell.initial_state((batch,))),
        there(lambda: jnp.zeros((batch, time, width), work.dtype)),
        there(lambda: jnp.zeros(batch, int)),
        there(lambda: jnp.zeros((batch, time), bool)),
    )
    what = loss if direction == FORWARD else jax.grad(loss, (0, 1, 2))
    with jax.set_mesh(mesh):
        jax.jit(what).lower(*operands).compile()


def _read(report):
    text = report.read_text("utf-8", errors="replace")
    spilled = re.findall(r"(\d+) bytes spill (?:stores|loads)", text)
    (registers,) = re.findall(r"Used (\d+) registers", text)
    resources = report.with_suffix(".resources.txt").read_text("utf-8")
    (shared,) = re.findall(r"smem_scratch_bytes=(\d+)", resources)
    program = report.with_suffix(".ptx").read_text("utf-8")
    return {
        "ptx_bytes": len(program),
        "registers": int(registers),
        "spilled_bytes": sum(map(int, spilled)),
        "shared_bytes": int(shared),
        "tensor_core_products": program.count("wgmma.mma_async"),
        "serialized": "serialized" in text,
    }
