"""`SMTPServer` takes mail from every client, and strikes as it is told."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from typing import Any

import aiosmtplib
import pytest

import smtplibaio
from smtplibaio.testing import Fault, SMTPServer

SENDER = "a@x.example"
RECIPIENTS = ["b@y.example", "c@y.example", "d@y.example"]
CONTENT = "Subject: hi\r\n\r\n.\r\nfor \xfcou\r\n".encode()


# Three clients send the same mail; each gives the recipients that were refused, or
# raises what it does.


def by_smtplib(server: SMTPServer) -> dict[str, int]:
    make: Any = smtplib.SMTP
    options: dict[str, Any] = {}
    if server.url.startswith("smtps:"):
        make, options = smtplib.SMTP_SSL, {"context": server.tls_context}
    with make(server.hostname, server.port, timeout=5, **options) as client:
        if "starttls" in server.url:
            client.starttls(context=server.tls_context)
        if "@" in server.url:
            client.login(server.username, server.password)
        refused = client.sendmail(SENDER, RECIPIENTS, CONTENT)
    return {recipient: code for recipient, (code, _) in refused.items()}


async def by_smtplib_in_a_thread(server: SMTPServer) -> dict[str, int]:
    return await asyncio.to_thread(by_smtplib, server)


async def by_aiosmtplib(server: SMTPServer) -> dict[str, int]:
    async with aiosmtplib.SMTP(
        hostname=server.hostname,
        port=server.port,
        timeout=5,
        use_tls=server.url.startswith("smtps:"),
        start_tls="starttls" in server.url,
        tls_context=server.tls_context,
        username=server.username if "@" in server.url else None,
        password=server.password if "@" in server.url else None,
    ) as client:
        refused, _ = await client.sendmail(SENDER, RECIPIENTS, CONTENT)
    return {recipient: code for recipient, (code, _) in refused.items()}


async def by_smtplibaio(server: SMTPServer) -> dict[str, int]:
    make: Any = smtplibaio.SMTP
    options: dict[str, Any] = {"tls_context": server.tls_context}
    if server.url.startswith("smtps:"):
        make, options = smtplibaio.SMTP_SSL, {"context": server.tls_context}
    if "starttls" in server.url:
        options["starttls"] = "required"
    if "@" in server.url:
        options |= {"username": server.username, "password": server.password}
    async with make(server.hostname, server.port, timeout=5, **options) as client:
        refused = await client.sendmail(SENDER, RECIPIENTS, CONTENT)
    return {recipient: reply.code for recipient, reply in refused.items()}


Send = Callable[[SMTPServer], Awaitable[dict[str, int]]]
each_client = pytest.mark.parametrize(
    "send",
    [by_smtplib_in_a_thread, by_aiosmtplib, by_smtplibaio],
    ids=["smtplib", "aiosmtplib", "smtplibaio"],
)


# Taking mail


@each_client
@pytest.mark.parametrize("auth", [False, True])
@pytest.mark.parametrize("way", ["plain", "tls", "starttls"])
async def test_a_mail_is_kept_as_it_was_sent(send: Send, way: str, auth: bool) -> None:
    with SMTPServer(tls=way == "tls", starttls=way == "starttls", auth=auth) as server:
        assert await send(server) == {}
        (mail,) = server.messages
    assert mail.sender == SENDER
    assert mail.recipients == RECIPIENTS
    assert mail.content == CONTENT
    assert mail.is_encrypted is (way != "plain")
    assert mail.username == (server.username if auth else None)


async def test_the_url_says_how_to_connect_and_to_log_in() -> None:
    async with SMTPServer() as server:
        assert server.url == f"smtp://127.0.0.1:{server.port}"
        assert server.tls_context.check_hostname
    with SMTPServer(tls=True, auth=True, username="a@x", password="/s") as server:
        assert server.url == f"smtps://a%40x:%2Fs@127.0.0.1:{server.port}"
    with SMTPServer(starttls=True) as server:
        assert server.url == f"smtp://127.0.0.1:{server.port}?starttls=required"


def test_a_message_is_parsed() -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, RECIPIENTS[0], "Grüße"
    message.set_content("hi\n")
    with (
        SMTPServer() as server,
        smtplib.SMTP(server.hostname, server.port) as client,
    ):
        client.send_message(message)
        (mail,) = server.messages
    assert mail.message["Subject"] == "Grüße"
    assert mail.message.get_content() == "hi\n"
    assert "hi" not in repr(mail)


def test_paths_and_parameters_are_kept_as_they_were_spelt() -> None:
    options = ["SIZE=9", "BODY=8BITMIME", "ENVID=AbC"]
    with (
        SMTPServer() as server,
        smtplib.SMTP(server.hostname, server.port) as client,
    ):
        client.ehlo()
        client.mail("", options)
        client.rcpt('"a>b"@y.example', ["NOTIFY=NEVER"])
        client.rcpt("b@y.example")
        client.data(b"hi\r\n")
        (mail,) = server.messages
    assert mail.sender == ""
    assert mail.recipients == ['"a>b"@y.example', "b@y.example"]
    assert mail.mail_options == options
    assert mail.rcpt_options == [["NOTIFY=NEVER"], []]


def test_what_is_no_path_is_refused() -> None:
    with (
        SMTPServer() as server,
        smtplib.SMTP(server.hostname, server.port) as client,
    ):
        client.ehlo()
        assert client.docmd("MAIL")[0] == 501
        assert client.docmd("MAIL a@x.example")[0] == 501


def test_the_extensions_are_those_that_were_asked_for() -> None:
    with (
        SMTPServer(extensions=["size 1000", "XFOO bar"]) as server,
        smtplib.SMTP(server.hostname, server.port) as client,
    ):
        client.ehlo()
        assert client.esmtp_features == {
            "size": "1000",
            "8bitmime": "",
            "xfoo": "BAR",
            "help": "",
        }
        assert client.mail(SENDER, ["SIZE=1001"])[0] == 552
    with (
        SMTPServer(extensions=()) as server,
        smtplib.SMTP(server.hostname, server.port) as client,
    ):
        client.ehlo()
        assert client.mail(SENDER, ["RET=HDRS"])[0] == 555


@pytest.mark.parametrize("keyword", ["chunking", "AUTH PLAIN", "STARTTLS"])
def test_no_extension_is_announced_that_cannot_be_kept(keyword: str) -> None:
    with pytest.raises(ValueError, match=f"announce {keyword.upper().split()[0]} "):
        SMTPServer(extensions=[keyword])


# Login


def test_without_a_login_no_mail_is_taken() -> None:
    with (
        SMTPServer(auth=True) as server,
        smtplib.SMTP(server.hostname, server.port) as client,
    ):
        client.ehlo()
        assert client.mail(SENDER)[0] == 530
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(server.username, "wrong")
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("bob", server.password)
        assert client.mail(SENDER)[0] == 530
        client.login(server.username, server.password)
        assert client.mail(SENDER)[0] == 250


def test_a_login_may_be_offered_only() -> None:
    with (
        SMTPServer(auth="offered") as server,
        smtplib.SMTP(server.hostname, server.port) as client,
    ):
        assert f"alice:open%20sesame@{server.hostname}" in server.url
        client.ehlo()
        assert client.has_extn("auth")
        client.mail(SENDER)
        client.rcpt(RECIPIENTS[0])
        assert client.data(b"hi") == (250, b"2.0.0 stored as message 1")
        client.login(server.username, server.password)
        client.sendmail(SENDER, RECIPIENTS[0], b"hi")
        assert [mail.username for mail in server.messages] == [None, "alice"]


def test_who_wants_no_login_offers_none() -> None:
    with (
        SMTPServer() as server,
        smtplib.SMTP(server.hostname, server.port) as client,
    ):
        client.ehlo()
        assert not client.has_extn("auth")
        assert client.docmd("AUTH PLAIN AGEAYg==")[0] == 502


def test_behind_starttls_only_the_login_is_offered() -> None:
    with (
        SMTPServer(starttls=True, auth=True) as server,
        smtplib.SMTP(server.hostname, server.port) as client,
    ):
        client.ehlo()
        assert not client.has_extn("auth")
        assert client.docmd("AUTH PLAIN AGEAYg==")[0] == 538
        client.starttls(context=server.tls_context)
        client.ehlo()
        assert client.has_extn("auth")


def test_a_client_that_wants_no_tls_with_the_server_is_no_fault_of_the_test() -> None:
    with (
        SMTPServer(starttls=True) as server,
        smtplib.SMTP(server.hostname, server.port) as client,
    ):
        with pytest.raises(ssl.SSLCertVerificationError):
            client.starttls(context=ssl.create_default_context())


# Other replies, and faults


async def outcome(send: Send, server: SMTPServer) -> dict[str, int] | str:
    """Send a mail; give the recipients that were refused, or what the client says."""
    try:
        return await send(server)
    except (
        smtplib.SMTPServerDisconnected,
        aiosmtplib.SMTPServerDisconnected,
        smtplibaio.SMTPDeliveryUnknownError,
        ConnectionError,
    ):
        return "lost"
    except smtplib.SMTPRecipientsRefused:
        return "lost"  # which is how smtplib reports 421


@each_client
async def test_recipient_2_may_be_refused(send: Send) -> None:
    async with SMTPServer(reply={"RCPT": [None, "550 5.1.1 no such user"]}) as server:
        assert await outcome(send, server) == {RECIPIENTS[1]: 550}
        (mail,) = server.messages
    assert mail.recipients == [RECIPIENTS[0], RECIPIENTS[2]]


@each_client
async def test_a_mailbox_may_be_refused_by_name(send: Send) -> None:
    table = {"RCPT": None, f"rcpt to:<{RECIPIENTS[2]}": "550-5.1.1 no\n550 such user"}
    async with SMTPServer(reply=table) as server:
        assert await outcome(send, server) == {RECIPIENTS[2]: 550}
        assert await outcome(send, server) == {RECIPIENTS[2]: 550}
        assert server.reply is table


@each_client
async def test_421_may_come_in_the_middle(send: Send) -> None:
    async with SMTPServer(reply={"RCPT": [None, "421 4.3.2 going down"]}) as server:
        assert await outcome(send, server) == "lost"
        assert server.messages == []


@each_client
async def test_the_connection_may_be_lost_after_the_dot(send: Send) -> None:
    """A client that sends this mail again doubles it."""
    async with SMTPServer(reply={"DATA": Fault.CLOSE_AFTER_DOT}) as server:
        assert await outcome(send, server) == "lost"
        await server.wait_for(1)
        server.clear()
        server.reply = {".": Fault.CLOSE_AFTER_DOT}
        assert await outcome(send, server) == "lost"
        assert len(await server.wait_for(1)) == 1


@each_client
@pytest.mark.parametrize("fault", [Fault.CLOSE, Fault.RESET])
@pytest.mark.parametrize("command", ["CONNECT", "MAIL", "RCPT", "DATA", "."])
async def test_the_connection_may_end_in_place_of_a_reply(
    send: Send, command: str, fault: Fault
) -> None:
    async with SMTPServer(reply={command: fault}) as server:
        assert await outcome(send, server) == "lost"
        assert server.messages == []


@each_client
async def test_the_connection_may_be_lost_within_the_content(send: Send) -> None:
    async with SMTPServer(reply={"DATA": Fault.CLOSE_IN_CONTENT}) as server:
        assert await outcome(send, server) == "lost"
        assert server.messages == []
        server.reply = {".": Fault.CLOSE_IN_CONTENT}
        assert await outcome(send, server) == "lost"
        assert server.messages == []


async def test_a_server_may_fall_silent() -> None:
    async with SMTPServer(reply={"RCPT": Fault.SILENCE}) as server:
        client = smtplibaio.SMTP(server.hostname, server.port, timeout=0.1)
        async with client:
            with pytest.raises(smtplibaio.SMTPTimeoutError):
                await client.sendmail(SENDER, RECIPIENTS, CONTENT)


def test_the_server_need_not_be_left_before_it_stops() -> None:
    with SMTPServer(reply={"NOOP": Fault.SILENCE}) as server:
        idle = socket.create_connection((server.hostname, server.port))
        silent = socket.create_connection((server.hostname, server.port))
        silent.sendall(b"NOOP\r\n")
        assert idle.recv(100) == b"220 mx.example ESMTP at your service\r\n"
        assert silent.recv(100) == b"220 mx.example ESMTP at your service\r\n"
    for sock in (idle, silent):
        with sock, pytest.raises(ConnectionResetError):
            assert sock.recv(1) == b""
            raise ConnectionResetError  # an end is as good


def test_a_reply_that_accepts_changes_the_text_only() -> None:
    table = {
        "CONNECT": "220 welcome",
        "EHLO": "250-hi\n250 XFOO",
        "MAIL": "251 we forward",
        "AUTH": "235 come in",
        "DATA": "354 go",
        ".": "250 2.0.0 queued as 4711",
        "XFOO": "299 foo",
        "QUIT": "221 so long",
    }
    with (
        SMTPServer(reply=table, auth=True) as server,
        smtplib.SMTP() as client,
    ):
        assert client.connect(server.hostname, server.port) == (220, b"welcome")
        assert client.ehlo() == (250, b"hi\nXFOO")
        assert client.mail(SENDER) == (530, b"5.7.0 log in first")
        assert client.docmd("AUTH PLAIN AGEAYg==")[0] == 535
        client.esmtp_features["auth"] = "PLAIN"
        assert client.login(server.username, server.password) == (235, b"come in")
        assert client.docmd("RCPT", "TO:<b@y.example>")[0] == 503
        assert client.mail(SENDER) == (251, b"we forward")
        assert client.rcpt(RECIPIENTS[0]) == (250, b"2.1.5 recipient ok")
        assert client.data(b"hi\r\n") == (250, b"2.0.0 queued as 4711")
        assert client.docmd("xfoo", "bar") == (299, b"foo")
        assert client.docmd("XBAR")[0] == 500
        assert client.quit() == (221, b"so long")
        assert len(server.messages) == 1


def test_a_function_answers_each_command() -> None:
    asked: list[str] = []

    def reply(command: str) -> str | None:
        asked.append(command)
        return {"NOOP": "450 no", ".": "554 5.7.1 spam"}.get(command)

    with (
        SMTPServer(reply=reply) as server,
        smtplib.SMTP(server.hostname, server.port, "client.example") as client,
    ):
        assert client.docmd("noop") == (450, b"no")
        with pytest.raises(smtplib.SMTPDataError):
            client.sendmail(SENDER, RECIPIENTS[0], b"hi")
        assert server.messages == []
    assert asked == [
        "CONNECT",
        "NOOP",
        "EHLO client.example",
        "MAIL FROM:<a@x.example> size=2",
        "RCPT TO:<b@y.example>",
        "DATA",
        ".",
        "RSET",
        "QUIT",
    ]


@pytest.mark.parametrize(
    ("command", "answer", "error"),
    [
        ("CONNECT", 550, "reply= gives 550 for 'CONNECT': give a text"),
        ("NOOP", 550, "reply= gives 550 for 'NOOP': give a text"),
        ("NOOP", [550], "reply= gives 550 for 'NOOP': give a text"),
        ("NOOP", "550 \udcff", "surrogates not allowed"),
    ],
)
def test_what_is_wrong_with_a_rule_is_raised_in_the_end(
    command: str, answer: Any, error: str
) -> None:
    wrong: Any = {command: answer}
    with pytest.raises((TypeError, UnicodeEncodeError), match=error):
        with SMTPServer(reply=wrong) as server, smtplib.SMTP() as client:
            if command == "CONNECT":
                assert client.connect(server.hostname, server.port)[0] == 451
            else:
                client.connect(server.hostname, server.port)
                assert client.noop()[0] == 451


# Waiting


async def test_one_can_wait_for_mail() -> None:
    async with SMTPServer() as server:
        sending = [asyncio.create_task(by_smtplibaio(server)) for _ in range(3)]
        first, all_three = await asyncio.gather(server.wait_for(1), server.wait_for(3))
        assert len(first) >= 1
        assert len(all_three) == 3
        assert await server.wait_for(2) == all_three
        await asyncio.gather(*sending)
        with pytest.raises(TimeoutError, match=r"3 of 4 mails .* within 0.01 sec"):
            await server.wait_for(4, 0.01)
        server.clear()
        assert server.messages == []


async def test_nobody_is_told_of_mail_who_waits_no_more() -> None:
    async with SMTPServer() as server:
        waiting = asyncio.create_task(server.wait_for(1))
        await asyncio.sleep(0)
        by_smtplib(server)  # the loop is to hear of the mail at its next step
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


# The thread


def test_a_client_need_not_have_made_tls_before_the_server_stops() -> None:
    with SMTPServer(tls=True) as server:
        sock = socket.create_connection((server.hostname, server.port))
        by_smtplib(server)  # the server has seen both
    with sock:
        assert sock.recv(1) == b""


def test_no_thread_is_left() -> None:
    before = threading.active_count()
    with SMTPServer() as server:
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.hostname, server.port))


def test_what_keeps_the_server_from_listening_is_raised() -> None:
    server = SMTPServer()
    server.hostname = "192.0.2.1"
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        server.start()


async def test_the_error_of_a_test_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        async with SMTPServer():
            raise ZeroDivisionError
