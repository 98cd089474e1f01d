"""What a transcript shows, and what it must not."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from typing import Any

import pytest
from conversation import client

from smtplibaio import SMTP_SSL, Reply, SMTPConnectionLostError, events
from smtplibaio.exceptions import SMTPAuthenticationError, SMTPException

CONVERSATION = """
    S: 220 hi
    C: EHLO client.example
    S: 250-mx
    S: 250 AUTH PLAIN LOGIN
    C: AUTH LOGIN
    S: 334 VXNlcm5hbWU6
    C: YWxpY2U=
    S: 334 UGFzc3dvcmQ6
    C: b3BlbiBzZXNhbWU=
    S: 235 welcome B3BLBIBZZXNHBWU=
    C: MAIL FROM:<a@x.example>
    S: 250 ok
    C: RCPT TO:<b@y.example>
    S: 250-fine
    S: 250 ok
    C: DATA
    S: 354 go ahead
    C: secret plans
    C: .
    S: 250 \x1b[2Jtaken
    """

TRANSCRIPT = """\
S: 220 hi
C: EHLO client.example
S: 250-mx
S: 250 AUTH PLAIN LOGIN
C: AUTH LOGIN
S: 334 ***
C: ***
S: 334 ***
C: ***
S: 235 welcome ***
-- mail N from <a@x.example> to <b@y.example>
C: MAIL FROM:<a@x.example>
S: 250 ok
C: RCPT TO:<b@y.example>
S: 250-fine
S: 250 ok
C: DATA
S: 354 go ahead
C: (14 octets of content)
S: 250 \\x1b[2Jtaken
-- mail N: accepted, T s
C: QUIT
-- closed"""


def without_figures(transcript: str) -> str:
    """Take out what differs from run to run: the numbers of mails, and times."""
    return re.sub(
        r"0\.\d+ s$",
        "T s",
        re.sub("mail [0-9]+", "mail N", transcript),
        flags=re.MULTILINE,
    )


async def test_a_transcript_masks_credentials_by_position_and_counts_content() -> None:
    told: list[events.Event] = []
    async with client(CONVERSATION, on_event=told.append) as smtp:
        await smtp.auth("alice", "open sesame", mechanisms=["LOGIN"])
        await smtp.sendmail("a@x.example", "b@y.example", "secret plans")
    assert isinstance(told[0], events.Connected)
    assert str(told[0]).startswith("-- connected to 127.0.0.1 port ")
    assert without_figures("\n".join(map(str, told[1:]))) == TRANSCRIPT


@pytest.mark.parametrize("has_listener", [False, True])
async def test_the_log_at_debug_has_one_record_a_line(
    caplog: pytest.LogCaptureFixture, has_listener: bool
) -> None:
    told: list[events.Event] = []
    caplog.set_level(logging.DEBUG, "smtplibaio")
    listener = told.append if has_listener else None
    async with client(CONVERSATION, on_event=listener) as smtp:
        await smtp.auth("alice", "open sesame", mechanisms=["LOGIN"])
        await smtp.sendmail("a@x.example", "b@y.example", "secret plans")
    logged = [r.getMessage() for r in caplog.records if r.name == "smtplibaio"]
    assert without_figures("\n".join(logged[1:])) == TRANSCRIPT
    assert bool(told) == has_listener


async def test_without_a_listener_nothing_is_told() -> None:
    assert events.listener_of(None) is None
    assert events.listener_of(print) is print


def test_a_unix_socket_is_told_by_its_path() -> None:
    assert str(events.Connected.to("/run/smtp")) == "-- connected to /run/smtp"


async def test_tls_is_told_of(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    told: list[events.Event] = []
    async with client(
        "S: 220 hi",
        make=SMTP_SSL,
        tls=server_tls,
        implicit_tls=True,
        context=client_tls,
        on_event=told.append,
    ):
        pass
    assert isinstance(told[1], events.TLSStarted)
    assert str(told[1]).startswith("-- TLSv1.3, TLS_")


async def test_a_lost_connection_is_told_with_its_cause() -> None:
    told: list[events.Event] = []
    async with client(
        """
        S: 220 hi
        C: NOOP
        S: <close>
        """,
        on_event=told.append,
    ) as smtp:
        with pytest.raises(SMTPConnectionLostError):
            await smtp.noop()
    assert isinstance(told[-1], events.Closed)
    text = str(told[-1])
    assert text.startswith("-- closed: 127.0.0.1 port ")
    assert text.endswith(" closed the connection before its reply to NOOP")


async def test_a_listener_that_raises_does_not_disturb_the_session() -> None:
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: complaints.append(context))

    def raising(event: events.Event) -> None:
        raise ZeroDivisionError

    async with client("S: 220 hi\nC: NOOP\nS: 250 ok", on_event=raising) as smtp:
        assert await smtp.noop() == (250, "ok")
    loop.set_exception_handler(handler)
    assert {type(c["exception"]) for c in complaints} == {ZeroDivisionError}


@pytest.mark.parametrize(
    "echo",
    [
        "421 what is AHUAb3BlbiBzZXNhbWU=",
        "535 what is open sesame",
        "500 unknown: AUTH PLAIN AHUAb3BlbiBzZX",
        "what is AHUAb3BlbiBzZXNhbWU=",
    ],
)
async def test_an_echoed_secret_is_in_no_exception(echo: str) -> None:
    async with client(
        f"""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 AUTH PLAIN
        C: AUTH PLAIN AHUAb3BlbiBzZXNhbWU=
        S: {echo}
        """
    ) as smtp:
        with pytest.raises(SMTPException) as refusal:
            await smtp.auth("u", "open sesame")
        chain: BaseException | None = refusal.value
        while chain is not None:
            assert "sesame" not in repr(chain) + str(chain)
            assert "b3Blb" not in repr(chain) + str(chain)
            chain = chain.__cause__
        for inner in getattr(refusal.value, "exceptions", []):
            assert isinstance(inner, SMTPAuthenticationError)
            assert "sesame" not in str(inner)


def test_events_are_frozen_values() -> None:
    reply = events.ReplyReceived(Reply(250, "ok"))
    assert reply == events.ReplyReceived(Reply(250, "ok"))
    with pytest.raises(AttributeError):
        reply.reply = Reply(550, "no")  # type: ignore[misc]


async def test_each_connection_has_a_number_which_takes_no_part_in_comparisons() -> (
    None
):
    told: list[events.Event] = []
    for _ in range(2):
        async with client("S: 220 hi", on_event=told.append):
            pass
    numbers = [event.connection_id for event in told]
    middle = len(told) // 2
    assert len(set(numbers[:middle])) == len(set(numbers[middle:])) == 1
    assert numbers[middle] > numbers[0] > 0
    assert told[1] == told[middle + 1] == events.ReplyReceived(Reply(220, "hi"))


@pytest.mark.parametrize(
    ("peername", "server", "told"),
    [
        (("::1", 25, 0, 0), None, ("::1", 25, "::1", 25)),
        (("192.0.2.1", 1080), ("mx", 25), ("192.0.2.1", 1080, "mx", 25)),
        ("/run/smtp", None, ("/run/smtp", None, "/run/smtp", None)),
        ("", ("/run/smtp", None), ("", None, "/run/smtp", None)),
        (None, None, ("", None, "", None)),  # of a socket that is not connected
    ],
)
def test_the_server_is_told_by_name_and_the_peer_by_address(
    peername: object, server: tuple[str, int | None] | None, told: tuple[object, ...]
) -> None:
    event = events.Connected.to(peername, server)
    assert (event.peer_address, event.peer_port, event.hostname, event.port) == told


async def test_a_client_tells_which_server_it_was_given() -> None:
    told: list[events.Event] = []
    async with client("S: 220 hi", on_event=told.append) as smtp:
        (connected,) = [e for e in told if isinstance(e, events.Connected)]
        assert (connected.hostname, connected.port) == (smtp.hostname, smtp.port)
    assert connected.peer_address == "127.0.0.1"


@pytest.mark.parametrize(
    ("sender", "recipients", "shown"),
    [
        ("a@x.example", ["b@y.example"], "from <a@x.example> to <b@y.example>"),
        ("", ["b@y.example", "c", "d"], "from <> to <b@y.example> and 2 more"),
        ("a\x1b", ["b"], "from <a\\x1b> to <b>"),
    ],
)
def test_the_start_of_a_mail_shows_its_envelope_in_one_line(
    sender: str, recipients: list[str], shown: str
) -> None:
    started = events.MailStarted.of(sender, recipients)
    assert str(started) == f"-- mail {started.mail_id} {shown}"
    assert started.recipients == tuple(recipients)
    assert events.MailStarted.of("a", ["b"]).mail_id > started.mail_id


def test_the_end_of_a_mail_shows_what_became_of_it() -> None:
    ended = events.MailEnded(7, "accepted", 0.25, Reply(250, "ok"))
    assert str(ended) == "-- mail 7: accepted, 0.250 s"
