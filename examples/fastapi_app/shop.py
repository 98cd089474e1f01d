"""A web shop that confirms orders by mail: FastAPI, a pool, and OpenTelemetry.

Run it with the URL of a mail server in the environment:

    SMTP_URL=smtp://localhost uvicorn shop:app
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from opentelemetry import trace

from smtplibaio import SMTPDeliveryUnknownError, SMTPException, SMTPPool
from smtplibaio.otel import instrument

SENDER = "Example Shop <shop@example.org>"

tracer = trace.get_tracer("shop")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep a pool as long as the app runs; it opens connections when it needs them."""
    url = os.environ.get("SMTP_URL", "smtp://localhost")
    async with SMTPPool.from_url(url, size=5, on_event=instrument()) as app.state.mail:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{number}/confirmation", status_code=202)
async def confirm(number: int, address: str, request: Request) -> dict[str, str]:
    """Confirm an order by mail."""
    message = EmailMessage()
    message["From"] = SENDER
    message["To"] = address
    message["Subject"] = f"Your order {number}"
    message.set_content("Thank you! Your order is on its way.\n")

    with tracer.start_as_current_span("confirm order"):
        try:
            result = await request.app.state.mail.send_message(
                message, add_missing=True
            )
        except SMTPDeliveryUnknownError:
            # It may have arrived. A second one would be worse than none.
            return {"mail": "unknown"}
        except SMTPException as exc:
            raise HTTPException(503 if exc.is_transient else 422, str(exc)) from exc
    return {"mail": "accepted", "queue_id": result.queue_id or ""}


@app.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """Tell what the pool is doing."""
    figures = request.app.state.mail.statistics()
    return {
        "connections": figures.open,
        "waiting": figures.waiting,
        "accepted": figures.accepted,
        "unknown": figures.unknown,
    }
