"""Fuzzes the ways in, guided by coverage; needs the package atheris.

python -m tests.boundary.guide CORPUS [-max_total_time=600] ...   options are libFuzzer's

It tells now and then how many inputs each way in was given, and the CPU time of all.
"""

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import atheris

READING = [
    "boundary", "specs", "nesting", "csv_files", "workload", "arch", "sweeps", "service",
    "described", "units", "designs", "training", "measure", "validation",
]  # fmt: skip

with atheris.instrument_imports(include=[f"hybridsim.{room}" for room in READING]):
    from tests.boundary.guided import try_one, way_of

MOST_BYTES = 8192


def main() -> None:
    """Fuzz until libFuzzer has enough, or finds something."""
    tried: Counter[str] = Counter()

    def counted(raw: bytes) -> None:
        if raw:
            tried[way_of(raw).__name__] += 1
        if raw and tried.total() % 1000 == 0:  # libFuzzer ends without a last word
            ways = ", ".join(f"{way.lstrip('_')} {tried[way]}" for way in sorted(tried))
            print(f"{tried.total()} inputs, {time.process_time():.0f} s CPU: {ways}", flush=True)
        try_one(place, raw)

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        options = [f"-max_len={MOST_BYTES}", "-timeout=60", *sys.argv[1:]]
        atheris.Setup([sys.argv[0], *options], counted)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
