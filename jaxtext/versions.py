"""Everything that depends on the versions of installed packages.

No other file makes a decision by a version. This file does not import JAX, because XLA
reads its flags when JAX starts.

What differs between the versions that jaxtext supports:

====== ===================================================================
JAX    difference
====== ===================================================================
0.11   Requires Python 3.12. Pallas' Mosaic GPU backend infers the layouts
       of arrays, and has an interpreter: `jaxtext.kernels.mosaic_gpu` needs
       both.
0.11.1 XLA no longer has the flag ``xla_cpu_use_fusion_emitters``.
0.12   The axes of an ``AbstractMesh`` are ``Explicit`` by default. More
       traces are cached by the function that was traced.
====== ===================================================================

As a program, it prints those of some XLA flags that are safe to set::

    XLA_FLAGS="$(python -m jaxtext.versions --xla_gpu_graph_min_graph_size=1)"
"""

import importlib.metadata
import importlib.util
import os
import re
import sys
from typing import Literal, TypeAlias

Version: TypeAlias = tuple[int, ...]
Variable: TypeAlias = Literal["XLA_FLAGS", "LIBTPU_INIT_ARGS"]

# The newest release of each package that passed ``make test-versions``. A later patch
# release counts as tried too.
TRIED: dict[str, Version] = {
    "jax": (0, 12),
    "jaxlib": (0, 12),
    "libtpu": (0, 0, 50),
    "flax": (0, 12),
    "optax": (0, 2),
    "orbax-checkpoint": (0, 12),
    "numpy": (2, 5),
    "matplotlib": (3, 11),
}

# Packages of our extras whose module has another name. Installers ignore case.
_MODULES = {"tensorboardx": "tensorboardX", "dm-haiku": "haiku"}

# Every flag that this project sets, with the first version without it. None: the newest
# tried version has it.
_FLAGS: dict[Variable, tuple[str, dict[str, Version | None]]] = {
    "XLA_FLAGS": (
        "jaxlib",
        {
            "xla_backend_optimization_level": None,
            "xla_cpu_multi_thread_eigen": None,
            "xla_cpu_parallel_codegen_split_count": None,
            "xla_cpu_use_fusion_emitters": (0, 11, 1),
            "xla_gpu_enable_command_buffer": None,
            "xla_gpu_graph_min_graph_size": None,
            "xla_llvm_disable_expensive_passes": None,
        },
    ),
    "LIBTPU_INIT_ARGS": (
        "libtpu",
        {"xla_jf_dump_to": None, "xla_jf_dump_llo_text": None},
    ),
}


def installed(package: str) -> Version | None:
    """Returns the version of an installed package, ``None`` if it is not installed.

    Example:
      >>> installed("jax") >= (0, 10)
      True
      >>> installed("no-such-package") is None
      True
    """
    release = re.match(r"\d+(\.\d+)*", exact(package) or "")
    return tuple(map(int, release[0].split("."))) if release else None


def exact(package: str) -> str | None:
    """Returns the whole version of an installed package, as it is written.

    Example:
      >>> exact("no-such-package") is None
      True
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def importable(module: str) -> bool:
    """Whether a module can be imported, installed or not.

    A module found by ``PYTHONPATH`` can be imported, but installers do not know it.

    Example:
      >>> importable("jax"), importable("no_such_module")
      (True, False)
    """
    if sys.modules.get(module) is not None:
        return True
    found = importlib.util.find_spec(module)
    # A plain directory of that name, as wandb creates for its runs, has no origin.
    return found is not None and found.origin is not None


def lacking(extra: str) -> str | None:
    """Says which packages of one of jaxtext's extras are missing.

    Args:
      extra: The name of the extra, such as ``"experiments"``.

    Returns:
      A line that names them and the command to install them; ``None`` if nothing is
      missing.
    """
    try:
        requirements = importlib.metadata.requires("jaxtext") or []
    except importlib.metadata.PackageNotFoundError:  # found by PYTHONPATH alone
        return None
    names = [
        re.split(r"[^\w.-]", requirement)[0]
        for requirement in requirements
        if re.search(rf"""extra == ['"]{extra}['"]""", requirement)
    ]
    missing = [name for name in names if not importable(_module(name))]
    if not missing:
        return None
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"{', '.join(missing)} {verb} not installed; run: pip install "
        f"'jaxtext[{extra}]'"
    )


def newer_than_tried() -> list[str]:
    """Returns the packages that are newer than any version that was tried."""
    return [package for package in TRIED if _is_newer(package)]


def known_flags(*flags: str, variable: Variable = "XLA_FLAGS") -> list[str]:
    """Returns the flags that the installed compiler is known to have.

    XLA and libtpu end the process if they do not know a flag. With a version newer than
    any tried one, no flag is returned.

    Args:
      *flags: Flags that this project sets, such as
        ``"--xla_cpu_multi_thread_eigen=false"``.
      variable: The environment variable that will hold them.

    Raises:
      KeyError: If a flag is not in the table of this module.

    Example:
      >>> known_flags("--xla_cpu_multi_thread_eigen=false")
      ['--xla_cpu_multi_thread_eigen=false']
    """
    package, last = _FLAGS[variable]
    version = installed(package)

    def is_known(flag: str) -> bool:
        end = last[flag.removeprefix("--").partition("=")[0]]
        if version is None or _is_newer(package):
            return False
        return end is None or version < end

    return [flag for flag in flags if is_known(flag)]


def with_flags(*flags: str, variable: Variable = "XLA_FLAGS") -> str:
    """Returns the value of an environment variable with flags added.

    Set the variable to it before you import JAX. The arguments and errors are those of
    `known_flags`.
    """
    before = os.environ.get(variable, "")
    ours = " ".join(known_flags(*flags, variable=variable))
    if before and not before.lstrip().startswith("-"):
        return before  # the name of a file of flags; nothing can be added to it
    return f"{before} {ours}".strip()


def numpy_types_are_known() -> bool:
    """Whether NumPy's type stubs have a parameter for ``dtype`` (2.3 and newer)."""
    version = installed("numpy")
    return version is not None and version >= (2, 3)


def _module(package: str) -> str:
    return _MODULES.get(package.lower(), package.replace("-", "_"))


def _is_newer(package: str) -> bool:
    version, tried = installed(package), TRIED[package]
    return version is not None and version[: len(tried)] > tried


if __name__ == "__main__":
    print(with_flags(*sys.argv[1:]))
