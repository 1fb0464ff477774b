"""Hypothesis strategies for pools, load balancers and health: all that settings allow, and nothing else."""

from typing import Literal

from hypothesis import strategies as st

from steering.balance.pools import Health, Verdict
from steering.settings import LoadBalancer, Origin, Pool, RandomSteering, Server, Settings
from steering.wire import AAAA, CNAME, MX, TXT, A

ADDRESSES = ("192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1")
MONITORS = ("tcp", "icmp")
ORIGINS = [(f"pool-{pool}", f"origin-{origin}") for pool in range(4) for origin in range(4)]
SERVER = Server(state="state", listen=("127.0.0.1:53",))

weights = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1)
verdicts = st.builds(Verdict, st.booleans(), st.sampled_from([0.0, 0.5, 10.0, 60.0, 600.0]))
health_tables: st.SearchStrategy[Health] = st.dictionaries(st.sampled_from(ORIGINS), verdicts, max_size=len(ORIGINS))


policies: st.SearchStrategy[Literal["", "off", "random", "geo"]] = st.sampled_from(["", "off", "random", "geo"])


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
    return Pool(
        name,
        members,
        answering or (enabled > 0 and draw(st.booleans())),
        draw(st.none() | st.sampled_from(MONITORS)),
        draw(st.integers(1, max(1, enabled))),
    )


@st.composite
def configurations(draw: st.DrawFn) -> Settings:
    """Some pools and some load balancers over them."""
    made = [draw(pools(f"pool-{number}", answering=number == 0)) for number in range(draw(st.integers(1, 4)))]
    names = [pool.name for pool in made]
    lists = st.lists(st.sampled_from(names), min_size=1, unique=True).map(tuple)
    balancers = []
    for number in range(draw(st.integers(1, 3))):
        policy = draw(policies)
        defaults = draw(lists)
        shares = {name: draw(weights) for name in defaults if draw(st.booleans())} if policy == "random" else {}
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
            )
        )
    return Settings(SERVER, pools=tuple(made), load_balancers=tuple(balancers))
