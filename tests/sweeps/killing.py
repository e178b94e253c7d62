"""Kills a sweep at random moments, lets it go on, and looks at what is left.

As a program: ``python -m tests.sweeps.killing [times] [seed]`` prints what happened.
"""

import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pyarrow import parquet

from hybridsim.sweeps.journal import Journal, read_journal

STUDY = {
    "name": "killed",
    "machine": "ahwa_lora_2026",
    "network": "layer_512x128",
    "axes": {
        "tokens": {"from": 16, "to": 75, "step": 1},
        "strategy.batch": [1, 2, 4, 16],
        "adapters.rank": [4, 8],
    },
    "objectives": {"latency_ps": "minimise"},
}
POINTS = 60 * 4 * 2
PROGRAM = """
import sys
from hybridsim.sweeps import chunks, journal
chunks.LEAST_SECONDS = chunks.MOST_SECONDS = 0.004  # many small records, and many small parts
journal.MOST_RECORDS = 60
from hybridsim.cli import main
main()
"""


@dataclass
class Killed:
    """What was left after each death."""

    recorded: list[int] = field(default_factory=list)
    """Points that could be read, each time."""
    torn: int = 0
    """How often the last record was cut short."""


def write_study(folder: Path) -> Path:
    """Write the study into a folder."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    return path


def start(study: Path, out: Path, executor: str) -> "subprocess.Popen[bytes]":
    """Start a sweep in a process of its own."""
    arguments = ["sweep", str(study), "--out", str(out), "--executor", executor, "--quiet"]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], cwd=Path.cwd())


def recorded_keys(out: Path) -> Iterator[bytes]:
    """Yield the key of every record in a folder, as often as it is there."""
    with Journal(out) as journal:
        for keys, _ in journal.recorded():
            for key in keys:
                yield key.tobytes()


def finish(study: Path, out: Path, executor: str = "in-process") -> bytes:
    """Let a sweep run to its end and return its table."""
    assert start(study, out, executor).wait() == 0
    return (out / "sweep.parquet").read_bytes()


def kill_often(
    study: Path, out: Path, times: int, randoms: random.Random, executor: str = "in-process"
) -> Killed:
    """Kill the sweep when about another 1/(times + 1) of it is recorded, at a random moment."""
    killed = Killed()
    for round_ in range(times):
        before = killed.recorded[-1] if killed.recorded else 0
        wanted = before + randoms.randint(1, max(1, (POINTS - before) // (times - round_ + 1)))
        process = start(study, out, executor)
        while not ended_within(process, 0.004) and _about_recorded(out) < wanted:
            pass
        ended_within(process, randoms.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed.torn += sum(p.read_bytes()[-1:] not in (b"\n", b"") for p in out.glob("journal-*"))
        killed.recorded.append(sum(1 for _ in recorded_keys(out)))
    return killed


def ended_within(process: "subprocess.Popen[Any]", seconds: float) -> bool:
    """Wait a little, and return whether the process has ended."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _about_recorded(out: Path) -> int:
    """Return about how many points are recorded, without opening the folder."""
    paths = out.glob("part-*.parquet")
    parts = sum(parquet.read_metadata(path).num_rows for path in paths)
    try:
        return parts + sum(len(read_journal(path)) for path in out.glob("journal-*.jsonl"))
    except FileNotFoundError:  # it has become a part in between
        return parts


def main(times: int = 20, seed: int = 0) -> None:
    """Kill, go on, compare, and print the outcome."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = write_study(folder)
        whole = finish(study, folder / "whole")
        for executor in ("in-process", "processes:2"):
            out = folder / executor.replace(":", "")
            killed = kill_often(study, out, times, random.Random(seed), executor)
            table = finish(study, out, executor)
            keys = list(recorded_keys(out))
            print(f"{executor}: killed {times} times, after {killed.recorded} points")
            print(f"  {killed.torn} torn records, table the same: {table == whole}")
            print(f"  {POINTS - len(set(keys))} lost, {len(keys) - len(set(keys))} twice")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
