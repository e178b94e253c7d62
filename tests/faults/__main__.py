"""Faults on purpose: ``python -m tests.faults WAY ... [--kills N] [--seed 0]``.

Each command is killed (SIGKILL), interrupted (SIGINT), given a full disk and a folder that cannot
be written to; each file that it reads back is torn and gets a flipped bit. Prints what was wrong,
and a table of counts. ``adapt`` needs torch.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.faults.corrupt import corrupted
from tests.faults.disk import refused_by_the_disk
from tests.faults.kill import Bench, Fault, kill
from tests.faults.ways import WAYS, preload


def faults(bench: Bench, kills: int, seed: int) -> Iterator[tuple[str, Fault]]:
    """Yield every fault that a command is given, with its kind."""
    for kind, number in (("SIGKILL", signal.SIGKILL), ("SIGINT", signal.SIGINT)):
        yield from ((kind, fault) for fault in kill(bench, kills, seed, number))
    yield from (("full disk", fault) for fault in refused_by_the_disk(bench, seed))
    yield from corrupted(bench, seed)


def main() -> None:
    """Give commands faults, and say what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ways", nargs="*", default=[way for way in WAYS if way != "adapt"])
    parser.add_argument("--kills", type=int, default=14, help="of each of the two signals")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    preload("adapt" in given.ways)
    counts: Counter[tuple[str, str, bool]] = Counter()
    for name in given.ways:
        with tempfile.TemporaryDirectory() as folder:
            for kind, fault in faults(Bench(WAYS[name], Path(folder)), given.kills, given.seed):
                counts[name, kind, bool(fault.wrong)] += 1
                if fault.wrong:
                    print(f"{name}: {fault.what}: {fault.ended}: {'; '.join(fault.wrong)}")
                sys.stdout.flush()
        for (way, kind, wrong), count in counts.items():
            if way == name:
                print(f"{way:16} {kind:12} {'WRONG' if wrong else 'good':6} {count}", flush=True)


if __name__ == "__main__":
    main()
