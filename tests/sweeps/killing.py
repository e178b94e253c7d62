"""Kills sweeps, their workers and merges at random moments, and looks at what is left.

As a program: ``python -m tests.sweeps.killing [times] [seed]`` prints what happened.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from hybridsim.sweeps.journal import Journal, parts_of

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
chunks.LEAST_SECONDS = chunks.MOST_SECONDS = 0.004  # many small parts, often put together
journal.MOST_SMALL, journal.SMALL = 8, 60
from hybridsim.cli import main
main()
"""


def write_study(folder: Path) -> Path:
    """Write the study into a folder."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    return path


def start(*arguments: str) -> "subprocess.Popen[bytes]":
    """Start a command in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments, "--quiet"], cwd=Path.cwd())


def swept(study: Path, out: Path, executor: str = "in-process") -> tuple[str, ...]:
    """Return the arguments of a sweep."""
    return ("sweep", str(study), "--out", str(out), "--executor", executor)


def recorded_points(out: Path) -> Iterator[int]:
    """Yield every recorded point in a folder, as often as it is there."""
    with Journal(out) as journal:
        for recorded in journal.recorded(()):
            yield from recorded.points.tolist()


def recorded_keys(out: Path) -> Counter[bytes]:
    """Return how often each point is recorded in a folder, by what is the same to a sweep.

    A program that was changed in between is another model: the points that it recorded are no
    others of the study, though they have the same numbers.
    """
    with Journal(out) as journal:
        return Counter(key.tobytes() for own in journal.recorded(()) for key in own.keys)


def finish(out: Path, arguments: Sequence[str]) -> bytes:
    """Let a command run to its end and return the table that it leaves."""
    assert start(*arguments).wait() == 0
    return (out / "sweep.parquet").read_bytes()


def kill_often(
    out: Path, arguments: Sequence[str], times: int, randoms: random.Random
) -> list[int]:
    """Kill a command when about another 1/(times + 1) of all is in ``out``, at a random moment.

    Returns how many points could be read each time.
    """
    found: list[int] = []
    for round_ in range(times):
        before = found[-1] if found else 0
        wanted = before + randoms.randint(1, max(1, (POINTS - before) // (times - round_ + 1)))
        process = start(*arguments)
        while not ended_within(process, 0.004) and _about_recorded(out) < wanted:
            pass
        ended_within(process, randoms.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found.append(sum(1 for _ in recorded_points(out)) if out.is_dir() else 0)
    return found


def kill_workers(
    out: Path, arguments: Sequence[str], times: int, randoms: random.Random
) -> tuple[int, int]:
    """Kill one of the workers of a sweep now and then; return its exit code and how many died.

    Between two deaths something is finished: without that, a sweep gives up.
    """
    process, died, recorded = start(*arguments), 0, -1
    while not ended_within(process, randoms.random() * 0.02):
        now = _about_recorded(out) if out.is_dir() else 0
        if died < times and recorded < now < POINTS and (workers := workers_of(process.pid)):
            os.kill(randoms.choice(workers), signal.SIGKILL)
            died, recorded = died + 1, now
    return process.returncode, died


def workers_of(parent: int) -> list[int]:
    """Return the processes that a process has started, but for the tracker of resources."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line]


def ended_within(process: "subprocess.Popen[Any]", seconds: float) -> bool:
    """Wait a little, and return whether the process has ended."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _about_recorded(out: Path) -> int:
    """Return about how many points are recorded, without opening the folder."""
    try:
        return sum(part.rows for part in parts_of(out))
    except Exception:  # a part has become part of another one in between
        return 0


def main(times: int = 20, seed: int = 0) -> None:
    """Kill, go on, compare, and print the outcome."""
    randoms = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = write_study(folder)
        whole = finish(folder / "whole", swept(study, folder / "whole"))
        every = recorded_keys(folder / "whole")
        for executor in ("in-process", "processes:2"):
            out = folder / executor.replace(":", "")
            killed = kill_often(out, swept(study, out, executor), times, randoms)
            told = f"{executor}: coordinator killed {times} times, after {killed} points"
            report(told, out, every, finish(out, swept(study, out, executor)) == whole)
        out, begun = folder / "workers", time.perf_counter()
        died = 0
        while died < times:
            code, more = kill_workers(out, swept(study, out, "processes:2"), times, randoms)
            died += more
            if code == 0 and died < times:
                for part in parts_of(out):
                    part.path.unlink()
        seconds = time.perf_counter() - begun
        table = finish(out, swept(study, out))
        told = f"processes:2: workers killed {died} times, {seconds:.0f} s"
        report(told, out, every, table == whole)
        shards = [folder / f"shard{i}" for i in range(4)]
        for i, shard in enumerate(shards):
            assert start(*swept(study, shard), "--shard", f"{i + 1}/4").wait() == 0
        out = folder / "merged"
        arguments = ("sweep", "merge", str(out), *map(str, shards))
        killed = kill_often(out, arguments, times, randoms)
        told = f"merge: killed {times} times, after {killed} points"
        report(told, out, every, finish(out, arguments) == whole)


def report(told: str, out: Path, every: Counter[bytes], same: bool) -> None:
    """Print what was done to a folder, and what is in it of every point of the study."""
    found = recorded_keys(out)
    lost, twice = (every - found).total(), sum(found[key] - 1 for key in every if key in found)
    other = sum(count for key, count in found.items() if key not in every)
    print(told)
    print(f"  {lost} lost, {twice} twice, table the same: {same}", flush=True)
    if other:
        print(f"  the program was changed meanwhile: {other} points of another", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
