"""What a client is made with is checked when it is made, and then frozen."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from smtplibaio import SMTP, SMTP_SSL, SMTPArgumentError
from smtplibaio.client.config import Credentials, Settings
from smtplibaio.timeouts import Timeouts
from smtplibaio.wire.endpoint import Endpoint


async def token(refresh: bool) -> str:
    return "fresh" if refresh else "stale"


def settings(**options: Any) -> Settings:
    plain: dict[str, Any] = dict.fromkeys(
        ("name", "credentials", "mechanisms", "tls_context", "on_event")
    )
    plain |= {
        "endpoint": Endpoint(),
        "timeouts": Timeouts(),
        "starttls": "never",
        "pipelining": True,
        "chunking": None,
        "allow_cleartext_auth": False,
    }
    return Settings(**(plain | options))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param((None, None, None), None, id="nothing"),
        pytest.param(("", "", None), None, id="empty texts"),
        pytest.param(("", None, None), None, id="an empty name"),
        pytest.param((None, None, ""), None, id="an empty token"),
        pytest.param(("me", "pw", None), Credentials("me", "pw"), id="a password"),
        pytest.param((b"me", b"p", None), Credentials(b"me", b"p"), id="octets"),
        pytest.param(
            ("me", None, "t"), Credentials("me", token="t"), id="an access token"
        ),
        pytest.param(
            ("me", None, token), Credentials("me", token=token), id="what gives one"
        ),
    ],
)
def test_credentials_are_a_name_and_one_proof(
    given: tuple[Any, ...], kept: Credentials | None
) -> None:
    assert Credentials.of(*given) == kept


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"username": "me"}, id="no proof"),
        pytest.param({"password": "pw"}, id="a password of nobody"),
        pytest.param(
            {"username": "", "password": "pw"}, id="a password of an empty name"
        ),
        pytest.param({"username": "", "token": "t"}, id="a token of an empty name"),
        pytest.param({"token": "t"}, id="a token of nobody"),
        pytest.param({"password": "pw", "token": "t"}, id="two proofs of nobody"),
        pytest.param({"username": "me", "password": "p", "token": "t"}, id="two"),
    ],
)
@pytest.mark.parametrize("make", [SMTP, SMTP_SSL])
def test_half_of_the_credentials_is_an_error(
    make: type[SMTP], given: dict[str, str]
) -> None:
    with pytest.raises(SMTPArgumentError, match="username and password") as caught:
        make(**given)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (("", "", None), None),
        (("", None, ""), None),
        (("", "", ""), None),
        ((None, "", None), None),
        (("me", "", "t"), Credentials("me", token="t")),
        (("me", "pw", ""), Credentials("me", "pw")),
    ],
)
def test_an_empty_variable_of_an_environment_is_no_credential(
    given: tuple[Any, ...], kept: Credentials | None
) -> None:
    assert Credentials.of(*given) == kept


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"username": 5, "password": "s3cret"},
            "username must be str or bytes, not int",
        ),
        (
            {"username": "me", "password": ["s3cret"]},
            "password must be str or bytes, not",
        ),
        (
            {"username": "me", "token": b"s3cret"},
            "token must be a str, or an async funct",
        ),
        ({"mechanisms": [None]}, "cannot be used here: None"),
        ({"mechanisms": 5}, "mechanisms must be a sequence of names"),
        ({"tls_context": "s3cret"}, "tls_context must be an ssl.SSLContext, not str"),
        ({"tls_context": True}, "tls_context must be an ssl.SSLContext, not bool"),
        (
            {"on_event": "print"},
            "on_event must be a function with one argument, not str",
        ),
        ({"pipelining": "no"}, "pipelining must be True or False, not 'no'"),
        (
            {"allow_cleartext_auth": 2},
            "allow_cleartext_auth must be True or False, not 2",
        ),
        ({"sock": 5}, "sock must be a connected socket.socket"),
        ({"source_address": ("", 99999)}, "the port of source_address"),
        ({"port": "smtp"}, "port"),
        ({"fqdn": 5}, "fqdn must be a domain"),
        ({"hostname": 5}, "hostname must be a str, not int"),
        ({"tls": "no"}, "tls must be True or False, not 'no'"),
        ({"tls": None}, "tls must be True or False, not None"),
        pytest.param(
            {"tls": ssl.create_default_context()},
            "tls must be True or False",
            id="tls is a context",
        ),
        ({"proxy": "s3cret"}, "the proxy's URL must begin with a scheme"),
        ({"timeout": "5"}, "timeout"),
    ],
    ids=repr,
)
def test_a_value_of_the_wrong_kind_is_an_error_at_once(
    given: dict[str, Any], text: str
) -> None:
    """And not when a connection is opened."""
    with pytest.raises(SMTPArgumentError, match=text) as caught:
        SMTP(**given)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"username": "m\0e", "password": "s3cret"}, "username is empty or has a NUL"),
        ({"username": "\ud800", "password": "s3cret"}, "username is neither text"),
        ({"username": "me", "password": "s3cret\0"}, "password is empty or has a NUL"),
        ({"username": "me", "password": b"s3cret\0"}, "password is empty or has a NUL"),
        ({"username": "me", "password": "s3cret\ud800"}, "password is neither text"),
        ({"username": "me", "password": ""}, "password is empty"),
        ({"username": "me", "token": "s3cret\x01"}, "token has a control character"),
        ({"username": b"m\x01e", "token": "s3cret"}, "user name has a control char"),
        ({"username": "me", "token": ""}, "token is empty"),
    ],
    ids=repr,
)
def test_a_credential_that_cannot_be_sent_is_an_error_at_once(
    given: dict[str, Any], text: str
) -> None:
    """A08: and not when EHLO has been said already."""
    with pytest.raises(SMTPArgumentError, match=text) as caught:
        SMTP(**given)
    assert "s3cret" not in str(caught.value)


def test_nothing_secret_is_in_a_repr() -> None:
    for credentials in (Credentials("me", "s3cret"), Credentials("me", token="s3cret")):
        shown = repr(settings(credentials=credentials))
        assert "'me'" in shown
        assert "s3cret" not in shown


@pytest.mark.parametrize("value", ["", "always", "Required", None, True, [], b"never"])
def test_starttls_is_one_of_three_words(value: Any) -> None:
    with pytest.raises(SMTPArgumentError, match="'opportunistic' or 'required'"):
        SMTP(starttls=value)


@pytest.mark.parametrize("value", ["", "never", 2, []])
def test_chunking_is_yes_or_no_or_where_it_has_to_be(value: Any) -> None:
    with pytest.raises(SMTPArgumentError, match="chunking must be True, False or None"):
        SMTP(chunking=value)


@pytest.mark.parametrize("starttls", ["required", "opportunistic"])
def test_there_is_no_tls_within_tls(starttls: Any) -> None:
    endpoint = Endpoint(context=ssl.create_default_context())
    with pytest.raises(SMTPArgumentError, match="STARTTLS is not possible"):
        settings(endpoint=endpoint, starttls=starttls)
    assert settings(endpoint=endpoint).starttls == "never"


@pytest.mark.parametrize(
    ("starttls", "credentials", "is_required"),
    [
        ("never", None, False),
        ("never", Credentials("me", "pw"), False),
        ("opportunistic", None, False),
        ("opportunistic", Credentials("me", "pw"), True),
        ("opportunistic", Credentials("me", token="t"), True),
        ("required", None, True),
        ("required", Credentials("me", "pw"), True),
    ],
)
def test_tls_is_required_where_credentials_depend_on_it(
    starttls: Any, credentials: Credentials | None, *, is_required: bool
) -> None:
    """B04, B05: what a password would follow is never merely opportunistic."""
    chosen = settings(starttls=starttls, credentials=credentials)
    assert chosen.is_tls_required is is_required


@pytest.mark.parametrize("name", ["", ".mx.example", "mx\0.example", "a..b", "x" * 64])
@pytest.mark.parametrize("make", [SMTP, SMTP_SSL])
def test_a_name_that_tls_cannot_verify_is_an_error_at_once(
    make: type[SMTP], name: str
) -> None:
    with pytest.raises(SMTPArgumentError):
        make(server_hostname=name)


@pytest.mark.parametrize("mechanisms", ["PLAIN", ["PLAN"], [], ()])
@pytest.mark.parametrize(
    "proof", [{"password": "pw"}, {"token": "t"}], ids=["password", "token"]
)
def test_mechanisms_that_cannot_be_used_are_an_error_at_once(
    mechanisms: Any, proof: dict[str, str]
) -> None:
    with pytest.raises(SMTPArgumentError, match="mechanisms"):
        SMTP(username="me", mechanisms=mechanisms, **proof)  # type: ignore[arg-type]


def test_the_callers_list_of_mechanisms_is_not_kept() -> None:
    mechanisms = ["CRAM-MD5"]
    client = SMTP(username="me", password="pw", mechanisms=mechanisms)
    mechanisms.append("PLAIN")
    assert list(client._settings.mechanisms or ()) == ["CRAM-MD5"]


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        settings().starttls = "never"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Credentials("me", "pw").username = "you"  # type: ignore[misc]
