"""What depends on versions: flags that end no process, warnings, what is missing."""

import importlib
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from _pytest.config import apply_warning_filters

import conftest
from jaxtext import versions

ROOT = Path(__file__).parents[1]
VALUES = {
    "xla_backend_optimization_level": "0",
    "xla_cpu_parallel_codegen_split_count": "1",
    "xla_gpu_enable_command_buffer": "+WHILE",
    "xla_gpu_graph_min_graph_size": "1",
    "xla_jf_dump_to": "/nowhere",
}
FOR_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_LOG_DIR": "disabled",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
START = {
    "XLA_FLAGS": "import jax; jax.devices()",
    "LIBTPU_INIT_ARGS": "from jax.experimental.topologies import get_topology_desc; "
    "get_topology_desc(platform='tpu', topology_name='v5e:2x2')",
}
COMPILERS = {"XLA_FLAGS": "jaxlib", "LIBTPU_INIT_ARGS": "libtpu"}


def flags_of(variable):
    """Every flag in the table, with a value."""
    _, table = versions._FLAGS[variable]
    return [f"--{name}={VALUES.get(name, 'false')}" for name in table]


def python(program, **environment):
    """Runs a program in a process of its own."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""} | environment
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("variable", START)
def test_the_compiler_knows_the_flags_that_the_table_says(variable):
    if versions.installed(COMPILERS[variable]) is None:
        pytest.skip("needs libtpu: make test-tpu")
    flags = flags_of(variable)
    known = versions.known_flags(*flags, variable=variable)
    own = {variable: " ".join(known)} | FOR_TPU
    run = python(START[variable], **own)
    assert run.returncode == 0, run.stderr
    for flag in {*flags, "--xla_no_such_flag=1"}.difference(known):
        own[variable] = flag
        assert python(START[variable], **own).returncode != 0, f"{flag} is known"


@pytest.mark.parametrize(
    ("version", "kept"), [((0, 11, 0), 2), ((0, 11, 1), 1), ((0, 99), 0), (None, 0)]
)
def test_flags_that_may_be_unknown_are_left_out(version, kept, monkeypatch):
    monkeypatch.setattr(versions, "installed", lambda package: version)
    flags = "--xla_cpu_multi_thread_eigen=false", "--xla_cpu_use_fusion_emitters=false"
    assert versions.known_flags(*flags) == list(flags[:kept])
    with pytest.raises(KeyError):
        versions.known_flags("--xla_not_in_the_table=1")


def test_what_was_set_before_is_kept(monkeypatch):
    flag = "--xla_cpu_multi_thread_eigen=false"
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to='a b'")
    assert versions.with_flags(flag) == f"--xla_dump_to='a b' {flag}"
    monkeypatch.setenv("XLA_FLAGS", "flags.txt")
    assert versions.with_flags(flag) == "flags.txt"
    monkeypatch.delenv("XLA_FLAGS")
    assert versions.with_flags(flag) == flag


def test_flags_are_printed_for_a_shell():
    flag = "--xla_gpu_graph_min_graph_size=1"
    command = [sys.executable, "-m", "jaxtext.versions", flag]
    environment = os.environ | {"XLA_FLAGS": ""}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == (f"{flag}\n", "")


def test_flags_are_set_before_jax_is_imported():
    program = (
        "import sys, jaxtext.versions, jaxtext as jt; print('jax' in sys.modules); "
        "jt.gru; print('jax' in sys.modules, 'flax' in sys.modules); jt.LanguageModel"
    )
    run = python(program)
    assert (run.stdout, run.stderr) == ("False\nTrue False\n", "")


def test_no_other_file_decides_by_a_version():
    asking = re.compile(
        r"__version_info__|sys\.version_info|"
        r"\b(jax|jaxlib|flax|optax|orbax\w*|np)\.__version__ *(<|>|==|!=)"
    )
    setting = re.compile(r"""XLA_FLAGS["']?\] *=(?! *(versions\.)?with_flags)""")
    for folder in ("jaxtext", "experiments", "benchmarks", "tests", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text("utf-8")
            if path.name not in ("versions.py", "test_versions.py"):
                assert not asking.search(text), path
                assert not setting.search(text), path


@pytest.mark.parametrize("newer", [[], ["jax"]])
def test_a_warning_of_tomorrow_fails_nothing(newer, monkeypatch):
    lines = ["error"]  # as in pyproject.toml
    config = SimpleNamespace(addinivalue_line=lambda name, line: lines.append(line))
    monkeypatch.setattr(versions, "newer_than_tried", lambda: newer)
    conftest.pytest_configure(config)
    with warnings.catch_warnings(record=not newer):
        apply_warning_filters(lines, [])
        if newer:
            with pytest.warns(DeprecationWarning, match="going"):
                warnings.warn("it is going", DeprecationWarning, stacklevel=1)
        else:
            with pytest.raises(DeprecationWarning, match="going"):
                warnings.warn("it is going", DeprecationWarning, stacklevel=1)
        with pytest.raises(DeprecationWarning, match=r"jaxtext\.old"):
            warnings.warn("jaxtext.old is going", DeprecationWarning, stacklevel=1)


def test_what_is_newer_than_any_that_was_tried(monkeypatch):
    monkeypatch.setattr(versions, "installed", versions.TRIED.get)
    assert versions.newer_than_tried() == []
    later = {"jax": (0, 12, 9), "flax": (0, 13), "libtpu": None}
    monkeypatch.setattr(versions, "installed", later.get)
    assert versions.newer_than_tried() == ["flax"]


def test_what_is_missing_of_an_extra(monkeypatch):
    assert versions.lacking("experiments") is None
    for name in ("rich", "tyro"):
        monkeypatch.setitem(sys.modules, name, None)
    assert versions.lacking("experiments") == (
        "rich, tyro are not installed; run: pip install 'jaxtext[experiments]'"
    )


def test_what_can_be_imported_is_not_missing(tmp_path, monkeypatch):
    """A module that no installer knows is there; a mere directory is not."""
    monkeypatch.syspath_prepend(tmp_path)
    for extra, module in {"wandb": "wandb", "tensorboard": "tensorboardX"}.items():
        if versions.installed(module) is None:
            (tmp_path / module).mkdir()
            assert "is not installed" in str(versions.lacking(extra))
            (tmp_path / module).rmdir()
        (tmp_path / f"{module}.py").write_text("")
        importlib.invalidate_caches()
        assert versions.lacking(extra) is None


def scripts():
    """Those that read a command line."""
    for folder in ("experiments", "benchmarks", "tools"):
        for path in sorted((ROOT / folder).glob("*.py")):
            text = path.read_text("utf-8")
            if "import jaxtext.needs_experiments" in text and "__main__" in text:
                yield path.relative_to(ROOT)


@pytest.mark.parametrize("script", list(scripts()), ids=str)
def test_a_script_says_what_to_install(script):
    program = f"""
import runpy, sys
sys.modules["tyro"] = None
runpy.run_path({str(ROOT / script)!r}, run_name="__main__")
"""
    run = python(program)
    said = "error: tyro is not installed; run: pip install 'jaxtext[experiments]'\n"
    assert (run.returncode, run.stdout, run.stderr) == (2, "", said)
