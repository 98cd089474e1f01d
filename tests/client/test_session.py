"""What a session remembers, and that it is replaced whole."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from smtplibaio.client.session import Session
from smtplibaio.grammar.extensions import Extensions
from smtplibaio.grammar.replies import Reply


def test_a_new_session_knows_nothing() -> None:
    session = Session()
    assert session.extensions == {}
    assert session.ehlo_reply is None
    assert session.helo_reply is None
    assert not session.is_authenticated
    assert not session.in_transaction
    assert not session.is_binary
    assert not session.has_chunks
    assert not session.is_introduced
    assert not session.supports_esmtp


@pytest.mark.parametrize(
    ("session", "is_introduced", "supports_esmtp"),
    [
        (Session(ehlo_reply=Reply(250, "mx")), True, True),
        (Session(helo_reply=Reply(250, "mx")), True, False),
        (Session(is_authenticated=True, in_transaction=True), False, False),
    ],
    ids=["EHLO", "HELO", "neither"],
)
def test_the_server_knows_the_client_after_ehlo_or_helo(
    session: Session, is_introduced: bool, supports_esmtp: bool
) -> None:
    assert session.is_introduced == is_introduced
    assert session.supports_esmtp == supports_esmtp


def test_a_session_cannot_be_patched() -> None:
    """What was learnt before TLS cannot be carried over field by field by mistake."""
    session = Session(extensions=Extensions({"AUTH": ("PLAIN",)}))
    with pytest.raises(FrozenInstanceError):
        session.is_authenticated = True  # type: ignore[misc]
    changed = replace(session, is_authenticated=True)
    assert changed.is_authenticated
    assert changed.extensions is session.extensions
    assert not session.is_authenticated


def test_two_new_sessions_share_nothing() -> None:
    assert Session().extensions is not Session().extensions
    assert Session() == Session()
