"""Hypothesis strategies for pools, load balancers and health: all that settings allow, and nothing else."""

from typing import Literal

from hypothesis import strategies as st

from steering.balance.pools import Health, Verdict
from steering.settings import (
    LoadBalancer,
    LoadShedding,
    Origin,
    OriginSteering,
    Pool,
    PoolSet,
    RandomSteering,
    Server,
    Settings,
)
from steering.wire import AAAA, CNAME, MX, TXT, A

ADDRESSES = ("192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1")
MONITORS = ("tcp", "icmp")
ORIGINS = [(f"pool-{pool}", f"origin-{origin}") for pool in range(4) for origin in range(4)]
SERVER = Server(state="state", listen=("127.0.0.1:53",))

weights = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1)
parts = st.sampled_from([1.0, 1.0, 1.0, 0.5, 0.0]) | st.floats(0, 1)
verdicts = st.builds(
    Verdict, st.booleans(), st.sampled_from([0.0, 0.5, 10.0, 60.0, 600.0]), parts, st.none() | st.floats(0, 10)
)
health_tables: st.SearchStrategy[Health] = st.dictionaries(st.sampled_from(ORIGINS), verdicts, max_size=len(ORIGINS))


Policy = Literal["off", "random", "proximity", "dynamic_latency", "hash", ""]
OF_SETS: tuple[Policy, ...] = ("off", "random", "proximity", "dynamic_latency", "hash", "")
policies: st.SearchStrategy[Policy | Literal["geo"]] = st.sampled_from([*OF_SETS, "geo"])


@st.composite
def origins(draw: st.DrawFn, number: int, *, answering: bool) -> Origin:
    """An origin; one that is answering can answer every type."""
    records: dict[int, tuple[bytes, ...]] = {
        rrtype: (b"%d of %d" % (rrtype, number),)
        for rrtype in (CNAME, MX, TXT, A, AAAA)
        if answering or draw(st.booleans())
    }
    if draw(st.booleans()) and TXT in records:
        records[TXT] = (*records[TXT], b"more of %d" % number)
    return Origin(
        f"origin-{number}",
        draw(st.sampled_from(ADDRESSES)),
        draw(weights.filter(lambda weight: weight > 0)) if answering else draw(weights),
        answering or draw(st.booleans()),
        records,
    )


@st.composite
def pools(draw: st.DrawFn, name: str, *, answering: bool) -> Pool:
    """A pool; one that is answering can be a fallback pool."""
    count = draw(st.integers(1, 4))
    members = tuple(draw(origins(number, answering=answering and number == 0)) for number in range(count))
    enabled = sum(origin.enabled for origin in members)
    policy: Literal["all", "random", "hash"] = draw(st.sampled_from(["all", "random", "hash"]))
    most = draw(st.none() | st.integers(1, 4)) if policy == "all" else None
    return Pool(
        name,
        members,
        answering or (enabled > 0 and draw(st.booleans())),
        draw(st.none() | st.sampled_from(MONITORS)),
        draw(st.integers(1, max(1, enabled))),
        draw(st.sampled_from([-33.9, 0.0, 48.9])),
        draw(st.sampled_from([-74.0, 2.4, 139.7])),
        OriginSteering(policy, most),
        LoadShedding(draw(st.sampled_from([0.0, 0.0, 30.0, 100.0])), draw(st.sampled_from(["random", "hash"]))),
    )


@st.composite
def pool_sets(draw: st.DrawFn, number: int, names: list[str], *, closing: bool) -> PoolSet:
    """A pool set; one that may be closing can have when_down = "fail_closed"."""
    lists: dict[str, list[object]] = {
        "continents": ["EU", "NA", "AS"],
        "regions": ["WEU", "ENAM"],
        "countries": ["FR", "US", "JP"],
        "subdivisions": ["US-CA", "US-NY"],
        "networks": ["192.0.2.0/24", "192.0.2.0/25", "192.0.0.0/8", "2001:db8::/32", "2001:db8:1::/48"],
        "asns": [64500, 64501],
    }
    chosen = draw(st.lists(st.sampled_from(list(lists)), max_size=3, unique=True))
    made = {each: tuple(draw(st.lists(st.sampled_from(lists[each]), min_size=1, unique=True))) for each in chosen}
    policy = draw(st.sampled_from(OF_SETS))
    return PoolSet(
        f"set-{number}",
        **made,  # type: ignore[arg-type] # each list has what its field has
        unknown=draw(st.booleans()),
        pools=tuple(draw(st.lists(st.sampled_from(names), unique=True))),
        fallback_pool=draw(st.sampled_from([None, names[0]])),
        steering_policy=policy,
        when_down=draw(st.sampled_from(["fallback", "fail_open", *(["fail_closed"] if closing else [])])),
    )


@st.composite
def configurations(draw: st.DrawFn, *, closing: bool = False) -> Settings:
    """Some pools and some load balancers over them."""
    made = [draw(pools(f"pool-{number}", answering=number == 0)) for number in range(draw(st.integers(1, 4)))]
    names = [pool.name for pool in made]
    lists = st.lists(st.sampled_from(names), min_size=1, unique=True).map(tuple)
    balancers = []
    for number in range(draw(st.integers(1, 3))):
        policy = draw(policies)
        defaults = draw(lists)
        weighted = policy in ("random", "hash")
        shares = {name: draw(weights) for name in defaults if draw(st.booleans())} if weighted else {}
        steering = RandomSteering(1.0, shares)
        if not any(shares.get(name, 1.0) for name in defaults):
            steering = RandomSteering()
        by_place = policy in ("", "geo")
        balancers.append(
            LoadBalancer(
                b"\2b%d\0" % number,
                defaults,
                names[0],
                draw(st.sampled_from([(A,), (A, AAAA, TXT), (CNAME,), (MX, TXT)])),
                policy,
                draw(st.dictionaries(st.sampled_from(["WEU", "ENAM"]), lists)) if by_place else {},
                draw(st.dictionaries(st.sampled_from(["FR", "US"]), lists)) if by_place else {},
                draw(st.dictionaries(st.sampled_from(["US-CA", "US-NY"]), lists)) if by_place else {},
                draw(st.dictionaries(st.sampled_from(["192.0.2.0/24", "2001:db8::/32"]), lists)) if by_place else {},
                steering,
                draw(st.integers(1, 300)),
                draw(st.booleans()),
                tuple(draw(pool_sets(each, names, closing=closing)) for each in range(draw(st.integers(0, 3)))),
            )
        )
    return Settings(SERVER, pools=tuple(made), load_balancers=tuple(balancers))
