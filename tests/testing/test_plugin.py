"""The fixtures, as another project's pytest sees them, with the extra and without."""

from __future__ import annotations

import smtplib
import subprocess
import sys
from collections.abc import Callable

import pytest

from smtplibaio import testing
from smtplibaio.testing import authority

pytest_plugins = ["pytester"]

TESTS = """
import smtplib

import pytest
from smtplibaio.testing import Conversation, SMTPServer

def send(server):
    with smtplib.SMTP(server.hostname, server.port, timeout=5) as client:
        client.sendmail("a@x.example", "b@y.example", b"hi")

def test_server(smtp_server):
    assert isinstance(smtp_server, SMTPServer)
    send(smtp_server)
    assert len(smtp_server.messages) == 1

@pytest.mark.smtp_server(tls=True, reply={"MAIL": "550 no"})
def test_options(smtp_server):
    assert smtp_server.url.startswith("smtps:")
    assert smtp_server.reply == {"MAIL": "550 no"}

def test_conversation(conversation):
    first, second = conversation("S: 220 hi"), conversation("S: 220 ho", cut="octet")
    assert isinstance(first, Conversation)
    smtplib.SMTP(first.hostname, first.port).quit()
    smtplib.SMTP(second.hostname, second.port).quit()

def test_conversation_with_tls(conversation):
    server = conversation("S: 220 hi", tls=True)
    context = server.tls_context
    smtplib.SMTP_SSL(server.hostname, server.port, context=context).quit()
"""

#: Makes an import fail as it does where nothing is installed.
BLOCK = """
import sys

sys.modules["aiosmtpd"] = sys.modules["trustme"] = None
"""


#: Not this project's settings, and no plugin that wants some.
QUIETLY = ("-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error", "-rs")


def run(pytester: pytest.Pytester) -> pytest.RunResult:
    return pytester.runpytest_subprocess(
        "-p", "smtplibaio.testing.plugin", "--strict-markers", *QUIETLY
    )


def test_another_project_gets_the_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    run(pytester).assert_outcomes(passed=4)


def test_who_leaves_the_script_is_told_after_the_test(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("""
        import smtplib

        def test_one(conversation):
            server = conversation("S: 220 hi\\nC: HELO x")
            client = smtplib.SMTP(server.hostname, server.port)
            try:
                client.ehlo("x")
            except smtplib.SMTPServerDisconnected:
                pass
    """)
    result = run(pytester)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ScriptMismatch: line 2*C: HELO x"])


def test_without_the_extra_tests_are_skipped_and_say_what_to_install(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(BLOCK)
    pytester.makepyfile(TESTS)
    result = run(pytester)
    result.assert_outcomes(passed=1, skipped=3)  # a plain script needs nothing
    result.stdout.fnmatch_lines(
        [
            "SKIPPED*needs aiosmtpd: pip install 'smtplibaio?testing?'",
            "SKIPPED*needs trustme: pip install 'smtplibaio?testing?'",
        ]
    )


def test_a_missing_part_of_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
) -> None:
    """As the test above, without a process of its own, so that coverage sees it."""
    for contexts in (authority._authority, authority.server_context):
        contexts.cache_clear()
    monkeypatch.delitem(sys.modules, "smtplibaio.testing.session", raising=False)
    for name in ("aiosmtpd", "trustme"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match="needs aiosmtpd: pip install"):
        testing.SMTPServer()
    with pytest.raises(ModuleNotFoundError, match="needs trustme: pip install"):
        testing.Conversation("S: 220 hi", tls=True)
    pytester.makepyfile(TESTS)
    ran = pytester.runpytest_inprocess("-p", "smtplibaio.testing.plugin", *QUIETLY)
    ran.assert_outcomes(passed=1, skipped=3)


def test_this_project_uses_its_own_fixtures(
    smtp_server: testing.SMTPServer, conversation: Callable[..., testing.Conversation]
) -> None:
    with smtplib.SMTP(smtp_server.hostname, smtp_server.port) as client:
        client.sendmail("a@x.example", "b@y.example", b"hi")
    assert len(smtp_server.messages) == 1
    server = conversation("S: 220 hi")
    smtplib.SMTP(server.hostname, server.port).quit()


def test_the_names_are_the_public_ones() -> None:
    assert dir(testing) == testing.__all__
    with pytest.raises(AttributeError, match="no attribute 'Server'"):
        _ = testing.Server  # type: ignore[attr-defined] # that is what is tested


def run_python(script: str) -> str:
    command = [sys.executable, "-W", "error", "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_plugin_costs_nothing_before_a_fixture_is_asked_for() -> None:
    script = (
        "import pytest, sys; before = {*sys.modules}\n"
        "import smtplibaio.testing.plugin\n"
        "print(*sorted({*sys.modules} - before))\n"
    )
    assert run_python(script).split() == [
        "smtplibaio",
        "smtplibaio.testing",
        "smtplibaio.testing.plugin",
    ]


def test_names_are_imported_when_they_are_asked_for() -> None:
    script = (
        BLOCK + "import smtplibaio.testing as t\n"
        "assert dir(t) == t.__all__\n"
        "for name in t.__all__: assert getattr(t, name).__doc__, name\n"
        "try: t.Server\n"
        "except AttributeError as exc: print(exc)\n"
        "try: t.SMTPServer()\n"
        "except ModuleNotFoundError as exc: print(exc)\n"
    )
    assert run_python(script).splitlines() == [
        "module 'smtplibaio.testing' has no attribute 'Server'",
        "smtplibaio.testing needs aiosmtpd: pip install 'smtplibaio[testing]'",
    ]
