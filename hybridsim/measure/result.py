"""The answer: latency and overhead per layer and of the whole network, with what went in."""

from typing import Any

import pandas as pd
from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from hybridsim.measure.analog_result import AnalogNoiseResult
from hybridsim.measure.energy_result import AreaResult, EnergyResult
from hybridsim.measure.result_html import result_html


class _Answer(BaseModel):
    """Base of what is reported: immutable, and it reads back from its own JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LayerResult(_Answer):
    """What one static linear layer costs."""

    name: str
    block: int | None
    """Index of the transformer block, or None outside of the blocks."""
    in_features: int
    out_features: int
    rank: int
    """Rank of the adapter; 0 without one."""
    tokens: int
    batch: int
    """Tokens per batch, as the scheduler chose."""
    buffers: int
    """Batches that the cluster holds at once."""
    unit: str
    """What multiplies: the part of the cluster and the operand order; empty without adapter."""
    tiles: int
    """Tiles that work on each token."""
    occupancy: float
    """Share of the devices of the layer's crossbars that hold its weights, 0 to 1."""
    tcdm_bytes: int
    """Scratchpad that the adapter takes [bytes]."""
    latency_ps: int
    """From the first task that is ready to the last end [ps]."""
    all_analog_ps: int
    """The same for the layer without adapter work [ps]."""
    overhead_percent: float
    """(latency - all-analog) / all-analog [%]."""
    bound: str
    """The kind of part that takes most of the layer's critical path."""
    utilization: dict[str, float]
    """Kind of part -> share of the layer's latency that the parts it uses are busy, 0 to 1."""


class OpResult(_Answer):
    """What one op that is no linear layer costs."""

    name: str
    kind: str
    """What it is: ``attention``, ``norm``, ``activation``, ``add``, ``embedding``."""
    block: int | None
    """Index of the transformer block, or None outside of the blocks."""
    tokens: int
    """Vectors that it works on."""
    where: str
    """The kind of part that computes it."""
    pieces: int
    """Parts of the machine that share the work on a chunk of tokens."""
    cost_from: str
    """Where its durations come from: ``kernel_costs`` of the machine, or a ``model``."""
    tcdm_bytes: int
    """Scratchpad that it takes on a cluster [bytes]."""
    latency_ps: int
    """From the first task that is ready to the last end [ps]."""
    busy_ps: int
    """Time that parts spend on it in all, without transfers over the link [ps]."""


class ResourceResult(_Answer):
    """How one part of the machine spent the run."""

    name: str
    kind: str
    parts: int
    """Equal parts in lockstep that this row stands for."""
    busy_ps: int
    idle_ps: int
    """Busy and idle add up to units times makespan [ps]."""
    utilization: float


class NumericsResult(_Answer):
    """How far the adapters of a run are from their definition, on random operands."""

    precision: str
    shapes: int
    """Different shapes and ways to compute among the layers."""
    worst_absolute_error: float
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


class Result(_Answer):
    """What a network costs on a machine under a strategy, with everything that went in."""

    hybridsim_version: str
    network: str
    machine: str
    scheduler: str
    engine: str
    tokens: int
    past: int = 0
    """Tokens before these, whose keys and values were kept; left out of JSON if there are none."""
    latency_ps: int
    """Start to end of the whole run [ps]."""
    all_analog_ps: int
    """The same network without adapter work [ps]."""
    overhead_percent: float
    throughput_tokens_per_s: float
    """Tokens divided by latency: one sequence at a time, not a steady state [1/s]."""
    bound: str
    """The kind of part that takes most of the critical path."""
    critical_path_share: dict[str, float]
    """Kind of part -> its share of the critical path, 0 to 1."""
    tiles: int
    crossbars: int
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
    energy: EnergyResult | None = None
    """What the run draws; None where the machine does not tell its energies."""
    area: AreaResult | None = None
    """The silicon of the machine; None where it does not tell the areas of its parts."""
    notes: tuple[str, ...] = ()
    """What the strategy says of its decisions, a line each; left out of JSON if there are none."""
    inputs: dict[str, Any]
    """The machine, network and strategy as text with units; it reads back to the same run."""

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = handler(self)
        names = ("notes", "past", "analog_noise")
        absent = {name for name in names if not getattr(self, name)}
        return {key: value for key, value in document.items() if key not in absent}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per layer, units in the column names."""
        rows = []
        for layer in self.layers:
            row = layer.model_dump(exclude={"utilization"})
            row |= {f"{kind}_utilization": u for kind, u in layer.utilization.items()}
            if self.energy is not None:
                row["energy_pj"] = self.energy.op_aj[layer.name] / 10**6
            rows.append(row)
        return pd.DataFrame(rows)

    def ops_frame(self) -> pd.DataFrame:
        """Return one row per op that is no linear layer, units in the column names."""
        rows = [op.model_dump() for op in self.ops]
        columns = [*OpResult.model_fields]
        if self.energy is not None:
            rows = [row | {"energy_pj": self.energy.op_aj[row["name"]] / 10**6} for row in rows]
            columns.append("energy_pj")
        return pd.DataFrame(rows, columns=columns)

    def resources_frame(self) -> pd.DataFrame:
        """Return one row per part of the machine, units in the column names."""
        return pd.DataFrame([resource.model_dump() for resource in self.resources])

    def to_json(self) -> str:
        """Return one JSON document."""
        return self.model_dump_json(indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Result":
        """Read what :meth:`to_json` wrote.

        Raises:
            pydantic.ValidationError: The text is not a result.
        """
        return cls.model_validate_json(text)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return result_html(self)

    def to_csv(self) -> str:
        """Return the layers as CSV, units in the column names."""
        return self.to_frame().to_csv(index=False)
