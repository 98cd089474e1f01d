"""A pool in the lifespan of a FastAPI application, as the documentation shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage

import httpx2
import pytest
from fastapi import FastAPI, Request
from pool_server import PoolServer

from smtplibaio import SMTPPool


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with SMTPPool.from_env() as app.state.mail:
        yield


async def test_an_application_has_one_pool_as_long_as_it_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = FastAPI(lifespan=lifespan)

    @app.post("/signup")
    async def sign_up(request: Request, address: str) -> dict[str, str | None]:
        message = EmailMessage()
        message["From"] = "shop@x.example"
        message["To"] = address
        message["Subject"] = "Welcome"
        message.set_content("Hello.\n")
        result = await request.app.state.mail.send_message(message)
        return {"id": result.queue_id}

    async with PoolServer() as server:
        monkeypatch.setenv("SMTP_URL", f"smtp://{server.host}:{server.port}")
        async with app.router.lifespan_context(app):
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://shop.example"
            ) as client:
                for number in range(1, 4):
                    address = f"user{number}@y.example"
                    reply = await client.post("/signup", params={"address": address})
                    assert reply.json() == {"id": f"Q{number}"}
        assert server.open == []
    assert len(server.sessions) == 1
    assert [mail.recipients for mail in server.stored] == [
        (f"user{number}@y.example",) for number in range(1, 4)
    ]
