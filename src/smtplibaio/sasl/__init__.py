"""SASL mechanisms as values: octets in, octets out; no base64, no 334.

A mechanism is used for one exchange. Anything with these members is one (see
`Mechanism`), and `SMTP.authenticate` takes it:

* `name`: what follows AUTH;
* `start()`: the initial response, or None where the server speaks first;
* `next(challenge)`: the response to a challenge. Where it raises, the exchange is
  cancelled; where that is an `SMTPProtocolError`, for a server that has not proved
  itself, the connection ends as well;
* `done`: whether the mechanism is satisfied: a server that says 235 before is not
  believed.
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
