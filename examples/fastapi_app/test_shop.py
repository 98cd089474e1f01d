"""Tests of the shop, with a mail server from the test kit: run pytest here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from shop import app

from smtplibaio.testing import Fault, SMTPServer

EXPORTER = InMemorySpanExporter()
PROVIDER = TracerProvider()
PROVIDER.add_span_processor(SimpleSpanProcessor(EXPORTER))
trace.set_tracer_provider(PROVIDER)


@pytest.fixture
def shop(
    smtp_server: SMTPServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """The shop, with the mail server of the test."""
    monkeypatch.setenv("SMTP_URL", smtp_server.url)
    EXPORTER.clear()
    with TestClient(app) as client:
        yield client


def confirm(shop: TestClient, address: str = "bob@example.net") -> tuple[int, str]:
    """Ask for a confirmation; return the status, and what became of the mail."""
    answer = shop.post("/orders/7/confirmation", params={"address": address})
    return answer.status_code, answer.json().get("mail", "")


def test_an_order_is_confirmed(shop: TestClient, smtp_server: SMTPServer) -> None:
    assert confirm(shop) == (202, "accepted")
    (mail,) = smtp_server.messages
    assert mail.recipients == ["bob@example.net"]
    assert mail.message["Subject"] == "Your order 7"
    assert mail.message["Message-ID"]


def test_many_orders_share_a_connection(shop: TestClient) -> None:
    for _ in range(5):
        confirm(shop)
    assert shop.get("/health").json() == {
        "connections": 1,
        "waiting": 0,
        "accepted": 5,
        "unknown": 0,
    }


@pytest.mark.smtp_server(reply={"RCPT": "550 5.1.1 no such user"})
def test_an_address_that_does_not_exist_is_the_customers_to_mend(
    shop: TestClient,
) -> None:
    assert confirm(shop)[0] == 422


@pytest.mark.smtp_server(reply={"MAIL": Fault.CLOSE})
def test_a_server_that_is_away_is_ours_to_mend(shop: TestClient) -> None:
    assert confirm(shop)[0] == 503


@pytest.mark.smtp_server(reply={"MAIL": Fault.CLOSE_AFTER_DOT})
def test_a_confirmation_is_never_sent_twice(
    shop: TestClient, smtp_server: SMTPServer
) -> None:
    """The server takes the mail, and its connection is lost before it says so."""
    assert confirm(shop) == (202, "unknown")
    assert len(smtp_server.messages) == 1


def test_the_mail_is_in_the_trace_of_the_order(shop: TestClient) -> None:
    confirm(shop)
    spans = {span.name: span for span in EXPORTER.get_finished_spans()}
    mail, order = spans["smtp.mail"], spans["confirm order"]
    assert mail.parent is not None
    assert mail.parent.span_id == order.context.span_id
    assert mail.attributes is not None
    assert mail.attributes["smtp.status"] == "accepted"
