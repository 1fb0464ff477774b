"""Make the outlines of countries that waypost ships with: `python -m geodata.data.build_outlines COUNTRIES.geojson`.

COUNTRIES.geojson is Natural Earth's 1:110m "Admin 0 – Countries" as GeoJSON (public domain); of each feature the
properties ISO_A2_EH and ADM0_A3 and the geometry are used. Writes outlines.csv beside this file: country and SVG path,
in the grid that `geodata.outlines` describes. The same input always gives the same bytes.
"""

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from geodata.outlines import OUTLINES_FILE

WITHOUT_CODE = {"CYN": "CY", "SOL": "SO"}
"""Areas that have no code of their own, and the country that address databases count them to."""

Position = Sequence[float]
Ring = Sequence[Position]


def build(text: str) -> str:
    """The content of outlines.csv, from a GeoJSON FeatureCollection."""
    paths: dict[str, list[str]] = {}
    for feature in json.loads(text)["features"]:
        properties, geometry = feature["properties"], feature["geometry"]
        country = WITHOUT_CODE.get(properties["ADM0_A3"], properties["ISO_A2_EH"])
        polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        drawn = [path for polygon in polygons for ring in polygon if (path := "".join(_draw(ring)))]
        if len(country) == 2:
            paths.setdefault(country, []).extend(drawn)
    return "country,path\n" + "".join(f"{country},{''.join(paths[country])}\n" for country in sorted(paths))


def _draw(ring: Ring) -> Iterator[str]:
    """A ring as a closed SVG path of relative lines; nothing for one that is smaller than the grid."""
    points = [(round((longitude + 180) * 10), round((90 - latitude) * 10)) for longitude, latitude, *_ in ring]
    steps = [(x - a, y - b) for (a, b), (x, y) in itertools.pairwise(points) if (x, y) != (a, b)]
    if len(steps) < 3:
        return
    yield f"M{points[0][0]} {points[0][1]}l"
    yield " ".join(f"{x} {y}" for x, y in steps[:-1])
    yield "z"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    content = build(Path(sys.argv[1]).read_text(encoding="utf-8"))
    OUTLINES_FILE.write_text(content, encoding="ascii")
    sys.stdout.write(f"{OUTLINES_FILE}: {len(content)} bytes\n")
