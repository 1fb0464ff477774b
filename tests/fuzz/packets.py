"""Coverage-guided fuzzing of the targets in targets.py, with atheris (libFuzzer for Python).

    pip install atheris
    python -m tests.fuzz.packets --seconds 120              # each target for two minutes, one after the other
    python -m tests.fuzz.packets --seconds 600 respond      # this one

It starts from the corpus and writes to a temporary folder that it names: `new/` has the inputs that reached new code,
`crash-*` and the like what broke a promise. Keep an input by copying it into corpus/<target>/ under a name that says
what it is; the test test_corpus.py runs it from then on. `respond` and `control` read nothing but their bytes; the zone
file target follows $INCLUDE to wherever it points, so do not run it where reading a file does harm.

Exit status 1 if anything was found.
"""

import argparse
import importlib
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 4096
"""Bytes of an input."""
SLOWEST = 10
"""Seconds for one input; more is a finding."""
MEMORY = 2048
"""MiB; more is a finding."""


def main() -> int:
    """Run the targets that the command line names."""
    parser = argparse.ArgumentParser(description="Fuzz the parsers.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    parser.add_argument("--seconds", type=int, default=120, help="for each target")
    parser.add_argument("--inside", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside is not None:
        run_inside(arguments.targets[0], arguments.seconds, arguments.inside)
    failed = []
    for target in arguments.targets or sorted(path.name for path in CORPUS.iterdir()):
        folder = Path(tempfile.mkdtemp(prefix=f"waypost-fuzz-{target}-"))
        print(f"{target}: {folder}", flush=True)
        command = ["-m", "tests.fuzz.packets", "--seconds", str(arguments.seconds), "--inside", str(folder), target]
        if subprocess.run([sys.executable, *command], check=False).returncode:
            failed.append(target)
    print(f"found something: {', '.join(failed)}" if failed else "found nothing")
    return bool(failed)


def run_inside(target: str, seconds: int, folder: Path) -> None:
    """Fuzz one target in this process, which ends with it."""
    atheris = importlib.import_module("atheris")  # is no dependency of the tests
    with atheris.instrument_imports(include=["steering", "monitors", "geodata"]):
        targets = importlib.import_module("tests.fuzz.targets")
    logging.disable()  # what is refused is logged
    (folder / "new").mkdir()
    options = {
        "max_total_time": seconds,
        "max_len": LONGEST,
        "timeout": SLOWEST,
        "rss_limit_mb": MEMORY,
        "print_final_stats": 1,
        "artifact_prefix": f"{folder}/",
    }
    flags = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *flags, str(folder / "new"), str(CORPUS / target)], targets.TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
