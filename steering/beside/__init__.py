"""The ways of living beside another DNS server: files that it reads. One file per kind, one line per kind in EXPORTS.

A kind renders its files from the health of the origins, without waiting; `writer.py` writes them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from steering.beside import gdnsd_admin_state, gdnsd_extfile, geodns
from steering.beside.export import OriginState
from steering.beside.gdnsd_admin_state import GdnsdAdminState
from steering.beside.gdnsd_extfile import GdnsdExtfile
from steering.beside.geodns import Geodns

AnyExport = GdnsdAdminState | GdnsdExtfile | Geodns


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
