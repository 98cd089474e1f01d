"""How commands are spelt, and that nothing else gets onto their line."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtplibaio.exceptions import SMTPArgumentError
from smtplibaio.grammar import commands

many = settings(deadline=None, max_examples=300)

#: C0, DEL, C1, and the two separators that some software takes for line ends.
CONTROLS = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029"]

#: Everything that puts a caller's text on a line.
GATES: dict[str, Callable[[str], bytes]] = {
    "EHLO": commands.ehlo,
    "HELO": commands.helo,
    "MAIL": commands.mail,
    "MAIL-option": lambda text: commands.mail("a@b.example", [text]),
    "RCPT": commands.rcpt,
    "RCPT-option": lambda text: commands.rcpt("a@b.example", [text]),
    "VRFY": commands.vrfy,
    "VRFY-utf8": lambda text: commands.vrfy(text, utf8=True),
    "EXPN": commands.expn,
    "EXPN-utf8": lambda text: commands.expn(text, utf8=True),
    "NOOP": commands.noop,
    "HELP": commands.help_,
    "AUTH": commands.auth,
    "AUTH-response": lambda text: commands.auth(
        "PLAIN", text.encode("utf-8", "replace")
    ),
    "verb": commands.other,
    "argument": lambda text: commands.other("XTRA", "one", text),
    "line": lambda text: commands.command_line("XTRA", text, utf8=True),
}

#: Those whose text is not encoded on its way.
OPEN_GATES = {name: gate for name, gate in GATES.items() if name != "AUTH-response"}

gates = pytest.mark.parametrize("gate", OPEN_GATES.values(), ids=OPEN_GATES.keys())


# Spelling


@pytest.mark.parametrize(
    ("spell", "spelt"),
    [
        (lambda: commands.ehlo("client.example"), b"EHLO client.example\r\n"),
        (lambda: commands.helo("client.example"), b"HELO client.example\r\n"),
        (lambda: commands.lhlo("client.example"), b"LHLO client.example\r\n"),
        (lambda: commands.mail("a@b.example"), b"MAIL FROM:<a@b.example>\r\n"),
        (lambda: commands.mail(""), b"MAIL FROM:<>\r\n"),
        (
            lambda: commands.mail("a@b.example", ("SIZE=9", "BODY=8BITMIME")),
            b"MAIL FROM:<a@b.example> SIZE=9 BODY=8BITMIME\r\n",
        ),
        (
            lambda: commands.mail("j\u00f3@b.example", ("SMTPUTF8",)),
            b"MAIL FROM:<j\xc3\xb3@b.example> SMTPUTF8\r\n",
        ),
        (lambda: commands.rcpt("a@b.example"), b"RCPT TO:<a@b.example>\r\n"),
        (lambda: commands.rcpt('"a b"@c.example'), b'RCPT TO:<"a b"@c.example>\r\n'),
        (
            lambda: commands.rcpt("a@b.example", ["NOTIFY=NEVER"]),
            b"RCPT TO:<a@b.example> NOTIFY=NEVER\r\n",
        ),
        (lambda: commands.vrfy("Crispin"), b"VRFY Crispin\r\n"),
        (lambda: commands.vrfy("Crispin", utf8=True), b"VRFY Crispin\r\n"),
        (lambda: commands.vrfy("j\u00f3", utf8=True), b"VRFY j\xc3\xb3 SMTPUTF8\r\n"),
        (lambda: commands.expn("Example-People"), b"EXPN Example-People\r\n"),
        (lambda: commands.expn("j\u00f3", utf8=True), b"EXPN j\xc3\xb3 SMTPUTF8\r\n"),
        (lambda: commands.bdat(0, is_last=True), b"BDAT 0 LAST\r\n"),
        (lambda: commands.bdat(1, is_last=False), b"BDAT 1\r\n"),
        (lambda: commands.bdat(86, is_last=True), b"BDAT 86 LAST\r\n"),
        (lambda: commands.bdat(10**12, is_last=False), b"BDAT 1000000000000\r\n"),
        (commands.noop, b"NOOP\r\n"),
        (lambda: commands.noop(""), b"NOOP\r\n"),
        (lambda: commands.noop("still here"), b"NOOP still here\r\n"),
        (commands.help_, b"HELP\r\n"),
        (lambda: commands.help_(""), b"HELP\r\n"),
        (lambda: commands.help_("MAIL"), b"HELP MAIL\r\n"),
        (lambda: commands.other("xtra"), b"XTRA\r\n"),
        (
            lambda: commands.other("XCLIENT", "NAME=a", "ADDR=b"),
            b"XCLIENT NAME=a ADDR=b\r\n",
        ),
        (lambda: commands.auth("LOGIN"), b"AUTH LOGIN\r\n"),
        (lambda: commands.auth("PLAIN", b"\0u\0p"), b"AUTH PLAIN AHUAcA==\r\n"),
        (lambda: commands.auth("EXTERNAL", b""), b"AUTH EXTERNAL =\r\n"),
        (lambda: commands.continuation(b"\0u\0p"), b"AHUAcA==\r\n"),
        (lambda: commands.continuation(b""), b"\r\n"),
        (lambda: commands.DATA, b"DATA\r\n"),
        (lambda: commands.QUIT, b"QUIT\r\n"),
        (lambda: commands.RSET, b"RSET\r\n"),
        (lambda: commands.CANCEL_AUTH, b"*\r\n"),
    ],
)
def test_a_line_is_spelt_as_the_rfc_prints_it(
    spell: Callable[[], bytes], spelt: bytes
) -> None:
    assert spell() == spelt


@pytest.mark.parametrize(
    ("spell", "told"),
    [
        (lambda: commands.mail("a\n"), "the mailbox of MAIL has "),
        (lambda: commands.rcpt("a\n"), "the mailbox of RCPT has "),
        (lambda: commands.mail("a", ["b\n"]), "MAIL's parameters "),
        (lambda: commands.rcpt("a", ["b\n"]), "RCPT's parameters "),
        (lambda: commands.vrfy("a\n"), "the argument of VRFY has "),
        (lambda: commands.expn(""), "EXPN needs an address"),
        (
            lambda: commands.other("a\n"),
            "a verb must consist of letters, digits and hyphens",
        ),
    ],
)
def test_an_error_says_where_the_fault_is(
    spell: Callable[[], bytes], told: str
) -> None:
    with pytest.raises(SMTPArgumentError) as caught:
        spell()
    assert str(caught.value).startswith(told)


#: Texts that `format` shows as the name of their member.
Spelt = Enum(
    "Spelt",
    {"MAILBOX": "a@b.example", "OPTION": "SIZE=9", "NAME": "client.example"},
    type=str,
)


@pytest.mark.parametrize(
    ("spell", "text", "spelt"),
    [
        pytest.param(
            commands.mail, Spelt.MAILBOX, "MAIL FROM:<a@b.example>", id="A04-MAIL"
        ),
        pytest.param(
            lambda text: commands.mail("", [text]),
            Spelt.OPTION,
            "MAIL FROM:<> SIZE=9",
            id="A04-option",
        ),
        pytest.param(
            commands.rcpt, Spelt.MAILBOX, "RCPT TO:<a@b.example>", id="A04-RCPT"
        ),
        pytest.param(commands.ehlo, Spelt.NAME, "EHLO client.example", id="A04-EHLO"),
        pytest.param(commands.vrfy, Spelt.MAILBOX, "VRFY a@b.example", id="A04-VRFY"),
        pytest.param(commands.other, Spelt.NAME, None, id="A04-verb"),
    ],
)
def test_a_subclass_of_str_is_sent_as_what_it_holds(
    spell: Callable[[Any], bytes], text: str, spelt: str | None
) -> None:
    """A04: what was checked is what is sent, whatever `format` makes of it."""
    if spelt is None:
        with pytest.raises(SMTPArgumentError, match="a verb must"):
            spell(text)
    else:
        assert spell(text) == spelt.encode() + b"\r\n"


# The gate


@gates
def test_no_control_character_passes(gate: Callable[[str], bytes]) -> None:
    """A02, A03, A04: neither in front, nor within, nor at the end."""
    for control in CONTROLS:
        for text in (f"{control}a", f"a{control}b", f"a{control}", control):
            with pytest.raises(SMTPArgumentError):
                gate(text)


@gates
def test_no_second_command_passes(gate: Callable[[str], bytes]) -> None:
    """A02, A04: in quotes or behind a backslash neither."""
    for text in (
        "a\r\nRCPT TO:<evil@x>",
        "a\nRCPT TO:<evil@x>",
        "a\rRCPT TO:<evil@x>",
        '"a\r\nRCPT TO:<evil@x>"@b',
        '"a\\\r\\\nRCPT TO:<evil@x>"@b',
        "SIZE=1\r\nRCPT TO:<evil@x>",
        "a\r\n",
        "a\n",
    ):
        with pytest.raises(SMTPArgumentError):
            gate(text)


@gates
def test_only_text_passes(gate: Callable[[Any], bytes]) -> None:
    """A04: a number or octets are no text, whatever they print as."""
    for value in (1, 0, True, b"a", b"", bytearray(b"a"), ["a"], object()):
        with pytest.raises(SMTPArgumentError):
            gate(value)


def test_the_error_for_what_is_no_text_names_the_argument_and_the_type() -> None:
    with pytest.raises(SMTPArgumentError) as caught:
        commands.vrfy(b"a")  # type: ignore[arg-type]  # the type is what is wrong
    assert str(caught.value) == "the argument of VRFY must be a str, not bytes"


@gates
def test_no_surrogate_passes(gate: Callable[[str], bytes]) -> None:
    for text in ("\ud800", "A=\udcff", "a\udfffb"):
        with pytest.raises(SMTPArgumentError):
            gate(text)


@pytest.mark.parametrize("name", ["VRFY", "EXPN", "NOOP", "HELP", "AUTH", "argument"])
def test_text_beyond_ascii_needs_smtputf8(name: str) -> None:
    with pytest.raises(SMTPArgumentError, match="beyond ASCII"):
        GATES[name]("j\u00f3")


def test_what_is_refused_is_not_shown() -> None:
    """It may be a password: a place is named, no value."""
    for text in ("secret\r\n", "secret\u00e9", "secret\udcff", "secret" * 100):
        with pytest.raises(SMTPArgumentError) as info:
            commands.other("XTRA", text)
        assert "secret" not in str(info.value)
    with pytest.raises(SMTPArgumentError) as info:
        commands.other("XTRA", "12345\r\n")
    assert str(info.value) == (
        "the argument of XTRA has the control character U+000D at index 5; "
        "nothing was sent"
    )


@pytest.mark.parametrize(
    "verb", ["", " ", "A B", "-A", "A_B", "\u00c9", "A\n", "N\u0131"]
)
def test_a_verb_is_letters_digits_and_hyphens(verb: str) -> None:
    with pytest.raises(SMTPArgumentError, match="a verb must"):
        commands.other(verb)


@pytest.mark.parametrize("lookup", [commands.vrfy, commands.expn])
def test_a_look_up_needs_something_to_look_up(lookup: Callable[[str], bytes]) -> None:
    with pytest.raises(SMTPArgumentError, match="needs an address or a name"):
        lookup("")


@pytest.mark.parametrize(
    "verb",
    [
        *("AUTH", "BDAT", "DATA", "EHLO", "EXPN", "HELO", "HELP", "LHLO", "MAIL"),
        *("NOOP", "QUIT", "RCPT", "RSET", "STARTTLS", "VRFY", "starttls", "Data"),
    ],
)
def test_a_command_with_a_method_has_no_second_way(verb: str) -> None:
    with pytest.raises(SMTPArgumentError, match=f"{verb.upper()} has a method"):
        commands.other(verb)


@many
@given(
    st.sampled_from(list(GATES)),
    st.text() | st.text('ab.=<>"\\ \r\n\0\u00a0\u00e9\ud800\u2028'),
)
def test_whatever_passes_is_one_line(name: str, text: str) -> None:
    """A02, A04: one CRLF, at the end; nothing else that could be taken for one."""
    try:
        line = GATES[name](text)
    except SMTPArgumentError:
        return
    *content, cr, lf = line.decode("utf-8")
    assert (cr, lf) == ("\r", "\n")
    assert not set(content) & set(CONTROLS)


# The client's name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("localhost", id="A03-one-label"),
        pytest.param("client.example", id="A03-domain"),
        pytest.param("3com.example", id="A03-digit-first"),
        pytest.param("a-b.c--d.example", id="A03-hyphens"),
        pytest.param("xn--bcher-kva.example", id="A03-A-label"),
        pytest.param("Client.EXAMPLE", id="A03-case-kept"),
        pytest.param("[192.0.2.1]", id="A03-IPv4"),
        pytest.param("[IPv6:2001:db8::1]", id="A03-IPv6"),
        pytest.param("[IPv6:::ffff:192.0.2.1]", id="A03-IPv4-in-IPv6"),
    ],
)
def test_the_clients_name_is_a_domain_or_an_address_literal(name: str) -> None:
    assert commands.is_client_name(name)
    assert commands.client_name(name) == name
    assert commands.ehlo(name) == f"EHLO {name}\r\n".encode()
    assert commands.helo(name) == f"HELO {name}\r\n".encode()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("me\r\nMAIL FROM:<x>", id="A03-CRLF"),
        pytest.param("me\n", id="A03-trailing-LF"),
        pytest.param("a b", id="A03-space"),
        pytest.param("a ", id="A03-trailing-space"),
        pytest.param("", id="A03-empty"),
        pytest.param("b\u00fccher.example", id="A03-IDN"),
        pytest.param("\u0663com.example", id="A03-arabic-digit"),
        pytest.param("host_name", id="A03-underscore"),
        pytest.param("-a.example", id="A03-leading-hyphen"),
        pytest.param("a-.example", id="A03-trailing-hyphen"),
        pytest.param(".example", id="A03-leading-dot"),
        pytest.param("a..example", id="A03-two-dots"),
        pytest.param("a.example.", id="A03-trailing-dot"),
        pytest.param("<a.example>", id="A03-brackets"),
        pytest.param("[192.0.2.1", id="A03-open-literal"),
        pytest.param("[]", id="A03-empty-literal"),
        pytest.param("[IPv6:]", id="A03-empty-IPv6"),
        pytest.param("[192.0.2.1 x]", id="A03-space-in-literal"),
        pytest.param("[IPv6:::1]\r\n", id="A03-CRLF-behind-literal"),
        pytest.param("[IPv6:::1\r\nDATA]", id="A03-CRLF-in-literal"),
        pytest.param(None, id="A03-None"),
        pytest.param(b"client.example", id="A03-bytes"),
    ],
)
def test_any_other_name_is_refused(name: Any) -> None:
    for spell in (commands.client_name, commands.ehlo, commands.helo):
        with pytest.raises(
            SMTPArgumentError, match="the client's name must be a domain"
        ):
            spell(name)


def test_the_error_for_a_name_tells_which_names_there_are() -> None:
    with pytest.raises(SMTPArgumentError) as caught:
        commands.client_name("bücher.example")
    assert str(caught.value) == (
        "the client's name must be a domain in ASCII (as A-labels if it is "
        "international) or an address literal such as [192.0.2.1], not "
        r"'b\xfccher.example'"
    )


def test_a_long_name_is_refused_in_no_time() -> None:
    """A03: the grammar does not try every way to read a name that is none."""
    with pytest.raises(SMTPArgumentError, match="the client's name must be a domain"):
        commands.ehlo("a-" * 50_000 + "_")
    with pytest.raises(SMTPArgumentError, match="octets long, but the limit is 512"):
        commands.ehlo("a" * 506)


# Parameters


@pytest.mark.parametrize(
    "option",
    [
        pytest.param("SMTPUTF8", id="A04-keyword"),
        pytest.param("SIZE=1000", id="A04-value"),
        pytest.param("size=1000", id="A04-lower-case"),
        pytest.param("MT-PRIORITY=3", id="A04-hyphen"),
        pytest.param("8BIT=x", id="A04-digit-first"),
        pytest.param("AUTH=<>", id="A04-angle-brackets"),
        pytest.param("ORCPT=rfc822;a+2Bb@c.example", id="A04-xtext"),
        pytest.param("X=!~", id="A04-ends-of-ASCII"),
        pytest.param("ORCPT=utf-8;j\u00f3@c.example", id="A04-UTF-8"),
    ],
)
def test_a_parameter_is_a_keyword_and_perhaps_a_value(option: str) -> None:
    assert commands.parameters([option], "options") == (option,)
    assert commands.mail("a@b", [option]) == f"MAIL FROM:<a@b> {option}\r\n".encode()
    assert commands.rcpt("a@b", [option]) == f"RCPT TO:<a@b> {option}\r\n".encode()


@pytest.mark.parametrize(
    "option",
    [
        pytest.param("SIZE=1\r\nRCPT TO:<evil@x>", id="A04-CRLF"),
        pytest.param("SIZE=1\n", id="A04-trailing-LF"),
        pytest.param("SIZE=1 BODY=X", id="A04-space-in-value"),
        pytest.param(" SIZE=1", id="A04-leading-space"),
        pytest.param("SIZE=1 ", id="A04-trailing-space"),
        pytest.param("SIZE =1", id="A04-space-in-keyword"),
        pytest.param("SIZE\t=1", id="A04-tab"),
        pytest.param("SIZE=1=2", id="A04-second-equals-sign"),
        pytest.param("SIZE=", id="A04-no-value"),
        pytest.param("=1", id="A04-no-keyword"),
        pytest.param("", id="A04-empty"),
        pytest.param("-X=1", id="A04-leading-hyphen"),
        pytest.param("X_Y=1", id="A04-underscore"),
        pytest.param("\u00c9=1", id="A04-keyword-beyond-ASCII"),
        pytest.param("X=\x7f", id="A04-DEL"),
        pytest.param("X=\x85", id="A04-NEL"),
        pytest.param("X=\u2028", id="A04-U+2028"),
        pytest.param("X=\ud800", id="A04-surrogate"),
        pytest.param("> RCPT", id="A04-close-the-path"),
        pytest.param(None, id="A04-None"),
        pytest.param(1000, id="A04-int"),
        pytest.param(True, id="A04-bool"),
        pytest.param(b"SIZE=1", id="A04-bytes"),
        pytest.param(("SIZE", "1"), id="A04-tuple"),
    ],
)
def test_any_other_parameter_is_refused(option: Any) -> None:
    """A04: by `parameters`, and by whatever puts a parameter on a line."""
    with pytest.raises(SMTPArgumentError):
        commands.parameters(["SIZE=1", option], "options")
    for spell in (commands.mail, commands.rcpt):
        with pytest.raises(SMTPArgumentError):
            spell("a@b.example", ["SIZE=1", option])


@pytest.mark.parametrize("options", ["SIZE=1", b"SIZE=1"])
def test_parameters_are_not_one_string(options: Any) -> None:
    """A04: its characters would be taken for parameters."""
    with pytest.raises(SMTPArgumentError, match="what must be a list of parameters"):
        commands.parameters(options, "what")


def test_parameters_are_listed_and_the_callers_list_is_left_alone() -> None:
    """A04: any iterable does, a generator too."""
    options = ["SIZE=1", "BODY=7BIT"]
    assert commands.parameters(iter(options), "options") == ("SIZE=1", "BODY=7BIT")
    assert commands.parameters((), "options") == ()
    commands.mail("a@b.example", options)
    assert options == ["SIZE=1", "BODY=7BIT"]


@many
@given(st.text() | st.from_regex(r"[A-Z]+=\S*\s?[^\r]*", fullmatch=True))
def test_whatever_passes_is_one_parameter(option: str) -> None:
    """A04: no space, no control character and no second value is in it."""
    try:
        (passed,) = commands.parameters([option], "options")
    except SMTPArgumentError:
        return
    assert passed == option
    line = commands.mail("a@b", (passed,)).decode("utf-8")
    assert line.removesuffix("\r\n").split(" ") == ["MAIL", "FROM:<a@b>", option]
    assert option.count("=") <= 1
    assert not re.search(r"[\x00-\x20\x7f-\x9f]", option)


@pytest.mark.parametrize(
    ("parameter", "keyword"), [("SIZE=1", "SIZE"), ("smtputf8", "SMTPUTF8")]
)
def test_a_parameter_has_a_keyword(parameter: str, keyword: str) -> None:
    assert commands.keyword_of(parameter) == keyword


# Length


@pytest.mark.parametrize(
    ("spell", "frame", "limit"),
    [
        pytest.param(commands.ehlo, b"EHLO \r\n", 512, id="A21-EHLO"),
        pytest.param(commands.helo, b"HELO \r\n", 512, id="A21-HELO"),
        pytest.param(commands.vrfy, b"VRFY \r\n", 512, id="A21-VRFY"),
        pytest.param(commands.expn, b"EXPN \r\n", 512, id="A21-EXPN"),
        pytest.param(commands.noop, b"NOOP \r\n", 512, id="A21-NOOP"),
        pytest.param(commands.help_, b"HELP \r\n", 512, id="A21-HELP"),
        pytest.param(
            lambda text: commands.other("XTRA", text), b"XTRA \r\n", 512, id="A21-XTRA"
        ),
        # SIZE 26, BODY 16, SMTPUTF8 10, REQUIRETLS 11, RET and ENVID 109, AUTH 500
        pytest.param(
            commands.mail,
            b"MAIL FROM:<>\r\n",
            512 + 26 + 16 + 10 + 11 + 109 + 500,
            id="A21-MAIL",
        ),
        pytest.param(
            lambda text: commands.mail("a@b", ["X=" + text]),
            b"MAIL FROM:<a@b> X=\r\n",
            1184,
            id="A21-MAIL-option",
        ),
        # RFC 3461 5.4: "530 characters for the ORCPT and NOTIFY parameters"
        pytest.param(commands.rcpt, b"RCPT TO:<>\r\n", 512 + 530, id="A21-RCPT"),
        pytest.param(
            lambda text: commands.rcpt("a@b", ["X=" + text]),
            b"RCPT TO:<a@b> X=\r\n",
            1042,
            id="A21-RCPT-option",
        ),
        pytest.param(commands.auth, b"AUTH \r\n", 12288, id="A21-AUTH"),
    ],
)
def test_a_line_may_be_as_long_as_its_command_allows(
    spell: Callable[[str], bytes], frame: bytes, limit: int
) -> None:
    """A21: with its CRLF, in octets; one more is refused before anything is sent."""
    longest = "a" * (limit - len(frame))
    assert len(spell(longest)) == limit
    with pytest.raises(
        SMTPArgumentError,
        match=f"would be {limit + 1} octets long, but the limit is {limit}",
    ):
        spell(longest + "a")


def test_octets_are_counted_and_not_characters() -> None:
    """A21: text beyond ASCII is longer than it looks."""
    assert len(commands.rcpt("\u00e9" * 515)) == 1042
    with pytest.raises(SMTPArgumentError, match="would be 1044 octets long"):
        commands.rcpt("\u00e9" * 516)


def test_a_local_part_of_two_kilobytes_is_refused() -> None:
    """A21: rather than cut off by the server."""
    for spell in (commands.mail, commands.rcpt):
        with pytest.raises(SMTPArgumentError, match="octets long"):
            spell("a" * 2048 + "@b.example")


def test_a_response_within_auth_has_the_same_limit() -> None:
    """A21: RFC 4954 4.5.3.1 has 12288 octets for a line."""
    assert len(commands.continuation(b"x" * 9213)) == 12286
    with pytest.raises(SMTPArgumentError, match="would be 12290 octets long"):
        commands.continuation(b"x" * 9214)
    assert len(commands.auth("X", b"x" * 9207)) == 12285
    with pytest.raises(SMTPArgumentError, match="would be 12289 octets long"):
        commands.auth("X", b"x" * 9208)


# Groups


@pytest.mark.parametrize(
    ("line", "verb", "ends"),
    [
        (commands.mail("a@b"), "MAIL", False),
        (commands.rcpt("a@b", ["NOTIFY=NEVER"]), "RCPT", False),
        (commands.RSET, "RSET", False),
        (commands.DATA, "DATA", True),
        (commands.bdat(86, is_last=True), "BDAT", True),
        (commands.QUIT, "QUIT", True),
        (commands.ehlo("a"), "EHLO", True),
        (commands.helo("a"), "HELO", True),
        (commands.vrfy("a"), "VRFY", True),
        (commands.expn("a"), "EXPN", True),
        (commands.noop(), "NOOP", True),
        (commands.help_(), "HELP", True),
        (commands.auth("PLAIN"), "AUTH", True),
        (commands.other("xtra"), "XTRA", True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_only_mail_rcpt_and_rset_may_stand_anywhere(
    line: bytes, verb: str, ends: bool
) -> None:
    assert commands.verb_of(line) == verb
    assert commands.ends_group(line) is ends


def test_the_error_for_a_parameter_tells_its_form() -> None:
    with pytest.raises(SMTPArgumentError) as caught:
        commands.parameters(["SIZE=1 0"], "MAIL's parameters")
    assert str(caught.value) == (
        "MAIL's parameters has 'SIZE=1 0', which is not of the form KEYWORD or "
        "KEYWORD=value without spaces and control characters"
    )


@pytest.mark.parametrize("options", [5, None, 1.5, ...], ids=ascii)
def test_parameters_are_a_list(options: Any) -> None:
    with pytest.raises(
        SMTPArgumentError, match="mail_options must be a list of parameters"
    ):
        commands.parameters(options, "mail_options")


def test_lhlo_is_ehlo_by_another_name() -> None:
    """RFC 2033 4.1."""
    assert commands.lhlo("client.example") == b"LHLO client.example\r\n"
    with pytest.raises(SMTPArgumentError, match="client's name"):
        commands.lhlo("a b")


@pytest.mark.parametrize(
    "recipients",
    [
        ["a@x.example", "b@x.example"],
        ["a@x.example"],
        ["a@x.example", "b" * 400 + "@x.example"],
        ["a@x.example", "\u00e9@x.example"],
    ],
)
def test_many_rcpts_are_spelt_as_each_of_them(recipients: list[str]) -> None:
    each = [commands.rcpt(recipient) for recipient in recipients]
    assert commands.rcpt_lines(recipients) == each


@pytest.mark.parametrize("wrong", ["b\r\nDATA", "b" * 2000])
def test_a_wrong_mailbox_among_many_is_an_error(wrong: str) -> None:
    with pytest.raises(SMTPArgumentError):
        commands.rcpt_lines(["a@x.example", wrong])
