"""The API reference has every public name, and the front page leads where it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from doc_blocks import ROOT
from docutils.core import publish_doctree

import smtplibaio
import smtplibaio.events
import smtplibaio.exceptions
import smtplibaio.sasl
import smtplibaio.testing

API = ROOT / "docs" / "api"
#: Where the repository is on GitHub; HEAD is its default branch.
REPOSITORY = "https://github.com/hwmrocker/smtplibaio/blob/HEAD/"
RAW = "https://raw.githubusercontent.com/hwmrocker/smtplibaio/HEAD/"
#: What is public to be used by other modules, and by nobody else.
INSIDE = {
    "sasl": {"Bearer", "bearer_candidates", "check_names", "password_candidates"},
    "events": {"Event", "Listener", "Narrator", "listener_of"},
    "testing": {"ScriptMismatch"},
}


def described(page: str) -> set[str]:
    """List what a page of the reference describes."""
    return set(
        re.findall(r"^\.\. auto\w+:: (\w+)$", (API / page).read_text(), re.MULTILINE)
    )


def test_every_public_name_is_in_the_reference() -> None:
    pages = ("clients.rst", "results.rst", "exceptions.rst", "pool.rst")
    names = set().union(*map(described, pages))
    types = set(
        re.findall(r"^   \* - ``(\w+)``", (API / "types.rst").read_text(), re.MULTILINE)
    )
    types |= {"__version__"}
    modules = {"events", "exceptions", "sasl", "smtp"}
    assert names == set(smtplibaio.__all__) - types - modules
    assert types - {"Listener"} <= set(smtplibaio.__all__)


def test_every_exception_is_in_the_reference() -> None:
    names = set(smtplibaio.exceptions.__all__) & set(smtplibaio.__all__)
    assert names == described("exceptions.rst")


@pytest.mark.parametrize("module", ["sasl", "events", "testing"])
def test_every_name_of_a_module_is_in_the_reference(module: str) -> None:
    names = set(getattr(smtplibaio, module).__all__) - INSIDE[module]
    assert names == described(f"{module}.rst")


def links(page: Path) -> list[str]:
    """List where a page leads to."""
    text = page.read_text()
    inline = re.findall(r"`[^`]+ <([^>]+)>`_", text)
    named = re.findall(r"^\.\. _[^:]+: (\S+)$", text, re.MULTILINE)
    return inline + named + re.findall(r"^\.\. image:: (\S+)", text, re.MULTILINE)


@pytest.mark.parametrize("page", ["README.rst", "CHANGELOG.rst"])
def test_what_pypi_shows_has_no_link_into_nothing(page: str) -> None:
    """PyPI knows no other file of the repository, so every link is a whole URL."""
    for link in links(ROOT / page):
        assert link.startswith("https://"), link
        for base in (REPOSITORY, RAW):
            if link.startswith(base):
                assert (ROOT / link.removeprefix(base)).exists(), link


def test_what_pypi_shows_is_plain_restructuredtext() -> None:
    """PyPI knows no directive and no role of Sphinx."""
    for page in ("README.rst", "CHANGELOG.rst"):
        settings = {"report_level": 2, "halt_level": 2, "warning_stream": False}
        publish_doctree((ROOT / page).read_text(), settings_overrides=settings)
