"""The operator's own networks: a CSV file with the columns network,country[,subdivision][,asn].

    network,country,subdivision,asn
    192.0.2.0/24,US,US-CA,64500
    2001:db8::/32,FR,,

IPv4 and IPv6; of networks inside each other the most specific wins.
"""

from pathlib import Path

from geodata.continents import CONTINENT_OF
from geodata.csvtable import read_rows
from geodata.errors import GeoError
from geodata.place import Place, is_subdivision
from geodata.ranges import Ranges, parse_network
from geodata.source import PlaceList, Source


def read_networks(path: Path) -> Source:
    """What the file says; GeoError names every bad line."""
    problems: list[str] = []
    places = PlaceList()
    networks: dict[int, list[tuple[int, int, int]]] = {32: [], 128: []}
    lines: dict[tuple[int, int, int], int] = {}
    for line, row in read_rows(path, ("network", "country"), ("subdivision", "asn")):
        wrong = _problems(row)
        try:
            network = parse_network(row["network"])
        except ValueError as error:
            wrong.append(str(error))
        else:
            if network in lines:
                wrong.append(f"{row['network']} stands in line {lines[network]} already")
            lines.setdefault(network, line)
        if wrong:
            problems += [f"{path}:{line}: {problem}" for problem in wrong]
            continue
        place = Place(
            country=row["country"],
            subdivision=row["subdivision"] or None,
            asn=int(row["asn"]) if row["asn"] else None,
        )
        bits, start, length = network
        networks[bits].append((start, length, places.id_of(place)))
    if problems:
        raise GeoError(*problems)
    ipv4, ipv6 = (Ranges.nested(bits, networks[bits], 0) for bits in (32, 128))
    return Source(str(path), places.places(), ipv4, ipv6, operator=True)


def _problems(row: dict[str, str]) -> list[str]:
    country, subdivision, asn = row["country"], row["subdivision"], row["asn"]
    problems = []
    if country not in CONTINENT_OF:
        problems.append(f"{country!r} is no country (ISO 3166-1: two capital letters)")
    elif subdivision and not (is_subdivision(subdivision) and subdivision.startswith(f"{country}-")):
        problems.append(f"{subdivision!r} is no subdivision of {country} (ISO 3166-2, such as {country}-XX)")
    if asn and not (asn.isascii() and asn.isdigit() and 0 < int(asn) < 1 << 32):
        problems.append(f"{asn!r} is no AS number (1 to 4294967295)")
    return problems
