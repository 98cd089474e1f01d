"""Traces and metrics with OpenTelemetry, made only from the public events.

Pass the result of `instrument()` to any client or pool:

    client = SMTP("mx.example", on_event=instrument())

It needs `opentelemetry-api` (the extra `otel`). Nothing is recorded unless the
application has set up an SDK of OpenTelemetry.

There are two spans, both of the kind CLIENT. The parent of a span is the span that is
current when the connection is opened, or when the mail is sent.

* "smtp.connection" lasts from the opening of a connection to its end. A connection
  that could not be opened has no span; the caller gets an exception.
* "smtp.mail" is one attempt to send a mail. It has a link to the span of its
  connection, which may have been opened for an earlier mail.

Both have the attributes `server.address`, `server.port`, `network.peer.address`,
`network.peer.port`, `network.transport` and `network.protocol.name`. After a failure
they have `error.type`, too: the reply code if a command was refused, otherwise the name
of the exception.

* "smtp.connection" also has `smtp.tls.version` and `smtp.tls.cipher`.
* "smtp.mail" also has `smtp.status` ("accepted", "partial", "refused", "unknown", "not
  sent"), `smtp.recipients` (their number), `smtp.reply.code`,
  `smtp.reply.enhanced_code` and `smtp.queue_id`, the name of the mail in the server's
  log.

Addresses of senders and recipients are not recorded, unless the text of an error
contains one: this text is the description of the span's status. Events contain neither
content nor secrets.

These metrics have the attributes `server.address` and `server.port`:

* `smtp.client.mails`: a counter, by `smtp.status` and `error.type`;
* `smtp.client.mail.duration`: a histogram of seconds, by `smtp.status` and
  `error.type`;
* `smtp.client.connections`: the number of open connections.

These metrics are the sums over all pools:

* `smtp.client.pool.sessions`: the number of sessions, by `smtp.pool.state`, which is
  "idle" or "busy";
* `smtp.client.pool.waiting`: the number of callers that wait for a session.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import NamedTuple

try:
    from opentelemetry import metrics, trace
except ModuleNotFoundError as exc:
    raise ModuleNotFoundError(
        "smtplibaio.otel needs opentelemetry-api: pip install 'smtplibaio[otel]'",
        name=exc.name,
    ) from exc

from .events import (
    Closed,
    Connected,
    Event,
    Listener,
    MailEnded,
    MailStarted,
    PoolChanged,
    TLSStarted,
)
from .exceptions import printable
from .grammar.replies import Reply, queue_id

__all__ = ["instrument"]

#: The time that a mail takes: milliseconds on a local network, or minutes.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)

_Attributes = dict[str, str | int]


def instrument(
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
) -> Listener:
    """Make a listener, for `on_event=`, that records spans and metrics.

    One listener may serve many clients and pools.

    Args:
        tracer_provider: The provider for spans; by default that of the application.
        meter_provider: The provider for metrics; by default that of the application.
    """
    of_this_package = ("smtplibaio", version("smtplibaio"))
    return _Recorder(
        trace.get_tracer(*of_this_package, tracer_provider=tracer_provider),
        metrics.get_meter(*of_this_package, meter_provider=meter_provider),
    )


class _Open(NamedTuple):
    """A span that has not ended, and the attributes of its metrics."""

    span: trace.Span
    server: _Attributes
    network: _Attributes


class _Recorder:
    """Turn events into spans and metrics; keep only the open spans."""

    def __init__(self, tracer: trace.Tracer, meter: metrics.Meter) -> None:
        self._tracer = tracer
        self._connections: dict[int, _Open] = {}
        self._mails: dict[int, _Open] = {}
        self._ended_mails = meter.create_counter(
            "smtp.client.mails", "{mail}", "Mails, by what became of them"
        )
        self._duration = meter.create_histogram(
            "smtp.client.mail.duration",
            "s",
            "The time that a mail took, up to its last reply",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._open_connections = meter.create_up_down_counter(
            "smtp.client.connections", "{connection}", "Connections that are open"
        )
        self._pools: dict[int, tuple[int, int, int]] = {}
        self._sessions = meter.create_up_down_counter(
            "smtp.client.pool.sessions", "{session}", "Sessions of pools"
        )
        self._waiting = meter.create_up_down_counter(
            "smtp.client.pool.waiting", "{caller}", "Callers that wait for a session"
        )

    def __call__(self, event: Event) -> None:
        match event:
            case Connected():
                self._connected(event)
            case TLSStarted():
                self._tls_started(event)
            case Closed():
                self._closed(event)
            case MailStarted():
                self._mail_started(event)
            case MailEnded():
                self._mail_ended(event)
            case PoolChanged():
                self._pool_changed(event)

    def _connected(self, event: Connected) -> None:
        server, network = _server_of(event), _network_of(event)
        span = self._start("smtp.connection", server | network)
        self._connections[event.connection_id] = _Open(span, server, network)
        self._open_connections.add(1, server)

    def _tls_started(self, event: TLSStarted) -> None:
        span = self._connections[event.connection_id].span
        span.set_attribute("smtp.tls.version", event.version)
        span.set_attribute("smtp.tls.cipher", event.cipher)

    def _closed(self, event: Closed) -> None:
        connection = self._connections.pop(event.connection_id)
        self._open_connections.add(-1, connection.server)
        _end(connection.span, _error_of(event.cause), event.cause)

    def _mail_started(self, event: MailStarted) -> None:
        connection = self._connections.get(event.connection_id, _NOWHERE)
        attributes = connection.server | connection.network
        attributes["smtp.recipients"] = len(event.recipients)
        span = self._start("smtp.mail", attributes, connection.span)
        self._mails[event.mail_id] = connection._replace(span=span)

    def _mail_ended(self, event: MailEnded) -> None:
        span, server, _ = self._mails.pop(event.mail_id)
        error = _error_of(event.error)
        by: _Attributes = {**server, "smtp.status": event.status, **error}
        self._ended_mails.add(1, by)
        self._duration.record(event.seconds, by)
        span.set_attribute("smtp.status", event.status)
        if event.reply is not None:
            span.set_attributes(_reply_attributes(event.reply))
        _end(span, error, event.error)

    def _pool_changed(self, event: PoolChanged) -> None:
        # Up-down counters of several pools can be added; gauges cannot.
        statistics = event.statistics
        now = statistics.idle, statistics.busy, statistics.waiting
        idle, busy, waiting = self._pools.pop(event.pool_id, (0, 0, 0))
        self._sessions.add(now[0] - idle, {"smtp.pool.state": "idle"})
        self._sessions.add(now[1] - busy, {"smtp.pool.state": "busy"})
        self._waiting.add(now[2] - waiting)
        if any(now):
            self._pools[event.pool_id] = now

    def _start(
        self, name: str, attributes: _Attributes, linked: trace.Span | None = None
    ) -> trace.Span:
        links = [] if linked is None else [trace.Link(linked.get_span_context())]
        return self._tracer.start_span(
            name, kind=trace.SpanKind.CLIENT, attributes=attributes, links=links
        )


#: For a mail whose connection has ended before the mail could start.
_NOWHERE = _Open(trace.INVALID_SPAN, {}, {})


def _server_of(event: Connected) -> _Attributes:
    server: _Attributes = {"server.address": event.hostname}
    if event.port is not None:
        server["server.port"] = event.port
    return server


def _network_of(event: Connected) -> _Attributes:
    network: _Attributes = {
        "network.protocol.name": "smtp",
        "network.transport": "unix" if event.peer_port is None else "tcp",
    }
    if event.peer_port is not None:
        network["network.peer.address"] = event.peer_address
        network["network.peer.port"] = event.peer_port
    return network


def _reply_attributes(reply: Reply) -> _Attributes:
    found: _Attributes = {"smtp.reply.code": reply.code}
    if reply.enhanced is not None:
        found["smtp.reply.enhanced_code"] = str(reply.enhanced)
    if (name := queue_id(reply)) is not None:
        found["smtp.queue_id"] = name
    return found


def _error_of(error: BaseException | None) -> _Attributes:
    if error is None:
        return {}
    code = getattr(error, "code", None)
    return {"error.type": type(error).__name__ if code is None else str(code)}


def _end(span: trace.Span, error: _Attributes, cause: BaseException | None) -> None:
    if error:
        span.set_attributes(error)
        span.set_status(trace.StatusCode.ERROR, printable(str(cause)))
    span.end()
