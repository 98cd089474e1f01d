"""No octet of the caller's becomes a command: every character in every argument."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from conversation import client

from smtplibaio import SMTP, Pipeline, SMTPArgumentError, SMTPException

#: Line ends, every control character, and what some software takes for a line end.
CHARACTERS = [
    "\r\n",
    *map(chr, range(0x20)),
    "\x7f",
    *map(chr, range(0x80, 0xA0)),
    "\u2028",
    "\u2029",
]

#: What an attacker would have behind it.
PAYLOAD = "RCPT TO:<evil@x.example>"

#: Where in a harmless argument: before, within, behind; alone, or with the payload.
PLACES = ["{c}{text}", "{head}{c}{tail}", "{text}{c}", "{text}{c}{payload}{c}"]

SENDER, RECIPIENT = "a@x.example", "b@y.example"


def poisoned(text: str) -> Iterator[str]:
    """Put every character everywhere into a harmless argument."""
    middle = len(text) // 2
    for c in CHARACTERS:
        for place in PLACES:
            yield place.format(
                c=c, text=text, head=text[:middle], tail=text[middle:], payload=PAYLOAD
            )


class Recorder:
    """A transport that records what is written, and passes it on."""

    def __init__(self, transport: Any) -> None:
        self.writes: list[bytes] = []
        self._transport = transport

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@contextmanager
def recorded(smtp: SMTP) -> Iterator[list[bytes]]:
    """Record what a client writes."""
    protocol = smtp._connection.session.protocol
    assert protocol is not None
    recorder = Recorder(protocol.transport)
    protocol.transport = recorder  # type: ignore[assignment]
    yield recorder.writes
    protocol.transport = recorder._transport


Case = Callable[[SMTP, str], Awaitable[object]]

MAILBOXES = [
    SENDER,
    '"a b"@x.example',
    '"a\\"b"@x.example',
    "a@[192.0.2.1]",
    "a@[IPv6:::1]",
    "a@[IPv6:fe80::1%eth0]",
    "a@[x-tag:content]",
    "\u00fc@b\u00fccher.example",
]

PARAMETERS_OF_MAIL = [
    "SIZE=1000",
    "BODY=8BITMIME",
    "RET=HDRS",
    "ENVID=QQ314159",
    "AUTH=<>",
    "BY=120;R",
    "HOLDFOR=60",
    "MT-PRIORITY=3",
    "REQUIRETLS",
    "SMTPUTF8",
    "XANY=thing",
]
PARAMETERS_OF_RCPT = ["NOTIFY=NEVER", "ORCPT=rfc822;b@y.example", "XANY=thing"]

CASES: dict[str, tuple[list[str], Case]] = {
    "mail": (MAILBOXES, lambda smtp, x: smtp.mail(x)),
    "mail-options": (
        PARAMETERS_OF_MAIL,
        lambda smtp, x: smtp.mail(SENDER, ["XFINE", x]),
    ),
    "rcpt": ([*MAILBOXES, "postmaster"], lambda smtp, x: smtp.rcpt(x)),
    "rcpt-options": (
        PARAMETERS_OF_RCPT,
        lambda smtp, x: smtp.rcpt(RECIPIENT, ["XFINE", x]),
    ),
    "vrfy": (["b", RECIPIENT], lambda smtp, x: smtp.vrfy(x)),
    "expn": (["staff"], lambda smtp, x: smtp.expn(x)),
    "help": (["MAIL", ""], lambda smtp, x: smtp.help(x)),
    "noop": (["text", ""], lambda smtp, x: smtp.noop(x)),
    "ehlo": (["client.example", "[192.0.2.1]"], lambda smtp, x: smtp.ehlo(x)),
    "helo": (["client.example", "[IPv6:::1]"], lambda smtp, x: smtp.helo(x)),
    "command-verb": (["XVERB"], lambda smtp, x: smtp.command(x)),
    "command-argument": (
        ["argument", ""],
        lambda smtp, x: smtp.command("XVERB", "fine", x),
    ),
    "sendmail-sender": (MAILBOXES, lambda smtp, x: smtp.sendmail(x, RECIPIENT, "hi")),
    "sendmail-recipient": (
        MAILBOXES,
        lambda smtp, x: smtp.sendmail(SENDER, x, "hi"),
    ),
    "sendmail-recipients": (
        MAILBOXES,
        lambda smtp, x: smtp.sendmail(SENDER, [RECIPIENT, x], "hi"),
    ),
    "sendmail-mail_options": (
        PARAMETERS_OF_MAIL,
        lambda smtp, x: smtp.sendmail(SENDER, RECIPIENT, "hi", ["XFINE", x]),
    ),
    "sendmail-rcpt_options": (
        PARAMETERS_OF_RCPT,
        lambda smtp, x: smtp.sendmail(SENDER, RECIPIENT, "hi", (), ["XFINE", x]),
    ),
}


@pytest.mark.parametrize(
    ("texts", "call"),
    [pytest.param(*case, id=f"A01-{name}") for name, case in CASES.items()],
)
async def test_no_character_passes_any_argument(texts: list[str], call: Case) -> None:
    async with client("""
        S: 220 hi
        C: NOOP
        S: 250 ok
        """) as smtp:
        with recorded(smtp) as writes:
            for argument in (x for text in texts for x in poisoned(text)):
                with pytest.raises(SMTPArgumentError):
                    await call(smtp, argument)
                assert writes == [], argument
        await smtp.noop()


OnPipeline = Callable[[Pipeline, str], object]

ON_PIPELINE: dict[str, tuple[list[str], OnPipeline]] = {
    "mail": (MAILBOXES, lambda p, x: p.mail(x)),
    "mail-options": (PARAMETERS_OF_MAIL, lambda p, x: p.mail(SENDER, ["XFINE", x])),
    "rcpt": (MAILBOXES, lambda p, x: p.rcpt(x)),
    "rcpt-options": (PARAMETERS_OF_RCPT, lambda p, x: p.rcpt(RECIPIENT, ["XFINE", x])),
    "vrfy": (["b"], lambda p, x: p.vrfy(x)),
    "expn": (["staff"], lambda p, x: p.expn(x)),
    "help": (["MAIL"], lambda p, x: p.help(x)),
    "noop": (["text"], lambda p, x: p.noop(x)),
    "command-verb": (["XVERB"], lambda p, x: p.command(x)),
    "command-argument": (["argument"], lambda p, x: p.command("XVERB", x)),
}

INTRODUCED = """
    S: 220 hi
    C: EHLO client.example
    S: 250-mx
    S: 250-AUTH PLAIN LOGIN CRAM-MD5
    S: 250-SMTPUTF8
    S: 250 PIPELINING
    C: NOOP
    S: 250 ok
    """


@pytest.mark.parametrize(
    ("texts", "call"),
    [pytest.param(*case, id=f"A01-{name}") for name, case in ON_PIPELINE.items()],
)
async def test_no_character_passes_a_pipeline(
    texts: list[str], call: OnPipeline
) -> None:
    async with client(INTRODUCED) as smtp, smtp.pipeline() as pipeline:
        with recorded(smtp) as writes:
            for argument in (x for text in texts for x in poisoned(text)):
                with pytest.raises(SMTPArgumentError):
                    call(pipeline, argument)
            await pipeline._protocol.settled()
            assert writes == []
        await pipeline.noop()


@pytest.mark.parametrize("name", ["vrfy", "expn"])
async def test_no_character_passes_where_utf8_does(name: str) -> None:
    """A01: SMTPUTF8 opens the gate for text, and for nothing else."""
    async with client(INTRODUCED) as smtp:
        await smtp.ehlo()
        with recorded(smtp) as writes:
            for argument in poisoned("\u00fcber"):
                with pytest.raises(SMTPArgumentError):
                    await getattr(smtp, name)(argument)
            assert writes == []
        await smtp.noop()


@pytest.mark.parametrize(
    "recipient",
    [
        "b@[IPv6:::1%> NOTIFY=NEVER]",
        "b@[IPv6:::1%>]",
        "b@[IPv6:fe80::1%\u00fc]",
        "b@y.example> NOTIFY=NEVER",
        "b> NOTIFY=NEVER <c@y.example",
        "<b@y.example> NOTIFY=NEVER",
        "Bob <b@y.example> NOTIFY=NEVER>",
        "root> NOTIFY=NEVER",
        "root NOTIFY=NEVER",
        "b@y.example SIZE=1",
    ],
)
async def test_no_address_ends_its_own_path(recipient: str) -> None:
    """A01: behind ">" the rest would be parameters, on the very line."""
    async with client("""
        S: 220 hi
        C: NOOP
        S: 250 ok
        """) as smtp:
        with recorded(smtp) as writes:
            for call in (
                partial(smtp.rcpt, recipient),
                partial(smtp.mail, recipient),
                partial(smtp.sendmail, SENDER, recipient, "hi"),
                partial(smtp.sendmail, recipient, RECIPIENT, "hi"),
            ):
                with pytest.raises(SMTPArgumentError):
                    await call()
            assert writes == []
        await smtp.noop()


@pytest.mark.parametrize(
    "option",
    [
        "",
        " ",
        "A B",
        "SIZE=1 RET=FULL",
        "=1",
        "SIZE=",
        "SIZE=1=2",
        "-A",
        "A_B",
        None,
        1,
    ],
)
async def test_no_option_is_more_than_one(option: Any) -> None:
    """A01: a parameter is a keyword, perhaps with a value, without blanks."""
    async with client("""
        S: 220 hi
        C: NOOP
        S: 250 ok
        """) as smtp:
        with recorded(smtp) as writes:
            for call in (
                partial(smtp.mail, SENDER, [option]),
                partial(smtp.rcpt, RECIPIENT, [option]),
                partial(smtp.sendmail, SENDER, RECIPIENT, "hi", [option]),
                partial(smtp.sendmail, SENDER, RECIPIENT, "hi", [], [option]),
            ):
                with pytest.raises(SMTPArgumentError):
                    await call()
            assert writes == []
        await smtp.noop()


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("u\0ser", "password"),
        ("user", "pass\0word"),
        (b"\0", b"p"),
        ("", "p"),
        ("u", ""),
    ],
)
@pytest.mark.parametrize("mechanisms", [None, ["PLAIN"], ["LOGIN"], ["CRAM-MD5"]])
async def test_a_nul_in_a_credential_writes_nothing(
    username: str, password: str, mechanisms: list[str] | None
) -> None:
    """A01: PLAIN takes it for a border; not even EHLO goes out for it."""
    async with client("""
        S: 220 hi
        C: NOOP
        S: 250 ok
        """) as smtp:
        with recorded(smtp) as writes:
            with pytest.raises(SMTPArgumentError, match="NUL"):
                await smtp.auth(username, password, mechanisms=mechanisms)
            assert writes == []
        await smtp.noop()


async def test_a_mechanism_is_no_command_line() -> None:
    """A01: the name of a caller's own mechanism, with what the server offers."""

    class Evil:
        name = ""
        done = True

        def start(self) -> bytes | None:
            return None

        def next(self, challenge: bytes) -> bytes:
            return b""

    async with client(INTRODUCED) as smtp:
        await smtp.ehlo()
        with recorded(smtp) as writes:
            for name in poisoned("PLAIN"):
                mechanism = Evil()
                mechanism.name = name
                with pytest.raises(SMTPException):
                    await smtp.authenticate(mechanism)
            assert writes == []
        await smtp.noop()


@pytest.mark.parametrize("verb", ["DATA", "quit", "MAIL", "Bdat", "AUTH", "StartTLS"])
async def test_a_command_that_has_a_method_is_no_other_command(verb: str) -> None:
    """A01: what it would begin, nobody would go on with."""
    async with client(INTRODUCED) as smtp:
        await smtp.ehlo()
        with recorded(smtp) as writes:
            with pytest.raises(SMTPArgumentError, match="method of its own"):
                await smtp.command(verb)
            assert writes == []
        await smtp.noop()


async def test_credentials_travel_in_base64_whatever_they_are() -> None:
    """A01: a line end in a password is a part of it."""
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 AUTH PLAIN
        C: AUTH PLAIN AHUADQpOT09QDQo=
        S: 235 ok
        """) as smtp:
        await smtp.auth("u", "\r\nNOOP\r\n")
