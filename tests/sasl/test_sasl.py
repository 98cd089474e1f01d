"""Mechanisms as values: what they say, when they are done, what they never show."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from smtplibaio import SMTPArgumentError
from smtplibaio.sasl import (
    Anonymous,
    CramMD5,
    External,
    Login,
    Plain,
    bearer_candidates,
    check_names,
    password_candidates,
)
from smtplibaio.sasl.choice import kind_of

Kind = type[Plain] | type[Login] | type[CramMD5]
KINDS: list[Kind] = [Plain, Login, CramMD5]


# What they say


def test_plain_says_both_at_once() -> None:
    """C19: RFC 4616 4, the first example."""
    mechanism = Plain("tim", "tanstaaftanstaaf")
    assert not mechanism.done
    assert mechanism.start() == b"\0tim\0tanstaaftanstaaf"
    assert mechanism.done


def test_plain_has_nothing_to_say_to_a_challenge() -> None:
    mechanism = Plain("tim", "tanstaaftanstaaf")
    mechanism.start()
    with pytest.raises(SMTPArgumentError, match="PLAIN has nothing to say"):
        mechanism.next(b"")


def test_cram_md5_answers_with_a_keyed_digest() -> None:
    """C19: RFC 2195 2, the example."""
    mechanism = CramMD5("tim", "tanstaaftanstaaf")
    mechanism.start()
    assert not mechanism.done
    answer = mechanism.next(b"<1896.697170952@postoffice.reston.mci.net>")
    assert answer == b"tim b913a602c7eda7a495b4e6e7334d3890"
    assert mechanism.done
    with pytest.raises(SMTPArgumentError, match="CRAM-MD5 has nothing to say"):
        mechanism.next(b"<1896.697170952@postoffice.reston.mci.net>")


PROMPTS = [
    (b"Username:", b"Password:"),
    (b"User Name\0", b"Password\0"),
    (b"USERNAME", b"PASSWORD"),
    (b"username", b"password"),
    (b"", b""),
    (b"Password:", b"Username:"),
    (b"Your name, please", b"And the pass word"),
    (b"\xff\0", b"\r\n"),
]


@pytest.mark.parametrize(("first", "second"), PROMPTS, ids=repr)
def test_login_tells_prompts_apart_by_position(first: bytes, second: bytes) -> None:
    """C03: whatever they say; a third one has no answer."""
    mechanism = Login("tim", "secret")
    mechanism.start()
    assert not mechanism.done
    assert mechanism.next(first) == b"tim"
    assert not mechanism.done
    assert mechanism.next(second) == b"secret"
    assert mechanism.done
    with pytest.raises(SMTPArgumentError, match="LOGIN has nothing to say"):
        mechanism.next(first)


@pytest.mark.parametrize("kind", [Login, CramMD5])
def test_a_mechanism_that_waits_has_no_initial_response(
    kind: type[Login | CramMD5],
) -> None:
    """C04: LOGIN and CRAM-MD5 let the server speak first."""
    start: Callable[[], object] = kind("tim", "secret").start
    assert start() is None


@pytest.mark.parametrize("kind", [External, Anonymous])
@pytest.mark.parametrize("text", ["", "tim@x.example", "jürg"])
def test_external_and_anonymous_say_one_thing(
    kind: type[External | Anonymous], text: str
) -> None:
    """C18: it may be empty, which is something else than none."""
    mechanism = kind(text)
    assert mechanism.name == kind.__name__.upper()
    assert not mechanism.is_plaintext
    assert not mechanism.done
    assert mechanism.start() == text.encode()
    assert mechanism.done
    assert repr(mechanism) == f"{kind.__name__}({text!r})"
    with pytest.raises(SMTPArgumentError, match=f"{mechanism.name} has nothing to say"):
        mechanism.next(b"")


def test_external_is_whom_the_certificate_names() -> None:
    """C18: RFC 4422 A: an empty identity asks for that."""
    assert External().start() == Anonymous().start() == b""


@pytest.mark.parametrize("text", ["\ud800", 5, None, b"tim"], ids=ascii)
@pytest.mark.parametrize("kind", [External, Anonymous])
def test_what_is_no_text_is_refused(
    kind: type[External | Anonymous], text: Any
) -> None:
    """A08: at once, and with an error of this library."""
    with pytest.raises(SMTPArgumentError, match="text"):
        kind(text)


# Credentials

TEXTS = [
    "p",
    "pä",
    "\ufb00",
    "\u00ad",
    "\u05d0a\u0661",
    "\U0001f511",
    "a\u0308",
    " a ",
    "a,b=c",
    "a\x01b",
]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_text_goes_out_as_utf8_and_octets_as_they_are(text: str) -> None:
    """C19: neither is normalised; the server's copy may be of any form."""
    octets = text.encode("utf-8")
    as_text, as_octets = Plain(text, text), Plain(octets, bytearray(octets))
    expected = b"\0" + octets + b"\0" + octets
    assert as_text.start() == as_octets.start() == expected
    digests = {CramMD5(text, password).next(b"<1@x>") for password in (text, octets)}
    assert len(digests) == 1
    assert digests.pop().startswith(octets + b" ")


def test_octets_need_be_no_text() -> None:
    """C19: a password in Latin-1 is one too."""
    assert Plain(b"\xe9", b"p\xe4").start() == b"\0\xe9\0p\xe4"


UNFIT: list[Any] = ["", b"", "hunter\0two", b"hunter\0two", "\0", "hunter\ud800two"]
UNFIT += [None, 5, -5, 10**20, 1.5, True, ["hunter"], [300], ...]


@pytest.mark.parametrize("unfit", UNFIT, ids=ascii)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_credential_is_refused(kind: Kind, unfit: Any) -> None:
    """A08: a NUL would be a border in PLAIN. No error shows the value."""
    for arguments, what in (((unfit, "x"), "user name"), (("x", unfit), "password")):
        with pytest.raises(SMTPArgumentError, match=f"the {what} is ") as caught:
            kind(*arguments)
        assert "hunter" not in str(caught.value)
        assert "two" not in repr(caught.value)


@pytest.mark.parametrize("password", ["hunter2", b"hunter2", b"hunter2\xff"], ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_a_password_is_not_shown(kind: Kind, password: str | bytes) -> None:
    """C16: neither before nor after it was used."""
    mechanism = kind("tim", password)
    assert repr(mechanism) == f"<{kind.__name__} of b'tim'>"
    mechanism.start()
    assert "hunter2" not in f"{mechanism} {mechanism!r}"
    octets = password.encode() if isinstance(password, str) else password
    assert [s.encode("utf-8", "surrogateescape") for s in mechanism.secrets] == [octets]


@pytest.mark.parametrize(
    ("kind", "name", "is_plaintext"),
    [(Plain, "PLAIN", True), (Login, "LOGIN", True), (CramMD5, "CRAM-MD5", False)],
)
def test_a_mechanism_tells_whether_it_shows_the_password(
    kind: Kind, name: str, is_plaintext: bool
) -> None:
    mechanism = kind("tim", "secret")
    assert (mechanism.name, mechanism.is_plaintext) == (name, is_plaintext)


# Which ones to try

PLUS = ["SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"]
SCRAMS = ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"]
OTHERS = ["CRAM-MD5", "PLAIN", "LOGIN"]


@pytest.fixture(scope="module")
def tls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> ssl.SSLObject:
    """Give a client's end of TLS, after the handshake."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client_tls.wrap_bio(back, there, server_hostname="localhost")
    far = server_tls.wrap_bio(there, back, server_side=True)
    for end in (near, far, near, far):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert near.version() is not None
    return near


@pytest.mark.parametrize(
    ("offered", "allowed", "expected"),
    [
        (["LOGIN", "PLAIN", "CRAM-MD5"], None, ["CRAM-MD5", "PLAIN", "LOGIN"]),
        (["LOGIN", "PLAIN"], None, ["PLAIN", "LOGIN"]),
        (["LOGIN"], None, ["LOGIN"]),
        (["LOGIN", "CRAM-MD5"], None, ["CRAM-MD5", "LOGIN"]),
        (["GSSAPI", "XOAUTH2", "OAUTHBEARER", "PLAIN"], None, ["PLAIN"]),
        (["EXTERNAL", "ANONYMOUS"], None, []),
        ([], None, []),
        ([*PLUS, *SCRAMS, *OTHERS], None, [*SCRAMS, *OTHERS]),
        ([*PLUS], None, []),
        (
            ["SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN"],
            None,
            ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"],
        ),
        (["SCRAM-SHA3-512", "SCRAM-SHA-1"], None, ["SCRAM-SHA-1"]),
        (OTHERS, ["LOGIN"], ["LOGIN"]),
        (OTHERS, ["login", "plain"], ["LOGIN", "PLAIN"]),
        (OTHERS, ["PLAIN", "CRAM-MD5"], ["PLAIN", "CRAM-MD5"]),
        (SCRAMS, ["SCRAM-SHA-1", "SCRAM-SHA-512"], ["SCRAM-SHA-1", "SCRAM-SHA-512"]),
        ([*PLUS, *SCRAMS], [*PLUS, "SCRAM-SHA-1"], ["SCRAM-SHA-1"]),
        (["PLAIN", "LOGIN"], ["CRAM-MD5"], []),
        (["PLAIN", "LOGIN"], ["CRAM-MD5", "LOGIN"], ["LOGIN"]),
    ],
    ids=repr,
)
def test_what_is_offered_is_tried_the_strongest_first(
    offered: list[str], allowed: list[str] | None, expected: list[str]
) -> None:
    """C01: or, of those that the caller allows, in the caller's order."""
    chosen = password_candidates("tim", "secret", offered, allowed)
    assert [mechanism.name for mechanism in chosen] == expected


@pytest.mark.parametrize(
    "offered",
    list(itertools.permutations(["LOGIN", "PLAIN", "SCRAM-SHA-1", "CRAM-MD5"])),
)
def test_the_order_of_the_offer_means_nothing(offered: tuple[str, ...]) -> None:
    """C01: whoever reorders it gets the strongest all the same."""
    chosen = password_candidates("tim", "secret", offered)
    names = ["SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"]
    assert [m.name for m in chosen] == names
    chosen = bearer_candidates("tim", "secret", [*offered, "XOAUTH2", "OAUTHBEARER"])
    assert [m.name for m in chosen] == ["OAUTHBEARER", "XOAUTH2"]


@pytest.mark.parametrize(
    ("offered", "allowed", "expected", "flag"),
    [
        (SCRAMS, None, "SCRAM-SHA-512", b"y,,"),
        ([*PLUS, *SCRAMS], None, "SCRAM-SHA-512-PLUS", b"p=tls-server-end-point,,"),
        (["SCRAM-SHA-1-PLUS", *SCRAMS], None, "SCRAM-SHA-1-PLUS", b"p="),
        ([*PLUS, *SCRAMS], SCRAMS, "SCRAM-SHA-512", b"n,,"),
        (["SCRAM-SHA-1-PLUS", *SCRAMS], SCRAMS, "SCRAM-SHA-512", b"n,,"),
        ([*PLUS, *SCRAMS], PLUS[1:], "SCRAM-SHA-256-PLUS", b"p="),
    ],
    ids=repr,
)
def test_with_tls_a_proof_is_bound_to_it(
    tls: ssl.SSLObject,
    offered: list[str],
    allowed: list[str] | None,
    expected: str,
    flag: bytes,
) -> None:
    """C11: "y" where the server knows no binding, "n" where the client may not."""
    offered = [*offered, "PLAIN"]
    mechanism, *_ = password_candidates("tim", "secret", offered, allowed, tls)
    assert mechanism.name == expected
    initial = mechanism.start()
    assert initial is not None
    assert initial.startswith(flag)


def test_without_scram_nothing_is_bound(tls: ssl.SSLObject) -> None:
    """C11: nor is anything computed for it."""
    chosen = password_candidates("tim", "secret", OTHERS, tls=tls)
    assert [mechanism.name for mechanism in chosen] == OTHERS


def test_a_server_that_can_bind_is_offered_no_scram_that_is_not_bound(
    tls: ssl.SSLObject,
) -> None:
    """C11: whoever stands in between could refuse those that find him out."""
    offered = [*SCRAMS, "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "PLAIN"]
    chosen = password_candidates("tim", "secret", offered, None, tls)
    names = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "PLAIN"]
    assert [mechanism.name for mechanism in chosen] == names


def test_kinds_of_proof() -> None:
    """C02: one password is judged once for each."""
    assert {kind_of(name) for name in (*PLUS, *SCRAMS)} == {"SCRAM"}
    assert {kind_of(name) for name in ("PLAIN", "LOGIN")} == {"password"}
    assert {kind_of(name) for name in ("XOAUTH2", "OAUTHBEARER")} == {"token"}
    assert [kind_of(name) for name in ("CRAM-MD5", "X-CUSTOM")] == [
        "CRAM-MD5",
        "X-CUSTOM",
    ]


def test_the_order_with_a_token() -> None:
    """C02: of those that the caller allows, as the caller has it."""
    both = ["XOAUTH2", "OAUTHBEARER", "PLAIN"]
    for offered, allowed, expected in (
        (both, None, ["OAUTHBEARER", "XOAUTH2"]),
        (both, ["xoauth2", "OAUTHBEARER"], ["XOAUTH2", "OAUTHBEARER"]),
        (["XOAUTH2"], None, ["XOAUTH2"]),
        (["XOAUTH2"], ["OAUTHBEARER"], []),
        (["PLAIN"], None, []),
    ):
        chosen = bearer_candidates("tim", "secret", offered, allowed)
        assert [mechanism.name for mechanism in chosen] == expected


@pytest.mark.parametrize(
    ("allowed", "text"),
    [
        ("PLAIN", "not one string"),
        (["PLAIN", "PLIAN"], "used here: PLIAN; there are A, PLAIN$"),
        (["PLAIN", "X", "y"], "used here: X, Y; there are A, PLAIN$"),
        (["PLAIN", None, 5], "used here: None, 5; there are A, PLAIN$"),
        (5, "a sequence of names .* not 5$"),
        (b"PLAIN", "a sequence of names .* not b'PLAIN'$"),
        ([], "names none: leave it out"),
    ],
)
def test_a_name_that_is_none_is_refused(allowed: Any, text: str) -> None:
    """C01: a mistyped list allows nothing else by accident."""
    with pytest.raises(SMTPArgumentError, match=text):
        check_names(allowed, ["A", "PLAIN"])


def test_a_name_is_for_a_password_or_for_a_token() -> None:
    with pytest.raises(SMTPArgumentError, match="XOAUTH2; there are SCRAM-SHA-512-PL"):
        password_candidates("tim", "secret", ["XOAUTH2"], ["XOAUTH2"])
    with pytest.raises(SMTPArgumentError, match="PLAIN; there are OAUTHBEARER, XOAU"):
        bearer_candidates("tim", "secret", ["PLAIN"], ["PLAIN"])
    assert check_names(None, ["A", "B"]) == ["A", "B"]
    assert check_names(["b"], ["A", "B"]) == ["B"]


def test_a_mechanism_that_is_named_twice_is_tried_once() -> None:
    assert check_names(["b", "A", "B"], ["A", "B"]) == ["B", "A"]


@pytest.mark.parametrize("offered", [(), ("GSSAPI",), ("PLAIN",)], ids=repr)
@pytest.mark.parametrize(
    "credentials", [("a\0b", "x"), ("x", "a\0b"), ("", "x"), ("x", "")], ids=repr
)
def test_credentials_are_checked_whatever_is_offered(
    credentials: tuple[str, str], offered: tuple[str, ...]
) -> None:
    """A08: before anything is known of the server, and anything was sent."""
    for candidates in (password_candidates, bearer_candidates):
        with pytest.raises(SMTPArgumentError, match="is empty or has a "):
            candidates(*credentials, offered)
