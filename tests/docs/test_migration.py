"""The migration tables have every public name of the other library, and no other."""

from __future__ import annotations

import inspect
import re
import smtplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from doc_blocks import ROOT

import smtplibaio
import smtplibaio.exceptions
import smtplibaio.sasl
import smtplibaio.smtp

PAGES = ROOT / "docs" / "migration"
_CODE = re.compile(r"``(.+?)``")


def rows(page: str) -> list[tuple[str, str]]:
    """List the rows of all tables of a page, but for their heads."""
    text = (PAGES / page).read_text()
    found = re.findall(r"^   \* - (.*)\n((?:     .*\n?)+)", text, re.MULTILINE)
    return [(old, now) for old, now in found if old.startswith("``")]


def old_names(page: str) -> list[str]:
    """List what stands in the first column of the tables."""
    return [_CODE.match(old)[1] for old, _ in rows(page)]  # type: ignore[index]


def parameters(function: Any) -> list[str]:
    """List the parameters of a function or class, without `self`."""
    return [name for name in inspect.signature(function).parameters if name != "self"]


def public(kind: type) -> set[str]:
    """List the public attributes that a class has, and that its instances get."""
    return {name for name in dir(kind) if not name.startswith("_")}


def of_smtplib() -> Iterator[str]:
    yield from {*smtplib.__all__, "LMTP"}
    for kind in (smtplib.SMTP, smtplib.SMTP_SSL, smtplib.LMTP):
        yield from (f"{kind.__name__}({name}=)" for name in parameters(kind))
    made = {name for name in vars(smtplib.SMTP()) if not name.startswith("_")}
    yield from (f"SMTP.{name}" for name in public(smtplib.SMTP) | made)
    for exc, names in {
        smtplib.SMTPResponseException(550, b"no"): {"smtp_code", "smtp_error"},
        smtplib.SMTPSenderRefused(550, b"no", "a@x.example"): {"sender"},
        smtplib.SMTPRecipientsRefused({}): {"recipients"},
    }.items():
        assert names <= vars(exc).keys()
        yield from (f"{type(exc).__name__}.{name}" for name in names)


def of_aiosmtplib() -> Iterator[str]:
    yield from aiosmtplib.__all__
    yield from (f"SMTP({name}=)" for name in parameters(aiosmtplib.SMTP))
    made = {name for name in vars(aiosmtplib.SMTP()) if not name.startswith("_")}
    yield from (f"SMTP.{name}" for name in public(aiosmtplib.SMTP) | made)
    for exc, names in {
        aiosmtplib.SMTPResponseException(550, "no"): {"code", "message"},
        aiosmtplib.SMTPSenderRefused(550, "no", "a@x.example"): {"sender"},
        aiosmtplib.SMTPRecipientRefused(550, "no", "b@y.example"): {"recipient"},
        aiosmtplib.SMTPRecipientsRefused([]): {"recipients"},
    }.items():
        assert names <= vars(exc).keys()
        yield from (f"{type(exc).__name__}.{name}" for name in names)


def of_smtplibaio_2() -> Iterator[str]:
    """What smtplibaio 2.1.2 has: written down once, from its wheel on PyPI."""
    yield from (Path(__file__).parent / "smtplibaio_2.txt").read_text().splitlines()


#: Names that only some of the versions of Python have that the project supports.
GOING = {"SMTP_SSL(keyfile=)", "SMTP_SSL(certfile=)"}


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("from-smtplib.rst", of_smtplib),
        ("from-aiosmtplib.rst", of_aiosmtplib),
        ("from-smtplibaio-2.rst", of_smtplibaio_2),
    ],
)
def test_the_tables_have_every_public_name_and_no_other(page: str, names: Any) -> None:
    listed = old_names(page)
    assert sorted(set(listed)) == sorted(listed)
    assert set(listed) - GOING == set(names()) - GOING


@pytest.mark.parametrize("page", [path.name for path in PAGES.glob("from-*.rst")])
def test_what_the_tables_lead_to_is_there(page: str) -> None:
    """A name of ours can be imported; a "name=" is a parameter of a client."""
    known = {
        name
        for kind in (smtplibaio.SMTP, smtplibaio.SMTP_SSL, smtplibaio.LMTP)
        for function in (kind, *(getattr(kind, name) for name in public(kind)))
        if callable(function)
        for name in parameters(function)
    }
    for old, now in rows(page):
        for code in _CODE.findall(now):
            if re.fullmatch(r"\w+=", code) and code not in {"from_addr=", "to_addrs="}:
                assert code[:-1] in known | {"encoding", "hostname"}, (old, code)
            if re.match(r"(SMTP|LMTP|Reply|Timeouts|sasl|smtplibaio)[\w.]*$", code):
                assert resolved(code), (old, code)


def resolved(name: str) -> bool:
    """Whether a dotted name leads to something in smtplibaio.

    What `__init__` gives to an exception is named by its docstring only.
    """
    value: Any = smtplibaio
    for part in name.removeprefix("smtplibaio.").split("."):
        if not hasattr(value, part):
            is_exception = isinstance(value, type) and issubclass(value, Exception)
            return is_exception and f"{part}:" in (value.__doc__ or "")
        value = getattr(value, part)
    return True
