"""The site: its code runs and prints what it shows, and its reference is complete."""

import importlib.util
import inspect
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import jaxtext as jt

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
# A program, and what it prints where a block of text follows it at once.
_BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)
PAGES = {
    str(path.relative_to(ROOT)): _BLOCK.findall(path.read_text("utf-8"))
    for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
    if "_build" not in path.parts
}
# What a reader waits a minute for, a test does not.
SMALLER = {"docs/tutorial.md": {"steps = 600": "steps = 3"}}
NEEDS = {
    "docs/guides/weights.md": ("torch", "keras"),  # `make test-peers` has them
    "docs/guides/compression.md": ("constriction",),
    "docs/guides/carry_away.md": ("safetensors", "flatbuffers"),
}


@pytest.mark.parametrize("name", [name for name, blocks in PAGES.items() if blocks])
def test_the_code_of_a_page_prints_what_it_shows(name, tmp_path, monkeypatch, capsys):
    if missing := [peer for peer in NEEDS.get(name, ()) if find_spec(peer) is None]:
        pytest.skip(f"without {' and '.join(missing)}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXTEXT_CACHE", str(tmp_path / "cache"))
    namespace = {"__name__": "page"}
    smaller = dict(SMALLER.get(name, {}))
    for program, shown in PAGES[name]:
        for size in [size for size in smaller if size in program]:
            program = program.replace(size, smaller.pop(size))
        exec(compile(program, name, "exec"), namespace)
        printed = capsys.readouterr().out
        if shown:
            assert printed == shown
    assert not smaller


def test_the_notebooks_are_the_pages():
    spec = importlib.util.spec_from_file_location("notebook", DOCS / "notebook.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    for page in made.PAGES:
        kept = (DOCS / page).with_suffix(".ipynb").read_text("utf-8")
        assert kept == made.notebook(page), "run make notebook"


def _in_reference():
    """Names that a directive of the reference documents, modules with all members."""
    text = "\n".join(p.read_text("utf-8") for p in (DOCS / "reference").glob("*.rst"))
    names = set(re.findall(r"auto(?:function|class):: ([\w.]+)", text))
    names |= set(re.findall(r"automodule:: ([\w.]+)", text))
    for module in re.findall(r"automodule:: ([\w.]+)\n +:members:", text):
        names |= {f"{module}.{name}" for name in _defined_in(module)}
    names |= set(re.findall(r"^``(jaxtext\.\w+(?:\.\w+)*)`` ", text, re.M))  # types
    return names


def _defined_in(module):
    """What a module says it offers, or else its public functions and classes."""
    found = importlib.import_module(module)
    return set(getattr(found, "__all__", ())) or {
        name
        for name, member in vars(found).items()
        if not name.startswith("_")
        and (inspect.isfunction(member) or inspect.isclass(member))
        and member.__module__ == module
    }


def _public():
    """Every public name: of the package, its packages and their public modules."""
    for name in jt.__all__:
        member = getattr(jt, name)
        if not inspect.ismodule(member):
            yield f"jaxtext.{name}"
            continue
        for inner in _defined_in(member.__name__):
            whole = f"{member.__name__}.{inner}"
            if inspect.ismodule(getattr(member, inner)):
                yield from (f"{whole}.{one}" for one in _defined_in(whole))
            else:
                yield whole


def test_every_public_name_is_in_the_reference():
    public = {name for name in _public() if not name.startswith("jaxtext.types.")}
    assert len(public) > 70
    assert public - _in_reference() == set()
