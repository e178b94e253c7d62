"""Answers of ``compare``, ``explain``, ``cost`` and ``alternatives``."""

from pydantic import ConfigDict

from hybridsim.described import Described
from hybridsim.measure.coverage import Coverage
from hybridsim.measure.interval import IntervalResult
from hybridsim.reference.answers.rows import Row


class StrategyRow(Row):
    """One strategy; further columns are shares of parts, as in ``cluster_critical``."""

    strategy: str
    """The strategy's name."""
    problem: str
    """Why it cannot run; empty where it ran, and then all other columns are there."""
    latency_ps: int = 0
    """Latency of the network [ps]."""
    yardstick_ps: int = 0
    """What it is compared with: the same without adapters [ps]."""
    overhead_percent: float = 0.0
    """Overhead over the yardstick [%]."""
    layer_by_layer_ps: int | None = None
    """All-analog layers in turn [ps]; null for whole networks."""
    layer_by_layer_percent: float | None = None
    """Overhead over these, as the paper defines it [%]; null for whole networks."""
    covers: str = ""
    """What the latency covers, in words."""
    latency_low_ps: float = 0
    """Lower end of the 90 % interval of the latency [ps]."""
    latency_high_ps: float = 0
    """Upper end of the 90 % interval of the latency [ps]."""
    overhead_low_percent: float = 0.0
    """Lower end of the 90 % interval of the overhead [%]."""
    overhead_high_percent: float = 0.0
    """Upper end of the 90 % interval of the overhead [%]."""
    worst_layer_percent: float = 0.0
    """Overhead of the adapted layer that has the largest [%]."""
    tcdm_bytes: int = 0
    """The most that a scratchpad holds at a time [bytes]."""
    energy_pj: float = 0.0
    """Energy of the run [pJ]; absent where the machine says nothing of energy."""
    tile_utilization: float = 0.0
    """Share of the run that tiles are busy [0..1]; so for each kind of part."""
    bound: str = ""
    """The kind of part with the largest elasticity."""
    units_waiting: float = 0.0
    """Share of the multiplying units' time that they wait for a part [0..1]."""
    units_blocked: float = 0.0
    """Share of their time without room downstream [0..1]."""
    units_starved: float = 0.0
    """Share of their time without ready work, and more to come [0..1]."""
    units_finished: float = 0.0
    """Share of their time with nothing left to do [0..1]."""


class ComparisonAnswer(Described):
    """Strategies side by side on one machine."""

    network: str
    """The network's name."""
    machine: str
    """The machine's name."""
    tokens: int
    """Tokens per sequence."""
    best: str
    """The fastest strategy with adapters; empty if none ran."""
    notes: tuple[str, ...] = ()
    """Why these strategies were taken, where others were to be expected."""
    strategies: list[StrategyRow]
    """A row for each strategy, in the order in which they were asked for."""


class PathRow(Described):
    """What the critical path consists of."""

    action: str
    """What is done."""
    on: str
    """Kind of part that does it."""
    tasks: int
    """Tasks of the path that do it."""
    time_ps: int
    """Their time [ps]; all rows add up to the latency."""
    share: float
    """Share of the latency [0..1]."""


class KindRow(Described):
    """Layers alike: their names differ in numbers alone."""

    kind: str
    """Their name, ``*`` for numbers."""
    layers: int
    """How many these are."""
    shape: str
    """Inputs and outputs, as in 512x128."""
    latency_ps: int
    """Latency of the slowest of them [ps]."""
    overhead_percent: float
    """Its overhead [%]."""
    share: float
    """Share of the latencies of all layers [0..1]."""
    bound: str
    """What it waits for."""
    unit: str
    """What its adapter runs on."""
    batch: int
    """Tokens per batch."""


class StallRow(Described):
    """How parts of one kind spend the run, in shares that add up to 1."""

    kind: str
    """Kind of part."""
    parts: int
    """How many of them work at all."""
    busy: float
    """Share of the time with work [0..1]."""
    waiting: float
    """Share with ready work that another part is missing for [0..1]."""
    blocked: float
    """Share with ready work and no room downstream [0..1]."""
    starved: float
    """Share without ready work, and more to come [0..1]."""
    finished: float
    """Share with nothing left to do [0..1]."""


class TriedRow(Described):
    """A setting or a change of the machine that was run."""

    change: str
    """What was changed, in words."""
    latency_ps: int
    """Latency with it [ps]."""
    gain_percent: float
    """How much shorter that is [%]."""
    overhead_percent: float
    """Overhead with it [%]."""
    arguments: str
    """What to give to ``hybridsim run``."""


class ExplanationAnswer(Described):
    """Why a run took as long as it did, and what would help."""

    network: str
    """The network's name."""
    machine: str
    """The machine's name."""
    strategy: str
    """The strategy of the run."""
    scheduler: str
    """Deprecated: the name of strategy before."""
    tokens: int
    """Tokens per sequence."""
    latency_ps: int
    """Latency of the run [ps]."""
    overhead_percent: float
    """Overhead over its yardstick [%]."""
    layer_by_layer_percent: float | None
    """Overhead as the paper defines it [%]; null for whole networks."""
    covers: Coverage | None
    """What the latency covers."""
    interval: IntervalResult | None
    """How sure the figures are."""
    bound: str
    """The kind of part with the largest elasticity."""
    elasticity: dict[str, float]
    """Kind of part -> relative gain in speed of the run over that of the part."""
    notes: list[str]
    """What the strategy noted."""
    path: list[PathRow]
    """The critical path, longest first."""
    kinds: list[KindRow]
    """Kinds of layers, those with the largest share first."""
    stalls: list[StallRow]
    """Kinds of parts and why they are idle."""
    free: list[TriedRow]
    """What can be had on the same machine, the most helpful first."""
    changes: list[TriedRow]
    """Changes of the machine, each run beside the best that is free, the most helpful first."""
    best_free: list[str]
    """The names of the most helpful of what is free, three at most."""
    best_changes: list[str]
    """The names of the most helpful changes, three at most."""


class CostAnswer(Described):
    """What one part costs for one shape; which keys there are depends on what is asked."""

    model_config = ConfigDict(extra="allow")

    source: str
    """Where the equation or the measured row is from."""
    cycles: int | None = None
    """Cycles of the part's own clock; null where no way is possible."""
    time_ps: int | None = None
    """The same as time [ps]."""
    bytes: int = 0
    """Bytes that are moved or held."""
    fits: bool = False
    """Whether these fit the scratchpad."""
    winner: str | None = None
    """The fastest of several ways to compute an adapter."""
    ways: dict[str, dict[str, object]] | None = None
    """Way to compute an adapter -> its cycles, time, bytes and kernels, or the reason why not."""
    energies: dict[str, dict[str, object]] | None = None
    """Way to compute an adapter -> what it draws per token."""


class AlternativesFacts(Described):
    """One sequence, and one switch from a task to another."""

    adapter_bytes: int
    """Adapters of one task [bytes]."""
    sequence_ps: int
    """A sequence with adapters [ps]."""
    yardstick_ps: int
    """The same without [ps]."""
    fetch_ps: int | None
    """Fetching a task's adapters [ps]; null where the machine has no memory."""
    fetch_pj: float | None
    """Energy of that [pJ]."""
    reprogram_least_ps: int
    """Writing tiles anew, all at the same time [ps]."""
    reprogram_most_ps: int
    """Writing tiles anew, one after the other [ps]."""
    reprogram_pj: float
    """Energy of that [pJ]."""
    sequence_pj: float | None
    """Energy of a sequence with adapters [pJ]."""
    yardstick_pj: float | None
    """Energy of a sequence without [pJ]."""
    even_after_least: float | None
    """Sequences of a task after which tiles written at once take as long; null for never."""
    even_after_most: float | None
    """The same for tiles written one by one."""
    even_after_energy: float | None
    """Sequences of a task after which both draw the same."""


class AlternativesRow(Described):
    """One way to serve a number of tasks."""

    tasks: int
    """Number of tasks."""
    way: str
    """adapters, reprogram or chip_per_task."""
    parameters: int
    """Parameters of all tasks together."""
    tiles: int
    """Tiles that it takes."""
    stored_bytes: int
    """What waits in memory [bytes]."""
    area_mm2: float | None
    """Area [mm2]; null where the machine says nothing of it."""
    switch_least_ps: int
    """A switch to another task, at best [ps]."""
    switch_most_ps: int | None
    """The same at worst [ps]; null where it is not known."""
    switch_pj: float | None
    """Energy of a switch [pJ]."""


class AlternativesAnswer(Described):
    """Adapters beside tiles written anew and a chip for each task."""

    facts: AlternativesFacts
    """One sequence and one switch."""
    table: list[AlternativesRow]
    """A row for each number of tasks and way."""
