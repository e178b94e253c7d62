"""The plan of one generated token, reused for the next ones: the same plan, other works."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hybridsim.plan import Plan
from hybridsim.strategies.job import Job, OpDecision, Schedule
from hybridsim.strategies.networks.attention_on_clusters import by_cluster, from_dram, kept
from hybridsim.strategies.networks.decisions import AttentionDecision
from hybridsim.strategies.networks.memory import OnChip
from hybridsim.strategies.networks.options import AdapterOptions
from hybridsim.strategies.networks.plans import lay_out
from hybridsim.strategies.networks.reads import deciding_of
from hybridsim.strategies.networks.strategy import Choice, NetworkStrategy
from hybridsim.strategies.networks.structure import structure_of
from hybridsim.units import Ints
from hybridsim.work import Work
from hybridsim.workload import Attention

_GROWING = ("attend", "keep", "load")


@dataclass
class TokenTemplate:
    """The plan of a job with past tokens, and what of it changes with their number.

    Needs and resources of a token's tasks do not depend on how many tokens came before, as long
    as the same attentions find their keys and values in the SRAM; neither do works, but for
    those of attentions and of what brings their keys and values. So a plan for another past has
    the same columns with other works there: equal to one laid out from scratch.

    Holds for strategies that start what is ready (``dispatch`` online).
    """

    strategy: NetworkStrategy
    job: Job
    choice: Choice
    """One of the strategy's candidates."""

    @staticmethod
    def serves(strategy: NetworkStrategy) -> bool:
        """Return whether the tokens of a strategy can share a template."""
        return strategy.dispatch == "online" and strategy.takes_the_fastest

    def __post_init__(self) -> None:
        # how adapters are computed has no say in what grows
        options = self.strategy.deciding(self.job, self.choice)
        self._options = replace(options, keep="batch", adapters=AdapterOptions())
        self._structure = structure_of(self.job)
        self._decisions = self.strategy.decide_for(self.job, self.choice)
        self._memory = deciding_of(self._structure, self.job.machine, self._options).memory
        self.schedule: Schedule = lay_out(self._structure, self._decisions)
        self._told = {told.op.name: told for told in self.schedule.ops}
        self._tasks = self._find_tasks()
        tasks = list(self._tasks.values())
        self.changing: Ints = np.sort(np.concatenate(tasks)) if tasks else np.empty(0, np.int64)
        """Tasks whose works depend on the number of past tokens."""

    def _find_tasks(self) -> dict[tuple[str, str], Ints]:
        """Return the tasks of each attention that grow with the past, by what they do."""
        plan = self.schedule.plan
        place = {name: index for index, name in enumerate(plan.ops)}
        by_kind = {
            "attend": plan.which(lambda work: work.kind == "program"),
            "keep": plan.which(lambda work: work.kind == "keep" and work.part != "dram"),
            "load": plan.which(lambda work: work.kind == "keep" and work.part == "dram"),
        }
        found = {}
        for work in self._structure.works:
            if isinstance(work.op, Attention):
                own = np.flatnonzero(plan.op == place[work.name])
                for kind in _GROWING:
                    found[work.name, kind] = own[by_kind[kind][own]]
        return found

    def schedule_at(self, past: int) -> Schedule | None:
        """Return plan and decisions after so many past tokens, or None if it has other tasks.

        Notes are those of the first token of the template.

        Raises:
            CapacityError: Keys and values fit nowhere.
        """
        structure = self._structure.after(past)
        deciding = deciding_of(structure, self.job.machine, self._options)
        if not _alike(deciding.memory, self._memory):
            return None
        plan = self.schedule.plan
        numbers, works_of = plan.work.copy(), list(plan.works)
        numbered, told = _Numbers(works_of), dict(self._told)
        for kind, work in zip(structure.kinds, structure.works, strict=True):
            if not isinstance(work.op, Attention):
                continue
            decision = deciding.of(kind, work)
            assert isinstance(decision, AttentionDecision)
            told[work.name] = replace(told[work.name], tcdm_bytes=decision.tcdm_bytes)
            for what, own in self._numbers(numbered, work.name, decision, past).items():
                tasks = self._tasks[work.name, what]
                if len(tasks) != len(own):
                    return None
                numbers[tasks] = own
        return self._with(_tidy(plan, numbers, works_of), told)

    def _with(self, plan: Plan, told: dict[str, OpDecision]) -> Schedule:
        return replace(self.schedule, plan=plan, ops=tuple(told.values()))

    def _numbers(
        self, numbered: "_Numbers", name: str, decision: AttentionDecision, past: int
    ) -> dict[str, Ints]:
        """Return the works of an attention's tasks that grow, in the order of the plan."""
        moved = self._moved(name, decision) if decision.kept_bytes else []
        loaded = [from_dram(decision, past)] if decision.from_dram else []
        return {
            "attend": numbered.attending(decision),
            "keep": numbered.of(moved),
            "load": numbered.of(loaded),
        }

    def _moved(self, name: str, decision: AttentionDecision) -> list[Work]:
        """Return the works that bring kept keys and values, over the parts that they cross now."""
        plan, moved = self.schedule.plan, kept(decision)
        found = []
        for task in self._tasks[name, "keep"]:
            now = plan.works[plan.work[task]]
            work = moved.works(now.part, *now.shape[2:])
            assert isinstance(work, Work)
            found.append(work)
        return found


class _Numbers:
    """The places of works in a list, to which new ones are appended."""

    def __init__(self, works: list[Work]) -> None:
        self._works = works
        self._place = {work: number for number, work in enumerate(works)}
        self._attending: dict[Hashable, Ints] = {}

    def of(self, works: Sequence[Work]) -> Ints:
        """Return the places of works."""
        return np.array([self._of(work) for work in works], np.int64)

    def attending(self, decision: AttentionDecision) -> Ints:
        """Return the places of what heads do, batch after batch; attentions alike share them."""
        programs = decision.programs
        if programs not in self._attending:
            clusters = by_cluster(decision)
            own = {id(works): self.of(works) for works in clusters}  # of equal heads the same
            self._attending[programs] = np.stack([own[id(works)] for works in clusters], 1).ravel()
        return self._attending[programs]

    def _of(self, work: Work) -> int:
        number = self._place.setdefault(work, len(self._works))
        if number == len(self._works):
            self._works.append(work)
        return number


def _alike(memory: OnChip, other: OnChip) -> bool:
    """Return whether the same operands come from the DRAM, in the place of the same others."""
    return (
        memory.outside.keys() == other.outside.keys()
        and memory.after == other.after
        and memory.adapters_outside == other.adapters_outside
    )


def _tidy(plan: Plan, numbers: Ints, works: list[Work]) -> Plan:
    """Return a plan with other works, each of which some task does."""
    used = np.bincount(numbers, minlength=len(works)) > 0
    left = tuple(work for work, does in zip(works, used.tolist(), strict=True) if does)
    return replace(plan, works=left, work=(np.cumsum(used) - 1)[numbers])
