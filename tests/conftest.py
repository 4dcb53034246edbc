"""Eight simulated devices for the whole session, and a cache of its own."""

import itertools
import os

# Before JAX is imported: the number of devices is fixed then. More threads than cores,
# since eight devices that wait for one another starve on a pool of two.
# Most of a test is compilation, and nothing is timed here: LLVM need not try hard, the
# emitters of fusions that do without MLIR are quicker, and so is one module than many.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
    ]
)
os.environ["NPROC"] = "32"
# Where libtpu is installed, JAX would look for a TPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from pathlib import Path

import hypothesis
import jax
import pytest

# ``pytest --hypothesis-profile=thorough``: see test_contracts.py.
hypothesis.settings.register_profile("thorough", print_blob=True)

TINY_SHAKESPEARE = Path(__file__).parents[2] / "shared" / "data" / "tinyshakespeare.txt"


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    os.environ["JAXTEXT_CACHE"] = str(tmp_path_factory.mktemp("cache"))


_ran = itertools.count(1)


def pytest_runtest_teardown():
    """Compiled functions are let go of, since XLA crashes where memory maps run out.

    Each takes six or so, a test a hundred, and Linux allows a process 65530.
    """
    if next(_ran) % 100 == 0:
        jax.clear_caches()


@pytest.fixture
def one_device():
    return jax.local_devices()[:1]
