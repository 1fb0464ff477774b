"""gdnsd_admin_state: the file `admin_state` in gdnsd's state directory, which overrules its own monitors.

It names what is down, for whatever reason waypost has: probes, or an operator's word. What is up is left to gdnsd.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta

from steering.beside.export import Export, OriginState, items_of

ServiceType = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_*?-]+\Z", max_length=100, description='a service type of gdnsd, or "*"')
]


class GdnsdAdminState(Export, frozen=True, kw_only=True, tag="gdnsd_admin_state"):
    """The whole file is waypost's: what others write into it is lost."""

    service_type: ServiceType = "*"


def render(export: GdnsdAdminState, origins: Sequence[OriginState]) -> Mapping[str, bytes]:
    """Path → content: `192.0.2.1/* => DOWN` for each address and CNAME target that is down."""
    lines = [f"{item}/{export.service_type} => DOWN\n" for item, state in items_of(origins) if not state.up]
    return {export.path: "".join(lines).encode()}
