"""What became of the mails, and the exit status that says so."""

from __future__ import annotations

import pytest

from smtplibaio import Mail, Outcome, Reply, SendResult
from smtplibaio.cli.reports import ExitStatus, Report, Tally
from smtplibaio.exceptions import (
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPNoRecipientError,
)

MAIL = Mail(b"")
OK = Reply(250, "ok: queued as 4WxYz")
NO = Reply(550, "no\x1b")
LATER = Reply(450, "later")


def report(outcome: Outcome) -> Report:
    return Report.of("a.eml", 10, outcome)


def test_an_accepted_mail_is_reported_with_its_queue_id() -> None:
    result = SendResult({"b": OK}, OK)
    assert report(Outcome(MAIL, result, None, "accepted")) == Report(
        "a.eml", 10, "accepted", ("b",), {}, "", True, "4WxYz"
    )


@pytest.mark.parametrize(("reply", "is_transient"), [(NO, False), (LATER, True)])
def test_of_a_partial_mail_the_refused_recipients_count(
    reply: Reply, is_transient: bool
) -> None:
    result = SendResult({"b": OK, "c": reply}, OK)
    made = report(Outcome(MAIL, result, None, "partial"))
    assert made.accepted == ("b",)
    assert made.is_transient is is_transient
    (reason,) = made.reasons
    assert reason.startswith(f"c: {reply.code} ")
    assert reason.isprintable()


def test_a_refused_mail_has_the_reason_of_each_recipient() -> None:
    refused = {"b": NO, "c": LATER}
    errors = [
        SMTPCommandFailedError(*reply, "RCPT", reply) for reply in refused.values()
    ]
    error = SMTPNoRecipientError(errors, refused)
    made = report(Outcome(MAIL, None, error, "refused"))
    assert made.reasons == ["b: 550 no\\x1b", "c: 450 later"]
    assert not made.is_transient


def test_an_unknown_mail_has_the_error_and_who_was_accepted_all_the_same() -> None:
    made = report(Outcome(MAIL, None, SMTPDeliveryUnknownError("lost"), "unknown"))
    assert made.reasons == ["lost"]
    assert made.accepted == ()


def test_of_an_unknown_mail_what_was_decided_stays_so() -> None:
    """LMTP: one recipient has its final reply, another has none."""
    error = SMTPDeliveryUnknownError("lost", SendResult({"b": OK, "c": NO}), ["d"])
    made = report(Outcome(MAIL, None, error, "unknown"))
    assert made.accepted == ("b",)
    assert made.refused == {"c": "550 no\\x1b"}


def test_who_was_greeted_before_the_connection_was_lost_has_not_been_sent_to() -> None:
    error = SMTPConnectionLostError("lost", None, SendResult({"b": OK}))
    assert report(Outcome(MAIL, None, error, "not sent")).accepted == ()


def tally(*reports: Report) -> Tally:
    made = Tally()
    made.add(*reports)
    return made


ACCEPTED = Report("", 1, "accepted")
SKIPPED = Report("", 1, "skipped")
UNKNOWN = Report("", 1, "unknown")
REFUSED = Report("", 1, "refused")
PARTIAL = Report("", 1, "partial")
LOST = Report("", 1, "not sent", is_transient=SMTPConnectionLostError.is_transient)


@pytest.mark.parametrize(
    ("reports", "status"),
    [
        ([], ExitStatus.OK),
        ([ACCEPTED, SKIPPED], ExitStatus.OK),
        ([ACCEPTED, LOST], ExitStatus.TRANSIENT),
        ([LOST, REFUSED], ExitStatus.REFUSED),
        ([PARTIAL, ACCEPTED], ExitStatus.REFUSED),
        ([REFUSED, UNKNOWN, LOST], ExitStatus.UNKNOWN),
    ],
)
def test_the_exit_status_is_the_first_that_applies(
    reports: list[Report], status: ExitStatus
) -> None:
    made = tally(*reports)
    assert made.exit_status is status
    made.was_interrupted = True
    assert made.exit_status is ExitStatus.INTERRUPTED


@pytest.mark.parametrize(
    ("reports", "is_half_done"),
    [
        ([ACCEPTED, ACCEPTED], False),
        ([LOST, LOST], False),
        ([ACCEPTED, LOST], True),
        ([PARTIAL], True),
        ([UNKNOWN], True),
        ([SKIPPED], False),
    ],
)
def test_what_is_half_done_can_be_gone_on_with(
    reports: list[Report], is_half_done: bool
) -> None:
    assert tally(*reports).is_half_done is is_half_done
