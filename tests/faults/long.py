"""Long runs: ``python -m tests.faults.long engine reference``, and what each takes.

    engine reference|compiled|frozen    ten million tasks of one layer, each token a batch
    service                             a million requests
    sweep MINUTES [PNG]                 a million points, or so long; memory is read, and drawn

Prints CPU time and the most memory that was resident.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

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


def sweep(minutes: float, picture: str = "") -> None:
    """Run a study of a million prices of one layer, or until the time is over; read its memory."""
    from tests.faults.ways import STUDY

    axes = {
        "tile.integration_time": {"from": "1 ns", "to": "100 ns", "step": "1 ns"},
        "link.latency": {"from": "1 cycles", "to": "100 cycles", "step": "1 cycles"},
        "cluster.dma.issue_1d": {"from": "1 cycles", "to": "100 cycles", "step": "1 cycles"},
    }
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        import yaml

        (place / "study.yaml").write_text(yaml.safe_dump(STUDY | {"axes": axes}), encoding="utf-8")
        read = _watched(["sweep", str(place / "study.yaml"), "--out", str(place / "out")], minutes)
        size = sum(path.stat().st_size for path in (place / "out").rglob("*") if path.is_file())
    cpu, resident = read[read[:, 1] > 0].T
    at = np.searchsorted(cpu, cpu[-1] * np.array([0.1, 0.3, 0.5, 0.7, 0.9]))
    told = [f"{mib:.0f}" for mib in resident[at]]
    print(f"sweep: {cpu[-1]:.0f} s of CPU, {size / 2**20:.0f} MiB written; resident [MiB] after")
    print(f"10, 30, 50, 70, 90 % of it: {', '.join(told)}; at most {resident.max():.0f}")
    if picture:
        _drawn(read, Path(picture))


def _watched(arguments: list[str], minutes: float) -> "np.ndarray":
    """Run a command, and interrupt it in the end; return its CPU time [s] and memory [MiB]."""
    import signal
    import subprocess

    begun = subprocess.Popen([sys.executable, "-m", "hybridsim", *arguments, "--quiet"])
    read = []
    ticks, page = 100.0, resource.getpagesize()
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        try:
            begun.wait(1)
            break
        except subprocess.TimeoutExpired:
            stat = Path(f"/proc/{begun.pid}/stat").read_text().rpartition(")")[2].split()
            read.append(((int(stat[11]) + int(stat[12])) / ticks, int(stat[21]) * page / 2**20))
    begun.send_signal(signal.SIGINT)
    print(f"sweep: exit code {begun.wait()}", flush=True)
    return np.array(read)


def _drawn(read: "np.ndarray", path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4, 2.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(read[:, 0] / 60, read[:, 1])
    axes.set_xlabel("CPU time [min]")
    axes.set_ylabel("resident memory [MiB]")
    axes.set_ylim(0)
    figure.savefig(path, dpi=200)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    what, *more = sys.argv[1:]
    if what == "engine":
        engine(*more)
    elif what == "service":
        service()
    else:
        sweep(float(more[0]), *more[1:])
