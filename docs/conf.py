"""How Sphinx builds the documentation: sphinx-build -W docs docs/_build."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "smtplibaio"
author = "the authors of smtplibaio"
project_copyright = author
release = version_of("smtplibaio")
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
nitpicky = False

# A literal block is a figure; code has a directive that names its language.
highlight_language = "none"

# What stands between single backquotes in a docstring is code, and a link if it names
# something of this reference.
default_role = "py:obj"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
# These names stand for long unions; docs/api/types.rst says what they are.
_ALIASES = ("AddressLike", "Listener", "Message", "Notify", "StartTLS", "Token")
autodoc_type_aliases = {name: name for name in _ALIASES}
python_maximum_signature_line_length = 72

html_theme = "furo"
html_title = "smtplibaio"
html_static_path = ["_static"]
html_css_files = ["smtplibaio.css"]


def _shown(_app: object, *described: Any) -> tuple[str | None, str | None]:
    """Show names of types, and the default of a limit, as callers would write them."""
    *_, signature, returned = described
    return _as_written(signature), _as_written(returned)


def _as_written(text: str | None) -> str | None:
    if text is None:
        return None
    text = re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", text)
    return text.replace("_DEFAULT_TIMEOUTS", "Timeouts()")


def setup(app: Sphinx) -> None:
    """Register what this project adds to Sphinx."""
    app.connect("autodoc-process-signature", _shown)
