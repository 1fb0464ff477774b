"""Make a city database like those that are sold: `python -m tests.bench.city_database NETWORKS DATABASE.mmdb`.

Two thirds of the networks are IPv4. The address space is cut at random, down to /28 and /48; neighbours are mostly in
one country; each country has cities by the number of its networks, each with coordinates and names in eight languages,
as one of 250,000 records which share what they can by pointers. Records have 28 bits. The same number of networks gives
the same file.
"""

import random
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

from geodata.continents import CONTINENT_OF
from tests.geodata.mmdb import encoded, metadata_of, pointer

CITIES = 250_000
LANGUAGES = ("de", "en", "es", "fr", "ja", "pt-BR", "ru", "zh-CN")
COUNTRIES = sorted(CONTINENT_OF)
ALLOCATED4 = [f"{first:08b}" for first in range(1, 224)]
ALLOCATED6 = ["0010000000000001", *(f"{first:012b}" for first in (0x240, 0x260, 0x280, 0x2A0, 0x2C0))]


def write_city_database(path: Path, networks: int) -> None:
    """Write the file."""
    chance = random.Random(4)
    tree = _Tree(chance)
    root4 = tree.path(0, "0" * 96)
    tree.cut(root4, ALLOCATED4, 28, networks * 2 // 3)
    tree.cut(0, ALLOCATED6, 48, networks // 3)
    section, offsets, by_country = bytearray(), array("I"), _Shared(chance)
    for city in range(CITIES):
        by_country.write(city, section, offsets)
    nodes = len(tree.records) // 2
    cities = by_country.cities
    for slot, country in zip(tree.leaves, tree.countries, strict=True):
        own = cities[country]
        tree.records[slot] = nodes + 16 + offsets[own[int(len(own) * chance.random() ** 2)]]
    for slot, record in enumerate(tree.records):
        if record == _EMPTY:
            tree.records[slot] = nodes
    with path.open("wb") as file:
        for start in range(0, nodes, 1 << 18):
            file.write(_packed(tree.records[2 * start : 2 * (start + (1 << 18))]))
        file.write(bytes(16))
        file.write(section)
        file.write(metadata_of(nodes, 28, 6))


_EMPTY = 0xFFFFFFFF


class _Tree:
    """A search tree; a record that leads nowhere is `_EMPTY`."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.records = array("I", (_EMPTY, _EMPTY))
        self.leaves = array("I")
        self.countries = array("H")

    def path(self, node: int, bits: str) -> int:
        """The node at the end of a path, which is made."""
        for bit in bits:
            slot = 2 * node + int(bit)
            if self.records[slot] == _EMPTY:
                self.records[slot] = self._node()
            node = self.records[slot]
        return node

    def cut(self, root: int, blocks: list[str], most: int, networks: int) -> None:
        """Cut the blocks below a node into so many networks, none longer than `most`; each has a country."""
        chance = self._chance.random
        waiting: list[tuple[int, int, int]] = []  # record, depth, country
        for block in blocks:
            node = self.path(root, block)
            waiting += ((2 * node + bit, len(block) + 1, self._country()) for bit in (0, 1))
        while len(waiting) < networks:
            place = int(len(waiting) * chance())
            slot, depth, country = waiting[place]
            if depth == most:
                continue
            node = self.records[slot] = self._node()
            waiting[place] = 2 * node, depth + 1, country
            if chance() < (0.5 if depth < 16 else 0.02):
                country = self._country()
            waiting.append((2 * node + 1, depth + 1, country))
        for slot, _, country in waiting:
            self.leaves.append(slot)
            self.countries.append(country)

    def _node(self) -> int:
        self.records.extend((_EMPTY, _EMPTY))
        return len(self.records) // 2 - 1

    def _country(self) -> int:
        return int(len(COUNTRIES) * self._chance.random() ** 2)


class _Shared:
    """The data section; what many records have is written once."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._known: dict[bytes, int] = {}
        self.cities: list[list[int]] = [[] for _ in COUNTRIES]
        """The cities of each country."""

    def write(self, city: int, section: bytearray, offsets: "array[int]") -> None:
        """Append one record."""
        chance = self._chance
        country = city if city < len(COUNTRIES) else int(len(COUNTRIES) * chance.random() ** 2)
        self.cities[country].append(city)
        code = COUNTRIES[country]

        def share(value: object) -> bytes:
            data = encode(value)
            if data not in self._known:
                self._known[data] = len(section)
                section.extend(data)
            return pointer(self._known[data])

        def encode(value: object) -> bytes:
            """Maps with pointers for keys, as MaxMind's own."""
            if not isinstance(value, dict):
                return encoded([encode(item) for item in value] if isinstance(value, list) else value)
            parts = (share(key) if len(key) > 2 else encoded(key) for key in value)
            return bytes((0xE0 + len(value),)) + b"".join(
                part + encode(item) for part, item in zip(parts, value.values(), strict=True)
            )

        def names(what: str) -> dict[str, object]:
            return {"geoname_id": chance.randrange(1 << 23), "names": {each: f"{what} {each}" for each in LANGUAGES}}

        nation = share({"iso_code": code, "names": {each: f"{code} {each}" for each in LANGUAGES}})
        part = f"{1 + city % 20:02d}"
        record = {
            "city": names(f"City {city}"),
            "continent": share({"code": CONTINENT_OF[code]}),
            "country": nation,
            "location": {
                "accuracy_radius": chance.choice((5, 10, 20, 50, 100, 200, 500)),
                "latitude": round(chance.uniform(-60, 75), 4),
                "longitude": round(chance.uniform(-180, 180), 4),
                "time_zone": share("Etc/UTC"),
            },
            "postal": {"code": f"{city:06d}"},
            "registered_country": nation,
            "subdivisions": share([{"iso_code": part, "names": {each: f"{part} {each}" for each in LANGUAGES}}]),
        }
        data = encode(record)
        offsets.append(len(section))
        section.extend(data)


def _packed(records: "array[int]") -> bytes:
    """Records of 28 bits; the same slices as when they are read."""

    def parts() -> Iterator[tuple[int, int]]:
        return zip(records[0::2], records[1::2], strict=True)

    packed = bytearray(len(records) // 2 * 7)
    for place, shift in ((0, 16), (1, 8), (2, 0)):
        packed[place::7] = bytes(left >> shift & 255 for left, _ in parts())
        packed[place + 4 :: 7] = bytes(right >> shift & 255 for _, right in parts())
    packed[3::7] = bytes(left >> 20 & 0xF0 | right >> 24 for left, right in parts())
    return bytes(packed)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    write_city_database(Path(sys.argv[2]), int(sys.argv[1]))
