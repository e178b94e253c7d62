"""Batches that have the same steps, on servers of one unit each: the ends of many points at once.

The steps of a batch and what they wait for are read off a short plan (:class:`Pipeline`), so any
plan that repeats the same tasks batch by batch will do, and serves points with any number of
batches. A point costs what its first and its last batches do: those in between repeat.
"""

from itertools import pairwise

import numpy as np

from hybridsim.engines._batch_records import (
    BATCH,
    LINKED,
    PLACE_BITS,
    PLACES,
    STEPS,
    TOO_FAR,
    Steps,
    room_for,
)
from hybridsim.engines._batch_walk import fill_ends
from hybridsim.engines.lines import StepTimes
from hybridsim.errors import PlanError
from hybridsim.plan import Plan, check_total
from hybridsim.records import record
from hybridsim.units import Ints
from hybridsim.work import MOST_PS

__all__ = ["TOO_FAR", "Pipeline"]


@record(frozen=True, eq=False)
class Pipeline:
    """Plans of any number of batches that have the same steps."""

    steps: Steps

    @classmethod
    def of(cls, plan: Plan, row: Ints, once: int, clusters: int, window: int) -> "Pipeline":
        """Return what a plan does of at least ``window`` batches and one more round.

        Args:
            plan: Tasks before all batches, then batch after batch, on so many clusters in turn.
            row: What each task is priced as: before all batches from 0 on, and the steps of a
                batch from ``once`` on.
            once: See there.
            clusters: See there.
            window: Batches that may be under way at the same time, a multiple of the clusters.

        Raises:
            PlanError: A task holds something that has several units, beside what is shared; or
                there are more steps or batches under way than can be numbered.
        """
        before = int((row < once).sum())
        count = int((plan.item[before:] == 0).sum())
        last = len(plan) - count
        edges, usual = list[tuple[int, int, int]](), np.zeros(count, np.int64)
        for step in range(count):
            needs = plan.needs_of(last + step)
            needs = needs[needs >= before]
            usual[step] = len(needs)
            edges += [((n - last) % count, step, -((n - last) // count)) for n in needs.tolist()]
        first, to, later = _listed(sorted(edges), count)
        places = window * count
        if count > STEPS or places + before > PLACES:
            raise PlanError(f"{window} batches of {count} steps each may be under way")
        unmet = np.diff(plan.need_first)[before : before + places]
        if (usual == 0).any():
            raise PlanError("a step of a batch waits for nothing that batches before it do")
        waits = [(n, t - before, 0) for t in range(before, before + places)
                 for n in plan.needs_of(t).tolist() if n < before]  # fmt: skip
        once_first, once_to, _ = _listed(sorted(waits), before)
        server, linked, units = _servers(plan)
        shares = np.bincount(server, linked, int(server.max()) + 1) > 0
        once_tasks = np.arange(-before, 0) << PLACE_BITS | np.arange(places, places + before)
        once_tasks, linked = once_tasks | linked[:before], linked[last:]
        ready = np.concatenate((once_tasks, _tasks(np.flatnonzero(unmet == 0), linked)))
        of_places = np.concatenate((server[before : before + places], server[:before]))
        sharing = np.flatnonzero(shares)
        far = np.array([max([0, *later[i:j]]) for i, j in pairwise(first.tolist())], np.int64)
        prices = np.concatenate((row[last:] - once, row[:before]))
        steps = Steps(
            count, clusters, int(later.max()), before, units, prices, sharing,
            np.where(shares, sharing.min(initial=len(shares)), np.arange(len(shares))),
            of_places,
            first, _tasks(later * count + to, linked), far,
            unmet.copy(), usual, ready, once_first, _tasks(once_to, linked),
        )  # fmt: skip
        return cls(steps)

    def makespans(
        self, times: StepTimes, kind: Ints, vector: Ints, batches: Ints, most: Ints | None = None
    ) -> Ints:
        """Return the last end of each point [ps], or :data:`TOO_FAR`; shape (points,).

        Args:
            times: What tasks take, for kinds of points.
            kind: Of each point.
            vector: What a token takes more at each point [ps].
            batches: Batches of each point.
            most: Times [ps]; a point that takes longer may get any that is longer, too.

        Raises:
            TooLongError: The tasks of a point together last 2^62 ps or more.
        """
        self._check_totals(times, kind, vector, batches)
        if most is None:
            most = np.full(len(kind), MOST_PS, np.int64)
        found = np.empty(len(kind), np.int64)
        fill_ends(self.steps, room_for(self.steps), times, kind, vector, batches, most, found)
        return found

    def _check_totals(self, times: StepTimes, kind: Ints, vector: Ints, batches: Ints) -> None:
        """Refuse points whose ends may not fit 64 bits."""
        steps, slow = self.steps, float(vector.max(initial=0))
        longest = max(float(times.steps_ps.max(initial=0)), float(times.once_ps.max(initial=0)))
        longest += slow * float(max(times.tokens.max(initial=0), times.once_tokens.max(initial=0)))
        most = steps.once + steps.size * float(batches.max(initial=0))
        if most * longest < MOST_PS:
            return  # mostly far from that
        usual = times.begin + times.before + times.after
        ends = np.add.reduceat(times.steps_ps.astype(np.float64).sum(axis=0), times.begin)
        each = times.steps_ps[:, usual].sum(axis=0, dtype=np.float64)[kind]
        total = ends[kind] + each * batches + vector.astype(np.float64) * batches * (
            times.tokens[usual][kind]
        )  # fmt: skip
        check_total(float(total.max(initial=0.0)))


def _listed(edges: list[tuple[int, int, int]], sources: int) -> tuple[Ints, Ints, Ints]:
    """Return sorted edges as lists behind each other: where each begins, and their columns."""
    columns = np.array(edges, np.int64).reshape(-1, 3).T
    begin = np.searchsorted(columns[0], np.arange(sources + 1)).astype(np.int64)
    return begin, columns[1].copy(), columns[2].copy()


def _tasks(places: Ints, linked: Ints) -> Ints:
    """Return the tasks of places; ``linked`` are the bits of the steps of each batch."""
    batch, step = np.divmod(places, len(linked))
    found: Ints = batch << BATCH | step << PLACE_BITS | linked[step] | places
    return found


def _servers(plan: Plan) -> tuple[Ints, Ints, int]:
    """Return the server of each task, its bit if it takes what is shared, and the units of that.

    A server is the first resource of a task. What else it holds is shared, unless no other server
    ever holds it, or there are units for all of them.
    """
    server = plan.use[plan.use_first[:-1]]
    others: dict[int, set[int]] = {}
    for task in range(len(plan)):
        for resource in plan.uses_of(task)[1:].tolist():
            others.setdefault(resource, set()).add(int(server[task]))
    shared = [r for r, users in others.items() if len(users) > plan.resources[r].units]
    single = all(plan.resources[r].units == 1 for r in set(server.tolist()))
    if len(shared) > 1 or not single:
        raise PlanError("batches share more than one resource, or have one of several units")
    linked = np.zeros(len(plan), np.int64)
    linked[plan.holder[np.isin(plan.use, shared)]] = LINKED
    units = plan.resources[shared[0]].units if shared else 0
    number: Ints = np.unique(server, return_inverse=True)[1]
    return number, linked, units
