"""Random maps for the property tests: many edges, close together, and at both ends of the address space."""

from hypothesis import strategies as st

from geodata.ranges import MAPPED_END, MAPPED_START, Ranges


def addresses(bits: int) -> st.SearchStrategy[int]:
    """Any address, and more often one that is near a power of two, an end of the space or ::ffff:0:0/96."""
    last = (1 << bits) - 1
    corners = [
        0,
        last,
        1 << bits - 1,
        *([MAPPED_START, MAPPED_END, 0x2001_0DB8 << 96] if bits == 128 else [10 << 24]),
    ]
    near = st.builds(
        lambda corner, step: min(max(corner + step, 0), last), st.sampled_from(corners), st.integers(-3, 3)
    )
    powers = st.builds(
        lambda corner, shift, step: (corner ^ (1 << shift)) + step & last,
        st.sampled_from(corners), st.integers(0, bits - 1), st.integers(-1, 1),
    )  # fmt: skip
    return st.one_of(st.integers(0, last), near, powers)


@st.composite
def ranges(draw: st.DrawFn, bits: int, classes: int = 3) -> Ranges:
    """Merged runs with ids from 0 to `classes` - 1."""
    starts = sorted({0, *draw(st.lists(addresses(bits), max_size=12))})
    runs = Ranges.empty(bits)
    for start in starts:
        runs.append(start, draw(st.integers(0, classes - 1)))
    return runs.merged()


def near(runs: Ranges) -> st.SearchStrategy[int]:
    """An address of the space, mostly one next to an edge of a run."""
    edges = [runs.start(run) for run in range(len(runs.ids))]
    last = (1 << runs.bits) - 1
    beside = st.builds(lambda edge, step: min(max(edge + step, 0), last), st.sampled_from(edges), st.integers(-2, 2))
    return beside | addresses(runs.bits)
