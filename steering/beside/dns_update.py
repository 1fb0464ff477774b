"""dns_update: dynamic updates (RFC 2136) signed with TSIG (RFC 8945), for BIND, Knot DNS and PowerDNS.

One message makes all changes of a zone, or none: each RRset has the prerequisite that what is there is what we know to
be there (section 2.4.2), so that of two writers the later one is told.
"""

from collections.abc import Sequence

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.tsig
import dns.update
import trio

from steering.beside.update import Change, Rdatas, Update, UpdateError
from steering.values import PeerText
from steering.zones.exchange import system_reason

TIMEOUT = 10.0
"""Seconds for one message and its reply."""
CONFLICTS = (dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN)
"""RCODEs by which a prerequisite fails (RFC 2136 section 3.2)."""
HINTS = {
    dns.rcode.NOTAUTH: "; it is no primary of this zone, or does not allow this key",
    dns.rcode.NOTZONE: "; a name does not lie in the zone",
    dns.rcode.REFUSED: "; it does not allow this key to update these names",
    dns.rcode.NOTIMP: "; it does not do dynamic updates",
}
KEY_PROBLEMS = {
    dns.tsig.PeerBadKey: "it does not know our key by this name, or not with this algorithm",
    dns.tsig.PeerBadSignature: "it does not accept our signature: it has another secret for our key",
    dns.tsig.PeerBadTime: "it does not accept our signature: its clock and ours differ",
}
UNSIGNED = "its reply is not signed: it does not know our key, or has another secret for it"


class DnsUpdate(Update, frozen=True, kw_only=True, tag="dns_update"):
    """The server with the key that it knows: "192.0.2.53 key:waypost"."""

    server: PeerText

    @property
    def where(self) -> str:
        """Address and port."""
        return str(self.server)


class DnsTarget:
    """A zone at a name server that takes updates."""

    def __init__(self, update: DnsUpdate, key: dns.tsig.Key | None) -> None:
        self._update = update
        self._zone = _name(update.zone)
        self._key = key

    async def read(self, owner: bytes, rrtype: int) -> Rdatas:
        """By an ordinary question, without recursion."""
        query = dns.message.make_query(_name(owner), dns.rdatatype.RdataType.make(rrtype), flags=0)
        reply = await self._exchange(query)
        if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise UpdateError(f"to a question it says {dns.rcode.to_text(reply.rcode())}")
        for rrset in reply.answer:
            if rrset.rdtype == rrtype and rrset.name == _name(owner):
                return tuple(sorted(rdata.to_digestable() for rdata in rrset))
        return ()

    async def write(self, changes: Sequence[Change]) -> bool:
        """In one message."""
        message = dns.update.UpdateMessage(self._zone)
        for change in changes:
            owner, rrtype = _name(change.owner), dns.rdatatype.RdataType.make(change.rrtype)
            if change.before:
                message.present(owner, _rdataset(rrtype, 0, change.before))
            else:
                message.absent(owner, rrtype)
            message.delete(owner, rrtype)
            if change.after:
                message.add(owner, _rdataset(rrtype, change.ttl, change.after))
        rcode = (await self._exchange(message)).rcode()
        if rcode in CONFLICTS:
            return False
        if rcode != dns.rcode.NOERROR:
            raise UpdateError(f"to an update it says {dns.rcode.to_text(rcode)}{HINTS.get(rcode, '')}")
        return True

    async def _exchange(self, message: dns.message.Message) -> dns.message.Message:
        server = self._update.server
        if self._key is not None:
            message.use_tsig(self._key)
        try:
            return await dns.asyncquery.tcp(message, server.address, TIMEOUT, server.port)
        except dns.exception.Timeout:
            raise UpdateError(f"no reply within {TIMEOUT:g} s") from None
        except dns.tsig.PeerError as error:
            raise UpdateError(KEY_PROBLEMS.get(type(error), str(error))) from error
        except dns.exception.FormError as error:
            raise UpdateError(UNSIGNED if self._key is not None and "TSIG" in str(error) else str(error)) from error
        except (EOFError, trio.BrokenResourceError) as error:
            raise UpdateError("it ends the connection") from error
        except (dns.exception.DNSException, ValueError) as error:
            raise UpdateError(str(error) or type(error).__name__) from error
        except OSError as error:
            raise UpdateError(system_reason(error)) from error


def _name(wire: bytes) -> dns.name.Name:
    return dns.name.from_wire(wire, 0)[0]


def _rdataset(rrtype: dns.rdatatype.RdataType, ttl: int, rdatas: Rdatas) -> dns.rdataset.Rdataset:
    made = (dns.rdata.from_wire(dns.rdataclass.IN, rrtype, each, 0, len(each)) for each in rdatas)
    return dns.rdataset.from_rdata_list(ttl, list(made))
