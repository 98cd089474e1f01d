"""What a failure says about the server."""

from __future__ import annotations

import pytest

from smtplibaio import (
    Reply,
    SMTPAuthenticationError,
    SMTPCommandFailedError,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPConnectionRefusedError,
    SMTPException,
    SMTPLoginError,
    SMTPNoRecipientError,
    SMTPRecipientRefusedError,
    SMTPTimeoutError,
)
from smtplibaio.pool import signs


def failed(command: str, code: int, text: str) -> SMTPCommandFailedError:
    return SMTPCommandFailedError(code, text, command, Reply(code, text))


def login(code: int, text: str) -> SMTPLoginError:
    return SMTPLoginError(
        [SMTPAuthenticationError(code, text, "PLAIN", Reply(code, text))]
    )


def farewell(text: str) -> SMTPConnectionLostError:
    return SMTPConnectionLostError("the server ends the session", Reply(421, text))


def greeted(code: int | None, text: str) -> SMTPConnectionRefusedError:
    return SMTPConnectionRefusedError("refused", code, text)


def refused(text: str) -> SMTPNoRecipientError:
    reply = Reply(450, text)
    return SMTPNoRecipientError([failed("RCPT", *reply)], {"a@x.example": reply})


@pytest.mark.parametrize(
    "error",
    [
        greeted(421, "too many connections"),
        greeted(450, "4.7.1 you come too often"),
        greeted(432, "later"),
        failed("EHLO", 450, "4.7.0 later"),
        failed("MAIL", 450, "4.7.1 throttled"),
        failed("MAIL", 432, "4.3.2 concurrent connections limit exceeded"),
        failed("DATA", 451, "4.3.2 the system is busy"),
        login(454, "temporary authentication failure"),
        login(421, "go away"),
        login(450, "4.3.2 busy"),
        farewell(""),
        farewell("4.7.0 try again later"),
        farewell("4.3.2 shutting down"),
        refused("4.3.2 busy"),
        SMTPRecipientRefusedError({"a@x.example": Reply(450, "4.3.2 busy")}),
    ],
    ids=str,
)
def test_these_are_about_the_load_of_the_server(error: SMTPException) -> None:
    assert signs.is_about_load(error)


@pytest.mark.parametrize(
    "error",
    [
        greeted(None, ""),
        greeted(554, "no service"),
        failed("MAIL", 451, "4.3.0 trouble"),
        failed("DATA", 450, "4.7.1 content looks odd"),
        login(535, "wrong password"),
        login(432, "4.7.12 a password transition is needed"),
        farewell("4.4.2 time-out"),
        refused("4.7.1 greylisted"),
        SMTPConnectionLostError("the server closed the connection"),
        SMTPTimeoutError("no reply"),
    ],
    ids=str,
)
def test_these_are_not(error: SMTPException) -> None:
    """To AUTH, 432 and 4.7.12 are about the password (RFC 4954 6)."""
    assert not signs.is_about_load(error)


@pytest.mark.parametrize(
    ("error", "had_enough", "is_only_that"),
    [
        (farewell("too many messages"), True, True),
        (farewell("4.7.0 too many messages"), True, False),
        (farewell("4.3.2 shutting down"), False, False),
        (farewell("4.4.2 time-out"), False, False),
        (SMTPConnectionLostError("the server closed the connection"), True, True),
        (failed("MAIL", 451, "4.5.3 no more transactions"), True, True),
        (failed("RCPT", 451, "4.5.3 no more recipients"), False, False),
        (failed("MAIL", 552, "5.5.3 no"), False, False),
        (SMTPTimeoutError("no reply"), False, False),
    ],
    ids=str,
)
def test_a_session_that_has_had_its_mails_is_told_from_others(
    error: SMTPException, had_enough: bool, is_only_that: bool
) -> None:
    """E21."""
    assert signs.had_enough(error) == had_enough
    assert signs.is_only_enough(error) == is_only_that


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (greeted(421, ""), "421"),
        (greeted(None, ""), "SMTPConnectionRefusedError"),
        (login(535, ""), "535"),
        (SMTPCommandFailedError(450, "no reply at hand"), "450"),
        (SMTPConnectionError("no such host"), "SMTPConnectionError"),
        (ValueError("a token"), "ValueError"),
    ],
    ids=str,
)
def test_a_failure_is_counted_by_code_or_by_name(error: Exception, reason: str) -> None:
    assert signs.reason_of(error) == reason
