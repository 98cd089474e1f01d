"""Well-known services, by name: where they listen, and what they ask of a client.

Each entry has what was read on the page in the comment above it, in December 2026, and
nothing else: if a limit is not named, none was read. Services change; what is given
here is where a connection goes, what logging in needs, and what to expect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .exceptions import SMTPArgumentError

__all__ = ["SERVICES", "Service", "service_named"]

# A label of a host name, which is what a region is.
_REGION = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*")

_APP_LOGIN = """\
the full address as user name, and an app password that is made for this program: the \
password of the account is refused"""


@dataclass(frozen=True, slots=True)
class Service:
    """A service that takes mail for delivery.

    Attributes:
        hostname: Its server; with "{region}" where there is one for every region.
        port: Its port.
        login: What the user name and the password, or the token, have to be.
        tls: Whether TLS begins with the first octet; else STARTTLS is required.
        limits: What it limits, as far as it was read.
        regions: The servers of its regions, by name, where they follow no rule.
    """

    hostname: str
    port: int
    login: str
    tls: bool = False
    limits: str = ""
    regions: Mapping[str, str] = field(default_factory=dict)

    def options(self, region: str | None) -> dict[str, Any]:
        """Give the arguments of `SMTP` for a region, or for the only server there is.

        Raises:
            SMTPArgumentError: The service has no such region, or has several.
        """
        return {
            "hostname": self._host(region),
            "port": self.port,
            **({"tls": True} if self.tls else {"starttls": "required"}),
        }

    def _host(self, region: str | None) -> str:
        is_template = "{region}" in self.hostname
        if region is None and not is_template:
            return self.hostname
        if region is not None and region in self.regions:
            return self.regions[region]
        if region is not None and is_template and _REGION.fullmatch(region):
            return self.hostname.format(region=region)
        if is_template:
            why = "needs its region, such as region=eu-west-1"
        elif self.regions:
            why = f"knows the regions {', '.join(self.regions)}"
        else:
            why = "has no regions"
        raise SMTPArgumentError(f"the service at {self.hostname} {why}")


_MAILGUN = "smtp.mailgun.org"
_ZOHO_REGIONS = ("com", "eu", "in", "com.au", "jp")

#: The services, each by its name in "service://NAME".
SERVICES: Mapping[str, Service] = {
    # https://berkeley.service-now.com/kb_view.do?sysparm_article=KB0010997 (ports), and
    # https://prospeo.io/s/gmail-smtp-relay-server (passwords, limits)
    "gmail": Service(
        "smtp.gmail.com",
        465,
        f"{_APP_LOGIN}; or an OAuth token",
        tls=True,
        limits="500 mails a day, 2,000 with Google Workspace",
    ),
    # https://developer.nylas.com/docs/cookbook/email/outlook-smtp-settings/ and
    # https://inboxtooling.com/blog/office-365-smtp-settings (limits)
    "microsoft365": Service(
        "smtp.office365.com",
        587,
        "the full address and an OAuth token (XOAUTH2): passwords are being retired; "
        "SMTP AUTH must be enabled for the mailbox",
        limits="30 mails a minute, 10,000 recipients a day",
    ),
    # https://developer.nylas.com/docs/cookbook/email/outlook-smtp-settings/
    "outlook": Service(
        "smtp-mail.outlook.com", 587, "the full address and an OAuth token (XOAUTH2)"
    ),
    # https://meshworld.in/blog/devops/email/icloud-smtp-server
    "icloud": Service(
        "smtp.mail.me.com", 587, _APP_LOGIN, limits="around 200 mails a day"
    ),
    # https://xenocept.com/docs/email-setup/yahoo.html
    "yahoo": Service("smtp.mail.yahoo.com", 465, _APP_LOGIN, tls=True),
    # https://docs.aws.amazon.com/ses/latest/dg/smtp-connect.html and
    # https://docs.aws.amazon.com/ses/latest/dg/send-email-smtp.html (credentials)
    "ses": Service(
        "email-smtp.{region}.amazonaws.com",
        587,
        "the SMTP credentials, which are made for one region",
    ),
    # https://www.twilio.com/docs/sendgrid/for-developers/sending-email/integrating-with-the-smtp-api
    "sendgrid": Service(
        "smtp.sendgrid.net", 587, "the word apikey as user name, and an API key"
    ),
    # https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/send-smtp
    # and https://spreecommerce.org/docs/integrations/email/mailgun (regions)
    "mailgun": Service(
        _MAILGUN,
        587,
        "the SMTP credentials of the domain",
        regions={"us": _MAILGUN, "eu": "smtp.eu.mailgun.org"},
    ),
    # https://postmarkapp.com/support/article/811-what-are-the-smtp-details-api-tokens-i-should-be-using
    # and https://postmarkapp.com/developer (limits)
    "postmark": Service(
        "smtp.postmarkapp.com",
        587,
        "the server's API token, as user name and as password",
        limits="50 recipients a message, 10 MB a message",
    ),
    # https://dev.to/omnigenz/send-app-emails-through-the-brevo-smtp-relay-with-nodejs-nodemailer-3j2j
    # and https://developers.brevo.com/docs/smtp-integration (keys, ports)
    "brevo": Service(
        "smtp-relay.brevo.com",
        465,
        "the SMTP login, and an SMTP key: not an API key",
        tls=True,
    ),
    # https://wiki.stretchpowered.com/books/zoho/page/how-to-configure-email-server-with-zoho-smtp-settings
    # and https://postigo.net/smtp/zoho (regions)
    "zoho": Service(
        "smtp.zoho.com",
        465,
        "the full address and its password, or an app password with two-factor login",
        tls=True,
        regions={region: f"smtp.zoho.{region}" for region in _ZOHO_REGIONS},
    ),
    # The pages of "zoho": organizations that pay have servers of their own.
    "zohopro": Service(
        "smtppro.zoho.com",
        465,
        "the full address and its password, or an app password with two-factor login",
        tls=True,
        regions={region: f"smtppro.zoho.{region}" for region in _ZOHO_REGIONS},
    ),
    # https://www.fastmail.com/help/technical/servernamesandports.html
    "fastmail": Service("smtp.fastmail.com", 465, _APP_LOGIN, tls=True),
    # https://smtptester.org/guides/mailjet-smtp-test/ and
    # https://www.mailjet.com/support/what-are-the-api-key-and-secret-keys-how-should-i-use-them,109.htm
    "mailjet": Service(
        "in-v3.mailjet.com", 587, "the API key as user name, the secret key as password"
    ),
}


def service_named(name: str) -> Service:
    """Find a service by its name, in capitals or not.

    Raises:
        SMTPArgumentError: There is none; the text names the nearest one.
    """
    service = SERVICES.get(name.lower())
    if service is not None:
        return service
    import difflib

    nearest = difflib.get_close_matches(name.lower(), SERVICES, 1)
    hint = (
        f"did you mean {nearest[0]}?" if nearest else f"there is {', '.join(SERVICES)}"
    )
    raise SMTPArgumentError(f"there is no service {name!a}; {hint}")
