"""Makes notebooks out of pages, which are their only source.

    make notebook

Blocks of Python become cells, and what the page shows as their output becomes the
output of the cell. Everything else stays text. This is not done by jupytext because it
gives cells random names, so each conversion would change the file. A test checks that
the notebook is up to date.
"""

import json
import re
from pathlib import Path
from urllib.parse import urljoin

DOCS = Path(__file__).parent
PAGES = ("tutorial.md", "guides/own_loop.md")
GITHUB = "https://github.com/jaxtext/jaxtext/blob/main/docs/"
RAW = "https://raw.githubusercontent.com/jaxtext/jaxtext/main/docs/"

INSTALL = """\
# Run this first on Colab. Elsewhere, install jaxtext before you start the notebook.
import os, shutil, sys

if "google.colab" in sys.modules:
    tpu = any(map(os.path.exists, ("/dev/accel0", "/dev/vfio/0")))
    extra = "[cuda]" if shutil.which("nvidia-smi") else "[tpu]" if tpu else ""
    %pip install --quiet "jaxtext{extra} @ git+https://github.com/jaxtext/jaxtext"
"""

_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<out>.*?)^```\n)?", re.M | re.S
)
_LINK = re.compile(r"(?P<picture>!?)(?P<text>\[[^\]]*\]\()(?!#)(?P<to>[^)]*)")


def notebook(name: str) -> str:
    """The notebook of a page, as JSON."""
    page = (DOCS / name).read_text("utf-8")
    cells, end = [], 0
    for block in _BLOCK.finditer(page):
        cells.append(_text(page[end : block.start()], name))
        cells.append(_code(block["code"], block["out"]))
        end = block.end()
    cells.append(_text(page[end:], name))
    cells.insert(1, _code(INSTALL, None))
    whole = {
        "cells": [cell for cell in cells if cell["source"]],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 4,  # the last one in which cells need no name
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def _text(markdown, name):
    def there(link):
        base = urljoin(RAW if link["picture"] else GITHUB, name)
        return f"{link['picture']}{link['text']}{urljoin(base, link['to'])}"

    markdown = _LINK.sub(there, markdown)
    source = markdown.strip("\n").splitlines(keepends=True)
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def _code(program, printed):
    outputs = []
    if printed:
        text = printed.splitlines(keepends=True)
        outputs = [{"name": "stdout", "output_type": "stream", "text": text}]
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": outputs,
        "source": program.strip("\n").splitlines(keepends=True),
    }


if __name__ == "__main__":
    for page in PAGES:
        (DOCS / page).with_suffix(".ipynb").write_text(notebook(page), "utf-8")
