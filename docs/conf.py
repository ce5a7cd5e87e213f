"""The site: `sphinx-build -W -b html docs docs/_build`, without a network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

import softmaxes

project = "softmaxes"
author = "The softmaxes developers"
copyright = author
release = version = softmaxes.__version__

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_parser", "sphinx_design", "mathml", "measured", "pages", "plain"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
default_role = "py:obj"  # `softmaxes.softmax` in a docstring is a link where there is such a thing
smartquotes = False
toc_object_entries_show_parents = "hide"

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = "softmaxes"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
}
html_context = {"default_mode": "auto"}
html_sidebars = {page: [] for page in ("index", "tutorial", "explorer", "accuracy", "speed")}


def is_routing(app, what, name, obj, skip, options):
    """Leave out the methods that scikit-learn adds to every estimator; their text refers to pages of its site."""
    routing = getattr(obj, "__module__", "") == "sklearn.utils._metadata_requests" or name.endswith("_request")
    return True if routing else None


def setup(app):
    app.connect("autodoc-skip-member", is_routing)
