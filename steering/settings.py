"""Settings: the configuration of waypost, as Structs.

They are the first half of the rules: `steering.reading` walks a document along them and finds every key that is
missing, unknown, of the wrong type or out of range. The second half are the rules between keys (settings_checks.py).
settings_file.py reads a file by both.

What is in a Settings can no longer be wrong: DNS names are wire format in lower case, addresses and
networks are in canonical form, paths are absolute, durations are seconds, records are rdata. It can travel
as msgpack.

`config/reference.md` says what every key means; a test keeps it equal to the Structs.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from monitors.address import AddressOrName, is_host_name, join_endpoint
from monitors.http_message import HostHeader
from monitors.monitor import Port
from monitors.notify import AnyNotifier
from monitors.probes import AnyMonitor
from steering.balance.matches import Match
from steering.beside import AnyExport, AnyUpdate
from steering.health.guard import Guard
from steering.health.maintenance import Maintenance
from steering.ratelimit import RateLimit
from steering.records import RECORDS
from steering.records.a import A
from steering.records.aaaa import AAAA
from steering.values import (
    CharacterString,
    Continent,
    Country,
    FileMode,
    FilePath,
    Identifier,
    Listen,
    Name,
    NamePattern,
    Network,
    Owner,
    PeerText,
    PermissionText,
    Records,
    RecordType,
    Region,
    Resolver,
    Secret,
    Subdivision,
    Token,
    UpdatedType,
    Weight,
)


class ClientLocation(msgspec.Struct, frozen=True):
    """[server.location]: what says where a client is."""

    prefer_ecs: Literal["always", "never", "listed"] = "always"
    """Whose client subnets (RFC 7871) count; otherwise the source address of the question does."""
    trusted_resolvers: tuple[Network, ...] = ()
    """The resolvers that are listed."""


class Server(msgspec.Struct, frozen=True, omit_defaults=True):
    """[server]: where questions arrive, and where everything is kept that must survive.

    Defaults do not travel: an empty `listen` is none that may be written.
    """

    state: FilePath
    """The state directory."""
    listen: Annotated[tuple[Listen, ...], Meta(min_length=1)] = ()
    """Canonical "192.0.2.1:53" or "[2001:db8::1]:53": UDP and TCP on each. Nothing where nothing is to be answered."""
    workers: Annotated[int, Meta(ge=1)] = 1
    """Worker processes."""
    identity: CharacterString = ""
    """The name of this server, told to who asks with NSID or for id.server; empty: not told."""
    version: CharacterString = ""
    """What is told to who asks for version.bind; empty: nothing."""
    cookie_secrets: FilePath | None = None
    """A file of secrets for DNS cookies that servers of one address share; without it, waypost makes its own."""
    rate_limit: RateLimit = RateLimit()
    proxy_from: tuple[Network, ...] = ()
    """Networks of proxies that say with the PROXY protocol for whom they ask; they must."""
    resolvers: tuple[Resolver, ...] = ()
    """Address and port of the name servers that look up the host names of origins; without any, the system's."""
    location: ClientLocation = ClientLocation()


class PowerDns(msgspec.Struct, frozen=True):
    """[powerdns]: where PowerDNS asks, which has us as its backend `remote`."""

    socket: FilePath | None = None
    mode: FileMode = "0660"
    listen: Listen | None = None
    """HTTP, with `post_json`."""


class Http(msgspec.Struct, frozen=True):
    """[http]: metrics, health, history and results of other checkers, over HTTP."""

    listen: Listen = "127.0.0.1:8053"
    token: Token = ""
    """What a client must show to write; without it, or a file that holds it, nobody may."""
    token_file: FilePath | None = None
    token_for_reading: bool = False


class GeoSource(msgspec.Struct, frozen=True):
    """[[geo]]: a source of places of clients."""

    type: Literal["maxmind", "networks"]
    path: FilePath


class OriginHeader(msgspec.Struct, frozen=True):
    """[pool.origin.header]: what an origin is asked for by http and https."""

    Host: HostHeader | None = None
    """Instead of that of the monitor."""


class Member(msgspec.Struct, frozen=True):
    """[[monitor_group.members]]: a monitor in a group; it votes, unless it only watches."""

    monitor: str
    must_be_healthy: bool = False
    """Whether it makes the origin down alone."""
    monitoring_only: bool = False
    """Whether it has no say."""


class MonitorGroup(msgspec.Struct, frozen=True):
    """[[monitor_group]]: monitors that decide together."""

    name: Identifier
    members: Annotated[tuple[Member, ...], Meta(min_length=1)]


class Origin(msgspec.Struct, frozen=True):
    """[[pool.origin]]: one thing that can take traffic."""

    name: Identifier
    address: AddressOrName
    """What is probed; a host name, at all of its addresses."""
    weight: Weight = 1.0
    enabled: bool = True
    records: Records = {}
    """Rdata by type; after construction with the A or AAAA of `address`, unless that type was given, or the address is
    a host name: its addresses are a matter of health."""
    port: Port | None = None
    """Instead of that of the monitor."""
    header: OriginHeader = OriginHeader()

    def __post_init__(self) -> None:
        if not self.is_host:
            msgspec.structs.force_setattr(self, "records", address_records((self.address,)) | self.records)

    @property
    def is_host(self) -> bool:
        """Whether the address is a host name."""
        return is_host_name(self.address)

    @property
    def endpoint(self) -> str:
        """What the rows of its health are found by, beside the monitor: `Target.endpoint`."""
        return join_endpoint(self.address, self.port, self.header.Host)


def address_records(addresses: Iterable[str]) -> dict[int, tuple[bytes, ...]]:
    """The records, by type, that IP addresses are."""
    records: dict[int, tuple[bytes, ...]] = {}
    for address in addresses:
        for kind in RECORDS.values():
            if rdata := kind.from_address(address):
                records[kind.type] = (*records.get(kind.type, ()), rdata)
    return records


class OriginSteering(msgspec.Struct, frozen=True):
    """[pool.origin_steering]: which of a pool's origins are in an answer."""

    policy: Literal["all", "random", "hash"] = "all"
    max_answers: Annotated[int, Meta(ge=1)] | None = None
    """Of how many origins an answer has records at most, where the policy gives all."""


class LoadShedding(msgspec.Struct, frozen=True):
    """[pool.load_shedding]: which part of its traffic a pool leaves to others."""

    default_percent: Annotated[float, Meta(ge=0, le=100)] = 0.0
    default_policy: Literal["random", "hash"] = "random"
    """Whether every answer is drawn anew, or a client always is on the same side."""
    low_watermark: Annotated[float, Meta(ge=0)] | None = None
    """The load up to which nothing more is shed."""
    high_watermark: Annotated[float, Meta(ge=0)] | None = None
    """The load from which on everything is."""
    maximum_age: Annotated[float, Meta(ge=1, le=86400)] = 300.0
    """Seconds for which a load figure counts."""


class Pool(msgspec.Struct, frozen=True):
    """[[pool]]: origins with the same job."""

    name: Identifier
    origins: Annotated[tuple[Origin, ...], Meta(min_length=1)] = field(name="origin")
    enabled: bool = True
    monitor: str | None = None
    """The name of a monitor or of a group of them; without one, health is ignored."""
    minimum_origins: Annotated[int, Meta(ge=1)] = 1
    """With fewer healthy origins the pool is down."""
    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    origin_steering: OriginSteering = OriginSteering()
    load_shedding: LoadShedding = LoadShedding()
    ramp_up: Annotated[float, Meta(ge=0, le=86400)] = 0.0
    """Seconds in which an origin that has come back gets its whole share again."""


class SharedKey(msgspec.Struct, frozen=True):
    """[[key]]: a key for TSIG (RFC 8945) that is shared with other name servers."""

    name: Name
    algorithm: Literal["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    secret: Secret | None = None
    secret_file: FilePath | None = None
    """Its first line is the secret; read when the configuration is taken."""

    def __repr__(self) -> str:
        return f"SharedKey({self.name!r}, {self.algorithm!r})"


CATALOG_NAME_LIMIT = 255 - 39
"""Octets of the name of a producer's catalog, so that "<label>.zones" goes before it (zones/catalog.py)."""


class CatalogMembers(msgspec.Struct, frozen=True):
    """[zone.members]: how the zones are served that a consumer's catalog lists; as in [[zone]]."""

    primaries: tuple[PeerText, ...] = ()
    """Without any, those of the catalog."""
    allow_notify: tuple[PermissionText, ...] = ()
    allow_transfer: tuple[PermissionText, ...] = ()
    notify: tuple[PeerText, ...] = ()
    journal: Annotated[int, Meta(ge=0, le=100_000)] = 100


class UpdatePermission(msgspec.Struct, frozen=True):
    """[[zone.allow_update]]: who may update what (RFC 2136)."""

    key: Name
    names: Annotated[tuple[NamePattern, ...], Meta(min_length=1)]
    """Wire format, lower case; the label * stands for any label, and ** for any number of them."""
    types: tuple[UpdatedType, ...] = ()
    """Without any, all but SOA."""
    network: Network | None = None
    """Where updates must come from."""


class Zone(msgspec.Struct, frozen=True):
    """[[zone]]: a zone that waypost is authoritative for: from a file, from a primary, or of load balancers alone."""

    name: Name
    file: FilePath | None = None
    nameservers: tuple[Name, ...] = ()
    primaries: tuple[PeerText, ...] = ()
    """Servers that the zone is transferred from, in the order in which they are tried."""
    allow_notify: tuple[PermissionText, ...] = ()
    """Who else, beside the primaries, may say that the zone has changed."""
    allow_transfer: tuple[PermissionText, ...] = ()
    """Who may transfer the zone from here."""
    notify: tuple[PeerText, ...] = ()
    """Who is told when the zone has changed."""
    journal: Annotated[int, Meta(ge=0, le=100_000)] = 100
    """Changes that are kept for incremental transfers."""
    catalog: Literal["producer", "consumer", ""] = ""
    """Whether it lists zones (RFC 9432): ours, or those that are to be taken from primaries."""
    member_of: Name | None = None
    """The producer's catalog that lists this zone."""
    members: CatalogMembers = CatalogMembers()
    allow_update: tuple[UpdatePermission, ...] = ()
    """Who may update it, and what of it."""


PoolNames = Annotated[tuple[str, ...], Meta(min_length=1)]


class RandomSteering(msgspec.Struct, frozen=True):
    """[load_balancer.random_steering]: how much each pool gets."""

    default_weight: Weight = 1.0
    pool_weights: dict[str, Weight] = {}


class PoolSet(msgspec.Struct, frozen=True):
    """[[load_balancer.pool_set]]: who is meant, and what they get instead; what it does not say is as for all."""

    name: Identifier
    continents: tuple[Continent, ...] = ()
    regions: tuple[Region, ...] = ()
    countries: tuple[Country, ...] = ()
    subdivisions: tuple[Subdivision, ...] = ()
    networks: tuple[Network, ...] = ()
    asns: tuple[Annotated[int, Meta(ge=1, le=4294967295)], ...] = ()
    unknown: bool = False
    """Whether clients are meant of whom nobody knows the country."""
    pools: tuple[str, ...] = ()
    fallback_pool: str | None = None
    steering_policy: Literal["off", "random", "proximity", "dynamic_latency", "hash", ""] = ""
    random_steering: RandomSteering | None = None
    when_down: Literal["fallback", "fail_open", "fail_closed"] = "fallback"
    """What answers when all of its pools are down: the fallback pool, they themselves, or nothing."""

    @property
    def match(self) -> Match:
        """Who is meant; lists are sorted, since their order means nothing."""
        lists = {name: tuple(sorted(getattr(self, name))) for name in MATCHING}
        return msgspec.structs.replace(Match(unknown=self.unknown), **lists)


class LoadBalancer(msgspec.Struct, frozen=True):
    """[[load_balancer]]: a name and its record types, steered."""

    name: Owner
    default_pools: PoolNames
    fallback_pool: str
    types: Annotated[tuple[RecordType, ...], Meta(min_length=1)] = (A.type, AAAA.type)
    steering_policy: Literal["off", "random", "geo", "proximity", "dynamic_latency", "hash", ""] = ""
    """Never "" after construction: that means "geo" if there is any map of pools or pool set, else "off"."""
    region_pools: dict[Region, PoolNames] = {}
    country_pools: dict[Country, PoolNames] = {}
    subdivision_pools: dict[Subdivision, PoolNames] = {}
    network_pools: dict[Network, PoolNames] = {}
    random_steering: RandomSteering = RandomSteering()
    ttl: Annotated[int, Meta(ge=1, le=86400)] = 30
    fixed_ttl: bool = False
    """Whether the TTL stays as it is however soon health could change the answer."""
    pool_sets: tuple[PoolSet, ...] = field(name="pool_set", default=())
    """The first that a client matches decides; they go before the maps."""
    flatten: bool = False
    """Whether A and AAAA are those of the CNAME targets of origins."""

    def __post_init__(self) -> None:
        if not self.steering_policy:
            maps = self.pool_sets or any(getattr(self, name) for name in MAPS)
            msgspec.structs.force_setattr(self, "steering_policy", "geo" if maps else "off")


MATCHING = ("continents", "regions", "countries", "subdivisions", "networks", "asns")
"""The lists that say who a pool set is for."""
MAPS = ("network_pools", "subdivision_pools", "country_pools", "region_pools")
"""The maps from places to pools, the most specific first."""


class Settings(msgspec.Struct, frozen=True):
    """A whole configuration; tables in the order of the file."""

    server: Server
    regions: FilePath | None = None
    """A table of regions instead of the one that waypost ships with."""
    http: Http | None = None
    """Without it, nothing is served over HTTP."""
    powerdns: PowerDns | None = None
    """Without it, we are no backend of PowerDNS."""
    geo: tuple[GeoSource, ...] = ()
    """The first source that knows a place wins; without any, the country data that waypost ships with."""
    monitors: tuple[AnyMonitor, ...] = field(name="monitor", default=())
    monitor_groups: tuple[MonitorGroup, ...] = field(name="monitor_group", default=())
    guard: Guard = Guard()
    pools: tuple[Pool, ...] = field(name="pool", default=())
    maintenance: tuple[Maintenance, ...] = ()
    notifiers: tuple[AnyNotifier, ...] = field(name="notifier", default=())
    keys: tuple[SharedKey, ...] = field(name="key", default=())
    zones: tuple[Zone, ...] = field(name="zone", default=())
    load_balancers: tuple[LoadBalancer, ...] = field(name="load_balancer", default=())
    exports: tuple[AnyExport, ...] = field(name="export", default=())
    updates: tuple[AnyUpdate, ...] = field(name="update", default=())
