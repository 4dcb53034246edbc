"""Eight simulated devices for the whole session, and a cache of its own."""

import contextlib
import itertools
import os
import shutil
import tempfile

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
# What takes long to compile is compiled once a session, for all its processes: most
# runs of a script have the same training step. The first process makes the directory
# and removes it. To keep one between sessions, set JAX_COMPILATION_CACHE_DIR yourself.
_PROGRAMS = None
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _PROGRAMS = tempfile.mkdtemp(prefix="jaxtext-programs-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _PROGRAMS
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
# Where libtpu is installed, JAX would look for a TPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from pathlib import Path

import hypothesis
import jax
import pytest
from everyday import pytest_collection_modifyitems  # noqa: F401 (a hook)

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


def pytest_unconfigure():
    """Removes the compiled programs of this session."""
    if _PROGRAMS is not None:
        shutil.rmtree(_PROGRAMS, ignore_errors=True)


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


def _memory_maps():
    """How many this process has; Linux alone says so, and allows 65530."""
    maps = Path("/proc/self/maps")
    return len(maps.read_bytes().splitlines()) if maps.exists() else 65530


def pytest_runtest_teardown():
    """Lets go of compiled functions before memory maps run out, as XLA crashes then.

    A compiled function takes six or so, a test a hundred.
    """
    if next(_ran) % 50 == 0 and _memory_maps() > 30_000:
        jax.clear_caches()


_context = jax.make_user_context(None)


@pytest.fixture
def pretend(monkeypatch):
    """``pretend(module, device)``: a module's kernels are traced as for that device.

    JAX keeps a trace by the function that was traced and by the context. A context of
    its own keeps these traces apart from those for the device that is there.
    """
    with contextlib.ExitStack() as contexts:

        def traced_for(module, device):
            monkeypatch.setattr(module, "target", lambda: device)
            contexts.enter_context(_context(object()))

        yield traced_for


@pytest.fixture(autouse=True)
def _traced_anew(request):
    """A test that patches a constant of a kernel has a context of its own.

    Otherwise it would get the trace of the test before it, with the constant of that.
    """
    with contextlib.ExitStack() as contexts:
        kernels = request.path.parent.name == "kernels"
        if kernels and "monkeypatch" in request.fixturenames:
            contexts.enter_context(_context(object()))
        yield


@pytest.fixture
def one_device():
    return jax.local_devices()[:1]
