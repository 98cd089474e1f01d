"""Well-known services, by name."""

from __future__ import annotations

import pytest

from smtplibaio import SMTP, SMTPArgumentError
from smtplibaio.services import SERVICES, Service, service_named


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_makes_a_client_that_encrypts(name: str) -> None:
    service = service_named(name.upper())
    region = "eu-west-1" if "{region}" in service.hostname else None
    client = SMTP(**service.options(region))
    assert (client.port == 465) is service.tls
    assert service.options(region).get("tls") or service.options(region)["starttls"]
    assert service.login


@pytest.mark.parametrize(
    ("name", "region", "hostname"),
    [
        ("gmail", None, "smtp.gmail.com"),
        ("ses", "eu-central-1", "email-smtp.eu-central-1.amazonaws.com"),
        ("mailgun", None, "smtp.mailgun.org"),
        ("mailgun", "us", "smtp.mailgun.org"),
        ("mailgun", "eu", "smtp.eu.mailgun.org"),
        ("zoho", "com.au", "smtp.zoho.com.au"),
    ],
)
def test_a_region_has_a_server_of_its_own(
    name: str, region: str | None, hostname: str
) -> None:
    assert SERVICES[name].options(region)["hostname"] == hostname


@pytest.mark.parametrize(
    ("name", "region", "why"),
    [
        ("gmail", "eu", "has no regions"),
        ("ses", None, "needs its region, such as region=eu-west-1"),
        ("ses", "", "needs its region"),
        ("ses", "evil.example/", "needs its region"),
        ("mailgun", "asia", "knows the regions us, eu"),
    ],
)
def test_a_region_that_a_service_does_not_have_is_an_error(
    name: str, region: str | None, why: str
) -> None:
    with pytest.raises(SMTPArgumentError, match=why):
        SERVICES[name].options(region)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gmial", "no service 'gmial'; did you mean gmail\\?"),
        ("Microsoft-365", "did you mean microsoft365\\?"),
        ("mx.example", "there is gmail, microsoft365, .*, mailjet"),
    ],
)
def test_a_service_that_is_not_known_is_an_error_that_helps(
    name: str, why: str
) -> None:
    with pytest.raises(SMTPArgumentError, match=why):
        service_named(name)


def test_a_service_is_a_value() -> None:
    assert Service("mx.example", 25, "none") == Service("mx.example", 25, "none")
