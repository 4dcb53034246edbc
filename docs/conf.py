"""How Sphinx builds the documentation site: ``make docs``.

The build needs no network, so there is no intersphinx: it would download the
inventories of JAX and Flax. Their names are shown as code without a link.
"""

import re

import jaxtext

project = "jaxtext"
author = "The jaxtext authors"
copyright = author
version = release = jaxtext.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"jaxtext {version}"
html_theme_options = {
    "source_repository": "https://github.com/jaxtext/jaxtext",
    "source_branch": "main",
    "source_directory": "docs/",
}
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["site.css"]

# Docstrings write `name` for code. It becomes a link if the reference has the name.
default_role = "py:obj"
autodoc_typehints = "none"  # docstrings give types and shapes; aliases would expand
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_use_ivar = True
napoleon_use_rtype = False
toc_object_entries_show_parents = "hide"

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

_SOURCE = "https://github.com/jaxtext/jaxtext/blob/main/"
_OUTSIDE = re.compile(r"\]\((?:\.\./)+((?!docs/)[^)#]+)\)")
# These files have a page of their own on the site.
_PAGES = {"RESULTS.md": "results.md", "CHANGELOG.md": "changelog.md"}


def _link_to_source(app, name, text):
    """Links that leave docs/ work on GitHub; on the site they lead to GitHub."""
    up = "../" * name.count("/")

    def there(match):
        page = _PAGES.get(match[1])
        return f"]({up}{page})" if page else f"]({_SOURCE}{match[1]})"

    text[0] = _OUTSIDE.sub(there, text[0])


def setup(app):
    """Registers what is not an extension of its own."""
    app.connect("source-read", _link_to_source)
