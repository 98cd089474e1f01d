"""What a session remembers, and that it is replaced whole."""

from __future__ import annotations

import ssl

import pytest
from conversation import client

from smtplibaio import SMTPCommandFailedError, SMTPConnectionLostError
from smtplibaio.client.session import Learnt, Open
from smtplibaio.grammar.extensions import Extensions
from smtplibaio.grammar.replies import Reply

HELLO = """\
S: 220 mx
C: EHLO client.example
S: 250-mx
S: 250-STARTTLS
S: 250 SIZE 9
"""


def test_at_first_nothing_is_known() -> None:
    learnt = Learnt()
    assert learnt.extensions == {}
    assert learnt.ehlo_reply is None
    assert learnt.helo_reply is None
    assert not learnt.is_authenticated
    assert not learnt.is_introduced


@pytest.mark.parametrize(
    ("learnt", "is_introduced"),
    [
        (Learnt(ehlo_reply=Reply(250, "mx")), True),
        (Learnt(helo_reply=Reply(250, "mx")), True),
        (Learnt(is_authenticated=True), False),
    ],
    ids=["EHLO", "HELO", "neither"],
)
def test_the_server_knows_the_client_after_ehlo_or_helo(
    learnt: Learnt, is_introduced: bool
) -> None:
    assert learnt.is_introduced == is_introduced


def test_what_was_learnt_cannot_be_patched() -> None:
    """What was learnt before TLS cannot be carried over field by field by mistake."""
    learnt = Learnt(Extensions({"AUTH": ("PLAIN",)}))
    with pytest.raises(AttributeError):
        learnt.is_authenticated = True  # type: ignore[misc]
    changed = learnt._replace(is_authenticated=True)
    assert changed.is_authenticated
    assert changed.extensions is learnt.extensions
    assert not learnt.is_authenticated


@pytest.mark.parametrize(
    ("begun", "is_for_bdat"),
    [
        (Open(), False),
        (Open("8BITMIME", accepted=3), False),
        (Open("BINARYMIME"), True),
        (Open(has_chunks=True), True),
    ],
)
def test_binary_content_and_what_began_with_bdat_goes_with_bdat(
    begun: Open, is_for_bdat: bool
) -> None:
    """RFC 3030 2 and 3."""
    assert begun.is_for_bdat is is_for_bdat


async def test_what_may_be_said_is_what_the_last_ehlo_announced() -> None:
    script = f"{HELLO}C: EHLO client.example\nS: 250-mx\nS: 250 PIPELINING"
    async with client(script) as smtp:
        session = smtp._connection.session
        assert not session.terms.is_grouped
        await smtp.ehlo()
        assert session.terms.extensions.size == 9
        await smtp.ehlo()
        assert session.terms.extensions is session.learnt.extensions
        assert session.terms.extensions.size is None
        assert session.terms.is_grouped


async def test_after_tls_what_was_learnt_is_forgotten_whole(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """B10: RFC 3207 4.2; a refused EHLO inside leaves nothing of the one in clear."""
    script = f"""{HELLO}\
C: STARTTLS
S: 220 go
S: <starttls>
C: EHLO client.example
S: 500 what?
"""
    async with client(script, tls=server_tls) as smtp:
        await smtp.ehlo()
        session = smtp._connection.session
        with pytest.raises(SMTPCommandFailedError):
            await smtp.starttls(client_tls)
        assert session.learnt == Learnt()
        assert session.terms.extensions == {}


async def test_a_refused_ehlo_leaves_what_was_learnt() -> None:
    """RFC 5321 4.1.4: the server stays in the state that it was in."""
    script = f"{HELLO}C: EHLO client.example\nS: 504 no\nC: NOOP\nS: 250 ok"
    async with client(script) as smtp:
        await smtp.ehlo()
        session = smtp._connection.session
        before = session.learnt
        with pytest.raises(SMTPCommandFailedError):
            await smtp.ehlo()
        assert session.learnt is before
        await smtp.noop()


async def test_an_ehlo_without_a_reply_leaves_nothing_learnt() -> None:
    """Nobody knows which of the two the server goes by."""
    script = f"{HELLO}C: EHLO client.example\nS: <close>"
    async with client(script) as smtp:
        await smtp.ehlo()
        session = smtp._connection.session
        with pytest.raises(SMTPConnectionLostError, match="its reply to EHLO"):
            await smtp.ehlo()
        assert session.learnt == Learnt()


async def test_ehlo_ends_a_transaction_that_was_begun_by_hand() -> None:
    """RFC 5321 4.1.4: it clears all buffers, as RSET does."""
    script = f"""{HELLO}\
C: MAIL FROM:<a@x.example>
S: 250 ok
C: EHLO client.example
S: 250 mx
"""
    async with client(script) as smtp:
        await smtp.ehlo()
        await smtp.mail("a@x.example")
        session = smtp._connection.session
        assert session.open == Open()
        await smtp.ehlo()
        assert session.open is None
