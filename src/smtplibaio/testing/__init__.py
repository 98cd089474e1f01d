"""Servers for the tests of programs that send mail, whatever client they use.

* `SMTPServer` takes mail, and keeps it for the test to look at. It is told which
  command gets another reply, and where the connection breaks.
* `Conversation` plays a script with both voices, and fails the test where the client
  says anything else.

Both run in a thread of their own, so that blocking clients can be tested as well, and
listen on a free port of 127.0.0.1. With pytest, `smtp_server` and `conversation` are
fixtures. `pip install 'smtplibaio[testing]'` brings what the servers stand on.

The modules of this room::

    plugin                      the fixtures
    conversation   server       what a test uses
    stage          session      one connection: by script, by aiosmtpd
    script         rules        what is said; what is said instead
    received  authority  thread
"""

from __future__ import annotations

from importlib import import_module

__all__ = ["Conversation", "Fault", "ReceivedMail", "SMTPServer", "ScriptMismatch"]

#: Where each name is defined. It is imported when it is first asked for: pytest imports
#: the plugin, and with it this module, in every project that has smtplibaio installed.
_HOME = {
    "Conversation": "conversation",
    "Fault": "rules",
    "ReceivedMail": "received",
    "SMTPServer": "server",
    "ScriptMismatch": "script",
}

TYPE_CHECKING = False  # typing itself is slow to import
if TYPE_CHECKING:
    from .conversation import Conversation
    from .received import ReceivedMail
    from .rules import Fault
    from .script import ScriptMismatch
    from .server import SMTPServer
else:

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
