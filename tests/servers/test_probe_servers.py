"""The command `probe` against Postfix, Dovecot and Exim with planted mistakes."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import real_servers
import trustme
from real_servers import PASSWORD, USERNAME

from smtplibaio.cli import probing
from smtplibaio.cli.findings import Findings
from smtplibaio.cli.mistakes import mistakes_of
from smtplibaio.cli.probe import page_of
from smtplibaio.cli.probing import probe
from smtplibaio.cli.target import Target

pytestmark = pytest.mark.skipif(
    real_servers.missing() != "", reason=real_servers.missing()
)

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
LOGIN = f"{USERNAME.replace('@', '%40')}@"

#: A certificate, for what the mistake is.
CERTIFICATES: dict[str, dict[str, Any]] = {
    "certificate-expires": {"not_before": NOW - 80 * DAY, "not_after": NOW + 9 * DAY},
    "certificate-expired": {"not_before": NOW - 80 * DAY, "not_after": NOW - 9 * DAY},
    "certificate-early": {"not_before": NOW + 9 * DAY, "not_after": NOW + 80 * DAY},
}


@pytest.fixture
def home() -> Iterator[Path]:
    """Give a directory that the servers' own users may enter."""
    with TemporaryDirectory(prefix="smtplibaio-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(autouse=True)
def trust(monkeypatch: pytest.MonkeyPatch, client_tls: ssl.SSLContext) -> None:
    monkeypatch.setattr(probing, "default_context", lambda: client_tls)
    monkeypatch.setattr(probing, "SILENCE", 1.0)


def certificate_with(authority: trustme.CA, mistake: str) -> trustme.LeafCert:
    """Issue a certificate with a mistake, or without one."""
    name = "mx.example" if mistake == "certificate-untrusted" else "localhost"
    return authority.issue_cert(name, **CERTIFICATES.get(mistake, {}))


@contextmanager
def run_postfix(home: Path, authority: trustme.CA, mistake: str) -> Iterator[int]:
    wrapped = real_servers.free_port()
    with real_servers.postfix(
        home / "postfix",
        authority,
        tls_ports=[wrapped],
        settings={"smtpd_tls_auth_only": "no" if mistake == "auth-in-clear" else "yes"},
        certificate=certificate_with(authority, mistake),
    ) as server:
        yield wrapped if mistake == "tls-at-once" else server.port


def run_dovecot(
    home: Path, authority: trustme.CA, mistake: str
) -> AbstractContextManager[int]:
    more = "disable_plaintext_auth = no" if mistake == "auth-in-clear" else ""
    return real_servers.dovecot_submission(
        home / "dovecot", certificate_with(authority, mistake), more
    )


def run_exim(
    home: Path, authority: trustme.CA, mistake: str
) -> AbstractContextManager[int]:
    clear = "*" if mistake == "auth-in-clear" else "${if eq{$tls_in_cipher}{}{}{*}}"
    return real_servers.exim(
        home / "exim",
        certificate_with(authority, mistake),
        f"auth_advertise_hosts = {clear}",
    )


#: Each server with the mistakes that it can have.
PLANTED = [
    *(
        (run_postfix, mistake)
        for mistake in ("", "auth-in-clear", "tls-at-once", "certificate-untrusted")
    ),
    *(
        (run_dovecot, mistake)
        for mistake in ("", "auth-in-clear", "certificate-untrusted", *CERTIFICATES)
    ),
    *(
        pytest.param(
            run_exim,
            mistake,
            marks=pytest.mark.skipif(
                real_servers.is_exim_missing() != "",
                reason=real_servers.is_exim_missing(),
            ),
        )
        for mistake in ("", "auth-in-clear", "certificate-expired")
    ),
]


async def probed(url: str, password: str = "") -> Findings:
    return await probe(Target.of(url, {"SMTP_PASSWORD": password}))


@pytest.mark.parametrize(("run", "mistake"), PLANTED)
async def test_each_planted_mistake_is_found_and_nothing_else(
    home: Path,
    authority: trustme.CA,
    run: Callable[..., AbstractContextManager[int]],
    mistake: str,
) -> None:
    with run(home, authority, mistake) as port:
        # To Dovecot a client at the server's own address is as safe as within TLS.
        source = "source_address=127.0.0.2"
        found = await probed(f"smtp://localhost:{port}?{source}")
    mistakes = mistakes_of(found, NOW)
    print("\n".join(page_of(found, mistakes, NOW, is_coloured=False)))
    assert [m.code for m in mistakes] == ([mistake] if mistake else [])
    assert found.pipelining == "works"
    assert found.extensions.auth


@pytest.mark.parametrize(
    ("password", "wanted"), [(PASSWORD, []), ("x", ["login-failed"])]
)
async def test_credentials_are_tried(
    home: Path, authority: trustme.CA, password: str, wanted: list[str]
) -> None:
    with run_postfix(home, authority, "") as port:
        found = await probed(f"smtp://{LOGIN}localhost:{port}", password)
    assert [m.code for m in mistakes_of(found, NOW)] == wanted
