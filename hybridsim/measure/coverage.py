"""What a latency covers: which ops of the network it has, which it leaves out, which are free."""

from collections.abc import Iterable, Mapping

from pydantic import Field

from hybridsim.measure.answer import Answer
from hybridsim.strategies import Job, Schedule
from hybridsim.strategies.networks.dataflow import dataflow
from hybridsim.workload import Linear, Op

_NAMES = {
    "linear": "linear layer",
    "add": "sum",
    "rotary": "rotary embedding",
    "input": "fetched input",
    "experts": "layer of experts",
    "combine": "sum of experts",
    "select": "choice of experts",
    "depthwise": "depthwise convolution",
}
"""Kinds of ops as people count them, where that is another word than the kind."""


class Coverage(Answer):
    """What a latency covers, as how many ops of each kind."""

    timed: dict[str, int]
    """Kind -> ops that the latency covers."""
    left_out: dict[str, int]
    """Kind -> ops that take time on the machine, but are not in the latency."""
    free: dict[str, int]
    """Kind -> ops that cost nothing, as the machine declares or holds their tables."""
    adapters: int
    """Linear layers with an adapter, which the latency covers as well."""
    biases: int
    """Linear layers with a bias, which the tile's periphery adds as it scales: no time of its own,
    nor energy."""

    @property
    def whole(self) -> bool:
        """Whether nothing that takes time is left out."""
        return not self.left_out

    @property
    def text(self) -> str:
        """One line for people."""
        linear = _counted({"linear": self.timed.get("linear", 0)})
        parts = [_counted({"": self.adapters}, "adapter")] if self.adapters else []
        parts += ["biases"] if self.biases else []
        linear += f" with {' and '.join(parts)}" if parts else ""
        others = {kind: n for kind, n in self.timed.items() if kind != "linear"}
        said = ", ".join([linear, *([_counted(others)] if others else [])])
        if self.left_out:
            said += f"; not {_counted(self.left_out)}"
        if self.free:
            said += f"; free {_counted(self.free)}"
        return said


class WholeNetworkResult(Answer):
    """What the whole network takes, beside a study of its linear layers alone."""

    strategy: str = ""
    """The fastest of the strategies for whole networks, with its own defaults."""
    latency_ps: int | None = None
    """Start to end of all its ops [ps]; None where no such strategy can run."""
    yardstick_ps: int | None = None
    """The same strategy on the network without adapters [ps]."""
    overhead_percent: float | None = None
    """(latency - yardstick) / yardstick [%]."""
    covers: Coverage | None = None
    """What the latency covers."""
    tried: dict[str, int] = Field(default_factory=dict)
    """The fastest strategy -> its latency [ps]; of earlier releases all that could run."""
    slower: tuple[str, ...] = ()
    """The other strategies, none of whose plans is faster: they were run, or a bound says so."""
    batch: int | None = None
    """Tokens that go from op to op together: the fastest of all batches."""
    problem: str = ""
    """Why no strategy for whole networks can run; empty otherwise."""


def coverage_of(job: Job, schedule: Schedule) -> Coverage:
    """Return what the latency of a schedule covers."""
    network = job.mapping.network
    flow = dataflow(network, job.structure.machine, job.tokens, job.past)
    layers = [decided.layer.op for decided in schedule.layers]
    timed = {op.name: op for op in (*layers, *(decided.op for decided in schedule.ops))}
    left = [work.op for work in flow.works if work.name not in timed]
    free = set(schedule.free or flow.free)
    return Coverage(
        timed=_by_kind(timed.values()),
        left_out=_by_kind(left),
        free=_by_kind(op for op in network.ops if op.name in free),
        adapters=sum(layer.layer.adapter is not None for layer in schedule.layers),
        biases=sum(isinstance(op, Linear) and op.bias for op in layers),
    )


def _by_kind(ops: Iterable[Op]) -> dict[str, int]:
    found: dict[str, int] = {}
    for op in ops:
        found[op.kind] = found.get(op.kind, 0) + 1
    return found


def _counted(ops: Mapping[str, int], name: str = "") -> str:
    """Return how many of each kind, as in ``6 attentions, 1 norm``."""
    said = []
    for kind, count in ops.items():
        word = name or _NAMES.get(kind, kind.replace("_", " "))
        first, of, rest = word.partition(" of ")
        said.append(f"{count} {first}{'s' * (count != 1)}{of}{rest}")
    return ", ".join(said)
