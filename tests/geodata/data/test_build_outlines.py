"""The script that makes the shipped outlines."""

import json

from geodata.data.build_outlines import build

SQUARE = [[0.0, 0.0], [1.0, 0.0], [1.0, -1.0], [0.0, -1.0], [0.0, 0.0]]


def feature(country: str, area: str, kind: str, coordinates: object) -> dict[str, object]:
    return {
        "properties": {"ISO_A2_EH": country, "ADM0_A3": area},
        "geometry": {"type": kind, "coordinates": coordinates},
    }


def test_polygons_become_paths() -> None:
    features = [
        feature("FR", "FRA", "MultiPolygon", [[SQUARE], [[[x + 2, y] for x, y in SQUARE]]]),
        feature("CY", "CYP", "Polygon", [SQUARE]),
        feature("-99", "CYN", "Polygon", [[[x, y + 1] for x, y in SQUARE]]),
        feature("-99", "XXX", "Polygon", [SQUARE]),
        feature("MC", "MCO", "Polygon", [[[x / 100, y / 100] for x, y in SQUARE]]),
    ]
    assert build(json.dumps({"features": features})).splitlines() == [
        "country,path",
        "CY,M1800 900l10 0 0 10 -10 0zM1800 890l10 0 0 10 -10 0z",
        "FR,M1800 900l10 0 0 10 -10 0zM1820 900l10 0 0 10 -10 0z",
        "MC,",
    ]
