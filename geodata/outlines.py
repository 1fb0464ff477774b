"""The outlines of countries, as SVG paths, for maps that people look at. Nothing decides by them."""

from pathlib import Path

OUTLINES_FILE = Path(__file__).parent / "data" / "outlines.csv"
WIDTH, HEIGHT = 3600, 1800
"""Of the equirectangular grid that the paths are drawn in: tenths of a degree from 180° W and 90° N."""


def read_outlines() -> dict[str, str]:
    """The SVG path of each country (ISO 3166-1) that is large enough to have one."""
    lines = OUTLINES_FILE.read_text(encoding="ascii").splitlines()[1:]
    return {country: path for country, _, path in (line.partition(",") for line in lines)}
