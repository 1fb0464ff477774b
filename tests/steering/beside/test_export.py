"""What is said of an address or a name that stands for several origins."""

from hypothesis import given
from hypothesis import strategies as st

from steering.beside import EXPORTS, render
from steering.beside.export import ItemState, items_of
from steering.beside.gdnsd_admin_state import GdnsdAdminState
from steering.beside.gdnsd_extfile import GdnsdExtfile
from steering.beside.geodns import Geodns
from tests.steering.beside.states import origin

ORIGINS = st.lists(
    st.builds(
        lambda address, **rest: origin("o", address, **rest),
        st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]),
        pool=st.sampled_from(["a", "b"]),
        enabled=st.booleans(),
        up=st.sampled_from([True, False, None]),
        flip_after=st.none() | st.floats(0, allow_nan=False),
    )
)


def test_each_item_is_told_once_in_the_order_of_the_file() -> None:
    origins = [origin("one", "192.0.2.1", "2001:db8::1", aliases=("a.example.",)), origin("two", "192.0.2.1")]
    assert [item for item, _ in items_of(origins)] == ["192.0.2.1", "2001:db8::1", "a.example."]


def test_the_worst_and_the_shortest_count() -> None:
    (told,) = items_of([origin("one", "192.0.2.1"), origin("two", "192.0.2.1", up=False, flip_after=10.0)])
    assert told == ("192.0.2.1", ItemState(False, 10.0))


def test_what_is_disabled_counts_where_nothing_else_does() -> None:
    disabled = origin("one", "192.0.2.1", enabled=False, flip_after=None)
    assert list(items_of([disabled])) == [("192.0.2.1", ItemState(False, None))]
    assert list(items_of([disabled, origin("two", "192.0.2.1")])) == [("192.0.2.1", ItemState(True, 30.0))]


def test_without_a_result_it_is_up() -> None:
    assert list(items_of([origin("one", "192.0.2.1", up=None, flip_after=None)])) == [
        ("192.0.2.1", ItemState(True, None))
    ]


@given(ORIGINS)
def test_every_kind_renders_whatever_there_is(origins: list) -> None:  # type: ignore[type-arg] # of OriginState
    for export in (GdnsdExtfile(path="/f"), GdnsdAdminState(path="/f"), Geodns(path="/d")):
        for path, content in render(export, origins).items():
            assert path.startswith(export.path)
            assert b"inf" not in content
            assert content.isascii()
    assert len(EXPORTS) == 3
