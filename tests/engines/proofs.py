"""How points go through one frozen order: proven, refused, or refused though its times hold."""

from dataclasses import dataclass

import numpy as np

from hybridsim.engines import compiled
from hybridsim.engines._frozen_order import freeze
from hybridsim.engines._frozen_times import WIDTH, times
from hybridsim.plan import Plan, PlanBuilder, Resource
from hybridsim.units import Ints
from hybridsim.work import delay
from tests import random_inputs
from tests.engines import naive

SPREADS = (0.0, 0.001, 0.1, 1.0)
"""How far prices lie apart, from none at all to all orders."""


def prices(works: Ints, points: int, seed: int) -> Ints:
    """Return times around those of some works, the first point at these themselves."""
    rng = np.random.default_rng(seed)
    spread = rng.choice(SPREADS, points)
    changed = works[:, None] * np.exp(spread * rng.normal(size=(len(works), points)))
    changed[:, :1] = works[:, None]
    return np.maximum(1, np.round(np.minimum(changed, 2.0**56))).astype(np.int64)


def point_of(time_ps: Ints, point: int) -> Ints:
    """Return the time of each work at one point [ps], shape (works,)."""
    return np.ascontiguousarray(time_ps[:, point])


@dataclass(frozen=True, slots=True)
class Proof:
    """What one order makes of some points."""

    points: int = 0
    refused: int = 0
    needless: int = 0
    """Refused, though all times in that order are those of the rule."""

    def __add__(self, other: "Proof") -> "Proof":
        return Proof(
            self.points + other.points,
            self.refused + other.refused,
            self.needless + other.needless,
        )


def proof(plan: Plan, seed: int) -> Proof:
    """Freeze the order of a plan of delays, and compare all times of points around it."""
    own = random_inputs.times(plan)
    order, time_ps = freeze(plan, compiled.run(plan, own)), prices(own, WIDTH, seed)
    end = np.empty((len(plan), WIDTH), np.int64)
    latest, holds = times(order, plan.work, time_ps, end)
    assert holds[0]
    needless = 0
    for point in range(WIDTH):
        expected = naive.run(plan, point_of(time_ps, point))
        same = np.array_equal(end[:, point], expected.end)
        needless += same and not holds[point]
        if holds[point]:
            assert same
            assert latest[point] == expected.makespan
    return Proof(WIDTH, int(WIDTH - holds.sum()), needless)


def queues(seed: int, units: int) -> Plan:
    """Many tasks that wait for few resources, one to three at a time; each has its own price."""
    rng = np.random.default_rng(seed)
    builder = PlanBuilder(tuple(Resource(f"r{i}", "kind", units) for i in range(4)))
    for task in range(40):
        uses = rng.permutation(4)[: rng.integers(1, 4)].tolist()
        needs = {*rng.integers(max(0, task - 6), task, 1).tolist()} if task > 3 else ()
        work = delay(f"action {task}", int(rng.integers(1, 9)))
        builder.add("op", work, uses, [*needs])
    return builder.build()
