"""The script that makes the shipped data."""

import tarfile
from pathlib import Path

import pytest

from geodata.data.build import build
from geodata.sources.country import read_country

from ..mmdb import write_networks


def package(tmp_path: Path, member: str) -> Path:
    database = write_networks(
        tmp_path / "a.mmdb",
        {
            "10.0.0.0/8": {"country_code": "FR"},
            "11.0.0.0/8": {"country_code": "FR"},
            "2001:db8::/32": {"country_code": "BR"},
        },
    )
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as archive:
        archive.add(database, member)
    return tmp_path / "package.tgz"


def test_a_package_becomes_the_data(tmp_path: Path) -> None:
    archive = package(tmp_path, "package/dbip-country.mmdb")
    (tmp_path / "country.xz").write_bytes(build(archive))
    source = read_country(tmp_path / "country.xz")
    assert [(start, source.places[id_].country) for start, _, id_ in source.ipv4] == [
        (0, None), (10 << 24, "FR"), (12 << 24, None),
    ]  # fmt: skip
    assert [source.places[id_].country for id_ in source.ipv6.ids] == [None, "BR", None]
    assert (source.name, source.built) == ("DB-IP Lite", 1_700_000_000)
    assert build(archive) == build(archive)


def test_another_package(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=r"dbip-country\.mmdb"):
        build(package(tmp_path, "package/other.mmdb"))
