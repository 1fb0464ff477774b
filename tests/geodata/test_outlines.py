"""The shipped outlines."""

import re

from geodata.outlines import HEIGHT, WIDTH, read_outlines
from geodata.regions import Regions

PATH = re.compile(r"(?:M\d+ \d+l-?\d+ -?\d+(?: -?\d+ -?\d+)+z)+")


def test_every_outline_is_of_a_country_and_inside_the_grid() -> None:
    outlines = read_outlines()
    assert len(outlines) == 175
    assert outlines.keys() <= set(Regions.load().countries)
    for country, path in outlines.items():
        assert PATH.fullmatch(path), country
        for ring in path.split("z")[:-1]:
            x, y, *steps = map(int, re.findall(r"-?\d+", ring))
            for right, down in zip(steps[::2], steps[1::2], strict=True):
                x, y = x + right, y + down
                assert 0 <= x <= WIDTH, country
                assert 0 <= y <= HEIGHT, country
