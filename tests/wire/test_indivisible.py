"""What is broken off halfway ends the connection, and a refusal does not."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from smtplibaio import (
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPException,
    SMTPProtocolError,
)
from smtplibaio.wire.indivisible import Indivisible

OUT_OF_STEP = SMTPProtocolError("out of step")


@pytest.mark.parametrize(
    ("raised", "cause"),
    [
        (None, None),
        (SMTPCommandFailedError(550, "no"), None),
        (OUT_OF_STEP, OUT_OF_STEP),
        (ValueError(), "MAIL was broken off"),
        pytest.param(asyncio.CancelledError(), "MAIL was broken off", id="E03"),
        (KeyboardInterrupt(), "MAIL was broken off"),
    ],
    ids=repr,
)
def test_what_is_broken_off_ends_the_connection(
    raised: BaseException | None, cause: SMTPException | str | None
) -> None:
    """E03: only where nobody knows any more what the server waits for."""
    ended: list[SMTPException] = []
    with suppress(BaseException), Indivisible(ended.append, "MAIL"):
        if raised is not None:
            raise raised
    if isinstance(cause, str):
        (end,) = ended
        assert isinstance(end, SMTPConnectionLostError)
        assert str(end) == cause
    else:
        assert ended == ([] if cause is None else [cause])
