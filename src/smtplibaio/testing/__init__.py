"""Servers for the tests of programs that send mail, whatever client they use.

* `SMTPServer` accepts mail, and stores it for the test. A test can replace its replies,
  and break its connections.
* `Conversation` plays a script with the lines of client and server, and fails the test
  if the client sends anything else.

Both run in their own thread, so that blocking clients can be tested as well, and
listen on a free port of 127.0.0.1. With pytest, `smtp_server` and `conversation` are
fixtures. `pip install 'smtplibaio[testing]'` installs the packages that they need.

The modules of this room::

    plugin                      the fixtures
    conversation   server       the servers that a test uses
    stage          session      one connection, with a script or with aiosmtpd
    script         rules        the script; the replies that the test replaces
    received  authority  thread
"""

from __future__ import annotations

from importlib import import_module

__all__ = ["Conversation", "Fault", "ReceivedMail", "SMTPServer", "ScriptMismatch"]

#: Where each name is defined. It is imported when it is first used: pytest imports the
#: plugin, and with it this module, in every project that has smtplibaio installed.
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
