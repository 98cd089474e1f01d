"""Spans and metrics, as an application's OpenTelemetry SDK gets them."""

from __future__ import annotations

import asyncio
import importlib
import ssl
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from conversation import client
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from smtplibaio import (
    SMTP,
    SMTP_SSL,
    Mail,
    Reply,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPNoRecipientError,
    SMTPPool,
    events,
    otel,
)
from smtplibaio.exceptions import SMTPCommandFailedError
from smtplibaio.testing import Fault, SMTPServer


@dataclass
class Telemetry:
    """An SDK in memory, and the listener that records into it."""

    def __post_init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.listener = otel.instrument(
            self.tracers, MeterProvider([self.reader], shutdown_on_exit=False)
        )

    def tell(self, *told: events.Event) -> None:
        for event in told:
            self.listener(event)

    def span(self, name: str) -> ReadableSpan:
        """Give the one span of a name that has ended."""
        (span,) = [s for s in self.exporter.get_finished_spans() if s.name == name]
        return span

    def points(self, name: str) -> list[Any]:
        """Give the points of a metric."""
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


CONNECTED = events.Connected(
    "192.0.2.1 port 2525", "192.0.2.1", 2525, "mx.example", 25, connection_id=7
)
STARTED = events.MailStarted(3, "a@x.example", ("b@y.example", "c"), connection_id=7)


def ended(status: str, **arguments: Any) -> events.MailEnded:
    return events.MailEnded(3, status, 0.25, connection_id=7, **arguments)


async def test_a_connection_is_a_span_with_where_it_led_to(
    telemetry: Telemetry, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with client(
        "S: 220 hi",
        make=SMTP_SSL,
        tls=server_tls,
        implicit_tls=True,
        context=client_tls,
        on_event=telemetry.listener,
    ) as smtp:
        port = smtp.port
        (open_,) = telemetry.points("smtp.client.connections")
        assert open_.value == 1
    span = telemetry.span("smtp.connection")
    assert span.kind is SpanKind.CLIENT
    attributes = dict(span.attributes or {})
    assert str(attributes.pop("smtp.tls.cipher")).startswith("TLS_")
    assert attributes == {
        "server.address": "127.0.0.1",
        "server.port": port,
        "network.peer.address": "127.0.0.1",
        "network.peer.port": port,
        "network.transport": "tcp",
        "network.protocol.name": "smtp",
        "smtp.tls.version": "TLSv1.3",
    }
    assert span.status.status_code is StatusCode.UNSET
    (closed,) = telemetry.points("smtp.client.connections")
    assert closed.value == 0
    assert closed.attributes == {"server.address": "127.0.0.1", "server.port": port}


async def test_a_lost_connection_is_an_error(telemetry: Telemetry) -> None:
    async with client(
        """
        S: 220 hi
        C: NOOP
        S: <close>
        """,
        on_event=telemetry.listener,
    ) as smtp:
        with pytest.raises(SMTPConnectionLostError):
            await smtp.noop()
    span = telemetry.span("smtp.connection")
    assert span.status.status_code is StatusCode.ERROR
    assert "closed the connection" in (span.status.description or "")
    assert (span.attributes or {})["error.type"] == "SMTPConnectionLostError"


@pytest.mark.parametrize("tls", [False, True])
async def test_the_parent_is_the_span_that_is_current_where_it_is_opened(
    telemetry: Telemetry,
    tls: bool,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
) -> None:
    more = {"make": SMTP_SSL, "tls": server_tls, "context": client_tls} if tls else {}
    tracer = trace.get_tracer("test", tracer_provider=telemetry.tracers)
    with tracer.start_as_current_span("request") as request:
        async with client(
            "S: 220 hi", implicit_tls=tls, on_event=telemetry.listener, **more
        ):
            pass
    parent = telemetry.span("smtp.connection").parent
    assert parent is not None
    assert parent.span_id == request.get_span_context().span_id


def test_a_mail_is_a_span_with_what_became_of_it(telemetry: Telemetry) -> None:
    telemetry.tell(
        CONNECTED,
        STARTED,
        events.CommandSent("MAIL FROM:<a@x.example>", connection_id=7),
        ended("accepted", reply=Reply(250, "2.0.0 Ok: queued as 4Wx12")),
        events.Closed(None, connection_id=7),
    )
    connection, span = telemetry.span("smtp.connection"), telemetry.span("smtp.mail")
    assert span.kind is SpanKind.CLIENT
    assert [link.context for link in span.links] == [connection.context]
    assert span.attributes == {
        "server.address": "mx.example",
        "server.port": 25,
        "network.peer.address": "192.0.2.1",
        "network.peer.port": 2525,
        "network.transport": "tcp",
        "network.protocol.name": "smtp",
        "smtp.recipients": 2,
        "smtp.status": "accepted",
        "smtp.reply.code": 250,
        "smtp.reply.enhanced_code": "2.0.0",
        "smtp.queue_id": "4Wx12",
    }
    assert span.status.status_code is StatusCode.UNSET


def test_mails_are_counted_and_timed_by_what_became_of_them(
    telemetry: Telemetry,
) -> None:
    telemetry.tell(CONNECTED)
    for status in ["accepted", "accepted", "partial", "unknown"]:
        telemetry.tell(STARTED, ended(status, reply=Reply(250, "thanks")))
    points = telemetry.points("smtp.client.mails")
    server = {"server.address": "mx.example", "server.port": 25}
    assert all(server.items() <= dict(point.attributes).items() for point in points)
    assert {point.attributes["smtp.status"]: point.value for point in points} == {
        "accepted": 2,
        "partial": 1,
        "unknown": 1,
    }
    durations = telemetry.points("smtp.client.mail.duration")
    assert {point.attributes["smtp.status"]: point.sum for point in durations} == {
        "accepted": 0.5,
        "partial": 0.25,
        "unknown": 0.25,
    }


@pytest.mark.parametrize(
    ("error", "type_", "text"),
    [
        (SMTPCommandFailedError(550, "5.7.1 no\x1b", "DATA"), "550", "5.7.1 no"),
        (SMTPNoRecipientError([], {}), "SMTPNoRecipientError", ""),
        (SMTPDeliveryUnknownError("lost"), "SMTPDeliveryUnknownError", "lost"),
        (asyncio.CancelledError(), "CancelledError", ""),
    ],
)
def test_what_failed_says_of_what(
    telemetry: Telemetry, error: BaseException, type_: str, text: str
) -> None:
    telemetry.tell(CONNECTED, STARTED, ended("refused", error=error))
    span = telemetry.span("smtp.mail")
    assert (span.attributes or {})["error.type"] == type_
    assert span.status.status_code is StatusCode.ERROR
    assert text in (span.status.description or "")
    assert (span.status.description or "").isprintable()
    (point,) = telemetry.points("smtp.client.mails")
    assert point.attributes["error.type"] == type_


def test_a_unix_socket_has_a_path_and_no_port(telemetry: Telemetry) -> None:
    telemetry.tell(events.Connected.to("/run/lmtp"), events.Closed(None))
    assert telemetry.span("smtp.connection").attributes == {
        "server.address": "/run/lmtp",
        "network.protocol.name": "smtp",
        "network.transport": "unix",
    }


def test_a_mail_on_a_connection_that_has_just_ended_is_recorded_too(
    telemetry: Telemetry,
) -> None:
    telemetry.tell(CONNECTED, events.Closed(None, connection_id=7))
    telemetry.tell(STARTED, ended("not sent"))
    span = telemetry.span("smtp.mail")
    assert span.attributes == {"smtp.recipients": 2, "smtp.status": "not sent"}
    assert span.links == ()


def test_nothing_is_kept_of_what_has_ended(telemetry: Telemetry) -> None:
    telemetry.tell(CONNECTED, STARTED, ended("accepted"))
    telemetry.tell(events.Closed(None, connection_id=7))
    assert telemetry.listener._connections == {}  # type: ignore[attr-defined]
    assert telemetry.listener._mails == {}  # type: ignore[attr-defined]


def test_no_address_of_a_mail_is_recorded(telemetry: Telemetry) -> None:
    telemetry.tell(CONNECTED, STARTED, ended("accepted"))
    assert "example" not in str(telemetry.span("smtp.mail").attributes).replace(
        "mx.example", ""
    )


def test_without_an_sdk_nothing_is_recorded_and_nothing_fails() -> None:
    listener = otel.instrument()
    for event in (CONNECTED, STARTED, ended("accepted")):
        listener(event)


# Mails of real sessions


@pytest.mark.parametrize("window", [1, 4])
async def test_each_mail_of_a_run_is_a_span_below_the_callers(
    telemetry: Telemetry, window: int
) -> None:
    tracer = trace.get_tracer("test", tracer_provider=telemetry.tracers)
    mails = [
        Mail("Subject: x\n\nhi\n", "a@x.example", [f"{name}@y.example"])
        for name in ("b", "nobody", "c")
    ]
    with SMTPServer(reply={"RCPT TO:<nobody@": "550 5.1.1 no"}) as server:
        with tracer.start_as_current_span("request") as request:
            client_ = SMTP.from_url(server.url, on_event=telemetry.listener)
            async with client_ as smtp:
                async for _ in smtp.send_many(mails, window=window):
                    pass
    connection = telemetry.span("smtp.connection")
    spans = [
        span
        for span in telemetry.exporter.get_finished_spans()
        if span.name == "smtp.mail"
    ]
    assert [(span.attributes or {})["smtp.status"] for span in spans] == [
        "accepted",
        "refused",
        "accepted",
    ]
    for span in spans:
        assert span.parent is not None
        assert span.parent.span_id == request.get_span_context().span_id
        assert [link.context for link in span.links] == [connection.context]
        assert (span.attributes or {})["server.port"] == server.port
    assert (spans[0].attributes or {})["smtp.reply.code"] == 250
    assert (spans[1].attributes or {})["error.type"] == "SMTPNoRecipientError"


async def test_a_cancelled_mail_has_its_span_all_the_same(telemetry: Telemetry) -> None:
    with SMTPServer(reply={".": Fault.SILENCE}) as server:
        smtp = SMTP.from_url(server.url, on_event=telemetry.listener)
        await smtp.connect()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await smtp.sendmail("a@x.example", "b@y.example", "Subject: x\n\nhi\n")
        await smtp.close()
    attributes = telemetry.span("smtp.mail").attributes or {}
    assert attributes["smtp.status"] == "unknown"
    assert attributes["error.type"] == "CancelledError"


# Pools


async def test_the_sessions_of_pools_add_up(telemetry: Telemetry) -> None:
    def sessions() -> dict[str, int]:
        points = telemetry.points("smtp.client.pool.sessions")
        return {point.attributes["smtp.pool.state"]: point.value for point in points}

    with SMTPServer() as server:
        one, other = (
            SMTPPool.from_url(server.url, size=1, on_event=telemetry.listener)
            for _ in range(2)
        )
        async with one, other:
            async with one.session(), other.session():
                assert sessions() == {"idle": 0, "busy": 2}
                waiter = asyncio.create_task(one.sendmail("a@x.example", "b@y", "hi"))
                await asyncio.sleep(0)
                (waiting,) = telemetry.points("smtp.client.pool.waiting")
                assert waiting.value == 1
            await waiter
            assert sessions() == {"idle": 2, "busy": 0}
    assert sessions() == {"idle": 0, "busy": 0}
    (waiting,) = telemetry.points("smtp.client.pool.waiting")
    assert waiting.value == 0
    assert telemetry.listener._pools == {}  # type: ignore[attr-defined]


async def test_a_listener_that_raises_does_not_disturb_the_pool() -> None:
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: complaints.append(context))

    def raising(event: events.Event) -> None:
        if isinstance(event, events.PoolChanged):
            raise ZeroDivisionError

    with SMTPServer() as server:
        async with SMTPPool.from_url(server.url, on_event=raising) as pool:
            await pool.sendmail("a@x.example", "b@y.example", "hi")
        assert len(server.messages) == 1
    loop.set_exception_handler(handler)
    assert {type(c["exception"]) for c in complaints} == {ZeroDivisionError}


def test_without_the_extra_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(
        ModuleNotFoundError,
        match=r"needs opentelemetry-api: pip install 'smtplibaio\[otel\]'",
    ):
        importlib.reload(otel)
