"""SASL mechanisms as values: they take and return octets, without base64 or replies.

A mechanism object is used for one exchange. `SMTP.authenticate` takes any object that
has these members (see `Mechanism`):

* `name`: the name that follows AUTH;
* `start()`: the initial response, or None if the server sends the first message;
* `next(challenge)`: the response to a challenge. If it raises, the exchange is
  cancelled. If it raises `SMTPProtocolError`, because the server has not proved its
  identity, the connection ends too;
* `done`: whether the exchange is complete for the client. A 235 before that is not
  accepted as a success.
"""

from __future__ import annotations

from .choice import bearer_candidates, check_names, password_candidates
from .identities import Anonymous, External
from .mechanism import Mechanism
from .oauth import OAUTHBEARER, XOAUTH2, Bearer
from .passwords import CramMD5, Login, Plain
from .scram import (
    ScramSHA1,
    ScramSHA1Plus,
    ScramSHA256,
    ScramSHA256Plus,
    ScramSHA512,
    ScramSHA512Plus,
)

__all__ = [
    "OAUTHBEARER",
    "XOAUTH2",
    "Anonymous",
    "Bearer",
    "CramMD5",
    "External",
    "Login",
    "Mechanism",
    "Plain",
    "ScramSHA1",
    "ScramSHA1Plus",
    "ScramSHA256",
    "ScramSHA256Plus",
    "ScramSHA512",
    "ScramSHA512Plus",
    "bearer_candidates",
    "check_names",
    "password_candidates",
]
