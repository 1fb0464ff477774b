"""Postfix in the foreground, with all that it writes in one temporary folder, on free ports of loopback.

Its master must be started by root, and gives its rights away to the users that the package has made.
"""

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.monitors.certificates import Certificates
from tests.peers.programs import started
from tests.steering.running import eventually, free_port

DAEMONS = Path("/usr/lib/postfix/sbin")
OF_OWNER = (
    "private",
    "incoming",
    "active",
    "deferred",
    "bounce",
    "defer",
    "flush",
    "trace",
    "saved",
    "hold",
    "corrupt",
)
OF_GROUP = ("maildrop", "public")

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.com
mydestination = example.com
inet_interfaces = 127.0.0.1
mynetworks = 192.0.2.0/24
local_recipient_maps = inline:{{postmaster=known}}
alias_maps =
alias_database =
smtpd_peername_lookup = no
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
smtpd_tls_security_level = none
"""

MASTER = """
127.0.0.1:{plain} inet n - n - - smtpd
127.0.0.1:{starttls} inet n - n - - smtpd
  -o smtpd_tls_security_level=may -o smtpd_tls_chain_files={good}
127.0.0.1:{tls} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt -o smtpd_tls_wrappermode=yes -o smtpd_tls_chain_files={good}
127.0.0.1:{expired} inet n - n - - smtpd
  -o smtpd_tls_security_level=may -o smtpd_tls_chain_files={old}
postlog unix-dgram n - n - 1 postlogd
rewrite unix - - n - - trivial-rewrite
cleanup unix n - n - 0 cleanup
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
qmgr unix n - n 300 1 qmgr
"""


def why_not() -> str:
    """Why Postfix cannot be started here; empty if it can."""
    if not (DAEMONS / "master").exists():
        return "postfix is not installed"
    if os.geteuid() != 0:
        return "the master of postfix must be started by root"
    try:
        pwd.getpwnam("postfix"), grp.getgrnam("postdrop")
    except KeyError:
        return "postfix is installed without its users"
    return ""


@contextmanager
def running_postfix(certificates: Certificates) -> Iterator[dict[str, int]]:
    """Gives the ports: `plain`, `starttls`, `tls` from the start, and `expired`, STARTTLS with such a certificate."""
    # Not in the folder of pytest, which its other users cannot enter.
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with _running(Path(folder), certificates) as ports:
            yield ports


@contextmanager
def _running(folder: Path, certificates: Certificates) -> Iterator[dict[str, int]]:
    ports = {name: free_port() for name in ("plain", "starttls", "tls", "expired")}
    owner, group = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
    for name in ("conf", "queue", "data", "queue/pid", *(f"queue/{name}" for name in OF_OWNER + OF_GROUP)):
        (folder / name).mkdir()
    for name in ("data", *(f"queue/{name}" for name in OF_OWNER)):
        os.chown(folder / name, owner, -1)
    for name in OF_GROUP:
        os.chown(folder / "queue" / name, owner, group)
    chains = {}
    for quality in ("good", "expired"):
        chain, key = certificates.issue(quality)
        chains[quality] = folder / f"{quality}.pem"
        chains[quality].write_bytes(key.read_bytes() + chain.read_bytes())
    (folder / "conf/main.cf").write_text(MAIN.format(folder=folder, daemons=DAEMONS))
    services = MASTER.format(good=chains["good"], old=chains["expired"], **ports)
    (folder / "conf/master.cf").write_text(services)
    log = folder / "log"
    with started([DAEMONS / "master", "-c", folder / "conf", "-d"], folder) as master:
        eventually(
            lambda: log.exists() and "daemon started" in log.read_text(),
            lambda: master.log() + (log.read_text() if log.exists() else "it has no log"),
        )
        yield ports
