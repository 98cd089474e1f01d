"""Postfix and Dovecot from Debian's packages, each with a configuration of its own.

They listen on free loopback ports, keep everything in a temporary directory, and end
with the tests. They need the packages postfix, libsasl2-modules, sasl2-bin and
dovecot-core, and root, as Postfix does.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import trustme

USERNAME = "alice@mx.example"
PASSWORD = "pencil and paper"

#: Who has a mailbox; everybody else at their domains is unknown.
MAILBOXES = [f"{name}@mx.example" for name in ("alice", "bob", "carol")]
MAILBOXES += ["alice@example.org"]

#: What `limits` allows: connections in so many seconds, and recipients of a mail.
CONNECTIONS, SECONDS, RECIPIENTS = 5, 4, 2

NEEDED = ("postfix", "saslpasswd2", "dovecot")

#: Where `.ci/run` puts servers that are no packages which can be installed.
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "smtplibaio"

#: Where Debian keeps what is not on everybody's path.
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def missing() -> str:
    """Say what these servers lack on this machine; "" for nothing."""
    lacking = [name for name in NEEDED if shutil.which(name, path=PATH) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    return "" if os.geteuid() == 0 else "Postfix starts as root only"


@dataclass
class RealServer:
    """A Postfix that listens.

    Attributes:
        port: Where, on 127.0.0.1.
        mailboxes: The directory of its maildirs, one a recipient.
        log: What it has logged.
    """

    port: int
    mailboxes: Path
    log: Path

    def mails(self, recipient: str) -> list[bytes]:
        """Give what it has delivered to a recipient, in the order of delivery."""
        new = self.mailboxes / recipient / "new"
        if not new.exists():
            return []
        return [path.read_bytes() for path in sorted(new.iterdir())]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(port: int, log: Path) -> None:
    """Wait until somebody greets on a port."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as sock:
                sock.settimeout(5)
                if sock.recv(4):
                    return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nobody listens on port {port}\n{log.read_text()}")


def run(*command: str | Path, text: str | None = None) -> None:
    subprocess.run(
        [str(word) for word in command],
        check=True,
        capture_output=True,
        text=True,
        input=text,
        env={**os.environ, "PATH": PATH},
    )


@contextmanager
def dovecot(home: Path) -> Iterator[Path]:
    """Run Dovecot as a SASL provider; give the socket that it listens on."""
    home.mkdir()
    home.chmod(0o755)
    users = home / "users"
    users.write_text(f"{USERNAME}:{{PLAIN}}{PASSWORD}\n")
    users.chmod(0o644)
    configuration = home / "dovecot.conf"
    configuration.write_text(
        dedent(f"""\
        base_dir = {home}/run
        log_path = {home}/log
        protocols =
        ssl = no
        disable_plaintext_auth = no
        auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
        passdb {{
            driver = passwd-file
            args = scheme=PLAIN {users}
        }}
        userdb {{
            driver = static
            args = uid=65534 gid=65534 home=/nonexistent
        }}
        auth_failure_delay = 0
        service anvil {{
            unix_listener anvil-auth-penalty {{
                mode = 0
            }}
        }}
        service auth {{
            unix_listener {home}/auth {{
                mode = 0666
            }}
        }}
        """)
    )
    process = subprocess.Popen(
        ["dovecot", "-F", "-c", str(configuration)],
        env={**os.environ, "PATH": PATH},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while not (home / "auth").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield home / "auth"
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def dovecot_submission(
    home: Path, certificate: trustme.LeafCert, more: str = ""
) -> Iterator[int]:
    """Run Dovecot's submission server, in front of a relay that is not there.

    Args:
        home: A directory that is made.
        certificate: The server's.
        more: Lines that come last in the configuration.

    Yields:
        Its port on 127.0.0.1.
    """
    home.mkdir()
    home.chmod(0o755)
    users = home / "users"
    users.write_text(f"{USERNAME}:{{PLAIN}}{PASSWORD}\n")
    users.chmod(0o644)
    certificate.private_key_and_cert_chain_pem.write_to_path(home / "tls.pem")
    port, log = free_port(), home / "log"
    configuration = home / "dovecot.conf"
    configuration.write_text(
        dedent(f"""\
        base_dir = {home}/run
        log_path = {log}
        listen = 127.0.0.1
        protocols = submission
        hostname = mx.example
        submission_relay_host = 127.0.0.1
        submission_relay_port = {free_port()}
        ssl = yes
        ssl_cert = <{home}/tls.pem
        ssl_key = <{home}/tls.pem
        auth_mechanisms = plain login
        passdb {{
            driver = passwd-file
            args = scheme=PLAIN {users}
        }}
        userdb {{
            driver = static
            args = uid=65534 gid=65534 home=/nonexistent
        }}
        service submission-login {{
            inet_listener submission {{
                port = {port}
            }}
            inet_listener submissions {{
                port = 0
            }}
        }}
        """)
        + more
        + "\n"
    )
    process = subprocess.Popen(
        ["dovecot", "-F", "-c", str(configuration)],
        env={**os.environ, "PATH": PATH},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, log)
        yield port
    finally:
        process.terminate()
        process.wait(20)


#: Debian installs Exim instead of Postfix, not beside it; `.ci/run` unpacks it.
_EXIM = shutil.which("exim4", path=f"{PATH}:{CACHE}/exim/usr/sbin") or ""


def is_exim_missing() -> str:
    """Say why Exim cannot run; "" where it can."""
    if not _EXIM:
        return f"not unpacked: exim4-daemon-light, in {CACHE}/exim (see .ci/run)"
    if not any(user.pw_name == "Debian-exim" for user in pwd.getpwall()):
        return "there is no user Debian-exim (see .ci/run)"
    return "" if os.geteuid() == 0 else "Exim starts as root only"


@contextmanager
def exim(home: Path, certificate: trustme.LeafCert, more: str = "") -> Iterator[int]:
    """Run Exim with TLS and AUTH; it takes mail for nobody.

    Args:
        home: A directory that is made.
        certificate: The server's.
        more: Lines of the main configuration.

    Yields:
        Its port on 127.0.0.1.
    """
    port = free_port()
    for directory in (home, home / "spool"):
        directory.mkdir()
        shutil.chown(directory, "Debian-exim")
    certificate.private_key_and_cert_chain_pem.write_to_path(home / "tls.pem")
    (home / "tls.pem").chmod(0o644)
    configuration = home / "exim.conf"
    configuration.write_text(
        dedent(f"""\
        primary_hostname = mx.example
        daemon_smtp_ports = {port}
        local_interfaces = 127.0.0.1
        keep_environment =
        spool_directory = {home}/spool
        log_file_path = {home}/%slog
        pid_file_path = {home}/pid
        host_lookup =
        rfc1413_hosts =
        tls_advertise_hosts = *
        tls_certificate = {home}/tls.pem
        tls_privatekey = {home}/tls.pem
        """)
        + more
        + dedent("""
        begin authenticators
        plain:
          driver = plaintext
          public_name = PLAIN
          server_prompts = :
          server_condition = yes
        """)
    )
    process = subprocess.Popen(
        [_EXIM, "-C", str(configuration), "-bdf"],
        env={**os.environ, "PATH": PATH},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, home / "mainlog")
        yield port
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def postfix(
    home: Path,
    authority: trustme.CA,
    *,
    dovecot_socket: Path | None = None,
    tls_ports: Sequence[int] = (),
    settings: Mapping[str, object] | None = None,
    certificate: trustme.LeafCert | None = None,
) -> Iterator[RealServer]:
    """Run Postfix with TLS, AUTH, and a maildir for each of `MAILBOXES`.

    AUTH is answered by Cyrus SASL, or by Dovecot where its socket is given.

    Args:
        home: A directory for everything that it writes.
        authority: Who issues its certificate.
        dovecot_socket: Where Dovecot listens.
        tls_ports: Where it listens besides, with TLS from the first octet on.
        settings: What main.cf says besides, or instead.
        certificate: Another certificate instead.
    """
    port = free_port()
    for name in ("etc/sasl", "spool", "data", "mail"):
        (home / name).mkdir(parents=True)
    for directory in (home, *home.parents):
        if directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o711)
    shutil.chown(home / "data", "postfix")
    shutil.chown(home / "mail", "nobody", "nogroup")
    certificate = certificate or authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(home / "etc" / "tls.pem")
    log = home / "log"
    log.touch()
    shutil.chown(log, "postfix")
    if dovecot_socket is None:
        sasl = "smtpd_sasl_type = cyrus\nsmtpd_sasl_path = smtpd"
        _cyrus(home / "etc" / "sasl")
    else:
        sasl = f"smtpd_sasl_type = dovecot\nsmtpd_sasl_path = {dovecot_socket}"
    mailboxes = " ".join(f"{{ {name} = {name}/ }}" for name in MAILBOXES)
    (home / "etc" / "main.cf").write_text(
        dedent(f"""\
        compatibility_level = 3.6
        queue_directory = {home}/spool
        data_directory = {home}/data
        command_directory = /usr/sbin
        daemon_directory = /usr/lib/postfix/sbin
        mail_owner = postfix
        setgid_group = postdrop
        maillog_file = {log}
        maillog_file_prefixes = {home}
        inet_interfaces = 127.0.0.1
        inet_protocols = ipv4
        myhostname = mx.example
        mydestination =
        mynetworks = 127.0.0.0/8
        smtpd_peername_lookup = no
        smtpd_client_connection_rate_limit = 0
        alias_maps =
        local_recipient_maps =
        virtual_mailbox_domains = mx.example example.org
        virtual_mailbox_base = {home}/mail
        virtual_mailbox_maps = inline:{{ {mailboxes} }}
        virtual_uid_maps = static:65534
        virtual_gid_maps = static:65534
        message_size_limit = 33554432
        smtpd_tls_security_level = may
        smtpd_tls_chain_files = {home}/etc/tls.pem
        smtpd_sasl_auth_enable = yes
        smtpd_sasl_security_options = noanonymous
        smtpd_tls_auth_only = no
        """)
        + "".join(f"{name} = {value}\n" for name, value in (settings or {}).items())
        + sasl
        + "\n"
    )
    wrapped = [WRAPPED.format(port=tls_port) for tls_port in tls_ports]
    master = MASTER.format(port=port) + "".join(wrapped)
    (home / "etc" / "master.cf").write_text(master)
    run("postfix", "-c", home / "etc", "start")
    try:
        wait_for(port, log)
        yield RealServer(port, home / "mail", log)
    finally:
        run("postfix", "-c", home / "etc", "abort")


@contextmanager
def limits(home: Path, authority: trustme.CA) -> Iterator[RealServer]:
    """Run a Postfix that allows few connections in a time, and few recipients a mail.

    One connection too many is greeted with 421 4.7.0 until `SECONDS` have passed; one
    recipient too many gets 452 4.5.3.
    """
    settings = {
        "smtpd_client_event_limit_exceptions": "",  # loopback is one of them
        "smtpd_client_connection_rate_limit": CONNECTIONS,
        "anvil_rate_time_unit": f"{SECONDS}s",
        "smtpd_recipient_limit": RECIPIENTS,
    }
    with postfix(home, authority, settings=settings) as server:
        yield server


MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60   1 pickup
cleanup   unix  n - n -    0 cleanup
qmgr      unix  n - n 300  1 qmgr
tlsmgr    unix  - - n 1000 1 tlsmgr
rewrite   unix  - - n -    - trivial-rewrite
bounce    unix  - - n -    0 bounce
defer     unix  - - n -    0 bounce
trace     unix  - - n -    0 bounce
verify    unix  - - n -    1 verify
proxymap  unix  - - n -    - proxymap
error     unix  - - n -    - error
retry     unix  - - n -    - error
virtual   unix  - n n -    - virtual
anvil     unix  - - n -    1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""

WRAPPED = """\
127.0.0.1:{port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
"""


def _cyrus(home: Path) -> None:
    """Configure Cyrus SASL where Debian's Postfix looks: beside its main.cf."""
    (home / "smtpd.conf").write_text(
        dedent(f"""\
        pwcheck_method: auxprop
        auxprop_plugin: sasldb
        sasldb_path: {home}/sasldb2
        mech_list: SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-512 CRAM-MD5 PLAIN LOGIN
        """)
    )
    user, _, realm = USERNAME.partition("@")
    run(
        *("saslpasswd2", "-p", "-c", "-f", home / "sasldb2", "-u", realm, user),
        text=PASSWORD,
    )
    (home / "sasldb2").chmod(0o644)
