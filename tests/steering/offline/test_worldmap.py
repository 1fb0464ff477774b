"""Maps of the world."""

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from steering.offline.worldmap import COLOURS, NO_ANSWER, NOT_A_PLACE, Country, Legend, draw_map

OUTLINES = {"FR": "M1 1l1 0 0 1z", "BR": "M2 2l1 0 0 1z", "AQ": "M3 3l1 0 0 1z"}
CENTRES = {"FR": (46.0, 2.0), "MT": (35.9, 14.4)}
SVG = "{http://www.w3.org/2000/svg}"


def shapes(document: str) -> dict[str, tuple[str | None, str]]:
    """Colour and title of each country."""
    root = ET.fromstring(document)
    found = [*root.iter(f"{SVG}path"), *root.iter(f"{SVG}circle")]
    titles = [(shape, shape.findtext(f"{SVG}title") or "") for shape in found]
    return {title[:2]: (shape.get("fill"), title) for shape, title in titles}


def test_the_colour_is_that_of_what_most_clients_get() -> None:
    countries = {
        "FR": Country({"paris": 0.75, "tokyo": 0.25}, ""),
        "BR": Country({"tokyo": 1.0}, "fallback"),
        "MT": Country({}, ""),
    }
    legend = [Legend("tokyo", 0.625), Legend("paris", 0.375)]
    drawn = draw_map("www.example.com A", countries, legend, OUTLINES, CENTRES)
    assert shapes(drawn) == {
        "FR": (COLOURS[1], "FR: paris 75%, tokyo 25%"),
        "BR": (COLOURS[0], "BR: tokyo (fallback)"),
        "MT": (NO_ANSWER, "MT: no answer"),
        "AQ": (NOT_A_PLACE, "AQ"),
    }
    assert ">tokyo: 62.5%<" in drawn
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", ""), "it opens without a network"


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=30))
def test_any_text_makes_a_well_formed_document(text: str) -> None:
    drawn = draw_map(text, {"FR": Country({text: 1.0}, text)}, [Legend(text, 1.0)], OUTLINES, CENTRES, text)
    assert ET.fromstring(drawn).findtext(f"{SVG}title") == text or not text
