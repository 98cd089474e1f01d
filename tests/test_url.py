"""Configuration from one string, and from the environment."""

from __future__ import annotations

import inspect
import ssl
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtplibaio import LMTP, SMTP, SMTP_SSL, SMTPArgumentError
from smtplibaio.url import (
    CLIENT_OPTIONS,
    number,
    read_environment,
    read_url,
    text,
    whole_number,
)

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "kind", "options"),
    [
        ("smtp://mx", "SMTP", {"hostname": "mx", "port": 25}),
        ("smtp://mx:587/", "SMTP", {"hostname": "mx", "port": 587}),
        ("smtps://mx", "SMTP", {"hostname": "mx", "port": 465, "tls": True}),
        ("SMTPS://mx:1465", "SMTP", {"hostname": "mx", "port": 1465, "tls": True}),
        ("lmtp://[::1]", "LMTP", {"hostname": "::1", "port": 24}),
        ("lmtp+unix:///run/lmtp", "LMTP", {"path": "/run/lmtp"}),
        ("smtp+unix:///a%20b", "SMTP", {"path": "/a b"}),
        (
            "smtp+unix:///p?server_hostname=mx.example",
            "SMTP",
            {"path": "/p", "server_hostname": "mx.example"},
        ),
        ("smtp:///?hostname=mx", "SMTP", {"hostname": "mx", "port": 25}),
        ("smtp://?path=/run/smtp", "SMTP", {"path": "/run/smtp"}),
        (
            "smtp://erin:p%40ss@mx",
            "SMTP",
            {
                "hostname": "mx",
                "port": 25,
                "username": "erin",
                "password": "p@ss",
                "starttls": "required",
            },
        ),
        (
            "smtp://mx?username=e@x.example&token=a+b%3D",
            "SMTP",
            {
                "hostname": "mx",
                "port": 25,
                "username": "e@x.example",
                "token": "a+b=",
                "starttls": "required",
            },
        ),
        (
            "service://erin:pw@Gmail",
            "SMTP",
            {
                "hostname": "smtp.gmail.com",
                "port": 465,
                "tls": True,
                "username": "erin",
                "password": "pw",
            },
        ),
        (
            "service://ses?region=eu-west-1&timeout=5",
            "SMTP",
            {
                "hostname": "email-smtp.eu-west-1.amazonaws.com",
                "port": 587,
                "starttls": "required",
                "timeout": 5.0,
            },
        ),
    ],
)
def test_a_url_says_which_client_and_how_it_is_made(
    url: str, kind: str, options: dict[str, Any]
) -> None:
    configuration = read_url(url)
    assert configuration.kind == kind
    assert configuration.options == options


@pytest.mark.parametrize(
    ("url", "starttls"),
    [
        ("smtp://erin:pw@mx?starttls=opportunistic", "opportunistic"),
        ("smtp://erin:pw@mx?starttls=never", "never"),
        ("smtp://erin:pw@mx?tls=true", "never"),
        ("smtp://erin:pw@mx?tls=false", "required"),
        ("smtps://erin:pw@mx", None),
        ("smtp+unix://erin:pw@/run/smtp", None),
        ("smtp://:@mx", None),
        ("smtp://mx", None),
    ],
)
def test_with_credentials_starttls_is_required_unless_the_url_says_otherwise(
    url: str, starttls: str | None
) -> None:
    assert read_url(url).options.get("starttls") == starttls


def test_credentials_beside_the_url_are_protected_as_those_in_it() -> None:
    beside = read_url("smtp://mx", {"username": "erin", "password": "pw"})
    assert beside.options["starttls"] == "required"
    over_tls = read_url("smtp://mx", {"username": "e", "password": "p", "tls": True})
    assert over_tls.options["starttls"] == "never"


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("fqdn=client.example", "client.example"),
        ("timeout=2.5", 2.5),
        ("timeout=30", 30.0),
        ("timeout=none", None),
        ("username=%C3%BC", "\xfc"),
        ("password=", ""),
        ("mechanisms=PLAIN,%20LOGIN", ["PLAIN", "LOGIN"]),
        ("starttls=opportunistic", "opportunistic"),
        ("server_hostname=mx.example", "mx.example"),
        ("source_address=192.0.2.1", ("192.0.2.1", 0)),
        ("source_address=[2001:db8::1]:99", ("2001:db8::1", 99)),
        ("pipelining=false", False),
        ("pipelining=1", True),
        ("pipelining=off", False),
        ("chunking=yes", True),
        ("chunking=NONE", None),
        ("tls=True", True),
        ("proxy=socks5h://erin:pw%2540x@proxy.example", None),
        ("port=587", 587),
    ],
)
def test_an_option_in_the_query_has_its_type(query: str, value: object) -> None:
    name = query.partition("=")[0]
    if name == "proxy":
        value = "socks5h://erin:pw%40x@proxy.example"
    read = read_url(f"smtp://mx?{query}").options[name]
    assert read == value
    assert type(read) is type(value)


def test_every_option_can_stand_in_the_query_or_says_why_not() -> None:
    """All but objects, callables and what switches a protection off."""
    takes = {*inspect.signature(SMTP.__init__).parameters} - {"self"}
    assert takes <= CLIENT_OPTIONS
    assert CLIENT_OPTIONS - takes == {"context"}
    for name in ("tls_context", "context", "sock", "on_event", "allow_cleartext_auth"):
        with pytest.raises(SMTPArgumentError, match=f"^{name} .* keyword argument"):
            read_url(f"smtp://mx?{name}=true")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://mx", "smtp://, smtps://, .* or service://, not http://$"),
        ("smpt://mx", "not smpt://; did you mean smtp"),
        ("smtps+unix:///p", "not smtps\\+unix://"),
        ("smtp+ssl://mx", "here that is smtps://"),
        ("smtp+tls://mx", "here that is smtp:// with \\?starttls=required"),
        ("smtp://", "names no host; it is written smtp://host:port"),
        ("lmtp://:24", "names no host; it is written lmtp://host:port"),
        ("smtp://mx/inbox", "a path after the host"),
        ("lmtp+unix://run/lmtp", "lmtp\\+unix:///path/to/socket, with three slashes"),
        ("lmtp+unix://", "three slashes"),
        ("lmtp+unix:///", "three slashes"),
        ("smtp+unix://:25/run", "three slashes"),
        ("service://", "service://user:password@name"),
        ("service://gmail:587", "without a port"),
        ("service://gmail/x", "service://user:password@name"),
        ("service://gmial", "did you mean gmail"),
        ("service://ses?region=a&region=b", "gives region twice"),
        ("service://gmail?region=eu", "has no regions"),
        ("service://gmail?tls=false", "says tls twice"),
        ("smtp://mx?region=eu", "unknown option 'region'"),
        ("smtp://mx?startls=never", "option 'startls'; did you mean starttls"),
        ("smtp://mx?x=1", "unknown option 'x'$"),
        ("smtp://mx?TLS=true", "unknown option 'TLS'"),
        ("smtp://mx?tls", "tls has no value; it is written tls="),
        ("smtp://mx?tls=true&tls=true", "says tls twice"),
        ("smtps://mx?tls=true", "says tls twice"),
        ("smtp://mx:25?port=25", "says port twice"),
        ("smtp://mx?hostname=my", "says hostname twice"),
        ("smtp://erin@mx?username=erin", "says username twice"),
        ("smtp+unix:///p?path=/p", "says path twice"),
        ("smtp://mx?tls=maybe", "tls: expected true or false, not 'maybe'"),
        ("smtp://mx?chunking=maybe", "expected true or false or none, not 'maybe'"),
        ("smtp://mx?timeout=soon", "timeout: expected a number or none, not 'soon'"),
        ("smtp://mx?size=" + 5000 * "9", "size: expected a whole number"),
        ("smtp://mx?port=smtp", "port: expected a number between 1 and 65535"),
        ("smtp://mx?port=70000", "port: expected a number between 1 and 65535"),
        ("smtp://mx?starttls=always", "never, opportunistic or required, not 'always'"),
        ("smtp://mx?fqdn=", "fqdn: expected a text that is not empty"),
        ("smtp://mx?mechanisms=PLAIN,,LOGIN", "a text that is not empty"),
        ("smtp://mx?source_address=:25", "host, host:port or \\[IPv6"),
        ("smtp://mx?source_address=a:b", "host, host:port or \\[IPv6"),
        ("smtp://mx?source_address=a/b", "host, host:port or \\[IPv6"),
    ],
)
def test_a_mistake_is_an_error_that_names_it(url: str, why: str) -> None:
    with pytest.raises(SMTPArgumentError, match=why):
        read_url(url, more={"size": whole_number})


@pytest.mark.parametrize(
    "url",
    [
        f"smtp://erin:{SECRET}",
        f"smtp://erin:12/{SECRET}@mx",
        f"smtp://erin:12?{SECRET}@mx",
        f"smtp://erin:12?{SECRET}=1@mx",
        f"smtp://erin:12/?{SECRET}=1@mx",
        f"smtp://erin:{SECRET}@{SECRET}@mx",
        f"smtp://erin:{SECRET}:@mx",
        f"smtp://erin:{SECRET}#@mx",
        f"smtp://erin:{SECRET}%@mx",
        f"smtp://erin:{SECRET}%ff@mx",
        f"smtp://erin:{SECRET} @mx",
        f"smtp://erin:{SECRET}@mx:smtp",
        f"smtp://erin:{SECRET}@mx/path",
        f"smtp://erin:{SECRET}@",
        f"smtp://erin:{SECRET}@mx?tsl=true",
        f"smtp://mx?password={SECRET}&password={SECRET}",
        f"smtp://mx?pasword={SECRET}",
        f"smtp://mx?password=12&{SECRET}",
        f"smtp://mx?username=erin&token=12&{SECRET}=&timeout=5",
        f"smtp://mx?proxy=socks5://erin:12&{SECRET}@p",
        f"smtp+ssl://erin:{SECRET}@mx",
        f"service://erin:{SECRET}@gmial",
        f"smtp+unix://erin:12/{SECRET}@mx",
        f"service://erin:12/{SECRET}@gmail",
        f"smtp://mx?proxy=socks5://erin:{SECRET}%0A@p",
        f"smtp://mx?token={SECRET}",
        f"smtp://:{SECRET}@mx",
    ],
)
def test_a_password_is_in_no_error(url: str) -> None:
    with pytest.raises(SMTPArgumentError) as caught:
        SMTP.from_url(url)
    link: BaseException | None = caught.value
    while link is not None:
        assert SECRET not in f"{link}{link!r}"
        link = link.__cause__


def test_a_password_is_in_no_repr() -> None:
    url = f"smtp://erin:{SECRET}@mx?proxy=" + quote(
        f"http://erin:{SECRET}@proxy.example:3128", safe=""
    )
    configuration = read_url(url)
    assert SECRET in configuration.options["proxy"]
    for shown in (configuration, SMTP.from_url(url)):
        assert SECRET not in repr(shown)
    assert SECRET not in repr(SMTP.from_url(url)._settings)


@given(username=st.text(min_size=1), password=st.text(min_size=1))
def test_what_is_percent_encoded_arrives(username: str, password: str) -> None:
    encoded = f"smtp://{quote(username, safe='')}:{quote(password, safe='')}@mx"
    options = read_url(encoded).options
    assert (options["username"], options["password"]) == (username, password)


def test_keyword_arguments_take_precedence() -> None:
    options = read_url("smtp://mx:587?fqdn=a.example", {"fqdn": "b.example", "sock": 5})
    assert options.options == {
        "hostname": "mx",
        "port": 587,
        "fqdn": "b.example",
        "sock": 5,
    }
    assert read_url("smtp://", {"sock": 5}).options == {"sock": 5}
    assert read_url("smtp://", {"hostname": "mx"}).options["port"] == 25


def test_more_options_can_stand_in_the_query() -> None:
    more = {"size": whole_number, "rate": number, "name": text}
    options = read_url("smtp://mx?size=5&rate=2.5&name=a", None, more).options
    assert (options["size"], options["rate"], options["name"]) == (5, 2.5, "a")
    for query, why in [
        ("size=-1", "expected a whole number"),
        ("size=\u0665", "expected a whole number"),
        ("size=2.5", "expected a whole number"),
        ("rate=x", "expected a number"),
        ("siz=5", "did you mean size"),
    ]:
        with pytest.raises(SMTPArgumentError, match=why):
            read_url(f"smtp://mx?{query}", None, more)


# The environment


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        ({"HOST": "mx"}, {"hostname": "mx"}),
        ({"HOST": "mx", "PORT": "", "USERNAME": ""}, {"hostname": "mx"}),
        ({"HOST": "::1", "PORT": "587"}, {"hostname": "::1", "port": 587}),
        ({"HOST": "mx", "PORT": "465"}, {"hostname": "mx", "port": 465, "tls": True}),
        (
            {"HOST": "mx", "PORT": "465", "STARTTLS": "required"},
            {"hostname": "mx", "port": 465, "starttls": "required"},
        ),
        (
            {"HOST": "mx", "PORT": "465", "TLS": "no"},
            {"hostname": "mx", "port": 465, "tls": False},
        ),
        (
            {"HOST": "mx", "USERNAME": "erin", "PASSWORD": "p@:/?#%"},
            {
                "hostname": "mx",
                "username": "erin",
                "password": "p@:/?#%",
                "starttls": "required",
            },
        ),
        (
            {
                "HOST": "mx",
                "USER": "root",
                "USERNAME": "erin",
                "TOKEN": "t",
                "TLS": "on",
            },
            {
                "hostname": "mx",
                "username": "erin",
                "token": "t",
                "tls": True,
                "starttls": "never",
            },
        ),
        ({"PATH": "/run/smtp", "FROM": "a@x"}, {"path": "/run/smtp"}),
        (
            {"URL": "smtps://mx", "HOST": "other", "TIMEOUT": "soon", "USER": "x"},
            {"hostname": "mx", "port": 465, "tls": True},
        ),
        (
            {"URL": "smtps://erin@mx", "USERNAME": "frank", "PASSWORD": "pw"},
            {
                "hostname": "mx",
                "port": 465,
                "tls": True,
                "username": "erin",
                "password": "pw",
            },
        ),
        (
            {"URL": "smtp://mx", "USERNAME": "erin", "PASSWORD": "pw"},
            {
                "hostname": "mx",
                "port": 25,
                "username": "erin",
                "password": "pw",
                "starttls": "required",
            },
        ),
        (
            {"URL": "smtps://erin:pw@mx", "PASSWORD": "other", "TOKEN": "t"},
            {
                "hostname": "mx",
                "port": 465,
                "tls": True,
                "username": "erin",
                "password": "pw",
            },
        ),
    ],
)
def test_the_environment_has_a_url_or_one_variable_an_option(
    environment: dict[str, str], options: dict[str, Any]
) -> None:
    variables = {f"SMTP_{name}": value for name, value in environment.items()}
    variables |= {"HOST": "elsewhere", "SMTPS_HOST": "elsewhere"}
    assert read_environment(environ=variables).options == options


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({}, "set MAIL_URL or MAIL_HOST"),
        ({"PORT": "25"}, "set MAIL_URL or MAIL_HOST"),
        ({"HOSTNAME": "mx"}, "MAIL_HOSTNAME is set, but .* is MAIL_HOST"),
        ({"HOST": "mx", "USER": "erin"}, "MAIL_USER is set, but .* is MAIL_USERNAME"),
        ({"HOST": "mx", "PASS": "x"}, "MAIL_PASS is set, but .* is MAIL_PASSWORD"),
        ({"HOST": "mx", "PORT": "smtp"}, "MAIL_PORT: expected a number between"),
        ({"HOST": "mx", "TLS": "maybe"}, "MAIL_TLS: expected true or false"),
        ({"URL": "mx.example"}, "MAIL_URL must begin with a scheme"),
    ],
)
def test_a_mistake_in_the_environment_is_an_error_that_names_the_variable(
    environment: dict[str, str], why: str
) -> None:
    variables = {f"MAIL_{name}": value for name, value in environment.items()}
    with pytest.raises(SMTPArgumentError, match=why):
        read_environment("MAIL_", environ=variables)


def test_without_a_prefix_the_environment_is_not_read() -> None:
    with pytest.raises(SMTPArgumentError, match="the prefix is empty"):
        read_environment("", environ={"HOST": "mx"})


# Clients


def test_a_client_is_made_from_a_url() -> None:
    client = SMTP.from_url("smtps://mx.example?timeout=5", fqdn="client.example")
    assert type(client) is SMTP
    assert (client.hostname, client.port) == ("mx.example", 465)
    assert client.fqdn == "client.example"
    assert client.timeout.reply == 5.0
    assert client._settings.endpoint.context is not None


def test_a_subclass_makes_its_own() -> None:
    class Mailer(SMTP):
        pass

    assert type(Mailer.from_url("smtp://mx")) is Mailer


def test_the_scheme_says_which_protocol() -> None:
    class Deliverer(LMTP):
        pass

    client = SMTP.from_url("lmtp://mx")
    assert (type(client), client.port) == (LMTP, 24)
    assert type(SMTP.from_url("lmtp+unix:///run/lmtp")) is LMTP
    assert type(Deliverer.from_url("lmtp://mx")) is Deliverer
    with pytest.raises(SMTPArgumentError, match="port 25 is for SMTP"):
        SMTP.from_url("lmtp://mx:25")
    for kind, url in [
        (LMTP, "smtp://mx"),
        (LMTP, "smtps://mx"),
        (SMTP_SSL, "lmtp://m"),
    ]:
        with pytest.raises(SMTPArgumentError, match=r"(is not|SMTP_SSL is) for"):
            kind.from_url(url)


def test_smtp_ssl_takes_the_urls_of_tls(client_tls: ssl.SSLContext) -> None:
    client = SMTP_SSL.from_url("smtps://mx", tls_context=client_tls)
    assert type(client) is SMTP_SSL
    assert client._settings.endpoint.context is client_tls
    assert SMTP_SSL.from_url("service://gmail").port == 465
    assert SMTP_SSL.from_url("smtps://mx?starttls=never").port == 465
    for url in ("smtp://mx", "lmtp://mx", "smtps://mx?starttls=required"):
        with pytest.raises(SMTPArgumentError):
            SMTP_SSL.from_url(url)


def test_a_client_is_made_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("SMTP_URL", "SMTP_PORT", "SMTP_USERNAME", "SMTP_PASSWORD"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SMTP_HOST", "mx.example")
    assert SMTP.from_env().hostname == "mx.example"
    monkeypatch.setenv("MAIL_URL", "smtp://mx.example:587")
    client = SMTP.from_env("MAIL_", fqdn="client.example")
    assert (client.port, client.fqdn) == (587, "client.example")
    monkeypatch.setenv("LMTP_HOST", "mx.example")
    monkeypatch.setenv("LMTP_USERNAME", "erin")
    monkeypatch.setenv("LMTP_PASSWORD", "pw")
    deliverer = LMTP.from_env("LMTP_")
    assert (type(deliverer), deliverer.port) == (LMTP, 24)
    assert deliverer._settings.starttls == "never"
