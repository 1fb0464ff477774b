"""A map of the world as SVG: every country in the colour of what its clients get. Pure; opens without a network.

Countries that are too small for an outline are dots at their centres.
"""

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import NamedTuple

from geodata.outlines import HEIGHT, WIDTH

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7b5ea7", "#8c6d31", "#4d4d4d")
"""Told apart also by most people who see few colours; the first eight after Okabe and Ito, "Color Universal Design"."""
NO_ANSWER = "#ffffff"
NOT_A_PLACE = "#e8e8e8"
LEGEND_LINE = 56
LEGEND_TOP = 40


class Country(NamedTuple):
    """What the clients of a country get."""

    shares: Mapping[str, float]
    """By what they get, the parts of a sum of 1; empty: no answer."""
    note: str
    """What else is to be said of it."""


class Legend(NamedTuple):
    """A line below the map."""

    label: str
    share: float
    """Of the traffic of the world, from 0 to 1."""


def draw_map(
    title: str,
    countries: Mapping[str, Country],
    legend: Iterable[Legend],
    outlines: Mapping[str, str],
    centres: Mapping[str, tuple[float, float]],
    note: str = "",
) -> str:
    """An SVG document. `outlines` are SVG paths and `centres` (latitude, longitude), both by country; the colours
    go to what is in the legend, in its order."""
    lines = list(legend)
    colours = {line.label: COLOURS[number % len(COLOURS)] for number, line in enumerate(lines)}
    height = HEIGHT + LEGEND_TOP + LEGEND_LINE * (len(lines) + 2)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#dbe9f4"/>',
            '<g stroke="#ffffff" stroke-width="2" stroke-linejoin="round">',
            *_draw_countries(countries, colours, outlines, centres),
            "</g>",
            f'<g font-size="40" transform="translate(40 {HEIGHT + LEGEND_TOP})">',
            *_draw_legend(title, lines, colours, note),
            "</g>",
            "</svg>\n",
        )
    )


def _draw_countries(
    countries: Mapping[str, Country],
    colours: Mapping[str, str],
    outlines: Mapping[str, str],
    centres: Mapping[str, tuple[float, float]],
) -> Iterator[str]:
    # The dots last: a small country may lie on a large one.
    for code in sorted(outlines):
        yield _shape("path", f'd="{outlines[code]}"', code, countries.get(code), colours)
    for code in sorted((countries.keys() & centres.keys()) - outlines.keys()):
        latitude, longitude = centres[code]
        place = f'cx="{(longitude + 180) * WIDTH / 360:.0f}" cy="{(90 - latitude) * HEIGHT / 180:.0f}" r="11"'
        yield _shape("circle", place, code, countries[code], colours)


def _shape(tag: str, geometry: str, code: str, country: Country | None, colours: Mapping[str, str]) -> str:
    if country is None:
        return f'<{tag} {geometry} fill="{NOT_A_PLACE}"><title>{code}</title></{tag}>'
    largest = max(country.shares, key=lambda label: country.shares[label], default="")
    told = ", ".join(
        label if share == 1 else f"{label} {share:.0%}"
        for label, share in sorted(country.shares.items(), key=lambda item: -item[1])
    )
    text = f"{code}: {told or 'no answer'}" + (f" ({country.note})" if country.note else "")
    return f'<{tag} {geometry} fill="{colours.get(largest, NO_ANSWER)}"><title>{escape(text)}</title></{tag}>'


def _draw_legend(title: str, lines: list[Legend], colours: Mapping[str, str], note: str) -> Iterator[str]:
    yield f'<text y="30" font-size="48" font-weight="bold">{escape(title)}</text>'
    for number, line in enumerate(lines, 1):
        y = number * LEGEND_LINE
        yield f'<rect y="{y}" width="40" height="40" fill="{colours[line.label]}" stroke="#808080"/>'
        yield f'<text x="60" y="{y + 34}">{escape(line.label)}: {line.share:.1%}</text>'
    yield f'<text y="{(len(lines) + 1) * LEGEND_LINE + 20}" font-size="30" fill="#606060">{escape(note)}</text>'
