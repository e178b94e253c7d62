"""The plan of one generated token, reused for the next ones: only attention grows."""

from dataclasses import dataclass, replace

import numpy as np

from hybridsim.plan import Plan
from hybridsim.programs.attention import AttentionRun
from hybridsim.strategies._dataflow import FlowOp, dataflow
from hybridsim.strategies._network_memory import OnChip
from hybridsim.strategies._network_strategy import Choice, NetworkStrategy
from hybridsim.strategies._network_ways import fetch, once
from hybridsim.strategies.job import Job, Schedule
from hybridsim.units import Ints, ceil_div
from hybridsim.work import Work
from hybridsim.workload import Attention

TaskWorks = dict[str, list[Work]]
"""Label -> the work of each of its tasks, in the order of the plan."""


@dataclass
class TokenTemplate:
    """The plan of a job with past tokens, and what of it changes with their number.

    Needs and resources of a token's tasks do not depend on how many tokens came before, as long
    as the same attentions find their keys and values in the SRAM; neither do durations, but for
    those of attentions and of what brings their keys and values. So a plan for another past has
    the same columns with those durations computed anew: equal to one laid out from scratch.

    Holds for strategies that start what is ready (``dispatch`` online).
    """

    strategy: NetworkStrategy
    job: Job
    choice: Choice
    """One of the strategy's candidates."""

    @staticmethod
    def serves(strategy: NetworkStrategy) -> bool:
        """Return whether the tokens of a strategy can share a template."""
        return strategy.dispatch == "online"

    def __post_init__(self) -> None:
        job = self.job
        network, machine = job.mapping.network, job.machine
        flow = dataflow(network, machine, job.tokens, job.past, job.sequences)
        self._layout = self.strategy.layout(job, flow, *self.choice)
        self._works = flow.works
        self.schedule: Schedule = self._layout.schedule()
        plan = self.schedule.plan
        place = {name: index for index, name in enumerate(plan.ops)}
        self._decided = {decided.op.name: decided for decided in self.schedule.ops}
        self._tasks: dict[tuple[str, str], Ints] = {}
        for work in self._attentions(job.past):
            own = np.flatnonzero(plan.op == place[work.name])
            for action in ("attend", "move kv", "load kv"):
                if action in plan.labels:
                    which = plan.label[own] == plan.labels.index(action)
                    self._tasks[work.name, action] = own[which]
        tasks = list(self._tasks.values())
        self.changing: Ints = np.sort(np.concatenate(tasks)) if tasks else np.empty(0, np.int64)

    def plan_at(self, past: int) -> Plan | None:
        """Return the plan after so many past tokens, or None if it has other tasks.

        Raises:
            CapacityError: Keys and values fit nowhere.
        """
        found = self.schedule_at(past)
        return None if found is None else found.plan

    def schedule_at(self, past: int) -> Schedule | None:
        """Return plan and decisions after so many past tokens, or None if it has other tasks.

        Notes are those of the first token of the template.

        Raises:
            CapacityError: Keys and values fit nowhere.
        """
        job = replace(self.job, past=past)
        works = [self._with_past(work, past) for work in self._works]
        layout = self._layout
        memory = OnChip.of(job, works, layout.ways.chips, self.strategy.adapters_by_capacity)
        if not _alike(memory, layout.memory):
            return None
        plan = self.schedule.plan
        numbers, works_of = plan.work.copy(), list(plan.works)
        place = {own: number for number, own in enumerate(works_of)}
        known: dict[object, tuple[TaskWorks, tuple[AttentionRun, ...]]] = {}
        ops = dict(self._decided)
        for work in works:
            if not isinstance(work.op, Attention):
                continue
            here = layout.place_of(work.name), memory.outside.get(work.name)
            key = (work.op.heads, work.op.kv_heads, work.op.head_dim, work.keys, here)
            if key not in known:
                known[key] = self._task_works(work, memory)
            found, runs = known[key]
            most = max(run.tcdm_bytes for run in runs)
            ops[work.name] = replace(ops[work.name], tcdm_bytes=most, runs=runs)
            for label, own in found.items():
                tasks = self._tasks.get((work.name, label), ())
                if len(tasks) != len(own):
                    return None
                for one in own:
                    if one not in place:
                        place[one] = len(works_of)
                        works_of.append(one)
                numbers[tasks] = [place[one] for one in own]
        plan = _tidy(plan, numbers, works_of)
        return replace(self.schedule, plan=plan, ops=tuple(ops.values()), timeline=None)

    def _task_works(
        self, work: FlowOp, memory: OnChip
    ) -> tuple[TaskWorks, tuple[AttentionRun, ...]]:
        """Return what the tasks of an attention do; those of a label in the order of the plan."""
        layout, chip = self._layout, self._layout.ways.chips[work.name]
        on_engine = layout.is_on_engine(work)
        heads = layout.heads(work, on_engine)
        each = {n: layout.attend(work, n, on_engine) for n in dict.fromkeys(heads)}
        attending = {n: layout.attending(work, n, on_engine) for n in each}
        of_chunks = zip(*(attending[count] for count in heads), strict=True)
        found = {"attend": [own for chunk in of_chunks for own in chunk]}
        bits = layout.kept_bits(work)
        if bits:
            way = (layout.ways.of_memory(chip), layout.place_of(work.name))
            steps = layout.ways.steps("move kv", way, once(ceil_div(bits, 8)), (), 0)
            found["move kv"] = [s.work for s in steps if isinstance(s.work, Work)]
        size = memory.outside.get(work.name, 0)
        if size:
            found["load kv"] = [fetch("load kv", size)]
        return found, tuple(each[count] for count in heads)

    def _with_past(self, work: FlowOp, past: int) -> FlowOp:
        """Return a work with the keys that it has after so many past tokens."""
        if not isinstance(work.op, Attention):
            return work
        keys = self.job.mapping.network.keys(work.op, self.job.tokens, past)
        return replace(work, keys=keys)

    def _attentions(self, past: int) -> list[FlowOp]:
        return [
            self._with_past(work, past) for work in self._works if isinstance(work.op, Attention)
        ]


def _alike(memory: OnChip, other: OnChip) -> bool:
    """Return whether the same operands come from the DRAM, in the place of the same others."""
    return (
        memory.outside.keys() == other.outside.keys()
        and memory.after == other.after
        and memory.adapters_outside == other.adapters_outside
    )


def _tidy(plan: Plan, numbers: Ints, works: list[Work]) -> Plan:
    """Return a plan with other works, each of which some task does."""
    used, number = np.unique(numbers, return_inverse=True)
    return replace(
        plan, works=tuple(works[i] for i in used.tolist()), work=number.astype(np.int64)
    )
