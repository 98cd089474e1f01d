"""How long to wait for what, and what is no such time."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, asdict
from decimal import Decimal
from typing import Any

import pytest

from smtplibaio.exceptions import SMTPArgumentError
from smtplibaio.timeouts import Timeouts

DEFAULTS = asdict(Timeouts())
NAMES = list(DEFAULTS)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        pytest.param("connect", 60.0, id="E32-connect"),
        pytest.param("reply", 60.0, id="E32-reply"),
        pytest.param("content", 180.0, id="E32-a-block-of-content"),
        pytest.param("final", 600.0, id="E32-the-final-dot"),
        pytest.param("quit", 5.0, id="E32-quit"),
    ],
)
def test_each_phase_has_a_default_of_its_own(name: str, seconds: float) -> None:
    """E32: RFC 5321 4.5.3.2.5 and 4.5.3.2.6 for the two whose loss doubles mail."""
    assert getattr(Timeouts(), name) == seconds


def test_every_phase_is_in_the_table_above() -> None:
    assert NAMES == ["connect", "reply", "content", "final", "quit"]


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(0, id="E33-zero"),
        pytest.param(0.0, id="E33-zero-float"),
        pytest.param(-0.0, id="E33-minus-zero"),
        pytest.param(-1, id="E33-negative"),
        pytest.param(math.nan, id="E33-nan"),
        pytest.param(math.inf, id="E33-inf"),
        pytest.param(-math.inf, id="E33-minus-inf"),
        pytest.param(10**400, id="E33-beyond-any-float"),
        pytest.param(True, id="E33-True"),
        pytest.param(False, id="E33-False"),
        pytest.param("30", id="E33-str"),
        pytest.param(b"30", id="E33-bytes"),
        pytest.param(Decimal(30), id="E33-Decimal"),
        pytest.param(30j, id="E33-complex"),
        pytest.param((30,), id="E33-tuple"),
        pytest.param(object(), id="E33-object"),
    ],
)
def test_a_limit_is_a_positive_finite_number(seconds: Any) -> None:
    for name in NAMES:
        with pytest.raises(SMTPArgumentError, match=f"the timeout '{name}' must be a "):
            Timeouts(**{name: seconds})
    with pytest.raises(SMTPArgumentError, match="the timeout 'connect' must be a "):
        Timeouts.of(seconds)


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(None, id="E33-None"),
        pytest.param(1, id="E33-int"),
        pytest.param(0.001, id="E33-float"),
        pytest.param(1e308, id="E33-huge"),
    ],
)
def test_none_is_no_limit_and_any_positive_number_is_one(
    seconds: float | None,
) -> None:
    """E33: and each limit is set for itself."""
    for name in NAMES:
        assert asdict(Timeouts(**{name: seconds})) == DEFAULTS | {name: seconds}


@pytest.mark.parametrize("seconds", [30, 0.5, None])
def test_one_number_stands_for_all_of_them(seconds: float | None) -> None:
    timeouts = Timeouts.of(seconds)
    assert asdict(timeouts) == dict.fromkeys(NAMES, seconds)


def test_limits_are_taken_as_they_are() -> None:
    timeouts = Timeouts(quit=1)
    assert Timeouts.of(timeouts) is timeouts


def test_limits_compare_by_value_and_cannot_be_changed() -> None:
    assert Timeouts(reply=1) == Timeouts(reply=1.0) != Timeouts(reply=2)
    assert hash(Timeouts(reply=1)) == hash(Timeouts(reply=1))
    with pytest.raises(FrozenInstanceError):
        Timeouts().reply = 0  # type: ignore[misc]
