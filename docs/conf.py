"""Settings for the documentation, which ``make docs`` builds into docs/_build/html."""

from __future__ import annotations

import sys
from pathlib import Path

import fastgsm
from fastgsm._registry import MODELS

DOCS = Path(__file__).parent

sys.path.insert(0, str(DOCS / "_ext"))

project = "fastgsm"
author = "The fastgsm developers"
copyright = author
version = release = fastgsm.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
    "command_help",
    "mathml",
]
exclude_patterns = [
    "_build",
    "gallery",
    "generated/commands.md",
    "models.md",
    "**/GALLERY_HEADER.rst",
]
templates_path = ["_templates"]

html_theme = "furo"
html_title = f"fastgsm {release}"
html_static_path = ["_static"]
html_css_files = ["fastgsm.css"]
# No page loads anything from the web, so they can be read without a connection.
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

# In docstrings, `name` is a link if there is a target for it, and otherwise a parameter.
default_role = "py:obj"
autodoc_typehints = "none"  # they are in numpydoc's Parameters
# The list of models is written for api.md, which includes it, before autosummary looks for names.
autosummary_generate = ["api.md", "models.md", *(f"api/{p.name}" for p in DOCS.glob("api/*.md"))]
MODEL_LIST = """```{eval-rst}
.. currentmodule:: fastgsm
.. autosummary::
   :toctree: generated
   :nosignatures:

   %s
```
"""
(DOCS / "models.md").write_text(MODEL_LIST % "\n   ".join(MODELS), encoding="utf-8")
numpydoc_show_class_members = False  # the template of a class lists them

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "FileNameSortKey",
    "filename_pattern": r"\.py$",
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,  # that page would load scripts from the web
    "remove_config_comments": True,
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("fastgsm",),
}
