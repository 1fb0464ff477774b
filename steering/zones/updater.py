"""Updates (RFC 2136) into the store: who may has been judged (peers.py); here they are made, each in one transaction.

What is answered with NOERROR is on the disk. A zone whose configuration is just being changed, a disk that fails and an
update that has waited for too long are SERVFAIL, and change nothing.
"""

from collections.abc import Callable

from steering.messages import UpdateAsked, UpdateDone
from steering.settings import Settings
from steering.settings import Zone as ZoneSettings
from steering.wire import NOERROR, REFUSED, SERVFAIL, name_to_text
from steering.zones.content import Defaults
from steering.zones.load import assign_defaults, is_made_from, read_rrsets, stage_update
from steering.zones.message import Message, parse_message_untrusted
from steering.zones.store import Store, StoreError, ZoneWriter, failing
from steering.zones.update import (
    UpdateError,
    apply_update,
    check_prerequisites,
    check_rdata_untrusted,
    describe_changes,
)
from steering.zones.zonefile import ZoneFileError


class Updater:
    """The zones that take updates."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._zones: dict[bytes, tuple[ZoneSettings, Defaults]] = {}

    def replace(self, settings: Settings) -> None:
        """The configuration from now on."""
        self._zones = {zone.name: (zone, defaults) for zone, defaults in assign_defaults(settings) if zone.allow_update}

    def update(self, asked: UpdateAsked, clock: Callable[[], float]) -> UpdateDone:
        """Make an update, once nobody else stages zones; what became of it. `clock` is that of the deadline."""
        message = parse_message_untrusted(asked.packet)
        key = name_to_text(message.signature.key) if message.signature is not None else "nobody"
        serial, rcode = None, NOERROR
        try:
            check_rdata_untrusted(message)
            with failing(self._store), self._store.writing():
                if clock() >= asked.deadline:
                    raise UpdateError(SERVFAIL, "it had to wait for too long")
                serial, told = self._apply(message)
        except (UpdateError, ZoneFileError, StoreError) as error:
            other = REFUSED if isinstance(error, ZoneFileError) else SERVFAIL
            rcode = error.rcode if isinstance(error, UpdateError) else other
            told = str(error)
        return UpdateDone(
            asked.worker, asked.number, rcode, message.name, serial, f"by {key} from {asked.client}: {told}"
        )

    def _apply(self, message: Message) -> tuple[int | None, str]:
        """The new serial, None if nothing changes, and what does; raises UpdateError, ZoneFileError or StoreError."""
        apex = message.name
        zone, defaults = self._zones.get(apex, (None, {}))
        writer = ZoneWriter(self._store)
        if zone is None or apex not in writer.served or not is_made_from(zone, defaults, writer.read_stamp(apex)):
            raise UpdateError(SERVFAIL, "the configuration of the zone is just being changed")
        steered = next((record.owner for record in message.authorities if record.owner in defaults), None)
        if steered is not None:
            raise UpdateError(REFUSED, f"{name_to_text(steered)} is steered by a load balancer")
        with writer.open_served(apex) as served:

            def read(owner: bytes) -> dict[int, tuple[int, list[bytes]]]:
                return read_rrsets(apex, owner, served)

            check_prerequisites(message, read)
            owners = apply_update(message, read)
            told = describe_changes(owners, read)
        if not owners:
            return None, ""
        report = stage_update(zone, defaults, writer, owners)
        writer.publish()
        writer.collect_garbage()
        return report.serial, told
