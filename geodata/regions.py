"""The 13 regions and their members, from a table: region,country,subdivision,basis.

A row with an empty subdivision is for the whole country; a row with one wins for that subdivision. `basis`
says where the assignment comes from: "published" by the product whose words we use, or "assigned" by us where
it is silent.
"""

from pathlib import Path
from typing import Self

from geodata.csvtable import read_rows
from geodata.errors import GeoError
from geodata.place import is_country, is_subdivision

REGIONS = ("WNAM", "ENAM", "WEU", "EEU", "NSAM", "SSAM", "OC", "ME", "NAF", "SAF", "SAS", "SEAS", "NEAS")
REGIONS_FILE = Path(__file__).parent / "data" / "regions.csv"
BASES = ("published", "assigned")


class Regions:
    """Which region a country or subdivision belongs to. Places are written as in `Place`: "FR", "US-CA"."""

    def __init__(self, rows: dict[str, tuple[str, str]]) -> None:
        """`rows`: country or subdivision → (region, basis)."""
        self._rows = rows
        self.countries = tuple(sorted(name for name in rows if "-" not in name))

    @classmethod
    def load(cls, path: Path = REGIONS_FILE) -> Self:
        """Read the table; GeoError names every bad line."""
        rows: dict[str, tuple[str, str]] = {}
        lines: dict[str, int] = {}
        problems = []
        for line, row in read_rows(path, ("region", "country"), ("subdivision", "basis")):
            region, country, subdivision = row["region"], row["country"], row["subdivision"]
            basis = row["basis"] or "assigned"
            name = f"{country}-{subdivision}" if subdivision else country
            if region not in REGIONS:
                problems.append(f"{path}:{line}: unknown region {region!r} (known: {', '.join(REGIONS)})")
            if basis not in BASES:
                problems.append(f"{path}:{line}: unknown basis {basis!r} (known: {', '.join(BASES)})")
            if not is_country(country):
                problems.append(f"{path}:{line}: {country!r} is no country code (two capital letters)")
            elif subdivision and not is_subdivision(name):
                problems.append(f"{path}:{line}: {subdivision!r} is no subdivision code (up to three of A-Z and 0-9)")
            if name in rows:
                problems.append(f"{path}:{line}: {name} has its region already in line {lines[name]}")
            rows[name] = region, basis
            lines[name] = line
        orphans = sorted(name for name in rows if "-" in name and name[:2] not in rows)
        problems += [f"{path}:{lines[name]}: {name} has a region and {name[:2]} has none" for name in orphans]
        if problems:
            raise GeoError(*problems)
        return cls(rows)

    def region_of(self, country: str, subdivision: str | None = None) -> str | None:
        """The region of a subdivision ("US-CA"), of its country where that is not listed, or None."""
        row = self._row(country, subdivision)
        return row and row[0]

    def basis_of(self, country: str, subdivision: str | None = None) -> str | None:
        """ "published" or "assigned": where `region_of` has its answer from."""
        row = self._row(country, subdivision)
        return row and row[1]

    def members(self, region: str) -> tuple[str, ...]:
        """The countries and subdivisions with a row in `region`, sorted; KeyError for an unknown region."""
        if region not in REGIONS:
            raise KeyError(region)
        return tuple(sorted(name for name, row in self._rows.items() if row[0] == region))

    def _row(self, country: str, subdivision: str | None) -> tuple[str, str] | None:
        return self._rows.get(subdivision or country) or self._rows.get(country)
