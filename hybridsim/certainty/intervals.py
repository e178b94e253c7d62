"""Intervals of a run: its plan, carried out again with many draws of what models missed.

The plan, and with it all that was decided, stays; prices differ from sample to sample, and the
yardstick is priced by the same draws. What lies between the 5th and the 95th percentile of the
samples is the 90 % interval; where the estimate itself lies beyond (residuals move a makespan
up more easily than down), the interval is stretched to hold it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hybridsim.arch import Machine
from hybridsim.certainty.doubts import Doubts
from hybridsim.certainty.draws import Draws
from hybridsim.certainty.energies import energy_bounds
from hybridsim.certainty.residuals import LEVEL, Floats, Residuals, bundled_residuals
from hybridsim.certainty.works import doubts_of
from hybridsim.engines import Engine, engine
from hybridsim.measure.interval import IntervalResult, LayerInterval, SpanInterval
from hybridsim.measure.result import Result
from hybridsim.plan import Plan, Timeline
from hybridsim.simulation import Run
from hybridsim.strategies import CarriedOut, Schedule
from hybridsim.units import Ints

MOST_SAMPLES = 200
"""Samples of a short plan."""
LEAST_SAMPLES = 20
"""Samples of a long plan: the fewest of which the first and the last are 5 and 95 %."""
TASKS = 400_000
"""Tasks that all samples of a run and of its yardstick may have together: about 0.2 s."""
ENERGIES = "energy constants"
"""What an interval of an energy does not hold, whatever the machine: powers and energies per
event, of one published source each (:mod:`.energies`)."""


def interval_of(
    run: Run,
    residuals: Residuals | None = None,
    samples: int | None = None,
    seed: int = 0,
    execute: Engine | None = None,
) -> IntervalResult:
    """Return the 90 % intervals of a run.

    ``samples`` are as many as :data:`TASKS` allow unless given; ``execute`` is the compiled engine
    unless given.
    """
    residuals = residuals or bundled_residuals()
    machine = run.job.machine
    own = Sampled(run.schedule, run.prices.time_ps, run.timeline, machine)
    against, other = own, run.against
    if other is not None:
        against = Sampled(other.schedule, other.prices.time_ps, other.timeline, machine)
    tasks = sum(len(each.plan) for each in {own, against} if each.in_doubt)
    draws = Draws(residuals, samples or samples_for(tasks), seed)
    with_engine = execute or engine("compiled")
    spans = own.spans(draws, with_engine)
    alone = spans if against is own else against.spans(draws, with_engine)
    return _answer(run, draws, own, (spans, own.point), (alone, against.point))


def span_interval(
    own: CarriedOut, against: CarriedOut, machine: Machine, point: tuple[int, int] | None = None
) -> SpanInterval:
    """Return the 90 % interval of a plan as it was carried out, and of its yardstick.

    With ``point`` [ps] the interval is that of another time and yardstick, such as a mean, which
    are taken to be as sure in proportion.
    """
    first, second = (
        Sampled(each.schedule, each.prices.time_ps, each.timeline, machine)
        for each in (own, against)
    )
    same = own is against
    both = (first,) if same else (first, second)
    tasks = sum(len(each.plan) for each in both if each.in_doubt)
    draws = Draws(bundled_residuals(), samples_for(tasks))
    spans = [each.spans(draws, engine("compiled"))[0] for each in both]
    latency, yardstick = spans[0], spans[-1]
    if point is not None:
        latency = latency * (point[0] / max(1, own.makespan))
        yardstick = yardstick * (point[1] / max(1, against.makespan))
    at = point or (own.makespan, against.makespan)
    low, high = bounds_of(latency, at[0])
    before = bounds_of(yardstick, at[1])
    ends = bounds_of(_overhead(latency, yardstick), (at[0] - at[1]) * 100 / max(1, at[1]))
    names = sorted(set[str]().union(*(d.unmeasured for d in first.doubts)))
    return SpanInterval(
        level=LEVEL,
        samples=draws.samples,
        latency_low_ps=int(low),
        latency_high_ps=int(high),
        yardstick_low_ps=int(before[0]),
        yardstick_high_ps=int(before[1]),
        overhead_low_percent=ends[0],
        overhead_high_percent=ends[1],
        not_in_interval=tuple(names),
    )


def with_interval(run: Run) -> Result:
    """Return the result of a run with its intervals."""
    return run.result.model_copy(update={"interval": interval_of(run)})


def samples_for(tasks: int) -> int:
    """Return how many samples plans of so many tasks are worth."""
    return max(LEAST_SAMPLES, min(MOST_SAMPLES, TASKS // max(1, tasks)))


@dataclass(eq=False)
class Sampled:
    """A plan as it was carried out, and what is in doubt in its works."""

    schedule: Schedule
    time_ps: Ints
    timeline: Timeline
    machine: Machine

    @property
    def plan(self) -> Plan:
        """What is carried out."""
        return self.schedule.plan

    @cached_property
    def doubts(self) -> tuple[Doubts, ...]:
        """What is in doubt in each work."""
        return tuple(doubts_of(work, self.machine) for work in self.plan.works)

    @property
    def in_doubt(self) -> bool:
        """Whether anything is."""
        return any(own.found for own in self.doubts)

    @property
    def period_ps(self) -> list[float]:
        """The period of the clock of the clusters that do each work [ps]."""
        return [self._period(work.sort) for work in self.plan.works]

    def _period(self, sort: str) -> float:
        # a kind of tiles has no doubt, whatever its clock
        cluster = self.machine.cluster_of(sort if sort in self.machine.clusters else "")
        return 1e12 / cluster.clock.frequency if cluster else 1.0

    @cached_property
    def point(self) -> Ints:
        """How long the run and each layer take without any doubt, shape (1 + layers,) [ps]."""
        return self._measured(self.timeline)

    def times(self, draws: Draws) -> Ints:
        """Return the times of all works in each sample, shape (works, samples) [ps]."""
        return draws.times(self.time_ps, self.doubts, self.period_ps)

    def spans(self, draws: Draws, execute: Engine) -> Ints:
        """Return how long the run and each layer take in each sample [ps].

        Shape (1 + layers, samples). Samples that agree are carried out once.
        """
        times = self.times(draws)
        changed = (times != self.time_ps[:, None]).any(axis=0)
        found = np.repeat(self.point[:, None], draws.samples, axis=1)
        for sample in np.flatnonzero(changed).tolist():
            timeline = execute(self.plan, np.ascontiguousarray(times[:, sample]))
            found[:, sample] = self._measured(timeline)
        return found

    def _measured(self, timeline: Timeline) -> Ints:
        """Return the makespan, and from the first ready task of each layer to its last end."""
        tasks, first = self._layer_tasks
        begin = np.minimum.reduceat(timeline.ready[tasks], first) if len(first) else first
        end = np.maximum.reduceat(timeline.end[tasks], first) if len(first) else first
        found: Ints = np.concatenate(([timeline.makespan], end - begin))
        return found

    @cached_property
    def _layer_tasks(self) -> tuple[Ints, Ints]:
        """The tasks of each layer, one behind the other, and where those of each begin.

        MVMs may be tasks of another op, which does those of its siblings as well.
        """
        plan, carried = self.plan, self.schedule.carried_by
        order = np.argsort(plan.op, kind="stable")
        bounds = np.searchsorted(plan.op[order], np.arange(len(plan.ops) + 1))
        place = {name: index for index, name in enumerate(plan.ops)}
        mvm = plan.which(lambda work: work.kind == "mvm") if carried else None
        parts = []
        for layer in self.schedule.layers:
            name, own = layer.layer.name, [np.empty(0, np.int64)]
            if name in place:
                own.append(order[bounds[place[name]] : bounds[place[name] + 1]])
            if name in carried and mvm is not None:
                at = place[carried[name]]
                tasks = order[bounds[at] : bounds[at + 1]]
                own.append(tasks[mvm[tasks]])
            parts.append(np.concatenate(own))
        first = np.cumsum([0, *(len(part) for part in parts)])[:-1]
        return np.concatenate([*parts, np.empty(0, np.int64)]), first.astype(np.int64)


# --- telling ------------------------------------------------------------------------------------


def bounds_of(samples: Floats | Ints, point: float) -> tuple[float, float]:
    """Return the ends of the interval of some samples, so far that they hold the estimate."""
    (low,), (high,) = _ends(samples[None])
    return min(low, point), max(high, point)


def _ends(samples: Floats | Ints) -> tuple[list[float], list[float]]:
    """Return the ends of the interval of each row of samples.

    Percentiles are order statistics from the outside, so that they lie no nearer than asked for.
    """
    tail = 50 * (1 - LEVEL)
    low = np.percentile(samples, tail, axis=1, method="lower")
    high = np.percentile(samples, 100 - tail, axis=1, method="higher")
    return low.astype(float).tolist(), high.astype(float).tolist()


def _answer(
    run: Run,
    draws: Draws,
    own: Sampled,
    spans: tuple[Ints, Ints],
    alone: tuple[Ints, Ints],
) -> IntervalResult:
    """Return the intervals of a run and of its layers; both pairs are samples and estimates."""
    low, high = bounds_of(spans[0][0], spans[1][0])
    before = bounds_of(alone[0][0], alone[1][0])
    over = bounds_of(_overhead(spans[0][0], alone[0][0]), run.result.overhead_percent)
    energy = energy_bounds(run, draws, own.doubts, spans[0][0])
    names = sorted(set[str]().union(*(d.unmeasured for d in own.doubts)))
    return IntervalResult(
        level=LEVEL,
        samples=draws.samples,
        seed=draws.seed,
        latency_low_ps=int(low),
        latency_high_ps=int(high),
        yardstick_low_ps=int(before[0]),
        yardstick_high_ps=int(before[1]),
        overhead_low_percent=over[0],
        overhead_high_percent=over[1],
        energy_low_pj=None if energy is None else energy[0],
        energy_high_pj=None if energy is None else energy[1],
        layers=tuple(_layers(run, spans[0][1:], alone[0][1:])),
        not_in_interval=tuple(names) + ((ENERGIES,) if energy is not None else ()),
    )


def _overhead(latency: Floats | Ints, yardstick: Floats | Ints) -> Floats:
    """Return (latency - yardstick) / yardstick, both drawn together [%]."""
    found: Floats = (latency - yardstick) * 100 / np.maximum(yardstick, 1)
    return found


def _layers(run: Run, spans: Ints, alone: Ints) -> Iterator[LayerInterval]:
    """Yield the intervals of the layers, from samples of all of them, shape (layers, samples)."""
    ends = *_ends(spans), *_ends(_overhead(spans, alone))
    for layer, low, high, less, more in zip(run.result.layers, *ends, strict=True):
        yield LayerInterval(
            name=layer.name,
            latency_low_ps=int(min(low, layer.latency_ps)),
            latency_high_ps=int(max(high, layer.latency_ps)),
            overhead_low_percent=min(less, layer.overhead_percent),
            overhead_high_percent=max(more, layer.overhead_percent),
        )
