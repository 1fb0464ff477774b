"""waypost map: the world in the colours of the pools."""

import xml.etree.ElementTree as ET
from pathlib import Path

from geodata.regions import Regions
from tests.steering.running import Run


def test_what_cannot_be_drawn(waypost: Run, example: Path, tmp_path: Path) -> None:
    output = tmp_path / "map.svg"
    status, _, error = waypost("map", example, "ns1.example.com", "A", "-o", output)
    assert (status, error) == (2, "ns1.example.com A: no pool answers that anywhere\n")
    assert not output.exists()
    output = tmp_path / "none" / "map.svg"
    status, _, error = waypost("map", example, "www.example.com", "A", "-o", output)
    assert (status, error) == (2, f"{output}: cannot be written: No such file or directory\n")


def test_every_country_is_on_the_map(waypost: Run, example: Path, tmp_path: Path) -> None:
    output = tmp_path / "map.svg"
    assert waypost("map", example, "www.example.com", "A", "-o", output, "--down", "tokyo") == (0, f"{output}\n", "")
    drawn = output.read_text()
    titles = [title.text or "" for title in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}title")][1:]
    told = dict(title.split(": ", 1) for title in titles)
    assert told.keys() == set(Regions.load().countries)
    assert (told["FR"], told["JP"], told["MT"]) == ("paris", "sorry (fallback)", "paris")
    assert ">Shares by known IPv4 addresses." in drawn
    assert "db-ip.com" in drawn, "the licence of the country data asks for it"
