"""Draw the picture of a trace: python docs/draw_trace.py > docs/_static/trace.svg.

The spans are real: a mail server from the test kit, two mails, one of them refused.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from html import escape

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from smtplibaio import SMTP, SMTPException
from smtplibaio.otel import instrument
from smtplibaio.testing import SMTPServer

WIDTH, LEFT, ROW = 760, 230, 44
COLOURS = {"accepted": "#2e7d32", "refused": "#c62828"}


async def trace() -> Sequence[ReadableSpan]:
    """Record a trace: a request that sends two mails."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("shop")
    async with SMTPServer(reply={"RCPT": [None, "550 5.1.1 no such user"]}) as server:
        with tracer.start_as_current_span("POST /orders"):
            async with SMTP(
                server.hostname, server.port, on_event=instrument(provider)
            ) as client:
                for recipient in ("bob@example.net", "carol@example.net"):
                    try:
                        await client.sendmail(
                            "shop@example.org", recipient, "Subject: Hi\n\nHi!\n"
                        )
                    except SMTPException:
                        continue
    return exporter.get_finished_spans()


def label(span: ReadableSpan) -> str:
    """Say what stands beside the bar of a span."""
    attributes = span.attributes or {}
    keys = ("smtp.status", "smtp.reply.code", "error.type", "server.address")
    return "  ".join(f"{key}={attributes[key]}" for key in keys if key in attributes)


def drawn(spans: Sequence[ReadableSpan]) -> str:
    """Draw one bar for each span, from its start to its end."""
    spans = sorted(spans, key=lambda span: span.start_time or 0)
    start = min(span.start_time or 0 for span in spans)
    total = max(span.end_time or 0 for span in spans) - start
    height = ROW * len(spans) + 24
    lines = [
        f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"
     font-family="sans-serif" font-size="13">
<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>"""
    ]
    scale = (WIDTH - LEFT - 20) / total
    for row, span in enumerate(spans):
        y = ROW * row + 12
        nanoseconds = (span.end_time or 0) - (span.start_time or 0)
        begin = LEFT + ((span.start_time or 0) - start) * scale
        length = max(3, nanoseconds * scale)
        status = str((span.attributes or {}).get("smtp.status", ""))
        colour = COLOURS.get(status, "#1565c0")
        indent = 12 if span.parent is None else 30
        name, took = escape(span.name), f"{nanoseconds / 1e6:.1f} ms"
        lines.append(
            f"""\
<text x="{indent}" y="{y + 14}" font-weight="bold" fill="#222">{name}</text>
<text x="{indent}" y="{y + 30}" font-size="11" fill="#555">{took}</text>
<rect x="{begin:.1f}" y="{y}" width="{length:.1f}" height="18" rx="3" fill="{colour}"/>
<text x="{LEFT}" y="{y + 31}" font-size="11" fill="#555">{escape(label(span))}</text>"""
        )
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    asyncio.run(trace())  # so that no import is in the picture
    sys.stdout.write(drawn(asyncio.run(trace())))
