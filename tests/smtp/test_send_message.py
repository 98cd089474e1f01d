"""Typed parameters of `send_message`, as a server sees them."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import partial
from typing import Any

import pytest
from conversation import client

from smtplibaio import (
    SMTP,
    SMTP_SSL,
    Reply,
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPCommandNotSupportedError,
    SMTPConnectionLostError,
    SMTPNoRecipientError,
    SMTPRecipientRefusedError,
    SMTPTLSError,
)

SENDER = "a@x.example"
B, C = "b@y.example", "c@y.example"

EXTENSIONS = (
    "DSN",
    "REQUIRETLS",
    "DELIVERBY 60",
    "MT-PRIORITY MIXER",
    "FUTURERELEASE 86400 2030-12-31T00:00:00Z",
)


def script(*parts: str) -> str:
    """Put scripts together."""
    lines = (line.strip() for part in parts for line in part.strip().splitlines())
    return "\n".join(filter(None, lines))


def hello(*announced: str) -> str:
    *before, last = ("mx.example", *announced)
    return script(
        "S: 220 mx.example\nC: EHLO client.example",
        *(f"S: 250-{line}" for line in before),
        f"S: 250 {last}",
    )


ALL = hello(*EXTENSIONS, "PIPELINING")
TAKEN = "S: 354 go ahead\nC: hi\nC: .\nS: 250 taken"
NOOP = "C: NOOP\nS: 250 ok"


def group(of_mail: str, of_b: str, of_c: str | None = None) -> str:
    """Give a transaction for one recipient or two."""
    rcpts = [f"C: RCPT TO:<b@y.example>{of_b}"]
    if of_c is not None:
        rcpts.append(f"C: RCPT TO:<c@y.example>{of_c}")
    return script(
        f"C: MAIL FROM:<a@x.example>{of_mail}",
        *rcpts,
        "C: DATA\nS: 250 sender",
        *["S: 250 recipient"] * len(rcpts),
        TAKEN,
    )


# One parameter at a time

MOMENT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)

#: The parameter, what MAIL and RCPT carry, and the extension that announces it.
ONE: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "ret": ({"ret": "HDRS"}, " RET=HDRS", "", "DSN"),
    "envid": ({"envid": "QQ+1=2 3"}, " ENVID=QQ+2B1+3D2+203", "", "DSN"),
    "notify": ({"notify": "NEVER"}, "", " NOTIFY=NEVER", "DSN"),
    "notify-several": (
        {"notify": ["SUCCESS", "DELAY"]},
        "",
        " NOTIFY=SUCCESS,DELAY",
        "DSN",
    ),
    "notify-iterator": (
        {"notify": lambda: iter(["SUCCESS", "DELAY"])},
        "",
        " NOTIFY=SUCCESS,DELAY",
        "DSN",
    ),
    "A09-orcpt": (
        {"orcpt": {B: "old+b@z.example"}},
        "",
        " ORCPT=rfc822;old+2Bb@z.example",
        "DSN",
    ),
    "A09-orcpt-utf8": (
        {"orcpt": {B: "j\u00e9+b@z.example"}},
        "",
        " ORCPT=utf-8;j\\x{E9}\\x{2B}b@z.example",
        "DSN",
    ),
    "deliver_by": ({"deliver_by": (120, "R")}, " BY=120;R", "", "DELIVERBY"),
    "deliver_by-trace": ({"deliver_by": (-5, "NT")}, " BY=-5;NT", "", "DELIVERBY"),
    "mt_priority": ({"mt_priority": -3}, " MT-PRIORITY=-3", "", "MT-PRIORITY"),
    "hold_for": ({"hold_for": 3600}, " HOLDFOR=3600", "", "FUTURERELEASE"),
    "hold_until": (
        {"hold_until": MOMENT},
        " HOLDUNTIL=2030-01-02T03:04:05Z",
        "",
        "FUTURERELEASE",
    ),
    "mail_options": ({"mail_options": ["RET=FULL"]}, " RET=FULL", "", "DSN"),
    "rcpt_options": ({"rcpt_options": ["NOTIFY=NEVER"]}, "", " NOTIFY=NEVER", "DSN"),
}


def fresh(parameters: dict[str, Any]) -> dict[str, Any]:
    """Make the iterators among the values."""
    return {k: v() if callable(v) else v for k, v in parameters.items()}


@pytest.mark.parametrize(
    ("parameters", "of_mail", "of_rcpt", "_extension"), ONE.values(), ids=ONE
)
async def test_a_parameter_goes_with_mail_or_with_rcpt(
    parameters: dict[str, Any],
    of_mail: str,
    of_rcpt: str,
    _extension: str,
) -> None:
    of_c = "" if "orcpt" in parameters else of_rcpt
    dialogue = script(ALL, group(of_mail, of_rcpt, of_c), group("", ""))
    async with client(dialogue) as smtp:
        result = await smtp.send_message(b"hi", SENDER, [B, C], **fresh(parameters))
        assert result.accepted == [B, C]
        assert await smtp.send_message(b"hi", SENDER, B) == {}


@pytest.mark.parametrize(
    ("parameters", "extension"),
    [
        *(pytest.param(one[0], one[3], id=name) for name, one in ONE.items()),
        pytest.param({"require_tls": True}, "REQUIRETLS", id="B21-require_tls"),
    ],
)
async def test_a_parameter_that_was_not_announced_fails_before_mail(
    parameters: dict[str, Any], extension: str
) -> None:
    """A04: with everything else announced."""
    others = [line for line in EXTENSIONS if line.split()[0] != extension]
    async with client(script(hello(*others), NOOP)) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPCommandNotSupportedError) as caught:
            await smtp.send_message(b"hi", SENDER, [C, B], **fresh(parameters))
        assert caught.value.command == extension
        await smtp.noop()


async def test_all_parameters_go_together() -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Cc"] = SENDER, f"B <{B}>", f"C <{C}>"
    parameters: dict[str, Any] = {
        "mail_options": ["RET=FULL"],
        "rcpt_options": ["XFOO"],
        "orcpt": {C: "old@z.example"},
        "notify": ["FAILURE"],
    }
    before = repr(parameters)
    dialogue = script(
        hello(*EXTENSIONS),
        """
        C: MAIL FROM:<a@x.example> RET=FULL ENVID=x BY=60;N MT-PRIORITY=1 HOLDFOR=5
        S: 250 ok
        C: RCPT TO:<b@y.example> XFOO NOTIFY=FAILURE
        S: 250 ok
        C: RCPT TO:<c@y.example> XFOO NOTIFY=FAILURE ORCPT=rfc822;old@z.example
        S: 250 ok
        C: DATA
        S: 354 go
        C: From: a@x.example
        C: To: B <b@y.example>
        C: Cc: C <c@y.example>
        C:
        C: .
        S: 250 taken
        """,
    )
    async with client(dialogue) as smtp:
        await smtp.send_message(
            message,
            envid="x",
            deliver_by=(60, "N"),
            mt_priority=1,
            hold_for=5,
            **parameters,
        )
    assert repr(parameters) == before


# What fails before the wire


@pytest.mark.parametrize(
    "parameters",
    [
        {"ret": "ALL"},
        {"envid": "a\r\nRSET"},
        {"notify": ["NEVER", "DELAY"]},
        {"orcpt": {B: "b\r\nDATA"}},
        {"orcpt": {"stranger@y.example": "x@y.example"}},
        {"deliver_by": (0, "R")},
        {"mt_priority": 10},
        {"hold_for": 0},
        {"hold_until": MOMENT.replace(tzinfo=None)},
        {"hold_for": 1, "hold_until": MOMENT},
        {"mail_options": "RET=FULL"},
        {"mail_options": ["RET=FULL\r\n"]},
        {"rcpt_options": ["NOTIFY=NEVER DATA"]},
        {"mail_options": ["ret=FULL"], "ret": "HDRS"},
        {"mail_options": ["ENVID=x", "envid=y"]},
        {"mail_options": ["HOLDFOR=5"], "hold_for": 5},
        {"rcpt_options": ["NOTIFY=NEVER"], "notify": "FAILURE"},
        {"rcpt_options": ["ORCPT=rfc822;x"], "orcpt": {C: "x@y.example"}},
        {"recipients": None},
        {"sender": None},
        {"recipients": []},
    ],
    ids=str,
)
async def test_a_bad_value_fails_without_a_connection(
    parameters: dict[str, Any],
) -> None:
    """A09, A04: there is nobody on port 1 to notice."""
    arguments = {"sender": SENDER, "recipients": [B, C], **parameters}
    with pytest.raises(SMTPArgumentError):
        await SMTP("127.0.0.1", 1).send_message(b"hi", **arguments)


async def test_a_line_that_is_too_long_fails_before_mail() -> None:
    """A09: xtext made it so."""
    async with client(script(ALL, NOOP)) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPArgumentError, match="RCPT command"):
            await smtp.send_message(b"hi", SENDER, [B, C], orcpt={C: "+" * 350})
        await smtp.noop()


async def test_an_original_recipient_is_found_by_any_spelling_of_its_recipient() -> (
    None
):
    """The recipient was given twice, and gets one RCPT."""
    dialogue = script(
        ALL,
        """
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@xn--bcher-kva.example> ORCPT=rfc822;old@z.example
        C: DATA
        S: 250 ok
        S: 250 ok
        """,
        TAKEN,
    )
    unicode, ascii_ = "b@b\u00fccher.example", "b@xn--bcher-kva.example"
    async with client(dialogue) as smtp:
        result = await smtp.send_message(
            b"hi", SENDER, [unicode, ascii_], orcpt={ascii_: "old@z.example"}
        )
        assert result.accepted == [unicode]


# TLS at every hop


REQUIRETLS = script(hello("REQUIRETLS", "PIPELINING"), group(" REQUIRETLS", ""))
BY_PARAMETER = {"require_tls": True}
BY_OPTION = {"mail_options": ["REQUIRETLS"]}
either_way = pytest.mark.parametrize(
    "wanted", [BY_PARAMETER, BY_OPTION], ids=["parameter", "option"]
)


@either_way
async def test_over_verified_tls_requiretls_goes_with_mail(
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    wanted: dict[str, Any],
) -> None:
    """B21: from the first octet on."""
    make = {"make": SMTP_SSL, "implicit_tls": True, "context": client_tls}
    async with client(REQUIRETLS, tls=server_tls, **make) as smtp:
        assert smtp.is_verified
        assert await smtp.send_message(b"hi", SENDER, B, **wanted) == {}


@either_way
async def test_after_starttls_requiretls_goes_with_mail(
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    wanted: dict[str, Any],
) -> None:
    """B21: what counts is what EHLO announced over TLS."""
    dialogue = script(
        hello("STARTTLS"),
        "C: STARTTLS\nS: 220 go\nS: <starttls>",
        REQUIRETLS.removeprefix("S: 220 mx.example\n"),
    )
    options = {"starttls": "required", "tls_context": client_tls}
    async with client(dialogue, tls=server_tls, **options) as smtp:
        assert await smtp.send_message(b"hi", SENDER, B, **wanted) == {}


@either_way
async def test_over_verified_tls_requiretls_needs_to_be_announced(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, wanted: dict[str, Any]
) -> None:
    """B21: RFC 8689 2, the server is one that keeps to it."""
    dialogue = script(hello("DSN"), NOOP)
    make = {"make": SMTP_SSL, "implicit_tls": True, "context": client_tls}
    async with client(dialogue, tls=server_tls, **make) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPCommandNotSupportedError) as caught:
            await smtp.send_message(b"hi", SENDER, B, **wanted)
        assert caught.value.command == "REQUIRETLS"
        await smtp.noop()


@either_way
async def test_in_clear_requiretls_is_not_believed(wanted: dict[str, Any]) -> None:
    """B21: whoever stands between may have announced it."""
    async with client(script(hello("REQUIRETLS"), NOOP)) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPTLSError, match="verified"):
            await smtp.send_message(b"hi", SENDER, B, **wanted)
        await smtp.noop()


async def test_in_clear_sendmail_does_not_say_requiretls_either() -> None:
    """B21: an option is as good as a parameter, in whatever case."""
    async with client(script(hello("REQUIRETLS"), NOOP)) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPTLSError, match="verified"):
            await smtp.sendmail(SENDER, B, b"hi", ["RequireTLS"])
        await smtp.noop()


@pytest.mark.parametrize("doubt", ["name", "certificate"])
@either_way
async def test_over_unverified_tls_requiretls_is_not_said(
    server_tls: ssl.SSLContext,
    authority: Any,
    wanted: dict[str, Any],
    doubt: str,
) -> None:
    """B21: encrypted, by somebody whose name nobody has checked."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.check_hostname = False
    if doubt == "certificate":
        context.verify_mode = ssl.CERT_NONE
    make = {"make": SMTP_SSL, "implicit_tls": True, "context": context}
    async with client(script(hello("REQUIRETLS"), NOOP), tls=server_tls, **make) as s:
        assert s.is_encrypted
        await s.ehlo()
        with pytest.raises(SMTPTLSError, match="verified"):
            await s.send_message(b"hi", SENDER, B, **wanted)
        await s.noop()


# All or nothing

TWO = "C: MAIL FROM:<a@x.example>\nC: RCPT TO:<b@y.example>\nC: RCPT TO:<c@y.example>"


@pytest.mark.parametrize(
    ("refusal", "is_transient"), [("550 no", False), ("450 later", True)]
)
async def test_with_one_refused_nobody_gets_it(
    refusal: str, is_transient: bool
) -> None:
    """F03: DATA waits for the verdicts, and the next mail goes its way."""
    dialogue = script(
        ALL,
        TWO,
        f"S: 250 ok\nS: 250 ok\nS: {refusal}\nC: RSET\nS: 250 ok",
        TWO,
        "S: 250 ok\nS: 250 ok\nS: 251 ok\nC: DATA",
        TAKEN,
        group("", ""),
    )
    async with client(dialogue) as smtp:
        send = partial(smtp.send_message, b"hi", SENDER)
        with pytest.raises(SMTPRecipientRefusedError) as caught:
            await send([B, C], all_or_nothing=True)
        assert caught.value.refused == {C: (int(refusal[:3]), refusal[4:])}
        assert caught.value.is_transient is is_transient
        assert caught.value.safe_to_retry
        result = await send([B, C], all_or_nothing=True)
        assert (dict(result), result.accepted) == ({}, [B, C])
        assert await send(B) == {}


async def test_one_by_one_with_one_refused_nobody_gets_it() -> None:
    """F03: every verdict is asked for, so that the caller learns of all of them."""
    dialogue = script(
        hello("DSN"),
        """
        C: MAIL FROM:<a@x.example>
        S: 250 ok
        C: RCPT TO:<b@y.example>
        S: 550 no
        C: RCPT TO:<c@y.example>
        S: 250 ok
        C: RSET
        S: 250 ok
        C: MAIL FROM:<a@x.example>
        S: 250 ok
        C: RCPT TO:<b@y.example>
        S: 250 ok
        C: RCPT TO:<c@y.example>
        S: 250 ok
        C: DATA
        """,
        TAKEN,
    )
    async with client(dialogue) as smtp:
        send = partial(smtp.send_message, b"hi", SENDER, [B, C], all_or_nothing=True)
        with pytest.raises(SMTPRecipientRefusedError) as caught:
            await send()
        assert caught.value.refused == {B: (550, "no")}
        assert await send() == {}


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ("S: 550 you\nS: 250 b\nS: 250 c", SMTPCommandFailedError),
        ("S: 250 ok\nS: 550 b\nS: 450 c", SMTPNoRecipientError),
        ("S: 250 ok\nS: 250 b\nS: 250 c\nC: DATA\nS: 451 no", SMTPCommandFailedError),
    ],
    ids=["MAIL", "every RCPT", "DATA"],
)
async def test_wanting_all_changes_no_other_error(
    replies: str, error: type[Exception]
) -> None:
    """F03: and the session is ready for the next mail."""
    dialogue = script(ALL, TWO, replies, "C: RSET\nS: 250 ok", group("", ""))
    async with client(dialogue) as smtp:
        with pytest.raises(error):
            await smtp.send_message(b"hi", SENDER, [B, C], all_or_nothing=True)
        assert await smtp.send_message(b"hi", SENDER, B) == {}


@pytest.mark.parametrize("end", ["S: <close>", "S: <reset>", "S: 421 bye\nC: <hangup>"])
async def test_wanting_all_a_lost_connection_hides_no_refusal(end: str) -> None:
    """F03, H01: nothing was stored; to try again would be refused again."""
    dialogue = script(ALL, TWO, "S: 250 ok\nS: 550 b", end)
    async with client(dialogue) as smtp:
        with pytest.raises(SMTPRecipientRefusedError) as caught:
            await smtp.send_message(b"hi", SENDER, [B, C], all_or_nothing=True)
        assert caught.value.refused == {B: Reply(550, "b")}
        assert not caught.value.is_transient
        assert caught.value.safe_to_retry


@pytest.mark.parametrize("end", ["S: <close>", "S: <reset>", "S: 421 bye\nC: <hangup>"])
async def test_wanting_all_a_lost_connection_is_no_verdict(end: str) -> None:
    """F03: nothing was stored, and the caller is told of the loss."""
    dialogue = script(ALL, TWO, "S: 250 ok\nS: 250 b", end)
    async with client(dialogue) as smtp:
        with pytest.raises(SMTPConnectionLostError) as caught:
            await smtp.send_message(b"hi", SENDER, [B, C], all_or_nothing=True)
        assert caught.value.safe_to_retry


async def test_wanting_all_a_recipient_given_twice_is_one() -> None:
    """F03: one verdict counts for both."""
    dialogue = script(
        ALL,
        "C: MAIL FROM:<a@x.example>\nC: RCPT TO:<b@y.example>",
        "S: 250 ok\nS: 250 ok\nC: DATA",
        TAKEN,
    )
    async with client(dialogue) as smtp:
        result = await smtp.send_message(b"hi", SENDER, [B, B], all_or_nothing=True)
        assert result.accepted == [B]


async def test_wanting_all_and_cancelled_before_data_the_session_has_ended() -> None:
    """F03: within a transaction there is no tombstone."""
    async with client(script(ALL, TWO, "C: <hangup>")) as smtp:
        await smtp.ehlo()
        task = asyncio.create_task(
            smtp.send_message(b"hi", SENDER, [B, C], all_or_nothing=True)
        )
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not smtp.is_connected
