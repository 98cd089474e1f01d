"""What one reply says of its command."""

from __future__ import annotations

import pytest

from smtplibaio import Reply, SMTPCommandFailedError, SMTPProtocolError
from smtplibaio.mail.verdicts import check_data, check_reply, is_ok, says_nothing


@pytest.mark.parametrize("code", range(200, 560, 10))
def test_only_2yz_completes_a_command(code: int) -> None:
    """D21, D22: 251 as well as 250; a 3yz is a no that nobody said."""
    reply = Reply(code, "text")
    assert is_ok(reply) is (code < 300)
    if code < 300:
        assert check_reply(reply, "RCPT") is reply
    elif code < 400:
        with pytest.raises(SMTPProtocolError, match=f"answered RCPT with {code}"):
            check_reply(reply, "RCPT")
    else:
        with pytest.raises(SMTPCommandFailedError) as info:
            check_reply(reply, "RCPT")
        assert info.value.command == "RCPT"
        assert info.value.reply is reply


@pytest.mark.parametrize("code", [200, 250, 334, 350, 353, 354, 355, 421, 451, 554])
def test_only_354_asks_for_content(code: int) -> None:
    """D22: 353 does not, nor does 250."""
    reply = Reply(code, "go")
    if code == 354:
        check_data(reply)
    elif code < 400:
        with pytest.raises(SMTPProtocolError, match=f"answered DATA with {code}"):
            check_data(reply)
    else:
        with pytest.raises(SMTPCommandFailedError) as info:
            check_data(reply)
        assert info.value.command == "DATA"
        assert info.value.reply is reply


@pytest.mark.parametrize(
    ("code", "expected"),
    [(250, False), (221, True), (300, True), (354, True), (421, False), (554, False)],
)
def test_3yz_and_the_reply_to_quit_say_nothing_of_content(
    code: int, *, expected: bool
) -> None:
    """E31: whoever gets one does not know whether the mail was accepted."""
    assert says_nothing(Reply(code, "hm")) is expected
