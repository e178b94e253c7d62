"""The search of a design against all points of a grid, and against Optuna's samplers.

``python -m tests.designs.compare exhaustive`` runs every point of a grid of 103,680, and the
search on the same; ``python -m tests.designs.compare samplers`` gives Optuna's TPE and NSGA-II as
many runs as the search, 250 or the number given, with five seeds each, and compares the volumes
that their fronts dominate. CPU seconds, as ``time.process_time`` has them.
"""

import sys
import time
from typing import Any

import numpy as np
import optuna

from hybridsim.arch import load_machine
from hybridsim.designs.limits import parse_limits
from hybridsim.designs.search import Budget, Search
from hybridsim.designs.seen import Seen
from hybridsim.designs.space import default_axes
from hybridsim.sweeps.inputs import Inputs, read_inputs
from hybridsim.sweeps.known import Known
from hybridsim.sweeps.pareto import pareto
from hybridsim.sweeps.study import Study

MACHINE, NETWORK = "ahwa_lora_2026", "layer_512x128"
OBJECTIVES: Any = {"latency_ps": "minimise", "energy_pj": "minimise"}
LIMITS = parse_limits(["area <= 8 mm2"])
CONSTRAINTS = [limit.constraint for limit in LIMITS if limit.constraint]
COLUMNS = ("latency_ps", "energy_pj", "area_mm2")
MORE = {
    "adapters.rank": [2, 4, 8, 16],
    "cluster.tcdm.size": ["64 KiB", "128 KiB", "256 KiB"],
    "cluster.dma.bytes_per_cycle": ["32 B/cycle", "64 B/cycle"],
}
SEEDS = range(5)
SAMPLERS: Any = {"tpe": optuna.samplers.TPESampler, "nsga2": optuna.samplers.NSGAIISampler}


def grid() -> Inputs:
    """Return the default space of the paper's machine with ranks and scratchpads besides."""
    axes = default_axes(load_machine(MACHINE), False, 128) | MORE
    axes["strategy"].remove("cross_layer")  # one layer alone: what token_parallel does
    del axes["mapping.copies"]  # four times as many points would be too many to run all
    study = Study(
        name="compare", machine=MACHINE, network=NETWORK, axes=axes, objectives=OBJECTIVES,
        constraints=[limit.as_text() for limit in LIMITS], keep=["latency_ps"],
    )  # fmt: skip
    return read_inputs(study)


def searched(inputs: Inputs, seed: int, runs: int | None = None) -> Search:
    """Return a search that has ended."""
    known = Known(inputs)
    seen = Seen(known, dict(OBJECTIVES), COLUMNS)
    search = Search(seen, CONSTRAINTS, Budget(runs=runs), seed)
    search.run([0])
    return search


def values(seen: Seen) -> np.ndarray:
    """Return the objectives of each point, infinite where a limit is missed."""
    own = seen.values()
    own[(seen.excess(CONSTRAINTS) > 0).any(axis=1) | ~np.isfinite(own).all(axis=1)] = np.inf
    return own


def front_of(own: np.ndarray) -> set[tuple[float, ...]]:
    """Return the different vectors of the front."""
    return {tuple(row) for row in own[pareto(own, np.isfinite(own).all(axis=1))]}


def volume(own: np.ndarray, corner: np.ndarray) -> float:
    """Return the area that a front of two objectives dominates, in logarithms, up to a corner."""
    rows = np.log(np.array(sorted(front_of(own)))) if len(own) else np.empty((0, 2))
    total, ceiling = 0.0, corner[1]
    for x, y in rows:
        if x < corner[0] and y < ceiling:
            total += (corner[0] - x) * (ceiling - y)
            ceiling = y
    return total


def exhaustive() -> None:
    inputs = grid()
    start = time.process_time()
    everything = Seen(Known(inputs), dict(OBJECTIVES), COLUMNS)
    for first in range(0, len(inputs), 17_280):
        everything.know(range(first, min(first + 17_280, len(inputs))))
        print(f"  {len(everything):,} of {len(inputs):,}, {time.process_time() - start:.0f} s",
              flush=True)  # fmt: skip
    whole = front_of(values(everything))
    print(f"all {len(inputs):,} points: {len(whole)} on the front, "
          f"{time.process_time() - start:.1f} CPU s")  # fmt: skip
    for seed in SEEDS:
        start = time.process_time()
        search = searched(inputs, seed)
        found = front_of(values(search.seen))
        share = len(search.seen) / len(inputs)
        print(f"seed {seed}: {len(search.seen):,} runs ({share:.2%}), {len(search.left_out):,} "
              f"left out, {len(found & whole)} of {len(whole)} of the front found, "
              f"{len(found - whole)} not on it, {time.process_time() - start:.1f} CPU s; "
              f"{search.why}", flush=True)  # fmt: skip


def samplers(runs_each: int = 250, *names: str) -> None:
    """Compare the search with samplers of Optuna, all of them unless names are given."""
    inputs = grid()
    runs: dict[str, list[np.ndarray]] = {name: [] for name in names or ("search", *SAMPLERS)}
    for seed in SEEDS:
        for name, each in runs.items():
            start = time.process_time()
            if name == "search":
                each.append(values(searched(inputs, seed, runs_each).seen))
            else:
                each.append(asked(inputs, SAMPLERS[name](seed=seed), runs_each))
            print(f"seed {seed}, {name}: {time.process_time() - start:.1f} CPU s", flush=True)
    every = np.concatenate([own for each in runs.values() for own in each])
    feasible = every[np.isfinite(every).all(axis=1)]
    corner = np.log(feasible.max(axis=0))
    best = volume(every, corner)
    for share in (0.24, 0.5, 1.0):
        for name, each in runs.items():
            count = round(runs_each * share)
            own = [volume(found[:count], corner) / best for found in each]
            print(f"{count} runs, {name:6s}: {np.mean(own):.4f} of the volume, "
                  f"{min(own):.4f} at least, deviation {np.std(own, ddof=1):.4f}")  # fmt: skip


def asked(inputs: Inputs, sampler: Any, budget: int) -> np.ndarray:
    """Return what a sampler of Optuna finds with so many different points, limits told to it.

    A point that does not run misses a limit, by 1, and is as bad as the worst: as a failed trial
    TPE would ask for it again and again. Asking ends after four times as many trials, as TPE
    repeats itself.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seen = Seen(Known(inputs), dict(OBJECTIVES), COLUMNS)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    trials = 0
    while len(seen) < budget and trials < 4 * budget:
        trial = study.ask()
        places = [
            trial.suggest_int(axis.name, 0, len(axis) - 1)
            if axis.numbers is not None
            else axis.labels.index(trial.suggest_categorical(axis.name, axis.labels))
            for axis in inputs.axes
        ]
        index = int(np.ravel_multi_index(places, inputs.shape))
        seen.know([index])
        trials += 1
        every = seen.values()
        own, far = every[seen.place(index)], seen.excess(CONSTRAINTS)[seen.place(index), 0]
        ran = bool(np.isfinite(own).all())
        trial.set_constraint("runs", 0.0 if ran else 1.0)
        trial.set_constraint("area", float(far) if ran else 0.0)
        worst = np.nanmax(every, axis=0) if np.isfinite(every).any() else np.ones(2)
        study.tell(trial, (own if ran else worst).tolist())
    print(f"  {trials} trials, {len(seen)} different", flush=True)
    return values(seen)


if __name__ == "__main__":
    if sys.argv[1] == "exhaustive":
        exhaustive()
    else:
        samplers(int(sys.argv[2]) if len(sys.argv) > 2 else 250, *sys.argv[3:])
