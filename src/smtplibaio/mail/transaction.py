"""One mail transaction, as rules: steps, gates, replies, and what it comes to.

A mail is a sequence of steps. A step leaves when its gate is open:

=================  ==========================================  ========================
step               leaves when                                 may follow in one write
=================  ==========================================  ========================
(RSET) MAIL, RCPT  the content before it has left, with        the next command of the
                   PIPELINING; else every reply is in          same mail
DATA               with its RCPTs; for all or nothing, when    nothing
                   every RCPT has 2yz
content, dot       DATA has 354, its own MAIL 2yz, and enough  the next mail's RSET,
                   of its own RCPTs 2yz                        MAIL, RCPT (RFC 2920 3.1)
BDAT               MAIL and enough RCPTs have 2yz              another BDAT; after LAST,
                                                               nothing
all of it at once  in a window: fewer mails than its size are  the same of the next mail
                   unanswered, and none of them was refused
dot alone, RSET    MAIL has 2yz, DATA 354, and every RCPT was  nothing
                   refused; after any other unwanted 354 the
                   client hangs up, for a dot would be a mail
RSET               every reply of a refused BDAT is in         nothing
=================  ==========================================  ========================

Rules:

1. Judge after all replies of a group are in: "Client SMTP implementations that employ
   pipelining MUST check ALL statuses associated with each command in a group"
   (RFC 2920 3.1).
2. If a refusal decides the mail, its sender gets this refusal, whatever ends the
   connection afterwards.
3. If the connection ends before the last octet is handed to the transport, the mail was
   certainly not accepted. If it ends later, and before the final reply, nobody knows.
   The final reply decides.
4. After a refused BDAT comes RSET (RFC 3030 2: "A RSET command MUST be issued to clear
   the transaction").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..exceptions import (
    SMTPCommandFailedError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPProtocolError,
    SMTPRecipientRefusedError,
    is_farewell,
    one_line,
)
from ..grammar import commands
from ..grammar.replies import Reply, as_verdict_on_rcpt
from ..timeouts import Timeouts
from .result import SendResult, Status
from .terms import Plan
from .verdicts import (
    check_data,
    check_rcpts,
    check_reply,
    is_ok,
    lost_before,
    says_nothing,
)

__all__ = ["Transaction"]

#: What may help if commands that were sent together get no reply.
_TOGETHER = (
    "; the commands were sent together (PIPELINING): with pipelining=False they are "
    "sent one by one"
)


class Transaction:
    """The state of one transaction, which waits in the reply queue for its replies.

    Attributes:
        plan: What will be said.
        replies: The replies that have come.
        future: Resolved when every reply that is due has come; with `wants_news`, at
            each reply. Made by `Transfer` or `ContentWriter`; None before that.
        is_asked: Whether every command was said, DATA included. The content was not.
        odd: How many of the replies are not 250; the 354 to DATA is one of them.
        wants_news: Whether each reply resolves `future`: while content is being sent,
            any reply may stop it.
        is_all_said: Whether the last octet of the content was put together.
        is_all_sent: Whether the last octet was handed to the transport.
        is_behind: Whether it was said before the final reply of the mail before it.
        status: What has become of the mail, as far as it is known.

    Args:
        plan: What will be said.
        timeouts: The limits of the session.
        resets: Whether RSET comes first.
        is_behind: Whether the mail before it has no final reply yet.
        is_whole: Whether all of it is said at once, with one BDAT LAST.
        first_reply: The seconds that the first reply may take, if it is not the limit
            of the session.
    """

    def __init__(
        self,
        plan: Plan,
        timeouts: Timeouts,
        resets: bool = False,
        is_behind: bool = False,
        is_whole: bool = False,
        first_reply: float | None = None,
    ) -> None:
        self.plan = plan
        self.replies: list[Reply] = []
        self.future: Any = None
        self.is_asked = False
        self.odd = 0
        self.wants_news = False
        self.is_all_said = False
        self.is_all_sent = False
        self.is_behind = is_behind
        self.status: Status = "not sent"
        self._timeouts = timeouts
        self._resets = resets
        self._first_reply = first_reply
        lines = [plan.mail, *plan.rcpts] if plan.mail else []
        if resets:
            lines.insert(0, commands.RSET)
        self._rcpts_at = len(lines) - len(plan.rcpts)
        self._says_data = plan.says_data and not is_whole
        if self._says_data:
            lines.append(commands.DATA)
        self._is_chunked = is_whole or plan.body.is_chunked
        self._commands = lines
        self._content_at = len(lines)
        self._said = 0  # how many of the commands were said
        self._due = 0  # how many replies belong to all that was said, come or not
        self._finals = 0  # replies to the end of the content
        self._is_judged = False  # and nothing was refused

    # Saying it

    def next_group(self) -> Sequence[bytes] | None:
        """Return the commands that may leave now; None if there are none.

        After a refusal that decides the mail, no more commands leave.
        """
        said, end = self._said, self._content_at
        if said == end or (said and self.refusal() is not None):
            return None
        plan = self.plan
        if not plan.is_grouped:
            end = said + 1
        elif plan.all_or_nothing and self._says_data and said < end - 1:
            end -= 1
        self._said = self._due = end
        self.is_asked = end == self._content_at
        return self._commands[said:end]

    def owe(self, *, is_last: bool) -> Transaction | None:
        """Count the replies that content will have, just before it is said.

        Returns:
            The transaction, if it has to be put into the reply queue for them; None if
            it is in the queue already.
        """
        is_queued = len(self.replies) < self._due
        self._finals = 1 if is_last else 0
        if is_last and self.plan.is_lmtp:
            # RFC 2033 4.2: one reply for each RCPT that was accepted.
            accepted = sum(map(is_ok, self._rcpt_replies()))
            self._finals = accepted + self.plan.accepted
        self._due += self._finals or 1
        return None if is_queued else self

    # What the reply queue asks

    @property
    def timeout(self) -> float | None:
        """The seconds that the next reply may take."""
        at = len(self.replies)
        if at >= self._content_at:
            if at < self._due - self._finals:
                return self._timeouts.content
            # The server may answer early, but only the end of content has a deadline.
            return self._timeouts.final if self.is_all_said else None
        if at == 0 and self._first_reply is not None:
            return self._first_reply
        return self._timeouts.reply

    @property
    def what(self) -> str:
        """The command that the next reply answers."""
        at = len(self.replies)
        if at < self._content_at:
            return commands.verb_of(self._commands[at])
        if self._is_chunked:
            is_last = self.is_all_said and self.plan.body.is_last
            return "BDAT LAST" if is_last else "BDAT"
        return "the final dot" if self.is_all_said else "the content"

    def take(self, replies: list[Reply]) -> list[Reply] | None:
        """Take the replies that are owed; there is one at least.

        Returns:
            The replies that are left over; None if more are owed.
        """
        taken, left = replies, None
        owed = self._due - len(self.replies)
        if len(replies) >= owed:
            taken, left = replies[:owed], replies[owed:]
        self.replies += taken
        for reply in taken:
            if reply[0] != 250:
                self.odd += 1
        if (left is not None or self.wants_news) and not self.future.done():
            self.future.set_result(None)
        return left

    # What the replies say

    def _rcpt_replies(self) -> list[Reply]:
        at = self._rcpts_at
        return self.replies[at : at + len(self.plan.rcpts)]

    def _verdicts(self) -> dict[str, Reply]:
        """Return the replies to RCPT that have come, by recipient."""
        replies = map(as_verdict_on_rcpt, self._rcpt_replies())
        return dict(zip(self.plan.recipients, replies, strict=False))

    def judge(self) -> None:
        """Check the replies to all commands; if nothing is raised, content may leave.

        Raises:
            SMTPCommandFailedError: MAIL, DATA or RSET was refused.
            SMTPNoRecipientError: Every recipient was refused.
            SMTPRecipientRefusedError: A recipient was refused, with `all_or_nothing`.
            SMTPProtocolError: A reply has a code that its command does not know.
        """
        replies, wants_354 = self.replies, self._says_data
        if len(replies) == self._content_at and self.odd == wants_354:
            self._is_judged = not wants_354 or replies[-1][0] == 354
            if self._is_judged:
                return
        if (refusal := self.refusal()) is not None:
            self._note_refusal(refusal)
            raise refusal

    def refusal(self) -> SMTPException | None:
        """Return the error if the replies to the commands decide against the mail.

        As long as a reply that may decide otherwise is missing, they decide nothing.
        """
        if self._is_judged:
            return None
        try:
            self._check_commands()
        except SMTPException as exc:
            return exc.with_traceback(None)
        return None

    def _check_commands(self) -> None:
        replies, at, plan = self.replies, self._rcpts_at, self.plan
        if self._resets and replies:
            check_reply(replies[0], "RSET")
        if plan.mail and len(replies) >= at:
            check_reply(replies[at - 1], "MAIL")
        check_rcpts(
            self._verdicts(), len(plan.rcpts), all_or_nothing=plan.all_or_nothing
        )
        if self._says_data and len(replies) >= self._content_at:
            check_data(replies[self._content_at - 1])

    def content_refusal(self) -> SMTPCommandFailedError | None:
        """Return the first refusal among the replies to the content, if any."""
        for reply in self.content_replies:
            if reply[0] >= 400:
                verb = "BDAT" if self._is_chunked else "DATA"
                return SMTPCommandFailedError(*reply, verb, reply)
        return None

    @property
    def is_content_owed(self) -> bool:
        """Whether a final reply is due: the end of the content leaves, or has left."""
        return self._finals > 0

    @property
    def content_replies(self) -> Sequence[Reply]:
        """The replies to the content that have come."""
        return self.replies[self._content_at :]

    @property
    def has_content_reply(self) -> bool:
        """Whether a reply to the content has come."""
        return len(self.replies) > self._content_at

    @property
    def owed(self) -> int:
        """How many replies to what was said have not come yet."""
        return self._due - len(self.replies)

    @property
    def may_be_followed(self) -> bool:
        """Whether other commands may leave before the final replies have come.

        LMTP has a final reply for each copy. If a server left one out, the reply to the
        next command would be taken for it.
        """
        return self._finals < 2

    @property
    def is_unjudged(self) -> bool:
        """Whether the server has refused the commands because they came too soon.

        Some servers refuse whatever follows the end of content in the same write.
        """
        if not self.is_behind or self.is_all_sent:
            return False
        refused = self.replies[: self._rcpts_at]
        return self._is_reset_refused or any(reply[0] >= 500 for reply in refused)

    @property
    def _is_reset_refused(self) -> bool:
        return self._resets and bool(self.replies) and not is_ok(self.replies[0])

    @property
    def leaves_open(self) -> bool:
        """Whether the server may still hold this transaction, which has failed."""
        return self.is_all_sent or self._is_reset_refused

    @property
    def is_out_of_step(self) -> bool:
        """Whether the server has refused BDAT as a command that it does not know.

        Then it has not read the octets of the chunk, although RFC 3030 2 wants that. It
        takes them for commands, and answers them one by one. A 503 after another
        refusal is about a chunk of content that was refused already.
        """
        refusal = self.content_refusal() if self._is_chunked else None
        return refusal is not None and 500 <= refusal.code <= 504

    # What it comes to

    def result(self) -> SendResult:
        """Return what the transaction came to; every reply is in.

        Raises:
            SMTPDeliveryUnknownError: The last reply means nothing, or says that the
                server took content which it must not have taken.
            SMTPCommandFailedError: The content was refused.
            SMTPNoRecipientError: The content was refused for each recipient (LMTP).
            SMTPException: Each exception of `judge`.
        """
        replies, plan = self.replies, self.plan
        reply: Reply | None = replies[-1]
        # Content leaves only after a 354. If DATA was said, this is the odd reply.
        if self.odd == self._says_data and not plan.is_lmtp:
            at = self._rcpts_at
            rcpts = replies[at : at + len(plan.rcpts)]
            self.status = "accepted"
            # One for each; to have it checked would cost as much as all of this.
            verdicts = dict(zip(plan.recipients, rcpts))  # noqa: B905
            return SendResult.without_refusal(verdicts, reply)
        finals = replies[len(replies) - self._finals :]
        self._check_content(finals)
        verdicts = self._verdicts()
        if plan.is_lmtp:
            verdicts, reply = self._with_finals(verdicts, finals)
        result = SendResult(verdicts, reply)
        self.status = "partial" if result else "accepted"
        return result

    def _check_content(self, finals: Sequence[Reply]) -> None:
        refusal = self.refusal() or self.content_refusal()
        is_taken = any(map(is_ok, finals))
        # If the content was not accepted, the replies to its chunks do not matter.
        unclear = self.content_replies if is_taken else finals
        if any(map(says_nothing, unclear)) or (
            is_taken and refusal is not None and not self._is_refused_by_copy(finals)
        ):
            self.status = "unknown"
            codes = " ".join(str(reply[0]) for reply in self.replies)
            raise SMTPDeliveryUnknownError(
                "the mail may have been accepted: all of it was sent, and the replies "
                f"contradict one another: {codes}",
                self._partial_result(),
                self._undecided(),
            )
        if refusal is not None and not is_taken:
            self._note_refusal(refusal)
            raise refusal

    def _is_refused_by_copy(self, finals: Sequence[Reply]) -> bool:
        """Return whether the only refusals are those of single copies (LMTP)."""
        others = self.content_replies[: len(self.content_replies) - len(finals)]
        return self.plan.is_lmtp and self.refusal() is None and all(map(is_ok, others))

    def _with_finals(
        self, verdicts: dict[str, Reply], finals: Sequence[Reply]
    ) -> tuple[dict[str, Reply], Reply | None]:
        """Replace the reply to each RCPT by the reply to its copy (LMTP)."""
        accepted = [name for name, reply in verdicts.items() if is_ok(reply)]
        known = dict(zip(accepted, finals, strict=False))
        taken = [reply for reply in finals if is_ok(reply)]
        return verdicts | known, taken[-1] if taken else None

    def _note_refusal(self, refusal: SMTPException) -> None:
        is_refused = not isinstance(refusal, SMTPProtocolError)
        # After a refused BDAT a server may want RSET first: it has judged nothing.
        is_out_of_turn = self.is_behind and any(
            reply[0] == 503 for reply in self.replies[: self._rcpts_at]
        )
        if is_refused and not is_out_of_turn:
            self.status = "refused"

    def loss(self, cause: SMTPException) -> SMTPException:
        """Return what the end of the connection means for the mail.

        Args:
            cause: Why it ended.
        """
        refusal = self.refusal() or self._refusal_of_one() or self.content_refusal()
        if self._is_reset_refused or isinstance(refusal, SMTPProtocolError):
            refusal = None  # RSET was refused, or a code means nothing: no verdict
        if refusal is not None and not self._has_some_finals:
            self._note_refusal(refusal)
            return refusal
        if not self.is_all_sent:
            return self._lost_before(cause)
        is_final_due = len(self.replies) >= self._content_at
        if is_farewell(cause) and not self._has_some_finals:
            # The server answers one command after another. If replies to commands are
            # still missing before this 421, it has not looked at the content.
            self.status = "refused" if is_final_due else "not sent"
            return self._lost_before(cause, is_content_refused=is_final_due)
        self.status = "unknown"
        return SMTPDeliveryUnknownError(
            f"the mail may have been accepted: all of it was sent, then {cause}",
            self._partial_result(),
            self._undecided(),
        )

    def _refusal_of_one(self) -> SMTPException | None:
        """Return the refusal of a recipient, if it decides for all of them."""
        decides = self.plan.all_or_nothing and not self.is_all_sent
        verdicts = self._verdicts() if decides else {}
        refused = {name: reply for name, reply in verdicts.items() if reply[0] >= 400}
        return SMTPRecipientRefusedError(refused) if refused else None

    @property
    def _has_some_finals(self) -> bool:
        """Whether some copies of the content have a reply, and others not (LMTP)."""
        return self.plan.is_lmtp and bool(self._finals_came())

    def _finals_came(self) -> list[Reply]:
        """Return the final replies that have come."""
        return self.replies[max(self._due - self._finals, self._content_at) :]

    def _partial_result(self) -> SendResult | None:
        verdicts = self._verdicts()
        decided = {name: r for name, r in verdicts.items() if not is_ok(r)}
        if self.plan.is_lmtp:
            accepted = [name for name, r in verdicts.items() if is_ok(r)]
            finals = zip(accepted, self._finals_came(), strict=False)
            decided |= {name: r for name, r in finals if not says_nothing(r)}
        return SendResult(decided) if decided else None

    def _undecided(self) -> list[str]:
        """List the recipients for whom nobody knows whether the mail was accepted."""
        decided = self._partial_result()
        known = {} if decided is None else decided.replies
        return [name for name in self.plan.recipients if name not in known]

    def _lost_before(
        self, cause: SMTPException, *, is_content_refused: bool = False
    ) -> SMTPException:
        """Return the error for a mail that the end of the connection has prevented."""
        is_waiting_for_group = len(self.replies) < self._content_at
        hint = _TOGETHER if self.plan.is_grouped and is_waiting_for_group else ""
        is_answered = len(self.replies) >= self._rcpts_at
        result = self._partial_result()
        return lost_before(
            cause,
            result,
            hint,
            is_mail_answered=is_answered,
            is_content_refused=is_content_refused,
        )

    def remedy(self) -> tuple[bytes, ...]:
        """Return the commands that put the session in order after a refusal.

        Raises:
            SMTPProtocolError: No command can: the client must hang up.
        """
        if not self.plan.mail:
            return ()  # the caller has given MAIL, and gives RSET
        if self.has_content_reply or self.is_all_sent:
            return (commands.RSET,) if self._is_chunked else ()
        replies, at = self.replies, self._rcpts_at
        if self._is_reset_refused:
            if not self.is_behind:
                raise SMTPProtocolError(f"RSET was refused: {one_line(*replies[0])}")
            if not self._has_354():
                return ()  # the mail is sent once more, and RSET comes first
        if self._has_354():
            is_lone_dot_safe = is_ok(replies[at - 1]) and not any(
                map(is_ok, self._rcpt_replies())
            )
            if not is_lone_dot_safe or self._is_reset_refused:
                raise SMTPProtocolError("a 354 to DATA, but no content may follow it")
            return (b".\r\n", commands.RSET)
        return (commands.RSET,)

    def _has_354(self) -> bool:
        return (
            self._says_data
            and len(self.replies) >= self._content_at
            and self.replies[self._content_at - 1][0] == 354
        )
