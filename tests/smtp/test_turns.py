"""How often a session waits for its server: in turns, each a time of the link."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Iterable

from conversation import client, parse

from smtplibaio import SMTP, SMTP_SSL, Mail

GREETING = ["S: 220 hi"]
EHLO = [
    "C: EHLO client.example",
    "S: 250-mx",
    "S: 250-PIPELINING",
    "S: 250-CHUNKING",
    "S: 250 AUTH PLAIN",
]
PLAIN = b64encode(b"\0alice\0secret").decode()
AUTH = [f"C: AUTH PLAIN {PLAIN}", "S: 235 welcome"]
LOGIN = {"username": "alice", "password": "secret"}


def group(n: int, recipients: int = 1) -> list[str]:
    rcpts = [f"C: RCPT TO:<r{i}@y.example>" for i in range(recipients)]
    return [f"C: MAIL FROM:<s{n}@x.example>", *rcpts, "C: DATA"]


def go_ahead(recipients: int = 1) -> list[str]:
    return ["S: 250 ok"] * (1 + recipients) + ["S: 354 go"]


CONTENT = ["C: hi", "C: ."]
TAKEN = ["S: 250 taken"]


def mail(n: int) -> Mail:
    return Mail("hi", f"s{n}@x.example", "r0@y.example")


def turns(script: Iterable[str]) -> int:
    """Count them: TCP's own, and one each time that the client listens."""
    spoken = parse("\n".join(script))
    return 1 + sum(turn.voice == "S" for turn in spoken)


async def send_one(smtp: SMTP, recipients: int = 1) -> None:
    names = [f"r{i}@y.example" for i in range(recipients)]
    assert not await smtp.sendmail("s0@x.example", names, "hi")


async def test_one_message_takes_five_turns() -> None:
    """TCP, greeting, EHLO, group, content; nobody waits for the reply to QUIT."""
    script = [*GREETING, *EHLO, *group(0), *go_ahead(), *CONTENT, *TAKEN]
    assert turns(script) == 5
    async with client("\n".join(script)) as smtp:
        await send_one(smtp)


async def test_a_hundred_recipients_take_no_more() -> None:
    script = [*GREETING, *EHLO, *group(0, 100), *go_ahead(100), *CONTENT, *TAKEN]
    assert turns(script) == 5
    async with client("\n".join(script)) as smtp:
        await send_one(smtp, 100)


async def test_starttls_and_a_login_take_four_turns_more(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    plain = [*GREETING, "C: EHLO client.example", "S: 250-mx", "S: 250 STARTTLS"]
    starttls = ["C: STARTTLS", "S: 220 go", "S: <starttls>"]
    mailing = [*group(0), *go_ahead(), *CONTENT, *TAKEN]
    script = [*plain, *starttls, *EHLO, *AUTH, *mailing]
    assert turns(script) == 9
    async with client(
        "\n".join(script),
        tls=server_tls,
        starttls="required",
        tls_context=client_tls,
        server_hostname="localhost",
        **LOGIN,
    ) as smtp:
        await send_one(smtp)


async def test_implicit_tls_and_a_login_take_two_turns_more(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    script = [*GREETING, *EHLO, *AUTH, *group(0), *go_ahead(), *CONTENT, *TAKEN]
    assert 1 + turns(script) == 7  # with the handshake
    async with client(
        "\n".join(script),
        make=SMTP_SSL,
        tls=server_tls,
        implicit_tls=True,
        context=client_tls,
        server_hostname="localhost",
        **LOGIN,
    ) as smtp:
        await send_one(smtp)


async def test_a_message_takes_two_turns_with_sendmail() -> None:
    script = [*GREETING, *EHLO]
    for n in range(100):
        script += [*group(n), *go_ahead(), *CONTENT, *TAKEN]
    assert turns(script) == 203
    async with client("\n".join(script)) as smtp:
        for n in range(100):
            assert not await smtp.sendmail(f"s{n}@x.example", "r0@y.example", "hi")


async def test_a_message_takes_one_turn_in_a_run() -> None:
    script = [*GREETING, *EHLO, *group(0), *go_ahead()]
    for n in range(1, 100):
        script += [*CONTENT, "C: RSET", *group(n), *TAKEN, "S: 250 ok", *go_ahead()]
    script += [*CONTENT, *TAKEN]
    assert turns(script) == 104
    async with client("\n".join(script)) as smtp:
        outcomes = [o async for o in smtp.send_many(map(mail, range(100)))]
    assert [o.status for o in outcomes] == ["accepted"] * 100


async def test_many_messages_share_a_turn_in_a_window() -> None:
    script = [*GREETING, *EHLO]
    for start in range(0, 100, 32):
        batch = range(start, min(start + 32, 100))
        for n in batch:
            script += ["C: RSET"] * (n > start)
            script += [*group(n)[:-1], "C: BDAT 4 LAST", "C: hi"]
        script += ["S: 250 ok"] * (4 * len(batch) - 1)
    assert turns(script) == 7
    async with client("\n".join(script)) as smtp:
        outcomes = [o async for o in smtp.send_many(map(mail, range(100)), window=32)]
    assert [o.status for o in outcomes] == ["accepted"] * 100
