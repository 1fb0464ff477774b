"""What the settings refuse is taken out, and told."""

from typing import Any

from steering.imports.fit import fit
from steering.imports.source import Place, Report, Table


def make_table(content: dict[str, Any], *place: str | int) -> Table:
    table = Table(Place("x.json", place))
    table.update(content)
    return table


def made(**changes: dict[str, Any]) -> Table:
    """A configuration of one pool that is checked, with changes of its tables."""
    origin = make_table({"name": "o", "address": "192.0.2.1"} | changes.get("origin", {}), "pools", 0, "origins", 0)
    pool = {"name": "p", "monitor": "m", "origin": [origin]} | changes.get("pool", {})
    monitor = {"name": "m", "type": "http"} | changes.get("monitor", {})
    server = make_table({"listen": ["127.0.0.1:53"], "state": "state"})
    tables = {"monitor": [make_table(monitor, "monitors", 0)], "pool": [make_table(pool, "pools", 0)]}
    return make_table({"server": server} | tables)


def fitted(content: Table) -> list[str]:
    report = Report()
    fit(content, report)
    return [str(left_out) for left_out in report.left_out]


def test_what_is_good_stays() -> None:
    content = made()
    assert fitted(content) == []
    assert content == made()


def test_a_key_goes() -> None:
    content = made(monitor={"retries": 100})
    assert fitted(content) == ["x.json: monitors[0].retries = 100: expected a whole number from 0 to 5"]
    assert content == made()


def test_a_table_goes_with_what_makes_it_what_it_is() -> None:
    content = made(origin={"address": "nonsense"})
    told = fitted(content)
    assert told[0].startswith(
        'x.json: pools[0].origins[0].address = "nonsense": pool[0].origin[0] is left out: expected'
    )
    assert content["pool"] == []
    assert content["monitor"] == [], "no pool uses it any more"


def test_a_secret_is_not_shown() -> None:
    told = fitted(made(monitor={"headers": {"Authorization": " hunter2"}}))
    assert len(told) == 1
    assert "hunter2" not in told[0]
    assert "(secret)" in told[0]


def test_positions_stay_true_when_several_go() -> None:
    content = made()
    monitors = content.tables("monitor")
    for number in range(3):
        monitors.append(make_table({"name": f"unused-{number}", "type": "http"}, "monitors", number + 1))
    assert [text.split(":")[1] for text in fitted(content)] == [
        f' monitors[{n}].name = "unused-{n - 1}"' for n in (1, 2, 3)
    ]
    assert content == made()
