"""What the strategies for whole networks leave open: where ops are computed, and how."""

from typing import Literal

from hybridsim.engines import Dispatch
from hybridsim.programs import CHOICES, LoraChoice
from hybridsim.programs.attention import Form, KeysValues
from hybridsim.records import record
from hybridsim.units import Spec

Keep = Literal["network", "layer", "batch"]
"""How long A and B stay in a cluster."""


class OpUnits(Spec):
    """A part for each kind of op; ``best`` takes the one whose work on a batch is shorter.

    A kind with one part alone is listed, so that asking for another says what would do. Linear
    layers are where their weights are; adapters have the options ``unit`` and ``order``.
    """

    attention: Literal["matrix_engine", "cores", "best"] = "matrix_engine"
    """The products of an attention; on the cores where a cluster has no engine.
    Source of the default: HARP."""
    softmax: Literal["cores"] = "cores"
    """The softmax of an attention; nothing else has a cost for it."""
    add: Literal["periphery", "cores", "best"] = "periphery"
    """A sum of vectors; on the cores where a tile's periphery does no sums.
    Source of the default: HARP."""
    norm: Literal["cores"] = "cores"
    """A normalization; ``free_ops`` of a machine hides those of a periphery."""
    activation: Literal["cores"] = "cores"
    """An element-wise function; as for norms."""
    embedding: Literal["dram"] = "dram"
    """The rows of a table."""


@record(frozen=True)
class AdapterOptions:
    """How the adapters of a network are computed."""

    choices: tuple[LoraChoice, ...] = CHOICES[:1]
    """The ways that are left open; the fastest one is taken."""
    early: bool = False
    """Whether X A is a task of its own, which may run beside the MVMs; U is stored between."""
    resident: bool = False
    """Whether A and B of all layers stay in every cluster, from sequence to sequence."""
    homes: bool = False
    """Whether A and B of a layer stay in clusters of its own while its batches pass; fetched for
    every batch otherwise, as is what finds no room."""
    share: bool = False
    """Whether clusters share adapters of too few tokens to be cut by rows, where it is faster."""


@record(frozen=True)
class DecidingOptions:
    """What the strategies for networks leave open, with one candidate of what they try."""

    batch: int | None
    """Tokens of a batch; None takes all of them as one."""
    keep: Keep
    where: OpUnits
    """On which part each kind of op is computed."""
    split: bool
    """Whether digital ops are split over clusters."""
    attention: Form
    keys_values: KeysValues
    queries: int | None
    """Queries that a cluster works on at a time where there are no batches; the best if None."""
    flash: bool
    """Whether attention goes over warps of keys even where it need not."""
    warp: int | None
    """Keys that the flash form takes at a time; as many as fit if None."""
    barrier: bool
    """Whether a block waits for the last batch of the block before."""
    dispatch: Dispatch
    adapters: AdapterOptions
    move_kept: bool = False
    """Whether kept keys and values cross the link on their way from the SRAM."""
    by_capacity: bool = False
    """Whether adapters that the SRAM cannot hold come from the DRAM."""
