"""Eight simulated devices for the whole session, and a cache of its own."""

import itertools
import os

from jaxtext import versions

# Before JAX is imported: the number of devices is fixed then. More threads than cores,
# since eight devices that wait for one another starve on a pool of two.
os.environ["JAX_NUM_CPU_DEVICES"] = "8"
os.environ["NPROC"] = "32"
# Most of a test is compilation, and nothing is timed here: LLVM need not try hard, the
# emitters of fusions that do without MLIR are quicker, and so is one module than many.
os.environ["XLA_FLAGS"] = versions.with_flags(
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)
# Where libtpu is installed, JAX would look for a TPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from pathlib import Path

import hypothesis
import jax
import pytest

# ``pytest --hypothesis-profile=thorough``: see test_contracts.py.
hypothesis.settings.register_profile("thorough", print_blob=True)


def pytest_configure(config):
    """Decides which warnings fail a test.

    All do (pyproject.toml), so that a deprecation is mended when it comes. A package
    newer than any that was tried may warn of what nobody could mend yet: then warnings
    are told, and fail nothing, except those that begin with our own name.
    """
    if versions.newer_than_tried():
        config.addinivalue_line("filterwarnings", "default")
        config.addinivalue_line("filterwarnings", "error:jaxtext")


TINY_SHAKESPEARE = Path(__file__).parents[2] / "shared" / "data" / "tinyshakespeare.txt"


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    os.environ["JAXTEXT_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def _races():
    """Kernels for GPU are interpreted with an eye on races, which fail a test."""
    from jaxtext.kernels.mosaic_gpu import launch, plgpu

    def interpretation():
        return plgpu.InterpretGPUParams(detect_races=True)

    launch.interpretation = interpretation


_ran = itertools.count(1)


def pytest_runtest_teardown():
    """Compiled functions are let go of, since XLA crashes where memory maps run out.

    Each takes six or so, a test a hundred, and Linux allows a process 65530.
    """
    if next(_ran) % 100 == 0:
        jax.clear_caches()


@pytest.fixture
def pretend(monkeypatch):
    """``pretend(module, device)``: a module's kernels are traced as for that device.

    JAX keeps traces by the function that was traced and knows nothing of this, so none
    of before may serve, nor any of these later.
    """

    def traced_for(module, device):
        monkeypatch.setattr(module, "target", lambda: device)
        jax.clear_caches()

    yield traced_for
    jax.clear_caches()


@pytest.fixture
def one_device():
    return jax.local_devices()[:1]
