"""The mailbox grammar: what is an address, and that it is sent as it is."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from email.headerregistry import Address
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smtplibaio.exceptions import SMTPArgumentError
from smtplibaio.grammar import commands
from smtplibaio.grammar.addresses import (
    address_of,
    forward_path,
    needs_smtputf8,
    reverse_path,
    to_a_labels,
)

many = settings(deadline=None, max_examples=300)


def check_sent_as_it_is(address: Any, mailbox: str) -> None:
    assert reverse_path(address) == forward_path(address) == mailbox
    path = f"<{mailbox}>\r\n".encode()
    assert commands.mail(reverse_path(address)) == b"MAIL FROM:" + path
    assert commands.rcpt(forward_path(address)) == b"RCPT TO:" + path


# What is an address


@pytest.mark.parametrize(
    "address",
    [
        "a@b",
        "user@host.example",
        "first.last+tag=x@sub-domain.host.example",
        "User@Host.EXAMPLE",
        "!#$%&'*+-/=?^_`{|}~@b.example",
        "a@3com.example",
        "a@b--c.example",
        "a@host_name.example",
        "_@b_.example",
        "a@xn--bcher-kva.example",
        "a@[192.0.2.1]",
        "a@[IPv6:2001:db8::1]",
        "a@[ipv6:::ffff:192.0.2.1]",
        "a@[x-tag:some!thing]",
        pytest.param('"a b"@c.example', id="A05-space-in-quotes"),
        pytest.param('"a> SIZE=9 <b"@c.example', id="A05-brackets-in-quotes"),
        pytest.param('"evil@x y"@good.example', id="A06-address-in-quotes"),
        pytest.param('"<evil@x>"@good.example', id="A06-path-in-quotes"),
        pytest.param('"a\\"b"@c.example', id="A06-quoted-quote"),
        pytest.param('"a\\\\"@c.example', id="A06-quoted-backslash"),
        pytest.param('"a,b"@c.example', id="A06-comma"),
        pytest.param('"a;b:c"@d.example', id="A06-group"),
        pytest.param('"a(b)"@c.example', id="A06-comment-in-quotes"),
        pytest.param('"a.b"@c.example', id="A06-quotes-without-need"),
        pytest.param('""@c.example', id="A06-empty-quotes"),
        pytest.param('" "@c.example', id="A06-a-space-in-quotes"),
        pytest.param('"\\ "@c.example', id="A06-a-quoted-space"),
        "jos\u00e9@b.example",
        '"jos\u00e9 x"@b.example',
        "\U0001f989@b.example",
        "\u00e9@[192.0.2.1]",
    ],
)
def test_an_address_is_sent_byte_for_byte(address: str) -> None:
    """A05, A06: it is checked and never parsed anew."""
    check_sent_as_it_is(address, address)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("a@b\r\nRCPT TO:<evil@x>", id="A02-CRLF"),
        pytest.param('"a\r\nRCPT TO:<x>"@b', id="A02-CRLF-in-quotes"),
        pytest.param('"a\\\r\\\nRCPT TO:<x>"@b', id="A02-quoted-CRLF"),
        pytest.param('"a\rb"@c', id="A02-CR-in-quotes"),
        pytest.param('"a\nb"@c', id="A02-LF-in-quotes"),
        pytest.param('"a\\\nb"@c', id="A02-quoted-LF"),
        pytest.param('"a\0b"@c', id="A02-NUL-in-quotes"),
        pytest.param('"a\\\0b"@c', id="A02-quoted-NUL"),
        pytest.param('"a\tb"@c', id="A02-tab-in-quotes"),
        pytest.param('"a\x7fb"@c', id="A02-DEL-in-quotes"),
        pytest.param('"a\x85b"@c', id="A02-NEL-in-quotes"),
        pytest.param('"a\u2028b"@c', id="A02-U+2028-in-quotes"),
        pytest.param('"a\\\u2029b"@c', id="A02-quoted-U+2029"),
        pytest.param('"a\u00a0b"@c', id="A02-NBSP-in-quotes"),
        pytest.param('"a\u3000b"@c', id="A02-ideographic-space"),
        pytest.param('"a\ud800b"@c', id="A02-surrogate-in-quotes"),
        pytest.param('"a"@c\n', id="A02-trailing-LF"),
        pytest.param("a@b\n", id="A02-trailing-LF-without-quotes"),
        pytest.param("a@[IPv6:::1%\r\nDATA]", id="A02-CRLF-in-a-zone"),
        pytest.param("a@[x:y\r\nDATA]", id="A02-CRLF-in-a-literal"),
        pytest.param("a@[1.2.3.4\n]", id="A02-LF-in-a-literal"),
        pytest.param("a@b> SIZE=9", id="A05-SIZE"),
        pytest.param("a@b> ORCPT=rfc822;x@y", id="A05-ORCPT"),
        pytest.param("a@b> AUTH=<x", id="A05-AUTH"),
        pytest.param("a@b>", id="A05-closed"),
        pytest.param("a@b>x", id="A05-closed-in-the-domain"),
        pytest.param("a>@b", id="A05-closed-in-the-local-part"),
        pytest.param("<a@b", id="A05-opened"),
        pytest.param("a b@c", id="A05-space"),
        pytest.param("a@b c", id="A05-space-in-the-domain"),
        pytest.param("a@[IPv6:::1%> SIZE=9 <x]", id="A05-in-a-zone"),
        pytest.param("a@[IPv6:fe80::1%eth0]", id="A05-a-zone"),
        pytest.param("a@[x:>]", id="A05-in-a-literal"),
        pytest.param("a@[x:y z]", id="A05-space-in-a-literal"),
        pytest.param("\u00e9@b> SIZE=9", id="A05-beyond-ASCII"),
        pytest.param("a@\u00e9> SIZE=9", id="A05-IDN"),
        pytest.param("a@\u00e9\uff1e", id="A05-full-width-bracket"),
        pytest.param("a@\u00e9\u3000b", id="A05-ideographic-space-in-IDN"),
        pytest.param('"a"b@c', id="A06-text-behind-quotes"),
        pytest.param('a"b"@c', id="A06-quotes-behind-text"),
        pytest.param('"a"b"@c', id="A06-quote-in-quotes"),
        pytest.param('"a\\"@c', id="A06-open-quotes"),
        pytest.param('"a@c', id="A06-one-quote"),
        pytest.param('"a@c"', id="A06-all-in-quotes"),
        pytest.param('"a\\\u00e9"@c', id="A06-quoted-pair-beyond-ASCII"),
        pytest.param("a\\,b@c", id="A06-backslash-without-quotes"),
        pytest.param("a(b)@c", id="A06-comment"),
        pytest.param("(b)a@c", id="A06-comment-in-front"),
        pytest.param("a@b(c)", id="A06-comment-behind"),
        pytest.param("a@b,c@d", id="A06-two"),
        pytest.param("a@b;", id="A06-semicolon"),
        pytest.param("g:a@b;", id="A06-group"),
        pytest.param("a@b@c", id="A06-two-signs"),
        pytest.param("@r.example:a@b", id="A06-source-route"),
        pytest.param("<a@b> <c@d>", id="two-in-brackets"),
        pytest.param("Bob <a@b> <c@d>", id="a-name-and-two"),
        pytest.param("<a@b> x", id="text-behind-the-bracket"),
        pytest.param("<a@b>,", id="a-comma-behind-the-bracket"),
        pytest.param("Smith, A <a@b>", id="a-comma-in-the-name"),
        pytest.param("a@b <c@d>", id="an-address-for-a-name"),
        pytest.param("Group: a <c@d>", id="a-colon-in-the-name"),
        pytest.param('O"Neill <c@d>', id="a-quote-in-the-name"),
        pytest.param("Bob\r\n <c@d>", id="A02-CRLF-in-the-name"),
        pytest.param('"Bob\n" <c@d>', id="A02-LF-in-a-quoted-name"),
        pytest.param("B\tb <c@d>", id="A02-tab-in-the-name"),
        pytest.param("<c@d>\t", id="A02-tab-behind-it"),
        pytest.param('"Bob\\\n" <c@d>', id="A02-quoted-LF-in-the-name"),
        pytest.param("B\u2028b <c@d>", id="A02-U+2028-in-the-name"),
        pytest.param("B\x85b <c@d>", id="A02-NEL-in-the-name"),
        pytest.param("Bob < a@b >", id="blanks-in-the-brackets"),
        pytest.param("Bob <>", id="nothing-in-the-brackets"),
        pytest.param("Bob <<a@b>>", id="brackets-in-brackets"),
        pytest.param("Bob <a@b> SIZE=9>", id="A05-closed-in-brackets"),
        pytest.param("Bob <Bob <a@b>>", id="a-name-in-brackets"),
        pytest.param("Bob a@b", id="a-name-without-brackets"),
        pytest.param("Bob root", id="two-words"),
        pytest.param("root SIZE=9", id="A05-local-part-alone"),
        pytest.param('"root"', id="a-quoted-local-part-alone"),
        pytest.param("a.", id="a-dot-behind-a-local-part-alone"),
        "@b",
        "a@",
        "@",
        ".a@b",
        "a.@b",
        "a..b@c",
        "a@.b",
        "a@b.",
        "a@b..c",
        "a@-b",
        "a@b-",
        "a@b.-c",
        "a@b!c",
        "a@[]",
        "a@[",
        "a@]",
        "a@[192.0.2.256]",
        "a@[192.0.2]",
        "a@[192.0.2.1",
        "a@[IPv6:]",
        "a@[IPv6:192.0.2.1]",
        "a@[2001:db8::1:x y]",
        "a@[IPv6:2001:db8:::1]",
        "a@[-:x]",
        "a@[tag-:x]",
        "a@[tag:]",
        "a@[tag:x\\]",
        "a@[tag:[x]",
        "a@[tag:\u00e9]",
        "a@[\u0661.2.3.4]",
        "jos\u00e9",
        "a@\u00e9.",
        "a@.\u00e9",
        "a@\u00e9..b",
        "a@-\u00e9",
        "a@xn--\u00e9",
        "a@\u2665.example",
        "a@\ud800",
        "a@" + "\u00e9" * 300,
        "a@\u00e9\x00",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    """A02, A05, A06: and the text that says so can be shown anywhere."""
    for path, what in ((reverse_path, "the sender"), (forward_path, "the recipient")):
        with pytest.raises(SMTPArgumentError) as info:
            path(address)
        text = str(info.value)
        assert text.startswith(f"{what} {address!a} ")
        assert text.isprintable()


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [
        ("<a@b.example>", "a@b.example"),
        ("Alice <a@b.example>", "a@b.example"),
        ("Alice<a@b.example>", "a@b.example"),
        ("Alice   <a@b.example>", "a@b.example"),
        ("  Alice B. C. <a@b.example> ", "a@b.example"),
        ('"Smith, A" <a@b.example>', "a@b.example"),
        ('"evil@x.example" <a@b.example>', "a@b.example"),
        ('"<evil@x.example>" <a@b.example>', "a@b.example"),
        ('"a \\"b\\" \\\\ c" <a@b.example>', "a@b.example"),
        ('Dr. "Al, Jr." B <a@b.example>', "a@b.example"),
        ("Al (the boss) <a@b.example>", "a@b.example"),
        ("J\u00fcrg \U0001f989 <a@b.example>", "a@b.example"),
        ('<"a b"@c.example>', '"a b"@c.example'),
        ('Al <"a> <b"@c.example>', '"a> <b"@c.example'),
        ("Al <a@[192.0.2.1]>", "a@[192.0.2.1]"),
        ("Al <jos\u00e9@b\u00fccher.example>", "jos\u00e9@xn--bcher-kva.example"),
        ("<root>", "root"),
        ("Charlie Root <root>", "root"),
        (" a@b.example", "a@b.example"),
        ("a@b.example  ", "a@b.example"),
        (' "a b"@c.example ', '"a b"@c.example'),
        (" root ", "root"),
    ],
)
def test_the_mailbox_is_in_brackets_behind_a_name(address: str, mailbox: str) -> None:
    """A06: as `str(Address(...))` has it; blanks around it are dropped."""
    check_sent_as_it_is(address, mailbox)
    assert address_of(address) == address


@pytest.mark.parametrize(
    ("name", "username"),
    [("Bob", "bob"), ("Smith, A", "a"), ('W "Q" \\ X', "a"), ("", "a"), ("a@b", "a b")],
)
def test_what_the_standard_library_spells_is_taken(name: str, username: str) -> None:
    """The second example of the documented package does that."""
    address = Address(name, username, "example.net")
    check_sent_as_it_is(str(address), address.addr_spec)


@pytest.mark.parametrize("name", ["root", "www-data", "first.last", "o'neill", "a_b+c"])
def test_a_local_part_alone_is_a_mailbox_of_the_server(name: str) -> None:
    """Cron and its like write to "root"."""
    check_sent_as_it_is(name, name)


@pytest.mark.parametrize(
    ("username", "mailbox"),
    [
        ("user..name", '"user..name"@x.example'),
        ("name.", '"name."@x.example'),
        (".name", '".name"@x.example'),
        (".", '"."@x.example'),
        ("a b", '"a b"@x.example'),
        ('a"b', '"a\\"b"@x.example'),
        ("a\\b", '"a\\\\b"@x.example'),
        ("a.b", "a.b@x.example"),
    ],
)
def test_an_address_object_gets_its_quotes_back(username: str, mailbox: str) -> None:
    """G11: `addr_spec` of the standard library loses those that dots need."""
    address = Address("Al", username, "x.example")
    check_sent_as_it_is(address, mailbox)
    assert address_of(address) == mailbox


def test_any_object_gets_quotes_and_backslashes_where_it_lacks_them() -> None:
    class Mailbox:
        addr_spec = 'a"b\\c@x.example'

    assert address_of(Mailbox()) == '"a\\"b\\\\c"@x.example'
    check_sent_as_it_is(Mailbox(), '"a\\"b\\\\c"@x.example')


@pytest.mark.parametrize("value", [None, 1, b"a@b", ["a@b"], object()])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(
        SMTPArgumentError, match=r"the sender must be a str such as .* not "
    ):
        reverse_path(value)
    with pytest.raises(SMTPArgumentError, match="the recipient must be a str such as"):
        forward_path(value)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("jos\u00e9", "is not of the form local-part@domain: pass one address, as 'u"),
        ("@b.example", "is not of the form local-part@domain: pass one address, as"),
        ("Name <a@b> x", "angle bracket: pass one address, as 'user@host.example' or"),
        ("Name <>", "has no mailbox in its angle brackets"),
        ("a@b <c@d>", "not valid: pass one address"),
        ("a@b, c@d", "not valid: pass several addresses as a list"),
        ("a@b;", "not valid: pass several addresses as a list"),
        ("<a@b> <c@d>", "not valid: pass several addresses as a list"),
        ("Smith, A <a@b>", "and put a name with a comma in double quotes"),
        (
            "a b@c",
            'need double quotes, as "a b"@c; a name stands before angle brackets',
        ),
        ("a..b@c", 'need double quotes, as "a..b"@c;'),
        ("X Y@c", 'need double quotes, as "X Y"@c;'),
        ('"a"b@c', "not valid: pass one address"),
        ('"\x1b"@c', r"""'"\x1b"@c' has U+001B at index 1"""),
        ("a@b\n", "has U+000A at index 3"),
        ("a\u2029\u2029@b", "has U+2029 at index 1"),
        ("a@[1]", "has an address literal that is not valid"),
        ("a@[1", "has a domain that is not valid"),
        ("a@1]", "has a domain that is not valid"),
        ("a@b..c", "has a domain that is not valid: pass one address"),
        ("a@-\u00e9", "has a domain that IDNA refuses: Label must not start"),
    ],
)
def test_the_error_says_why(address: str, why: str) -> None:
    with pytest.raises(SMTPArgumentError) as info:
        forward_path(address)
    assert why in str(info.value)


# Special mailboxes, and other types


@pytest.mark.parametrize(
    "sender", ["", "<>", " ", " <> ", Address(), Address("Nobody")]
)
def test_the_null_reverse_path_is_a_sender_and_no_recipient(sender: object) -> None:
    assert reverse_path(sender) == ""
    assert commands.mail(reverse_path(sender)) == b"MAIL FROM:<>\r\n"
    with pytest.raises(SMTPArgumentError):
        forward_path(sender)


@pytest.mark.parametrize("sender", ["\n", "\r\n", "\t", "\x0c", "<>\r\n", "\u2003"])
def test_no_blank_but_a_space_is_the_null_reverse_path(sender: str) -> None:
    with pytest.raises(SMTPArgumentError, match="the sender"):
        reverse_path(sender)


@pytest.mark.parametrize("sender", ["X", "x", "XX"])
def test_a_letter_alone_is_a_sender(sender: str) -> None:
    assert reverse_path(sender) == sender


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("a <>", "the recipient 'a <>' has no mailbox in its angle brackets"),
        ("a@[1]", "the recipient 'a@[1]' has an address literal that is not valid"),
    ],
)
def test_an_error_names_the_address_and_its_fault(address: str, text: str) -> None:
    with pytest.raises(SMTPArgumentError) as caught:
        forward_path(address)
    assert str(caught.value) == text


def test_the_error_for_a_domain_has_the_reason_of_idna() -> None:
    with pytest.raises(SMTPArgumentError) as caught:
        to_a_labels("-\u00e9")
    assert str(caught.value) == (
        r"IDNA refuses the domain '-\xe9': Label must not start or end with a hyphen"
    )


@pytest.mark.parametrize("name", ["Postmaster", "postmaster", "POSTMASTER"])
def test_postmaster_needs_no_domain(name: str) -> None:
    """RFC 5321 4.1.1.3: "in any case variation"."""
    assert forward_path(name) == name
    assert forward_path(Address(username=name)) == name


def test_an_address_object_is_taken_at_its_addr_spec() -> None:
    """A06: the display name never comes near the envelope."""
    address = Address("evil@x.example", "a b", "good.example")
    check_sent_as_it_is(address, '"a b"@good.example')
    check_sent_as_it_is(SimpleNamespace(addr_spec="a@b.example"), "a@b.example")
    for broken in (None, b"a@b", "a@b> SIZE=9", "@b", "a\n..b@c"):
        with pytest.raises(SMTPArgumentError):
            forward_path(SimpleNamespace(addr_spec=broken))


#: Texts that `format` shows as the name of their member.
Role = Enum(
    "Role",
    {
        "ROOT": "root@x.example",
        "QUOTED": '"a b"@x.example',
        "POSTMASTER": "Postmaster",
        "NOBODY": "<>",
    },
    type=str,
)


def test_a_subclass_of_str_is_sent_as_what_it_holds() -> None:
    """A06: what was checked is what is sent, whatever `format` makes of it."""
    for role in (Role.ROOT, Role.QUOTED):
        check_sent_as_it_is(role, role.value)
    line = commands.rcpt(forward_path(Role.POSTMASTER))
    assert line == b"RCPT TO:<Postmaster>\r\n"
    assert commands.mail(reverse_path(Role.NOBODY)) == b"MAIL FROM:<>\r\n"


# Beyond ASCII


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [
        ("a@b\u00fccher.example", "a@xn--bcher-kva.example"),
        ("a@B\u00dcCHER.example", "a@xn--bcher-kva.example"),
        ("a@bu\u0308cher.example", "a@xn--bcher-kva.example"),
        ("a@stra\u00dfe.example", "a@xn--strae-oqa.example"),
        ("a@b\u00fccher\u3002example", "a@xn--bcher-kva.example"),
        ("a@\uff41.example", "a@a.example"),
        ("a@\u4f8b\u3048.\u30c6\u30b9\u30c8", "a@xn--r8jz45g.xn--zckzah"),
        ("jos\u00e9@b\u00fccher.example", "jos\u00e9@xn--bcher-kva.example"),
        ('"a b"@b\u00fccher.example', '"a b"@xn--bcher-kva.example'),
    ],
)
def test_a_domain_beyond_ascii_travels_as_a_labels(address: str, mailbox: str) -> None:
    """RFC 5891: and the local part as it is."""
    check_sent_as_it_is(address, mailbox)


@pytest.mark.parametrize(
    ("address", "needs"),
    [
        ("", False),
        ("a@b.example", False),
        ("a@b\u00fccher.example", False),
        ("jos\u00e9@b.example", True),
        ('"\u00e9"@b\u00fccher.example', True),
    ],
)
def test_only_a_local_part_beyond_ascii_needs_smtputf8(
    address: str, needs: bool
) -> None:
    assert needs_smtputf8(reverse_path(address)) is needs


def test_idna_is_imported_when_it_is_first_needed() -> None:
    program = (
        "import sys; from smtplibaio.grammar.addresses import forward_path as f;"
        "f('a@b.example'); assert 'idna' not in sys.modules;"
        "f('a@b\\u00fc.example'); assert 'idna' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# Whatever the address

beyond_ascii = st.characters(
    min_codepoint=0xA1, exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")
)
atoms = st.text(
    st.sampled_from(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        "!#$%&'*+-/=?^_`{|}~"
    )
    | beyond_ascii,
    min_size=1,
    max_size=12,
)
dot_strings = st.lists(atoms, min_size=1, max_size=4).map(".".join)
printable_ascii = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
quoted_strings = st.lists(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters='"\\')
    | beyond_ascii
    | printable_ascii.map("\\{}".format),
    max_size=12,
).map(lambda parts: f'"{"".join(parts)}"')
labels = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,8}[A-Za-z0-9])?", fullmatch=True)
literals = st.one_of(
    st.ip_addresses(v=4).map("[{}]".format),
    st.ip_addresses(v=6).map("[IPv6:{}]".format),
    st.from_regex(
        r"\[[a-z0-9-]{0,4}[a-z0-9]:[!#-;=?-Z^-~]{1,9}\]", fullmatch=True
    ).filter(lambda literal: "@" not in literal and not literal.startswith("[ipv6:")),
)
mailboxes = st.tuples(
    dot_strings | quoted_strings,
    st.lists(labels, min_size=1, max_size=4).map(".".join) | literals,
).map("@".join)


@many
@given(mailboxes)
def test_every_address_of_the_grammar_is_sent_byte_for_byte(address: str) -> None:
    """A05, A06: quoted or not, literal or not."""
    check_sent_as_it_is(address, address)


fragments = st.lists(
    st.sampled_from(
        [
            *("a", "b.c", "@", "@", "<", ">", '"', "\\", " ", "\r", "\n", "\0", "."),
            *("[", "]", "[IPv6:", "::1", "%", "[1.2.3.4]", "x:", "(", ",", "\u00e9"),
            *("\uff1e", "\u3000", "\u2028", "\x85", "\u00a0", "\ud800", "> SIZE=9"),
        ]
    ),
    max_size=12,
).map("".join)
framed = st.builds(
    "{}@{}".format, st.sampled_from(["a", '"a b"', "\u00e9"]), fragments | st.text()
) | st.builds("{}@b.example".format, fragments | st.text())
in_literal = st.builds(
    "a@[{}{}]".format, st.sampled_from(["", "IPv6:", "IPv6:::1%", "x:"]), st.text()
)


@settings(many, max_examples=600)
@given(st.text() | fragments | framed | in_literal)
@example("a@[IPv6:::1%> SIZE=9 <x]")
@example("a@[IPv6:::1%\r\nRCPT TO:<x>]")
@example("a@[x:>]")
@example('a@[x:">"]')
@example('a@[x:"]')
def test_whatever_passes_cannot_leave_its_path(text: str) -> None:
    """A02, A05: no control character, and nothing that closes the path early."""
    try:
        mailbox = forward_path(text)
    except SMTPArgumentError:
        return
    for c in mailbox:
        assert c == " " or unicodedata.category(c) not in {
            "Cc", "Cs", "Zl", "Zp", "Zs",
        }  # fmt: skip
    outside_quotes = re.sub(r'^"(?:[^"\\]|\\.)*"', "", mailbox)
    assert not set(outside_quotes) & set(' <>"\\')
    assert mailbox == forward_path(mailbox) == reverse_path(mailbox)


@many
@given(st.text() | fragments | framed | in_literal)
def test_whatever_is_refused_is_refused_as_an_argument(text: str) -> None:
    """A02: any other exception would come out of here; the text can be shown."""
    shown = ""
    try:
        reverse_path(text)
    except SMTPArgumentError as exc:
        shown = str(exc)
    assert shown.isprintable()
