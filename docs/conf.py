"""Settings of the documentation site. To build it: ``sphinx-build -W -b html docs docs/_build``."""

import sys
from pathlib import Path

import gankit

sys.path.insert(0, str(Path(__file__).parent))

project = "gankit"
project_copyright = "the gankit authors"
release = gankit.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "site_extension"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"gankit {release}"
html_copy_source = html_show_sphinx = html_domain_indices = False
html_static_path = ["static"]
html_css_files = ["site.css"]
myst_enable_extensions = ["html_image"]
myst_heading_anchors = 4
highlight_language = "none"  # of blocks that name no language
smartquotes = False  # would replace the hyphens of --option
suppress_warnings = ["misc.highlighting_failure"]  # examples leave out parts with "..."

autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "exclude-members": "model_config, model_post_init",  # of pydantic
}
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 120
default_role = "py:obj"
nitpicky = True
# types of other libraries and internal ones stay text; `gankit.Name` in a docstring must exist
nitpick_ignore_regex = [("py:(class|exc|meth|func)", ".*"), ("py:obj", r"(?!gankit\.\w+$).*")]
