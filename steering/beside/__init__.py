"""The ways of living beside another DNS server. One file per kind, one line per kind in EXPORTS or UPDATES.

EXPORTS are files that it reads: a kind renders them from the health of the origins, without waiting; `writer.py` writes
them. UPDATES are zones of its own into which answers are written: a kind reads and writes them, `updater.py` says what.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import dns.tsig

from steering.beside import gdnsd_admin_state, gdnsd_extfile, geodns
from steering.beside.dns_update import DnsTarget, DnsUpdate
from steering.beside.export import OriginState
from steering.beside.gdnsd_admin_state import GdnsdAdminState
from steering.beside.gdnsd_extfile import GdnsdExtfile
from steering.beside.geodns import Geodns
from steering.beside.powerdns_api import ApiTarget, PowerDnsApi
from steering.beside.update import Target, UpdateError

AnyExport = GdnsdAdminState | GdnsdExtfile | Geodns
AnyUpdate = DnsUpdate | PowerDnsApi


class Kind(NamedTuple):
    """A kind of file for others: its settings, and its content by path."""

    export: type[AnyExport]
    render: Callable[[Any, Sequence[OriginState]], Mapping[str, bytes]]


EXPORTS = {
    "gdnsd_admin_state": Kind(GdnsdAdminState, gdnsd_admin_state.render),
    "gdnsd_extfile": Kind(GdnsdExtfile, gdnsd_extfile.render),
    "geodns": Kind(Geodns, geodns.render),
}


def render(export: AnyExport, origins: Sequence[OriginState]) -> Mapping[str, bytes]:
    """The content of each file by its path, by the kind of the export."""
    return EXPORTS[str(export.__struct_config__.tag)].render(export, origins)


Keys = Mapping[bytes, dns.tsig.Key]


def _open_dns(update: DnsUpdate, keys: Keys) -> Target:
    name = update.server.key
    if name is not None and name not in keys:
        raise UpdateError("its key is not known")
    return DnsTarget(update, None if name is None else keys[name])


UPDATES: Mapping[str, tuple[type[AnyUpdate], Callable[[Any, Keys], Target]]] = {
    "dns_update": (DnsUpdate, _open_dns),
    "powerdns_api": (PowerDnsApi, lambda update, _: ApiTarget(update)),
}


def open_target(update: AnyUpdate, keys: Keys) -> Target:
    """The zone that an update is for; UpdateError."""
    return UPDATES[str(update.__struct_config__.tag)][1](update, keys)
