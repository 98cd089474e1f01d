"""What is left of a mail, and whether to go on."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any

import pytest

from smtplibaio import (
    Mail,
    Reply,
    SendResult,
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPConnectionRefusedError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPNoRecipientError,
    SMTPTimeoutError,
)
from smtplibaio.grammar.extensions import Limits
from smtplibaio.pool.delivery import Delivery

OK = Reply(250, "2.1.5 ok")
TOO_MANY = Reply(452, "4.5.3 too many recipients")
NAMES = [f"{n}@y.example" for n in range(5)]


def mail(*recipients: str, **options: Any) -> Mail:
    return Mail(b"content\r\n", "a@x.example", [*recipients] or NAMES, **options)


def delivery(*recipients: str, attempts: int = 3, **options: Any) -> Delivery:
    return Delivery(mail(*recipients, **options), attempts)


def queued(number: int) -> Reply:
    return Reply(250, f"2.0.0 queued as Q{number}")


def result(part: Mail | None, number: int = 1, **refused: Reply) -> SendResult:
    assert part is not None
    assert isinstance(part.recipients, list)
    replies = {name: refused.get(name[0], OK) for name in part.recipients}
    return SendResult(replies, queued(number))


def lost(reply: Reply | None = None) -> SMTPConnectionLostError:
    return SMTPConnectionLostError("lost", reply)


def failed(code: int, command: str = "MAIL") -> SMTPCommandFailedError:
    return SMTPCommandFailedError(code, "no", command, Reply(code, "no"))


def test_without_limits_the_mail_goes_as_it_is() -> None:
    one = delivery()
    part = one.part(Limits(), set())
    assert part is one.mail
    one.accepted(SendResult(dict.fromkeys(NAMES, OK), queued(1)))
    assert one.is_over
    assert one.status == "accepted"
    assert one.settle().queue_id == "Q1"


def test_recipients_over_rcptmax_go_into_further_transactions() -> None:
    """RFC 9422: one result, whose reply is the last one that accepted."""
    one, seen, limits = delivery(), [], Limits(rcptmax=2)
    for number in (1, 2, 3):
        assert not one.is_over
        part = one.part(limits, set())
        assert part is not None
        seen.append(part.recipients)
        one.accepted(result(part, number))
    assert one.is_over
    assert seen == [NAMES[:2], NAMES[2:4], NAMES[4:]]
    settled = one.settle()
    assert settled.accepted == NAMES
    assert settled.queue_id == "Q3"
    assert settled == {}


def test_recipients_that_were_one_too_many_go_into_a_further_transaction() -> None:
    """F14."""
    one = delivery()
    refusals = {"3": TOO_MANY, "1": Reply(550, "no such user"), "4": TOO_MANY}
    one.accepted(
        SendResult({name: refusals.get(name[0], OK) for name in NAMES}, queued(1))
    )
    assert not one.is_over
    part = one.part(Limits(), set())
    assert part is not None
    assert part.recipients == NAMES[3:]
    one.accepted(result(part, 2))
    assert one.is_over
    assert one.status == "partial"
    assert [*one.settle()] == [NAMES[1]]
    assert one.settle().accepted == [NAMES[0], *NAMES[2:]]


def test_all_or_nothing_is_one_transaction() -> None:
    one = delivery(all_or_nothing=True)
    assert one.part(Limits(rcptmax=2), set()) is one.mail
    one.accepted(SendResult({NAMES[0]: OK, NAMES[1]: TOO_MANY}, queued(1)))
    assert one.is_over
    assert one.status == "partial"


def test_content_that_can_be_read_once_is_one_transaction() -> None:
    """What has been read is gone: those that are too many stay refused."""
    one = Delivery(Mail(iter([b"content"]), "a@x.example", NAMES), 3)
    part = one.part(Limits(rcptmax=2), set())
    assert part is not None
    assert part.recipients == NAMES
    assert [*part.message] == [b"content"]  # type: ignore[arg-type]  # an iterator
    one.accepted(SendResult({NAMES[0]: OK, NAMES[1]: TOO_MANY}, queued(1)))
    assert one.is_over
    assert one.settle() == {NAMES[1]: TOO_MANY}


def test_domains_are_chosen_for_a_session_and_noted() -> None:
    """RFC 9422: RCPTDOMAINMAX counts over the session."""
    one = delivery("a@x.example", "b@y.example", "c@x.example")
    assert one.domains() == {"x.example", "y.example"}
    limits, used = Limits(rcptdomainmax=1), {"z.example"}
    assert one.part(limits, used) is None
    used = set()
    part = one.part(limits, used)
    assert part is not None
    assert part.recipients == ["a@x.example", "c@x.example"]
    assert used == {"x.example"}
    one.accepted(result(part))
    assert one.domains() == {"y.example"}
    assert one.part(limits, used) is None


def test_a_message_that_names_its_recipients_can_be_split() -> None:
    message = EmailMessage()
    message["From"] = "a@x.example"
    message["To"] = "b@y.example, c@y.example"
    message["Bcc"] = "d@y.example"
    one = Delivery(Mail(message), 3)
    seen = []
    while not one.is_over:
        part = one.part(Limits(rcptmax=1), set())
        assert part is not None
        assert part.sender == "a@x.example"
        seen.append(part.recipients)
        one.accepted(result(part))
    assert seen == [["b@y.example"], ["c@y.example"], ["d@y.example"]]


def test_each_part_has_the_original_addresses_of_its_recipients() -> None:
    """RFC 3461: orcpt may name no stranger."""
    orcpt = {NAMES[0]: "rfc822;zero@z.example", NAMES[1]: "rfc822;one@z.example"}
    one = delivery(*NAMES[:3], orcpt=orcpt)
    for expected in ({NAMES[0]: orcpt[NAMES[0]]}, {NAMES[1]: orcpt[NAMES[1]]}, {}):
        part = one.part(Limits(rcptmax=1), set())
        assert part is not None
        assert part.orcpt == expected
        part.envelope()
        one.accepted(result(part))


def test_what_cannot_be_an_envelope_is_left_to_the_client() -> None:
    one = delivery("not one")
    assert one.domains() == frozenset()
    assert one.part(Limits(rcptmax=1), set()) is one.mail


def test_what_the_caller_gave_as_iterators_says_the_same_twice() -> None:
    one = Delivery(
        Mail(b"", "a@x.example", iter(NAMES), iter(["SIZE=3"]), notify=iter(["DELAY"])),  # type: ignore[arg-type]  # an iterator is an iterable
        3,
    )
    for _ in range(2):
        part = one.part(Limits(), set())
        assert part is not None
        assert [*part.envelope().recipients] == NAMES
        assert part.mail_options == ("SIZE=3",)
        assert part.notify == ("DELAY",)


@pytest.mark.parametrize(
    "error",
    [failed(451), lost(), SMTPTimeoutError("slow"), SMTPConnectionRefusedError("no")],
    ids=str,
)
def test_a_transient_failure_is_tried_again_so_many_times(error: SMTPException) -> None:
    one = delivery()
    for tries in (1, 2):
        one.failed(error)
        assert not one.is_over
        assert one.tries == tries
        assert one.failure is error
    one.failed(error)
    assert one.is_over
    assert one.failure is None
    with pytest.raises(type(error)) as caught:
        one.settle()
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (failed(550), "refused"),
        (SMTPDeliveryUnknownError("nobody knows"), "unknown"),
        (SMTPConnectionRefusedError("no", 554, "no service"), "not sent"),
        (ValueError("a token that cannot be had"), "not sent"),
    ],
    ids=str,
)
def test_nothing_else_is_tried_again(error: Exception, status: str) -> None:
    one = delivery()
    one.failed(error, is_session_at_fault=True)
    assert one.is_over
    assert one.status == status
    assert one.error is error


def test_a_session_of_no_use_costs_no_attempt_once_for_each_attempt() -> None:
    one = delivery(attempts=2)
    one.failed(lost(), is_session_at_fault=True)
    assert one.is_replaced
    assert one.failure is None
    assert one.tries == 0
    one.failed(lost(), is_session_at_fault=True)
    assert not one.is_replaced
    assert one.tries == 1
    one.failed(lost(), is_session_at_fault=True)
    assert one.is_replaced
    one.failed(lost(), is_session_at_fault=True)
    assert one.is_over


def test_content_that_was_begun_and_cannot_be_put_back_is_not_sent_again() -> None:
    one = Delivery(Mail(iter([b"one", b"two"]), "a@x.example", NAMES), 3)
    one.failed(lost())
    assert not one.is_over
    part = one.part(Limits(), set())
    assert part is not None
    next(part.message)  # type: ignore[arg-type]  # an iterator
    one.failed(lost(), is_session_at_fault=True)
    assert one.is_over


def first_accepted() -> tuple[Delivery, Mail]:
    one = delivery(*NAMES[:3])
    one.accepted(result(one.part(Limits(rcptmax=2), set())))
    part = one.part(Limits(rcptmax=2), set())
    assert part is not None
    return one, part


@pytest.mark.parametrize(
    "error",
    [lost(), SMTPTimeoutError("slow"), SMTPDeliveryUnknownError("nobody knows")],
    ids=str,
)
def test_a_later_transaction_that_is_lost_says_what_was_accepted(
    error: SMTPException,
) -> None:
    one, _ = first_accepted()
    while not one.is_over:
        one.failed(error)
        assert one.tries <= 3
    with pytest.raises(type(error)) as caught:
        one.settle()
    assert caught.value.result is not None
    assert caught.value.result.accepted == NAMES[:2]
    assert one.status == (
        "unknown" if isinstance(error, SMTPDeliveryUnknownError) else "partial"
    )


def test_only_what_is_left_is_tried_again() -> None:
    one, part = first_accepted()
    one.failed(lost())
    again = one.part(Limits(rcptmax=2), set())
    assert again is not None
    assert again.recipients == part.recipients == NAMES[2:3]
    one.accepted(result(again, 2))
    assert one.status == "accepted"
    assert one.settle().accepted == NAMES[:3]


def test_verdicts_that_came_before_a_loss_are_in_the_result() -> None:
    one, _ = first_accepted()
    error = SMTPDeliveryUnknownError("nobody knows")
    error.result = SendResult({NAMES[2]: Reply(550, "no")}, queued(0))
    one.failed(error)
    assert one.result is not None
    assert one.result.accepted == NAMES[:2]
    assert [*one.result] == [NAMES[2]]
    assert error.result is one.result


def test_a_refusal_of_a_later_transaction_is_the_verdict_on_its_recipients() -> None:
    for error in (
        failed(550),
        SMTPCommandFailedError(550, "no"),
        SMTPNoRecipientError([failed(550, "RCPT")], {NAMES[2]: Reply(550, "no")}),
    ):
        one, _ = first_accepted()
        one.failed(error)
        assert one.is_over
        assert one.status == "partial"
        assert one.settle() == {NAMES[2]: Reply(550, "no")}
        assert one.settle().queue_id == "Q1"
