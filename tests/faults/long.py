"""Long runs: ``python -m tests.faults.long engine reference``, and what each takes.

    engine reference|compiled|frozen    ten million tasks of one layer, each token a batch
    service                             a million requests
    sweep [CSV]                         ten million points; memory is read, and kept as a table

Prints CPU time and the most memory that was resident.
"""

import os
import re
import resource
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from hybridsim.errors import SpecError

TOKENS = 2**20
MOST_MEMORY = 12 * 2**30
"""What a run may take, so that one that grows without end ends by itself [bytes]."""


def used() -> str:
    """Return the CPU time so far, and the most memory that was resident."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return f"{own.ru_utime + own.ru_stime:.0f} s of CPU, at most {own.ru_maxrss / 2**20:.2f} GiB"


def engine(name: str) -> None:
    """Execute a plan of ten million tasks."""
    import hybridsim
    from hybridsim.engines import engine as engine_by_name
    from hybridsim.engines.frozen import Frozen
    from hybridsim.simulation import job_of
    from hybridsim.work import price

    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    strategy = hybridsim.make_strategy("token_parallel", {"batch": 1, "unit": "both"})
    plan = strategy.schedule(job_of(network, machine, strategy, TOKENS)).plan
    time_ps = price(plan.works, machine).time_ps
    print(f"{len(plan):,} tasks are laid out: {used()}", flush=True)
    if name == "frozen":
        points = np.stack([time_ps, 2 * time_ps, 3 * time_ps, 4 * time_ps], axis=1)
        found = Frozen(plan).makespans(points)
        assert (found == found[0] * np.arange(1, 5)).all()
        makespan = int(found[0])
    else:
        makespan = engine_by_name(name)(plan, time_ps).makespan
    print(f"{name}: {makespan:,} ps: {used()}", flush=True)


def service() -> None:
    """Serve a million requests of eight tasks, drawn with a seed."""
    from hybridsim.cli import app

    given = ["layer_512x128", "ahwa_lora_2026:served", "--count", "1000000", "--tasks", "8"]
    app(["serve", *given, "--load", "0.8"], standalone_mode=False)
    print(f"service: {used()}", flush=True)


def sweep(table: str = "") -> None:
    """Run studies of 10^5 to 10^7 prices of one layer as a share, and merge it; read memory."""
    found = []
    for most in (5, 6, 7):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            latency = {"from": "1 cycles", "to": f"{10**most // 2000} cycles", "step": "1 cycles"}
            axes = AXES | {"link.latency": latency}
            import yaml

            (place / "study.yaml").write_text(yaml.safe_dump(STUDY | {"axes": axes}))
            share = ["sweep", str(place / "study.yaml"), "--out", str(place / "1")]
            read = {
                "points": _watched([*share, "--shard", "1/1"], place / "1"),
                "answers": _watched(["sweep", "merge", str(place / "2"), str(place / "1"),
                                     "--answers"], place / "1"),
            }  # fmt: skip
            size = sum(path.stat().st_size for path in (place / "1").glob("part-*"))
        for what, rows in read.items():
            cpu, peak = rows[-1][0], max(mib for _, _, mib in rows)
            print(f"{10**most:,} points, {what}: {cpu:.1f} s of CPU, at most {peak:.0f} MiB,"
                  f" parts of {size / 2**20:.1f} MiB", flush=True)  # fmt: skip
            found += [(10**most, what, size, *row) for row in _thinned(rows)]
    if table:
        lines = [",".join(map(str, row)) for row in found]
        names = "study_points,command,parts_bytes,cpu_s,recorded_points,resident_mib"
        Path(table).write_text("\n".join([names, *lines]) + "\n", encoding="utf-8")


STUDY = {
    "name": "memory", "machine": "ahwa_lora_2026", "tokens": 16, "strategy": "layer_serial",
    "objectives": {"latency_ps": "minimise"},
}  # fmt: skip
AXES = {
    "network": ["layer_128x128", "layer_512x128"],
    "adapters.rank": {"from": 1, "to": 10, "step": 1},
    "tile.integration_time": {"from": "1 ns", "to": "100 ns", "step": "1 ns"},
}
"""Shapes, ranks and clocks of one adapted layer; the latency of the link makes them many."""


def _thinned(rows: list[tuple[float, int, float]]) -> list[tuple[float, int, float]]:
    """Return about fifty rows, evenly over the CPU time; the last one is among them."""
    cpu = [row[0] for row in rows]
    places = np.searchsorted(cpu, np.linspace(0, cpu[-1], 50))
    return [rows[place] for place in np.union1d(places, [len(rows) - 1])]


def _watched(arguments: list[str], parts: Path) -> list[tuple[float, int, float]]:
    """Run a command; return its CPU time [s], the points recorded and its memory [MiB], as read
    four times a second, and in the end what the system says of CPU time and of most memory."""
    import subprocess

    from hybridsim.sweeps.parts import Part

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = subprocess.Popen([sys.executable, "-m", "hybridsim", *arguments, "--quiet"])
    status, read, points, most = Path(f"/proc/{begun.pid}/status"), [], 0, 0.0
    while True:
        try:
            code = begun.wait(0.25)
            break
        except subprocess.TimeoutExpired:
            own = (Part.at(path) for path in [*parts.glob("part-*")])
            with suppress(SpecError):  # put together meanwhile
                points = max(points, sum(part.rows for part in own if part is not None))
            stat = Path(f"/proc/{begun.pid}/stat").read_text().rpartition(")")[2].split()
            cpu = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
            kib = dict(re.findall(r"(VmHWM|VmRSS):\s+(\d+)", status.read_text()))
            if kib:
                most = round(int(kib["VmHWM"]) / 2**10, 1)
                read.append((cpu, points, round(int(kib["VmRSS"]) / 2**10, 1)))
    assert code == 0, arguments
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [*read, (round(cpu, 2), points, most)]


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    what, *more = sys.argv[1:]
    if what == "engine":
        engine(*more)
    elif what == "service":
        service()
    else:
        sweep(*more)
