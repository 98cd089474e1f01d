"""Whether RSET stands in front of a MAIL."""

from __future__ import annotations

import pytest

from smtplibaio.mail.resetting import is_reset_due


@pytest.mark.parametrize("reason", ["is_begun", "is_kept", "is_behind"])
def test_reset_comes_first_where_the_server_may_hold_a_transaction(reason: str) -> None:
    """H03: content would go to the recipients of another mail."""
    assert is_reset_due(**{"is_begun": False, "is_kept": False} | {reason: True})


def test_a_mail_on_a_session_that_holds_nothing_begins_with_mail() -> None:
    assert not is_reset_due(is_begun=False, is_kept=False)
