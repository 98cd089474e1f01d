"""`Conversation` plays its script to every client, and tells who does otherwise."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from collections.abc import Callable
from typing import Any

import aiosmtplib
import pytest

import smtplibaio
from smtplibaio.testing import Conversation, ScriptMismatch, stage
from smtplibaio.testing.script import CUTS, Cut, parse

SENDER = "a@x.example"
RECIPIENTS = ["b@y.example", "c@y.example"]

#: Up to the replies to MAIL, for a server without extensions.
OPENING = """
S: 220 mx.example
C: EHLO client.example
S: 250 mx.example
C: MAIL FROM:<a@x.example>
S: 250 ok
C: RCPT TO:<b@y.example>
S: 250 ok
C: RCPT TO:<c@y.example>
"""


def by_smtplib(server: Conversation) -> Any:
    where = (server.hostname, server.port, "client.example", 5)
    with smtplib.SMTP(*where) as client:
        return client.sendmail(SENDER, RECIPIENTS, b"hi\r\n")


async def by_aiosmtplib(server: Conversation) -> Any:
    async with aiosmtplib.SMTP(
        hostname=server.hostname,
        port=server.port,
        local_hostname="client.example",
        timeout=5,
        start_tls=False,
    ) as client:
        return (await client.sendmail(SENDER, RECIPIENTS, b"hi\r\n"))[0]


async def by_smtplibaio(server: Conversation) -> Any:
    async with smtplibaio.SMTP(server.hostname, server.port, "client.example") as smtp:
        return await smtp.sendmail(SENDER, RECIPIENTS, b"hi\r\n")


each_client = pytest.mark.parametrize(
    "send",
    [
        lambda server: asyncio.to_thread(by_smtplib, server),
        by_aiosmtplib,
        by_smtplibaio,
    ],
    ids=["smtplib", "aiosmtplib", "smtplibaio"],
)


@each_client
async def test_recipient_2_may_be_refused(send: Any) -> None:
    script = (
        OPENING
        + """
        S: 550 no such user
        C: DATA
        S: 354 go
        C: <content>
        S: 250 taken
        """
    )
    async with Conversation(join(script)) as server:
        refused = await send(server)
    ((recipient, reply),) = refused.items()
    assert recipient == RECIPIENTS[1]
    assert reply[0] == 550


@each_client
async def test_421_may_come_in_the_middle(send: Any) -> None:
    script = OPENING + "S: 421 4.3.2 going down\nS: <close>"
    async with Conversation(join(script)) as server:
        with pytest.raises(
            (
                smtplib.SMTPException,
                aiosmtplib.SMTPException,
                smtplibaio.SMTPConnectionLostError,
            )
        ):
            await send(server)


@each_client
@pytest.mark.parametrize("end", ["<close>", "<reset>"])
async def test_the_connection_may_be_lost_after_the_dot(send: Any, end: str) -> None:
    script = (
        OPENING
        + f"""
        S: 250 ok
        C: DATA
        S: 354 go
        C: hi
        C: .
        S: {end}
        """
    )
    async with Conversation(join(script)) as server:
        with pytest.raises(
            (
                smtplib.SMTPServerDisconnected,
                aiosmtplib.SMTPServerDisconnected,
                smtplibaio.SMTPDeliveryUnknownError,
                ConnectionError,
            )
        ):
            await send(server)


def join(script: str) -> str:
    return "\n".join(line.strip() for line in script.splitlines() if line.strip())


# What a client may not do

HELLO = """
    S: 220 hi
    C: NOOP <any>
    S: 250-ok
    S: 250 ok
    """


def talk(script: str, act: Callable[[socket.socket], object], **options: Any) -> None:
    """Play a script to a client that is a bare socket."""
    with Conversation(script, **options) as server:
        with socket.create_connection((server.hostname, server.port), 3) as sock:
            act(sock)


def noop(sock: socket.socket) -> None:
    with sock.makefile("rb") as lines:
        assert lines.readline() == b"220 hi\r\n"
        sock.sendall(b"noop x\r\n")
        assert lines.readline() == b"250-ok\r\n"
        assert lines.readline() == b"250 ok\r\n"


@pytest.mark.parametrize("cut", CUTS)
def test_a_client_may_keep_to_the_script_and_leave(cut: Cut) -> None:
    talk(HELLO, noop, cut=cut)


def test_a_client_may_say_quit_when_the_script_is_at_its_end() -> None:
    def leave(sock: socket.socket) -> None:
        noop(sock)
        sock.sendall(b"quit\r\n")
        assert sock.recv(100) == b"221 2.0.0 bye\r\n"
        assert sock.recv(100) == b""

    talk(HELLO, leave)


def test_who_is_silent_does_not_answer_quit() -> None:
    def leave(sock: socket.socket) -> None:
        noop(sock)
        sock.sendall(b"QUIT\r\n")
        sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            sock.recv(100)

    talk(HELLO + "S: <silence>", leave)


def says(*groups: bytes) -> Callable[[socket.socket], None]:
    """Be a client that says this, each group behind an answer, and listens on."""

    def say(sock: socket.socket) -> None:
        try:
            for group in groups:
                sock.recv(100)
                sock.sendall(group)
            while sock.recv(100):
                pass
        except ConnectionResetError:
            pass  # as a server may do that has found fault

    return say


@pytest.mark.parametrize(
    ("script", "act", "error"),
    [
        (
            HELLO,
            says(b"RSET\r\n"),
            "line 2       C: NOOP <any>\nthe client   C: .*RSET",
        ),
        (HELLO, says(b"noop x\r\nRSET\r\n"), "line 3  S: 250-ok\nbut first .*RSET"),
        (HELLO, says(b"noop x\r\n", b"RSET\r\n"), "after the last line\nthe cl.*RSET"),
        (HELLO, lambda _: None, "the client   C: <hangup>"),
        ("S: 220 hi\nC: <hangup>", says(b"RSET\r\n"), "C: <hangup>\nthe client .*RSET"),
        ("S: 220 hi\nC: <content>\nS: 250 ok", says(b""), "C: <any>\nthe .*<hangup>"),
    ],
)
def test_who_does_otherwise_fails_the_test(script: str, act: Any, error: str) -> None:
    def act_and_leave(sock: socket.socket) -> None:
        if "<content>" in script or "<hangup>" in script:
            sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                act(sock)
        else:
            act(sock)

    with pytest.raises(ScriptMismatch, match=f"(?s){error}"):
        talk(script, act_and_leave)


def test_who_hangs_up_in_time_keeps_to_the_script() -> None:
    talk("S: 220 hi\nC: <hangup>", lambda sock: sock.recv(100))


def test_content_is_any_lines_up_to_the_dot() -> None:
    script = "S: 354 go\nC: <content>\nS: 250 taken"

    def send(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(b"hi\r\n..\r\n.\r\n")
        assert sock.recv(100) == b"250 taken\r\n"

    talk(script, send)


def test_who_does_not_come_at_all_fails_the_test() -> None:
    with pytest.raises(ScriptMismatch, match="no client has connected"):
        with Conversation(HELLO):
            pass


async def test_who_stays_too_long_fails_the_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "_LIMIT", 0.05)
    with pytest.raises(ScriptMismatch, match=r"line 2  C: NOOP <any>\nthe client does"):
        async with Conversation(HELLO) as server:
            sock = socket.create_connection((server.hostname, server.port))
    sock.close()


def test_the_mismatch_is_told_and_not_what_the_client_makes_of_it() -> None:
    with pytest.raises(ScriptMismatch) as caught:
        with Conversation("S: 220 hi\nC: HELO x") as server:
            with smtplib.SMTP(server.hostname, server.port) as client:
                client.ehlo("x")
    assert isinstance(caught.value.__context__, smtplib.SMTPServerDisconnected)


def test_the_error_of_a_test_is_told_where_the_client_did_nothing_wrong() -> None:
    """Whoever leaves for an error is not waited for."""
    with pytest.raises(ZeroDivisionError):
        with Conversation(HELLO) as server:
            sock = socket.create_connection((server.hostname, server.port))
            sock.recv(100)
            raise ZeroDivisionError
    sock.close()


# TLS


def test_the_server_turns_to_tls() -> None:
    script = """
        S: 220 hi
        C: EHLO <any>
        S: 250-mx
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 go
        S: <starttls>
        C: EHLO <any>
        S: 250 mx
        """
    with Conversation(script) as server:
        assert server.url == f"smtp://127.0.0.1:{server.port}"
        with smtplib.SMTP(server.hostname, server.port) as client:
            client.starttls(context=server.tls_context)
            client.ehlo()


def test_who_wants_no_tls_with_the_server_has_an_error_of_its_own() -> None:
    script = "S: 220 hi\nC: STARTTLS\nS: 220 go\nS: <starttls>\nC: EHLO x\nS: 250 mx"
    with Conversation(script) as server:
        with socket.create_connection((server.hostname, server.port)) as sock:
            sock.recv(100)
            sock.sendall(b"STARTTLS\r\n")
            sock.recv(100)
            with pytest.raises(ssl.SSLCertVerificationError):
                ssl.create_default_context().wrap_socket(sock, server_hostname="x")


def test_tls_may_be_on_from_the_first_octet_on() -> None:
    with Conversation("S: 220 hi\nC: NOOP\nS: 250 ok", tls=True) as server:
        assert server.url == f"smtps://127.0.0.1:{server.port}"
        where = (server.hostname, server.port)
        with smtplib.SMTP_SSL(*where, context=server.tls_context) as client:
            assert client.noop() == (250, b"ok")


# Scripts


def test_a_script_that_cannot_be_read_says_where() -> None:
    with pytest.raises(ValueError, match=r"line 2 .* neither S: nor C: 'X: hi'"):
        parse("S: 220 hi\nX: hi")
    with pytest.raises(ValueError, match=r"line 1 .* direction: <clsoe>; .*<close>"):
        parse("S: <clsoe>")


def test_a_line_of_content_may_look_like_a_direction() -> None:
    (turn,) = parse("C: <html>\nC: <starttls>\nC:")
    assert turn.lines == ["<html>", "<starttls>", ""]
    assert turn.direction is None
