"""The tree of exceptions, what each tells, and that each survives its way to a caller.

The examples are in the order of the tree.
"""

from __future__ import annotations

import builtins
import copy
import pickle
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from smtplibaio import exceptions as module
from smtplibaio.exceptions import (
    SMTPArgumentError,
    SMTPAuthenticationError,
    SMTPCommandFailedError,
    SMTPCommandNotSupportedError,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPConnectionRefusedError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPLoginError,
    SMTPNoRecipientError,
    SMTPProtocolError,
    SMTPRecipientRefusedError,
    SMTPTimeoutError,
    SMTPTLSError,
    again,
    is_farewell,
    printable,
    unknown_after,
    without_frames,
)
from smtplibaio.grammar.replies import Reply, as_verdict_on_rcpt
from smtplibaio.mail.result import SendResult

CLASSES: list[type[SMTPException]] = [getattr(module, n) for n in module.__all__]

NO_USER = Reply(550, "5.1.1 no such user")
BUSY = Reply(450, "4.2.0 greylisted\ncome back")
FAREWELL = Reply(421, "bye")

REFUSED = SMTPCommandFailedError(*NO_USER, "RCPT", NO_USER)
DELAYED = SMTPCommandFailedError(*BUSY, "RCPT", BUSY)

# The exception; is_transient; its text
EXAMPLES: list[tuple[SMTPException, bool, str]] = [
    (SMTPException("text"), False, "text"),
    (
        SMTPCommandNotSupportedError("AUTH"),
        False,
        "the server does not announce AUTH",
    ),
    (
        SMTPCommandNotSupportedError("DSN", "the parameter RET needs it"),
        False,
        "the server does not announce DSN: the parameter RET needs it",
    ),
    (
        SMTPLoginError(
            [
                SMTPAuthenticationError(454, "later", "CRAM-MD5"),
                SMTPAuthenticationError(535, "no", "PLAIN"),
            ]
        ),
        False,
        (
            "login failed: AUTH CRAM-MD5 failed: 454 later (the server cannot check "
            "credentials for the moment); AUTH PLAIN failed: 535 no"
        ),
    ),
    (
        SMTPLoginError(
            [
                SMTPAuthenticationError(454, "later", "CRAM-MD5"),
                SMTPAuthenticationError(432, "", "PLAIN"),
            ]
        ),
        True,
        (
            "login failed: AUTH CRAM-MD5 failed: 454 later (the server cannot check "
            "credentials for the moment); AUTH PLAIN failed: 432 (the password must be "
            "changed or renewed first)"
        ),
    ),
    (
        SMTPNoRecipientError([REFUSED, DELAYED], {"a@x": NO_USER, "b@x": BUSY}),
        False,
        (
            "every recipient was refused: a@x (550 5.1.1 no such user); "
            "b@x (450 4.2.0 greylisted come back)"
        ),
    ),
    (
        SMTPNoRecipientError([DELAYED, DELAYED], {"a@x": BUSY, "b@x": BUSY}),
        True,
        (
            "every recipient was refused: a@x (450 4.2.0 greylisted come back); "
            "b@x (450 4.2.0 greylisted come back)"
        ),
    ),
    (
        SMTPRecipientRefusedError({"a@x": NO_USER, "b@x": BUSY}),
        False,
        (
            "nothing was sent, for a recipient was refused: "
            "a@x (550 5.1.1 no such user); b@x (450 4.2.0 greylisted come back)"
        ),
    ),
    (
        SMTPRecipientRefusedError({"b@x": BUSY}),
        True,
        (
            "nothing was sent, for a recipient was refused: "
            "b@x (450 4.2.0 greylisted come back)"
        ),
    ),
    (REFUSED, False, "RCPT failed: 550 5.1.1 no such user"),
    (DELAYED, True, "RCPT failed: 450 4.2.0 greylisted come back"),
    (
        SMTPNoRecipientError([REFUSED]),
        False,
        "every recipient was refused: RCPT failed: 550 5.1.1 no such user",
    ),
    (SMTPLoginError([]), False, "login failed: "),
    (SMTPCommandFailedError(400), True, "command failed: 400"),
    (SMTPCommandFailedError(499, "x"), True, "command failed: 499 x"),
    (SMTPCommandFailedError(500, "x"), False, "command failed: 500 x"),
    (SMTPCommandFailedError(354, "x"), False, "command failed: 354 x"),
    (
        SMTPAuthenticationError(535, "5.7.8 no", "PLAIN", Reply(535, "5.7.8 no")),
        False,
        "AUTH PLAIN failed: 535 5.7.8 no",
    ),
    (SMTPAuthenticationError(535), False, "AUTH failed: 535"),
    (
        SMTPAuthenticationError(538, "no", "PLAIN", hint="pass starttls="),
        False,
        "AUTH PLAIN failed: 538 no (pass starttls=)",
    ),
    (
        SMTPArgumentError("a NUL in the body", 17),
        False,
        "a NUL in the body",
    ),
    (SMTPProtocolError("garbage"), False, "garbage"),
    (SMTPTLSError("no TLS"), False, "no TLS"),
    (SMTPTimeoutError("no reply within 1 s"), True, "no reply within 1 s"),
    (SMTPConnectionError("not connected"), True, "not connected"),
    (SMTPConnectionRefusedError("refused"), True, "refused"),
    (SMTPConnectionRefusedError("greets", 421, "later"), True, "greets"),
    (SMTPConnectionRefusedError("greets", 450, "later"), True, "greets"),
    (SMTPConnectionRefusedError("greets", 554, "never"), False, "greets"),
    (SMTPConnectionLostError("reset"), True, "reset"),
    (SMTPConnectionLostError("421 bye", FAREWELL), True, "421 bye"),
    (
        SMTPConnectionLostError("reset", None, SendResult({"a@x": BUSY}, NO_USER)),
        True,
        "reset",
    ),
    (SMTPTimeoutError("late", SendResult({"a@x": BUSY}, NO_USER)), True, "late"),
    (SMTPDeliveryUnknownError("lost"), False, "lost"),
    (
        SMTPDeliveryUnknownError("lost", SendResult({"a@x": BUSY}, BUSY), ["b@x"]),
        False,
        "lost",
    ),
]

each = pytest.mark.parametrize(
    ("exc", "is_transient", "text"),
    [
        pytest.param(*row, id=f"{number}-{type(row[0]).__name__}")
        for number, row in enumerate(EXAMPLES)
    ],
)


# The tree


def drawn() -> dict[str, tuple[str, str | None]]:
    """Read the docstring: each class, its parent, the builtin in parentheses."""
    tree: dict[str, tuple[str, str | None]] = {}
    above: list[str] = []
    assert module.__doc__ is not None
    for line in module.__doc__.splitlines():
        match = re.match(r"    ([ |'-]*)(SMTP\w+)(?: \((\w+)\))?(?:  |$)", line)
        if match is not None:
            depth = len(match[1]) // 4
            del above[depth:]
            tree[match[2]] = (above[-1] if above else "Exception", match[3])
            above.append(match[2])
    return tree


def test_the_docstring_draws_every_exception_there_is() -> None:
    defined = {
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert set(drawn()) == set(module.__all__) == defined


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_each_class_is_where_the_docstring_has_it(cls: type[SMTPException]) -> None:
    parent, builtin = drawn()[cls.__name__]
    names = (parent,) if builtin is None else (parent, builtin)
    assert tuple(base.__name__ for base in cls.__bases__) == names
    if builtin is not None:
        assert issubclass(cls, getattr(builtins, builtin))


@pytest.mark.parametrize(
    "cls",
    [
        SMTPTimeoutError,
        SMTPConnectionError,
        SMTPConnectionRefusedError,
        SMTPConnectionLostError,
    ],
)
def test_what_the_system_would_call_an_oserror_is_one(cls: type[Exception]) -> None:
    """So that a caller who only knows the builtins is right, too."""
    exc = cls("text")
    assert isinstance(exc, OSError)
    assert exc.errno is None
    assert exc.args == ("text",)


def test_every_class_has_an_example() -> None:
    assert {type(exc) for exc, _, _ in EXAMPLES} == set(CLASSES)


# What they tell


@each
def test_each_answers_whether_to_try_again(
    exc: SMTPException, is_transient: bool, text: str
) -> None:
    assert exc.is_transient is is_transient
    assert exc.safe_to_retry is (type(exc) is not SMTPDeliveryUnknownError)
    assert str(exc) == text


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (432, "the password must be changed or renewed first"),
        (454, "the server cannot check credentials for the moment"),
        (504, "the server does not know this mechanism"),
    ],
)
def test_a_refused_auth_says_what_its_code_means(code: int, hint: str) -> None:
    exc = SMTPAuthenticationError(code, "5.7.0 text", "PLAIN")
    assert str(exc) == f"AUTH PLAIN failed: {code} 5.7.0 text ({hint})"
    assert exc.is_transient == (code < 500)


@pytest.mark.parametrize("code", [530, 534, 535, 538])
def test_a_code_with_several_meanings_is_not_explained(code: int) -> None:
    """H14: 534 is Google's for "make a password for this program".

    And 530 may come over TLS, where no advice to turn to TLS helps.
    """
    exc = SMTPAuthenticationError(code, "5.7.9 text", "PLAIN")
    assert str(exc) == f"AUTH PLAIN failed: {code} 5.7.9 text"


def test_the_attributes_are_the_documented_ones() -> None:
    exc: Any = REFUSED
    assert (exc.code, exc.message, exc.command) == (*NO_USER, "RCPT")
    assert exc.reply is NO_USER
    assert exc.args == (*NO_USER, "RCPT")
    exc = SMTPCommandFailedError(550, "no")
    assert (exc.command, exc.reply) == (None, None)
    exc = SMTPAuthenticationError(535, "no", "PLAIN")
    assert (exc.code, exc.message, exc.command) == (535, "no", "AUTH")
    assert (exc.mechanism, exc.reply) == ("PLAIN", None)
    assert SMTPCommandNotSupportedError("DSN").command == "DSN"
    assert SMTPLoginError((REFUSED,)).exceptions == [REFUSED]
    exc = SMTPNoRecipientError((REFUSED,), {"a@x": NO_USER})
    assert (exc.exceptions, exc.refused) == ([REFUSED], {"a@x": NO_USER})
    assert SMTPNoRecipientError([REFUSED]).refused == {}
    assert SMTPRecipientRefusedError({"a@x": NO_USER}).refused == {"a@x": NO_USER}
    assert SMTPArgumentError("x").offset is None
    assert SMTPArgumentError("x", 3).offset == 3
    exc = SMTPConnectionRefusedError("x")
    assert (exc.code, exc.message) == (None, "x")
    exc = SMTPConnectionRefusedError("x", 554, "no")
    assert (exc.code, exc.message) == (554, "no")
    assert SMTPConnectionLostError("x").reply is None
    assert SMTPConnectionLostError("x", FAREWELL).reply is FAREWELL


def test_a_failed_login_has_the_code_and_the_reply_of_the_last_refusal() -> None:
    no = Reply(535, "5.7.8 no")
    refused = SMTPAuthenticationError(*no, "CRAM-MD5", no)
    in_clear = SMTPTLSError("PLAIN would send the password")
    exc = SMTPLoginError([SMTPAuthenticationError(454), refused, in_clear])
    assert exc.code == 535
    assert exc.reply is no
    exc = SMTPLoginError([in_clear])
    assert (exc.code, exc.reply) == (None, None)


LOSSES = (SMTPConnectionLostError, SMTPTimeoutError, SMTPDeliveryUnknownError)


@pytest.mark.parametrize("cls", LOSSES)
def test_a_loss_has_the_verdicts_that_did_arrive(cls: Any) -> None:
    assert cls("lost").result is None
    result = SendResult({"a@x": Reply(250, "ok"), "b@x": BUSY}, FAREWELL)
    exc = cls("lost", result=result)
    assert exc.result is result
    for other in ways(exc):
        assert getattr(other, "result").replies == result.replies  # noqa: B009


def test_a_mail_of_unknown_fate_names_the_recipients_without_a_verdict() -> None:
    assert SMTPDeliveryUnknownError("lost").unknown == []
    exc = unknown_after("silence", None, ("a@x", "b@x"))
    assert str(exc).endswith("all of it was sent, then silence")
    assert exc.unknown == ["a@x", "b@x"]
    assert unknown_after("silence").unknown == []


def test_too_many_recipients_is_a_refusal_for_now_wherever_it_is_told() -> None:
    """RFC 5321 4.5.3.1.10: 552 to RCPT is to be treated as 452."""
    many = as_verdict_on_rcpt(Reply(552, "5.5.3 too many recipients"))
    refused = SMTPCommandFailedError(*many, "RCPT", many)
    assert refused.is_transient
    assert SMTPNoRecipientError([refused], {"a@x": many}).is_transient
    assert SMTPRecipientRefusedError({"a@x": many}).is_transient
    for other in ways(refused):
        assert other.is_transient
        assert getattr(other, "reply").is_transient  # noqa: B009


# The documented package

DOCUMENTED: list[SMTPException] = [
    SMTPException(),
    SMTPException("text"),
    SMTPException(message="text"),
    SMTPLoginError([SMTPAuthenticationError(535, "no")]),
    SMTPNoRecipientError([SMTPCommandFailedError(550, "no", "RCPT TO:<a@x>")]),
    SMTPCommandFailedError(550),
    SMTPCommandFailedError(550, None, None),
    SMTPCommandFailedError(550, "no", "RCPT TO:<a@x>"),
    SMTPCommandFailedError(code=550, message="no", command="NOOP"),
    SMTPAuthenticationError(535),
    SMTPAuthenticationError(535, None, None),
    SMTPAuthenticationError(code=535, message="no", mechanism="PLAIN"),
]


@pytest.mark.parametrize("exc", DOCUMENTED, ids=repr)
def test_constructors_take_what_the_documented_ones_take(exc: SMTPException) -> None:
    for other in ways(exc):
        assert (type(other), str(other)) == (type(exc), str(exc))
        assert other.message == exc.message


@each
def test_every_exception_has_a_message_that_can_be_printed(
    exc: SMTPException, is_transient: bool, text: str
) -> None:
    """S116: services keep `exc.message`, in files and tables that take UTF-8."""
    assert type(exc.message) is str
    assert exc.message.encode("utf-8") is not None
    is_of_reply = isinstance(exc, SMTPCommandFailedError) or getattr(exc, "code", None)
    assert is_of_reply or exc.message == text


def test_the_text_of_a_reply_keeps_its_lines_and_nothing_else_that_is_no_text() -> None:
    """S116: octets that are no UTF-8, and D05: what moves a cursor."""
    said = Reply(550, "\udcb7\x1b[2J\nnext line")
    for exc in (
        SMTPCommandFailedError(*said, "MAIL", said),
        SMTPAuthenticationError(*said, "PLAIN", said),
        SMTPConnectionRefusedError("x greets with 550", *said),
    ):
        assert exc.message == r"\udcb7\x1b[2J" + "\nnext line"
        assert getattr(exc, "reply", said) is said


def test_an_exception_does_not_follow_what_it_was_made_of() -> None:
    errors: list[SMTPException] = [DELAYED]
    refused = {"a@x": BUSY}
    login = SMTPLoginError(errors)
    nobody = SMTPNoRecipientError(errors, refused)
    one = SMTPRecipientRefusedError(refused)
    errors.append(REFUSED)
    refused["b@x"] = NO_USER
    assert login.exceptions == nobody.exceptions == [DELAYED]
    assert nobody.refused == one.refused == {"a@x": BUSY}


# Text that may be shown

HOSTILE = "\x1b[2J\r\n\t\x00\x7f\x85\u2028\u202e\udcff\ud800 é 🦉"
SHOWN = r"\x1b[2J\r\n\t\x00\x7f\x85\u2028\u202e\udcff\ud800 é 🦉"


def test_printable_escapes_what_is_no_visible_text() -> None:
    """D05: and leaves the rest as it is."""
    assert printable(HOSTILE) == SHOWN
    assert printable("gr\u00f6\u00dfer 🦉") == "gr\u00f6\u00dfer 🦉"
    assert printable("") == ""


def in_login(text: str) -> SMTPException:
    return SMTPLoginError([SMTPCommandNotSupportedError("AUTH", text)])


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(SMTPException, id="D05-SMTPException"),
        pytest.param(SMTPArgumentError, id="D05-SMTPArgumentError"),
        pytest.param(SMTPProtocolError, id="D05-SMTPProtocolError"),
        pytest.param(SMTPTLSError, id="D05-SMTPTLSError"),
        pytest.param(SMTPTimeoutError, id="D05-SMTPTimeoutError"),
        pytest.param(SMTPConnectionError, id="D05-SMTPConnectionError"),
        pytest.param(SMTPConnectionRefusedError, id="D05-SMTPConnectionRefusedError"),
        pytest.param(SMTPConnectionLostError, id="D05-SMTPConnectionLostError"),
        pytest.param(SMTPDeliveryUnknownError, id="D05-SMTPDeliveryUnknownError"),
        pytest.param(SMTPCommandNotSupportedError, id="D05-unsupported-command"),
        pytest.param(
            lambda text: SMTPCommandNotSupportedError("AUTH", text),
            id="D05-unsupported-detail",
        ),
        pytest.param(in_login, id="D05-what-the-server-offers"),
        pytest.param(
            lambda text: SMTPCommandFailedError(550, text), id="D05-failed-message"
        ),
        pytest.param(
            lambda text: SMTPCommandFailedError(550, "no", text),
            id="D05-failed-command",
        ),
        pytest.param(
            lambda text: SMTPAuthenticationError(535, text, "PLAIN"),
            id="D05-authentication-message",
        ),
        pytest.param(
            lambda text: SMTPAuthenticationError(535, "no", text),
            id="D05-authentication-mechanism",
        ),
        pytest.param(
            lambda text: SMTPLoginError([SMTPAuthenticationError(535, text, "X")]),
            id="D05-login",
        ),
        pytest.param(
            lambda text: SMTPNoRecipientError([REFUSED], {"a@x": Reply(550, text)}),
            id="D05-no-recipient-reply",
        ),
        pytest.param(
            lambda text: SMTPNoRecipientError([REFUSED], {text: NO_USER}),
            id="D05-no-recipient",
        ),
        pytest.param(
            lambda text: SMTPRecipientRefusedError({"a@x": Reply(550, text)}),
            id="D05-recipient-refused-reply",
        ),
        pytest.param(
            lambda text: SMTPRecipientRefusedError({text: NO_USER}),
            id="D05-recipient-refused",
        ),
    ],
)
def test_no_text_can_move_a_cursor_or_fail_to_be_written(
    make: Callable[[str], SMTPException],
) -> None:
    """D05: wherever the server's text, or a caller's, has got into the exception."""
    shown = str(make(HOSTILE))
    assert shown.isprintable()
    assert shown.encode("utf-8")
    assert r"\x1b[2J" in shown
    assert r"\udcff\ud800 é 🦉" in shown


def test_the_reply_keeps_the_text_that_was_escaped() -> None:
    reply = Reply(550, HOSTILE)
    exc = SMTPCommandFailedError(*reply, "RCPT", reply)
    assert exc.reply is reply
    assert reply.message == HOSTILE


# The way to a caller


def anatomy(value: Any) -> Any:
    """Take a value apart, down to what compares by value."""
    if isinstance(value, BaseException):
        shown = (str(value), repr(value), value.args, vars(value))
        told = (getattr(value, "is_transient", None), value.__class__)
        return [told, *map(anatomy, shown)]
    if isinstance(value, dict):
        return [(key, anatomy(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [type(value), *map(anatomy, value)]
    return value


def ways(exc: SMTPException) -> Iterator[SMTPException]:
    yield copy.copy(exc)
    yield copy.deepcopy(exc)
    yield again(exc)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.loads(pickle.dumps(exc, protocol))


@each
def test_each_can_be_copied_and_pickled(
    exc: SMTPException, is_transient: bool, text: str
) -> None:
    for other in ways(exc):
        assert other is not exc
        assert anatomy(other) == anatomy(exc)
        assert other.is_transient is is_transient
        assert other.safe_to_retry is exc.safe_to_retry
        assert str(other) == text


@each
def test_one_more_caller_gets_an_exception_of_its_own(
    exc: SMTPException, is_transient: bool, text: str
) -> None:
    """The first is its cause, and its own traceback and context stay empty."""
    try:
        raise exc
    except SMTPException:
        other = again(exc)
    assert other.__cause__ is exc
    assert other.__traceback__ is None
    assert exc.__cause__ is None
    exc.__traceback__ = None


def lose() -> None:
    try:
        try:
            raise KeyError
        except KeyError as exc:
            raise OSError from exc
    except OSError as exc:
        raise SMTPConnectionError("lost") from exc


def test_an_exception_that_is_kept_can_be_without_frames() -> None:
    """H13: and so can its causes."""
    with pytest.raises(SMTPConnectionError) as info:
        lose()
    kept = without_frames(info.value)
    links = [kept, kept.__cause__, getattr(kept.__cause__, "__cause__", None)]
    assert [type(link) for link in links] == [SMTPConnectionError, OSError, KeyError]
    assert [getattr(link, "__traceback__", 1) for link in links] == [None] * 3
    assert [getattr(link, "__context__", 1) for link in links] == [None] * 3


def fail() -> None:
    raise KeyError


def send_while_handling() -> None:
    try:
        fail()
    except KeyError:
        with pytest.raises(SMTPConnectionError) as info:
            lose()
        without_frames(info.value)
        raise


def test_the_exception_that_a_caller_handles_keeps_its_frames() -> None:
    """H12: mail is sent in an `except` block, and fails."""
    with pytest.raises(KeyError) as handled:
        send_while_handling()
    assert handled.traceback[-1].name == "fail"


def test_a_farewell_is_a_loss_with_an_answer() -> None:
    assert is_farewell(SMTPConnectionLostError("421 bye", FAREWELL))
    assert not is_farewell(SMTPConnectionLostError("reset"))
    assert not is_farewell(SMTPTimeoutError("late"))
