"""Runs of other people's clients; each as its documentation shows it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import smtplib
import subprocess
import time
from pathlib import Path

import aiosmtplib

from . import memory
from .meter import Meter, Result, repeat, repeat_blocking
from .work import SENDER, Work, addresses, bulk, client_context, letter

__all__ = [
    "LeftOut",
    "aiosmtplib_connecting",
    "aiosmtplib_connections",
    "aiosmtplib_held",
    "aiosmtplib_sendmail",
    "nodemailer",
    "smtp_source",
    "smtplib_sendmail",
]

_WARM_UP = 100


class LeftOut(Exception):  # noqa: N818
    """Tell why a peer cannot be run here."""


def _client(work: Work) -> aiosmtplib.SMTP:
    return aiosmtplib.SMTP(
        hostname=work.host,
        port=work.to,
        use_tls=work.tls,
        start_tls=False,
        tls_context=client_context(work) if work.tls else None,
    )


async def aiosmtplib_sendmail(work: Work) -> Result:
    """Call aiosmtplib's `sendmail` in a loop."""
    is_bulk = work.size > 1 << 20
    message = (bulk if is_bulk else letter)(work.size)
    recipients = addresses(work.recipients)
    async with _client(work) as smtp:
        await smtp.sendmail(SENDER, recipients[0], letter(2048))

        async def one(n: int) -> None:
            await smtp.sendmail(SENDER, recipients[n % len(recipients)], message)

        result = await repeat(work, one, 1 if is_bulk else _WARM_UP)
    result["sent"] += 1
    return result


async def aiosmtplib_connections(work: Work) -> Result:
    """Share messages among connections of aiosmtplib."""
    message, recipients = letter(work.size), addresses(work.recipients)
    async with _client(work) as first:
        await first.sendmail(SENDER, recipients[0], message)
    before = memory.resident()
    clients = [_client(work) for _ in range(work.connections)]
    for smtp in clients:
        await smtp.connect()
        await smtp.sendmail(SENDER, recipients[0], message)
    held = memory.resident() - before
    share = work.messages // work.connections

    async def send(smtp: aiosmtplib.SMTP) -> int:
        for n in range(share):
            await smtp.sendmail(SENDER, recipients[n % len(recipients)], message)
        return share

    meter = Meter()
    count = sum(await asyncio.gather(*map(send, clients)))
    result = meter.stop(count, sent=count + work.connections + 1)
    for smtp in clients:
        smtp.close()
    return {**result, "memory": held / work.connections}


async def aiosmtplib_held(work: Work) -> Result:
    """Tell the peak of memory of aiosmtplib above a body of bytes."""
    async with _client(work) as smtp:
        await smtp.sendmail(SENDER, "bob@recipient.example", letter(2048))
        body = bulk(work.size)
        with memory.Peak() as peak:
            await smtp.sendmail(SENDER, "bob@recipient.example", body)
    return {"memory": peak.octets, "sent": 2}


async def aiosmtplib_connecting(work: Work) -> Result:
    """Connect, say EHLO, leave."""

    async def one(_: int) -> None:
        async with _client(work) as smtp:
            await smtp.ehlo()

    return await repeat(work, one, 20, 0)


def smtplib_sendmail(work: Work) -> Result:
    """Call the stdlib's `sendmail` in a loop."""
    is_bulk = work.size > 1 << 20
    message = (bulk if is_bulk else letter)(work.size)
    recipients = addresses(work.recipients)
    with smtplib.SMTP(work.host, work.to) as smtp:
        smtp.sendmail(SENDER, recipients[0], letter(2048))

        def one(n: int) -> None:
            smtp.sendmail(SENDER, recipients[n % len(recipients)], message)

        result = repeat_blocking(work, one, 1 if is_bulk else _WARM_UP)
    result["sent"] += 1
    return result


def nodemailer(work: Work) -> Result:
    """Have Node run nodemailer, which measures itself."""
    node = shutil.which("node")
    if node is None or not work.node_modules:
        raise LeftOut("it needs node, and npm to install it")
    script = Path(__file__).with_name("nodemailer.mjs")
    done = subprocess.run(  # noqa: S603
        [node, script],
        input=json.dumps({**work.values(), "message": letter(work.size).decode()}),
        env={**os.environ, "NODE_PATH": work.node_modules},
        capture_output=True,
        check=True,
        text=True,
    )
    result: Result = json.loads(done.stdout)
    return result


def smtp_source(work: Work) -> Result:
    """Measure a whole run of Postfix's smtp-source, with its start."""
    program = shutil.which(
        "smtp-source", path=os.environ.get("PATH", "") + ":/usr/sbin"
    )
    if program is None:
        raise LeftOut("smtp-source is not installed")
    count = max(1000, int(work.seconds * 15000))
    options = ["-d", "-s", "1", "-m", str(count), "-l", str(work.size), "-f", SENDER]
    start = time.perf_counter()
    child = subprocess.Popen(  # noqa: S603
        [program, *options, "-t", "bob@recipient.example", f"{work.host}:{work.to}"]
    )
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"smtp-source failed with {child.returncode}")
    cpu = usage.ru_utime + usage.ru_stime
    return {
        "cpu": cpu / count * 1e6,
        "wall": wall / count * 1e6,
        "units": count,
        "sent": count,
    }
