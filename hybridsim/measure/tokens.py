"""Tokens after others: each run is executed, and what they share is laid out and charged once."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from hybridsim.engines import Engine
from hybridsim.measure.area import static_uw
from hybridsim.measure.charge import Charge, exact_sum
from hybridsim.measure.charges import Charges
from hybridsim.measure.energy import macs_of
from hybridsim.plan import Plan, Timeline
from hybridsim.strategies import (
    Choice,
    Job,
    NetworkStrategy,
    Schedule,
    TokenTemplate,
    carry_out,
)
from hybridsim.strategies.networks.least import Bounds, least
from hybridsim.strategies.networks.options import AdapterOptions
from hybridsim.strategies.networks.running import Running
from hybridsim.units import Ints
from hybridsim.work import price


@dataclass(frozen=True)
class Drawn:
    """What one run, or several together, draw."""

    work: dict[str, int]
    """Part -> what its work draws [aJ]; parts that draw nothing are left out."""
    static: dict[str, int]
    """Part -> what it draws for being there [aJ]."""
    macs: int
    not_counted: tuple[str, ...]

    @property
    def total(self) -> int:
        """Work and static energy together [aJ]."""
        return sum(self.work.values()) + sum(self.static.values())


def drawn(job: Job, schedule: Schedule, timeline: Timeline) -> Drawn | None:
    """Return what a run draws, or None where the machine has no energies."""
    if job.machine.energy is None:
        return None
    found = Charges(job, schedule, timeline)
    work = _added(found.all())
    static = _static(job, timeline.makespan)
    return Drawn(work, static, macs_of(job, schedule), found.not_counted)


def together(runs: list[Drawn]) -> Drawn:
    """Return what several runs draw, one after the other."""
    work, static = dict[str, int](), dict[str, int]()
    names: dict[str, None] = {}
    for run in runs:
        for total, own in ((work, run.work), (static, run.static)):
            for part, aj in own.items():
                total[part] = total.get(part, 0) + aj
        names.update(dict.fromkeys(run.not_counted))
    return Drawn(work, static, sum(run.macs for run in runs), tuple(names))


_FEW = 8
"""Candidates that are run without asking for bounds, which take as long as some runs."""


@dataclass(frozen=True)
class TemplateEnergy:
    """What the tokens of a template draw.

    Tasks whose duration does not depend on the past draw the same for every token; the others
    are charged anew, as a plan of their own. Holds as what a task draws does not depend on when
    it runs, in strategies that take clusters as a whole.
    """

    template: TokenTemplate

    def at(self, job: Job, schedule: Schedule, makespan: int) -> Drawn | None:
        """Return what a token of the template draws, or None where the machine has no energies."""
        if job.machine.energy is None:
            return None
        fixed, not_counted = self._fixed
        part = replace(
            self._part,
            works=schedule.plan.works,
            work=schedule.plan.work[self.template.changing],
        )
        own = replace(schedule, plan=part, layers=())
        work = dict(fixed)
        for name, aj in _added(Charges(job, own, _at_once(job, part)).all()).items():
            work[name] = work.get(name, 0) + aj
        return Drawn(work, _static(job, makespan), macs_of(job, schedule), not_counted)

    @cached_property
    def _fixed(self) -> tuple[dict[str, int], tuple[str, ...]]:
        """What tasks draw that last as long for every token, and what is not counted."""
        schedule = self.template.schedule
        found = Charges(self.template.job, schedule, _at_once(self.template.job, schedule.plan))
        changing = np.zeros(len(schedule.plan), np.bool_)
        changing[self.template.changing] = True
        kept = []
        for charge in found.all():
            stays = ~changing[charge.tasks]
            kept.append(replace(charge, tasks=charge.tasks[stays], aj=charge.aj[stays]))
        return _added(kept), found.not_counted

    @cached_property
    def _part(self) -> Plan:
        """The tasks whose duration depends on the past, without their needs."""
        plan, tasks = self.template.schedule.plan, self.template.changing
        held = np.diff(plan.use_first)[tasks]
        holder = plan.holder
        return replace(
            plan,
            work=plan.work[tasks],
            use_first=np.concatenate(([0], np.cumsum(held))),
            use=plan.use[np.isin(holder, tasks)],
            need_first=np.zeros(len(tasks) + 1, np.int64),
            need=np.empty(0, np.int64),
            room=np.empty(0, np.bool_),
            op=plan.op[tasks],
            item=plan.item[tasks],
            loops=(),
            order=None,
        )


def _added(charges: list[Charge]) -> dict[str, int]:
    """Return part -> sum of its charges [aJ]."""
    total: dict[str, int] = {}
    for charge in charges:
        total[charge.told] = total.get(charge.told, 0) + exact_sum(charge.aj)
    return {part: aj for part, aj in total.items() if aj}


def _static(job: Job, makespan: int) -> dict[str, int]:
    power = static_uw(job.machine, job.mapping.used_tiles)
    return {part: each * makespan for part, each in power.items()}


def _at_once(job: Job, plan: Plan) -> Timeline:
    """Return a timeline for charges that do not ask when a task runs."""
    nothing: Ints = np.zeros(len(plan), np.int64)
    return Timeline(nothing, nothing, plan.times(price(plan.works, job.machine).time_ps))


@dataclass(frozen=True)
class TokenRun:
    """One generated token, or the next ones of a prompt, for each sequence of a job."""

    job: Job
    schedule: Schedule
    timeline: Timeline
    energy: TemplateEnergy | None
    """Of its template, where it has one."""

    def drawn(self) -> Drawn | None:
        """Return what the token draws, or None where the machine has no energies."""
        if self.energy is None:
            return drawn(self.job, self.schedule, self.timeline)
        return self.energy.at(self.job, self.schedule, self.timeline.makespan)


@dataclass
class TokenRuns:
    """Tokens of one job after any number of past ones.

    Tokens that are alike but for some durations share a template, as long as the strategy allows.
    """

    job: Job
    strategy: NetworkStrategy
    run: Engine
    tokens: int = 1
    """Of each sequence: one that is generated, or a chunk of a prompt."""
    _templates: dict[Choice, TemplateEnergy] = field(default_factory=dict)
    _alike: dict[Hashable, TemplateEnergy] = field(default_factory=dict)
    """Templates by all that was decided: choices that come to the same share one."""

    def at(self, past: int) -> TokenRun:
        """Return the run of the tokens, of the fastest choice that the strategy leaves open.

        Raises:
            CapacityError: Something does not fit the memory that it needs.
        """
        own = replace(self.job, tokens=self.tokens, past=past)
        if not TokenTemplate.serves(self.strategy):
            return self._carried_out(own, self.strategy.schedule(own), None)
        choices = self.strategy.candidates(own)
        few = sum(choice not in self._templates for choice in choices) <= _FEW
        nothing = Bounds(np.zeros(len(choices), np.int64))
        bounds = nothing if few else self.strategy.bounds(own, choices)
        done: dict[int, TokenRun] = {}
        running = Running(own)

        def run(choice: Choice) -> tuple[int, TokenRun]:
            found = self._run(running, choice, done)
            return found.timeline.makespan, found

        return least(choices, bounds, run).what

    def _run(self, running: Running, choice: Choice, done: dict[int, TokenRun]) -> TokenRun:
        """Return the run of a choice, from its template if that is of its form; ``done`` holds
        the runs of this token by their templates."""
        job, energy = running.job, self._templates.get(choice)
        if energy is not None and id(energy) in done:
            return done[id(energy)]
        schedule = energy.template.schedule_at(job.past) if energy else None
        if energy is None or schedule is None:
            energy = self._templates[choice] = self._made(running, choice)
            if id(energy) in done:
                return done[id(energy)]
            schedule = energy.template.schedule
        found = done[id(energy)] = self._carried_out(job, schedule, energy)
        return found

    def _made(self, running: Running, choice: Choice) -> TemplateEnergy:
        """Return the template of a choice: that of another one where all is decided alike, now
        and for what grows, which how adapters are computed has no say in."""
        job = running.job
        own = self.strategy.deciding(job, choice)
        options = replace(own, keep="batch", adapters=AdapterOptions())
        key = job.past, options, running.decide(own).planned
        if key not in self._alike:
            self._alike[key] = TemplateEnergy(TokenTemplate(self.strategy, job, choice))
        return self._alike[key]

    def _carried_out(
        self, job: Job, schedule: Schedule, energy: TemplateEnergy | None
    ) -> TokenRun:
        done = carry_out(schedule, job.machine, self.run)
        return TokenRun(job, done.schedule, done.timeline, energy)
