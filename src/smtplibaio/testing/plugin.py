"""Fixtures for pytest: `smtp_server` and `conversation`.

pytest loads this in every project that has smtplibaio installed, so nothing is imported
before a test uses a fixture. If aiosmtpd or trustme is missing, that test is skipped,
and the reason says what to install.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .conversation import Conversation
    from .server import SMTPServer

__all__ = ["conversation", "pytest_configure", "smtp_server"]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker for the options of `smtp_server`."""
    config.addinivalue_line(
        "markers", "smtp_server(**options): start the fixture smtp_server with options"
    )


@pytest.fixture
def smtp_server(request: pytest.FixtureRequest) -> Iterator[SMTPServer]:
    """Start a mail server; `@pytest.mark.smtp_server(auth=True, ...)` sets options."""
    from . import SMTPServer

    marker = request.node.get_closest_marker("smtp_server")
    try:
        server = SMTPServer(**(marker.kwargs if marker is not None else {}))
    except ModuleNotFoundError as exc:
        pytest.skip(str(exc))
    with server:
        yield server


@pytest.fixture
def conversation() -> Iterator[Callable[..., Conversation]]:
    """Start servers: `conversation(script)` takes the arguments of `Conversation`.

    After the test, each script is compared with what the client has sent.
    """
    from . import Conversation

    with ExitStack() as started:

        def start(script: str, **options: Any) -> Conversation:
            try:
                server = Conversation(script, **options)
            except ModuleNotFoundError as exc:
                pytest.skip(str(exc))
            return started.enter_context(server)

        yield start
