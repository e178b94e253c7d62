"""The answer: latency and overhead per layer and of the whole network, with what went in.

Beside them what the run draws, how much silicon its machine takes, and how noisy its tiles are.
"""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, ValidationError

from hybridsim._old_names import OldAttribute
from hybridsim.boundary.reading import is_folder, read_own_json
from hybridsim.errors import SpecError
from hybridsim.measure.answer import Answer, Document, Sparse
from hybridsim.measure.coverage import Coverage, WholeNetworkResult
from hybridsim.measure.energy_result import AreaResult, EnergyResult
from hybridsim.measure.interval import IntervalResult, sure
from hybridsim.shown import lines
from hybridsim.specs import shown
from hybridsim.units import format_bytes, format_ps, format_share

if TYPE_CHECKING:
    import pandas as pd

MOST_SHOWN = 12
"""Layers that a notebook shows, those with the longest latency."""
_CELL = "text-align:right;padding:2px 8px"


class AnalogNoiseRow(Answer):
    """One layer at one time after programming."""

    layer: str
    """The layer's name."""
    seconds: float
    """Time since programming [s]."""
    relative_error: float
    """||y - exact|| / ||exact||, mean over chips."""
    relative_error_sd: float
    """Its standard deviation over chips."""
    snr_db: float
    """-20 log10 of the mean relative error [dB]."""
    cosine_error: float
    """1 - cos(y, exact), mean over vectors and chips."""
    alpha: float
    """Mean factor of the drift compensation."""
    clipping_error: float
    """||W - clipped|| / ||W||."""


class AnalogNoiseResult(Answer):
    """Noise of every static linear layer over time since programming."""

    weights: str
    """What the layers held."""
    chips: int
    """Programmed chips behind every mean."""
    settings: dict[str, object]
    """Device, mapping, converters and compensation, as text with units."""
    rows: tuple[AnalogNoiseRow, ...]
    """One entry per layer and time."""


class LayerResult(Sparse):
    """What one static linear layer costs."""

    name: str
    """The layer's name."""
    block: int | None
    """Index of the transformer block, or None outside of the blocks."""
    in_features: int
    """Elements of an input vector."""
    out_features: int
    """Elements of an output vector."""
    rank: int
    """Rank of the adapter; 0 without one."""
    tokens: int
    """Vectors that pass through it."""
    batch: int
    """Tokens per batch, as the strategy chose."""
    buffers: int
    """Batches that the cluster holds at once."""
    unit: str
    """What multiplies: the part of the cluster and the operand order; empty without adapter."""
    clusters: int = 0
    """Clusters that take the batches in turn; 0 without adapter, and for strategies for whole
    networks, which share out each op by itself."""
    tiles: int
    """Tiles that work on its tokens, all copies together."""
    copies: int = 1
    """Sets of tiles that hold it, which take its tokens in turn."""
    occupancy: float
    """Share of the devices of the layer's crossbars that hold its weights, 0 to 1."""
    tcdm_bytes: int
    """Scratchpad that the adapter takes [bytes]."""
    latency_ps: int
    """From the first task that is ready to the last end [ps]."""
    yardstick_ps: int
    """The yardstick: the same for the layer without adapter work [ps]."""
    overhead_percent: float
    """(latency - yardstick) / yardstick [%]. Where layers overlap, both times count waiting for
    other layers as well, so it is no overhead of this layer and may be below zero."""
    bound: str
    """The part whose elasticity for the layer is largest."""
    elasticity: dict[str, float] = Field(default_factory=dict)
    """Part -> relative gain in speed of the layer alone over that of the part, measured with the
    part 10 % faster; the largest first."""
    utilization: dict[str, float]
    """Kind of part -> share of the layer's latency that the parts it uses are busy, 0 to 1."""
    placed_on: str = ""
    """The kind of tiles that hold it, or of clusters that compute it; empty where a machine has
    one kind of each."""
    adapter_on: str = ""
    """The kind of clusters that compute its adapter; likewise."""

    left_out: ClassVar[tuple[str, ...]] = ("placed_on", "adapter_on", "copies")
    all_analog_ps: ClassVar[OldAttribute] = OldAttribute("yardstick_ps")


class OpResult(Answer):
    """What one op that is no linear layer costs."""

    name: str
    """The op's name."""
    kind: str
    """What it is: ``attention``, ``norm``, ``activation``, ``add``, ``embedding``."""
    block: int | None
    """Index of the transformer block, or None outside of the blocks."""
    tokens: int
    """Vectors that it works on."""
    where: str
    """The kind of part that computes it."""
    pieces: int
    """Parts of the machine that share the work on a batch of tokens."""
    cost_from: str
    """Where its durations come from: ``kernel_costs`` of the machine, or a ``model``."""
    tcdm_bytes: int
    """Scratchpad that it takes on a cluster [bytes]."""
    latency_ps: int
    """From the first task that is ready to the last end [ps]."""
    busy_ps: int
    """Time that parts spend on it in all, without transfers over the link [ps]."""


class ResourceResult(Sparse):
    """How one part of the machine spent the run."""

    name: str
    """What the part is called."""
    kind: str
    """What the part is."""
    parts: int
    """Equal parts in lockstep that this row stands for."""
    busy_ps: int
    """Time at work [ps]."""
    idle_ps: int
    """Busy and idle add up to units times makespan [ps]."""
    utilization: float
    """Busy time over the makespan, 0 to 1."""
    sort: str = ""
    """Which of several kinds of that part it is; empty for the usual one."""

    left_out: ClassVar[tuple[str, ...]] = ("sort",)


class NumericsResult(Answer):
    """How far the adapters of a run are from their definition, on random operands."""

    precision: str
    """The number format of the adapters."""
    shapes: int
    """Different shapes and ways to compute among the layers."""
    worst_absolute_error: float
    """The largest absolute error."""
    worst_relative_error: float
    """Largest absolute error over the largest magnitude of the result."""
    worst_layer: str
    """Where the largest relative error was found."""
    within_bound: bool
    """Whether every output is within the bound that theory gives."""
    equals_unsplit: bool
    """Whether splitting the work over the unit changes no bit of any result."""

    @property
    def summary(self) -> str:
        """One line for people."""
        bound = "within" if self.within_bound else "BEYOND"
        split = "equals" if self.equals_unsplit else "DIFFERS FROM"
        return (
            f"{self.precision} worst relative error {self.worst_relative_error:.2e} "
            f"({self.worst_layer}), {bound} the bound; split {split} unsplit"
        )


class Result(Document):
    """What a network costs on a machine under a strategy, with everything that went in."""

    left_out = ("notes", "past", "analog_noise", "interval", "whole_network")

    hybridsim_version: str
    """The release that computed it."""
    network: str
    """The network's name."""
    machine: str
    """The machine's name."""
    strategy: str
    """The strategy's name."""
    engine: str
    """The engine that executed the plan."""
    tokens: int
    """Tokens per sequence."""
    past: int = 0
    """Tokens before these, whose keys and values were kept; left out of JSON if there are none."""
    latency_ps: int
    """Start to end of the whole run [ps]."""
    yardstick_ps: int
    """The yardstick: the same network without adapter work, under the same freedom [ps]."""
    overhead_percent: float
    """(latency - yardstick) / yardstick [%]."""
    layer_by_layer_ps: int | None = None
    """All-analog layers one after the other, whatever the strategy may do [ps]: the yardstick of
    the paper. None for strategies for whole networks."""
    layer_by_layer_percent: float | None = None
    """(latency - layer by layer) / layer by layer [%]: overhead as the paper defines it."""
    covers: Coverage | None = None
    """What the latency covers; None in results of releases that did not say."""
    whole_network: WholeNetworkResult | None = None
    """What the whole network takes, where the run is of its layers alone and it was asked for;
    left out of JSON otherwise."""
    throughput_tokens_per_s: float
    """Tokens divided by latency: one sequence at a time, not a steady state [1/s]."""
    bound: str
    """The part whose elasticity is largest."""
    elasticity: dict[str, float] = Field(default_factory=dict)
    """Part -> relative gain in speed of the run over that of the part, measured with the part
    10 % faster and all decisions kept; the largest first."""
    critical_path_share: dict[str, float]
    """Kind of part -> its share of the critical path, 0 to 1."""
    tiles: int
    """Tiles that hold weights."""
    crossbars: int
    """Crossbars that hold weights."""
    occupancy: float
    """Share of the devices of the used crossbars that hold weights, 0 to 1."""
    tcdm_bytes: int
    """The most scratchpad that any layer takes on a cluster [bytes]."""
    tasks: int
    """Tasks that the engine executed."""
    utilization: dict[str, float]
    """Kind of part -> share of the run that parts of the kind are busy, 0 to 1."""
    numerics: NumericsResult | None = None
    """What running the adapter kernels showed, where asked for."""
    analog_noise: AnalogNoiseResult | None = None
    """Noise of the layers since programming, where asked for; left out of JSON otherwise."""
    layers: tuple[LayerResult, ...]
    """The static linear layers."""
    ops: tuple[OpResult, ...] = ()
    """The other ops that take time, where the strategy covers whole networks."""
    free_ops: tuple[str, ...] = ()
    """Ops that cost nothing because the machine declares them free."""
    resources: tuple[ResourceResult, ...]
    """The parts of the machine."""
    energy: EnergyResult | None = None
    """What the run draws; None where the machine does not tell its energies."""
    area: AreaResult | None = None
    """The silicon of the machine; None where it does not tell the areas of its parts."""
    interval: IntervalResult | None = None
    """How sure latency, overhead and energy are; left out of JSON where it was not asked for."""
    notes: tuple[str, ...] = ()
    """What the strategy says of its decisions, a line each; left out of JSON if there are none."""
    inputs: dict[str, Any]
    """The machine, network and strategy as text with units; it reads back to the same run."""

    scheduler: ClassVar[OldAttribute] = OldAttribute("strategy")
    all_analog_ps: ClassVar[OldAttribute] = OldAttribute("yardstick_ps")

    @property
    def layers_in_turn(self) -> bool:
        """Whether layers run one after the other, so that each has an overhead of its own.

        Where they overlap, the latency of one tells how long it waits for others as well.
        """
        return not self.ops and self.layer_by_layer_ps in (None, self.yardstick_ps)

    def to_frame(self) -> "pd.DataFrame":
        """Return one row per layer, units in the column names."""
        import pandas as pd  # here and below: slow to import

        rows = []
        for layer in self.layers:
            row = layer.model_dump(exclude={"utilization", "elasticity"})
            row |= {f"{kind}_utilization": u for kind, u in layer.utilization.items()}
            if self.energy is not None:
                row["energy_pj"] = self.energy.op_aj[layer.name] / 10**6
            rows.append(row)
        return pd.DataFrame(rows)

    def ops_frame(self) -> "pd.DataFrame":
        """Return one row per op that is no linear layer, units in the column names."""
        import pandas as pd

        rows = [op.model_dump() for op in self.ops]
        columns = [*OpResult.model_fields]
        if self.energy is not None:
            rows = [row | {"energy_pj": self.energy.op_aj[row["name"]] / 10**6} for row in rows]
            columns.append("energy_pj")
        return pd.DataFrame(rows, columns=columns)

    def resources_frame(self) -> "pd.DataFrame":
        """Return one row per part of the machine, units in the column names."""
        import pandas as pd

        return pd.DataFrame([resource.model_dump() for resource in self.resources])

    def __str__(self) -> str:
        """Return the answer in ten lines at most."""
        return lines(_head(self), _facts(self))

    def __repr__(self) -> str:
        return f"<Result: {_head(self)}, {format_ps(self.latency_ps)}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return _html(self)

    def to_csv(self) -> str:
        """Return the layers as CSV, units in the column names."""
        return self.to_frame().to_csv(index=False)


def read_result(path: Path) -> Result:
    """Return the result in a file, or in the ``result.json`` of a folder.

    Raises:
        SpecError: There is none, what is there is none, or it has changed since it was written.
    """
    path = path / "result.json" if is_folder(path) else path
    would_do = "a result.json, or the folder of hybridsim run --out, would do"
    document = read_own_json(path, would_do)
    try:
        result = Result.model_validate(document)
    except SpecError as error:  # of a format that is not known here
        raise SpecError(str(path), error.place, error.problem) from None
    except ValidationError:
        problem = "is no result; what hybridsim run --out wrote would do"
        raise SpecError(str(path), "", problem) from None
    for name in ("network", "machine", "strategy"):
        found = result.inputs.get(name, {})
        if not isinstance(found, dict):
            problem = f"found {shown(found)}; a mapping (key: value) would do"
            raise SpecError(str(path), f"inputs.{name}", problem)
    return result


# --- as text ------------------------------------------------------------------------------------


def _head(result: Result) -> str:
    tokens = f"{result.tokens:,} tokens" + (f" after {result.past:,}" if result.past else "")
    return f"{result.network} on {result.machine}, {tokens}, {result.strategy}"


def _facts(result: Result) -> Iterator[tuple[str, str]]:
    """Yield what there is to say of a result, a line each."""
    interval, energy = result.interval, result.energy
    yardstick = "without adapters" if result.ops else "all-analog"
    yield "latency", format_ps(result.latency_ps) + sure(interval, "latency")
    yield "yardstick", f"{format_ps(result.yardstick_ps)}, {yardstick}"
    yield "overhead", f"{result.overhead_percent:.2f} %" + sure(interval, "overhead")
    yield "covers", result.covers.text if result.covers else ""
    bound = result.bound.replace("_", " ")
    yield "bound by", f"{bound}; critical path: {_path(result)}"
    held = format_share(result.occupancy)
    yield "tiles", f"{result.tiles:,}, {held} of their devices hold weights"
    yield "energy", energy.summary + sure(interval, "energy") if energy else ""
    yield "TCDM", f"{format_bytes(result.tcdm_bytes)} at most on a cluster"
    others = f", {len(result.ops):,} other ops: ops_frame()" if result.ops else ""
    yield "rows", f"{len(result.layers):,} layers: to_frame(){others}; all of it: to_json()"


def _path(result: Result) -> str:
    """Return what the critical path consists of, the largest share first."""
    shares = {kind.replace("_", " "): share for kind, share in result.critical_path_share.items()}
    found = [f"{kind} {format_share(share)}" for kind, share in shares.items() if share >= 0.005]
    return ", ".join(found) or "nothing"


# --- in notebooks -------------------------------------------------------------------------------


def _html(result: Result) -> str:
    """Return the answer, what bounds it and the slowest layers; no script, no style sheet.

    Colours are those of the notebook, so it reads in light and dark.
    """
    rows = sorted(result.layers, key=lambda layer: -layer.latency_ps)[:MOST_SHOWN]
    left = len(result.layers) - len(rows)
    head = ("layer", "shape", "batch", "latency", "overhead", "bound by")
    heads = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in head)
    body = "".join(_row(layer) for layer in rows)
    more = f"<p>and {left:,} layers that take less</p>" if left else ""
    return (
        f"<div><p><strong>{escape(result.network)} on {escape(result.machine)}</strong>: "
        f"{format_ps(result.latency_ps)}{sure(result.interval, 'latency')} for {result.tokens} "
        f"tokens, {result.overhead_percent:.1f} % more than the yardstick, "
        f"{format_ps(result.yardstick_ps)} "
        f"{'without adapters' if result.ops else 'all-analog'} "
        f"({escape(result.strategy)})<br>bound by {escape(result.bound.replace('_', ' '))}; "
        f"critical path: {escape(_path(result))}; "
        f"{format_bytes(result.tcdm_bytes)} of TCDM{_covers(result)}</p>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{more}</div>"
    )


def _covers(result: Result) -> str:
    return f"<br>covers {escape(result.covers.text)}" if result.covers else ""


def _row(layer: LayerResult) -> str:
    return (
        f'<tr><th scope="row" style="text-align:left">{escape(layer.name)}</th>'
        + "".join(f'<td style="{_CELL}">{escape(text)}</td>' for text in _cells(layer))
        + "</tr>"
    )


def _cells(layer: LayerResult) -> Iterator[str]:
    yield f"{layer.in_features} x {layer.out_features}"
    yield str(layer.batch) if layer.rank else "-"
    yield format_ps(layer.latency_ps)
    yield f"{layer.overhead_percent:.1f} %"
    yield layer.bound.replace("_", " ")
