"""How fast a zone file is read: µs of CPU for each record, and the most memory the reader held.

Run it as `python -m tests.bench.zonefile [RECORDS]`. Not a test: compare two versions on one machine.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from steering.zones.zonefile import read_zone

ORIGIN = b"\x07example\x03com\x00"
APEX = "$TTL 3600\n@ SOA ns1 host 1 7200 900 1209600 300\n@ NS ns1\n"

ZONES: dict[str, Callable[[int], str]] = {
    "mixed: A AAAA CNAME NS": lambda n: (
        f"host{n}\t3600\tIN\tA\t192.0.{n % 256}.{n // 256 % 256}\n",
        f"host{n}\t3600\tIN\tAAAA\t2001:db8::{n % 65536:x}\n",
        f"www{n}.sub 300 IN CNAME host{n}.example.com.\n",
        f"zone{n}.example.com. 86400 IN NS ns{n % 50}.example.net.\n",
    )[n % 4],
    "MX": lambda n: f"host{n} MX 10 mail{n % 100}\n",
    "TXT": lambda n: f'host{n} TXT "v=spf1 ip4:192.0.2.{n % 256} -all"\n',
    "class before TTL": lambda n: f"host{n} IN 300 A 192.0.2.1\n",
    "HTTPS, by dnspython": lambda n: "" if n % 20 else f"host{n} HTTPS 1 . alpn=h2,h3\n",
}


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for title, line in ZONES.items():
            path = Path(folder, "bench.zone")
            with path.open("w") as file:
                file.write(APEX)
                file.writelines(map(line, range(count)))
            start = time.process_time()
            records = sum(1 for _ in read_zone(path, ORIGIN))
            spent = time.process_time() - start
            cost, speed = spent / records * 1e6, records / spent
            sys.stdout.write(f"{title:24} {records:9,} records {cost:7.2f} µs each {speed:9,.0f} a second\n")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(f"{'memory at most':24} {memory / 1024:9,.0f} MiB\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
