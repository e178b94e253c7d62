"""What was decided for a whole network: data alone, so that machines that agree share a plan."""

from collections.abc import Iterable
from functools import cached_property

from hybridsim.engines import Dispatch
from hybridsim.programs import LoraProgram
from hybridsim.programs.attention_runs import AttentionShape
from hybridsim.programs.product import ProductWork
from hybridsim.records import record
from hybridsim.strategies.networks.options import Keep


@record(frozen=True, slots=True)
class AdapterDecision:
    """How clusters adapt the batches of a layer, each cut by rows if several share it."""

    program: LoraProgram
    """Of a full batch."""
    pieces: int
    """Clusters that share a batch."""
    homes: tuple[int, ...]
    """The clusters that keep A and B while the batches pass, one for each piece; none if none."""
    fetched: bool
    """Whether A and B come at all; they stay in every cluster otherwise."""
    fetched_again: bool
    """Whether they come for each batch, not for the first one alone."""
    early: bool
    """Whether X A is a task of its own, which may run beside the MVMs; U is stored between."""
    from_dram: bool
    """Whether A and B are not held on the chip."""
    load_bytes: int
    """What crosses the link at a time for A and B [bytes]; 0 if they are there."""
    last_load_bytes: int
    """The same for the last batch, which may be for fewer experts."""
    weight_bytes: int
    """What one A and B take [bytes]."""
    kept_bytes: int
    """Room that they take where they have a home [bytes]; 0 without one."""
    tcdm_bytes: int
    """Scratchpad of a cluster [bytes]."""


@record(frozen=True, slots=True)
class SharedDecision:
    """How several clusters adapt the same tokens.

    Each makes the products of some ranks, X A_p; when all are there, those of some outputs,
    U B_p + Y_p. Every cluster fetches its own parts of A and B.
    """

    first: LoraProgram
    """X A: of the ranks of a cluster."""
    second: LoraProgram
    """U B + Y: of the outputs of a cluster."""
    parts: int
    """Clusters."""
    fetched: bool
    """As for one cluster."""
    from_dram: bool
    load_bytes: int
    """What each cluster fetches [bytes]; 0 if it is there."""
    u_bytes: int
    """What all ranks of U take [bytes]."""
    tcdm_bytes: int


@record(frozen=True, slots=True)
class DigitalDecision:
    """A linear layer that clusters compute as a whole, each some columns of its output."""

    program: ProductWork
    """Of a full batch on one cluster."""
    pieces: int
    load_bytes: int
    """Weights that are fetched for each batch [bytes]."""
    from_dram: bool
    """Whether they come from the DRAM before."""
    tcdm_bytes: int


@record(frozen=True, slots=True)
class LinearDecision:
    """A linear layer on its tiles, and what adapts it."""

    adapter: AdapterDecision | SharedDecision | None = None
    digital: DigitalDecision | None = None
    """How clusters compute it; None where its weights lie on tiles."""


@record(frozen=True, slots=True)
class EmbeddingDecision:
    """Rows of a table, or the output of an encoder, from the DRAM."""


@record(frozen=True, slots=True)
class ResidualDecision:
    """A sum in the periphery of a tile."""


@record(frozen=True, slots=True)
class PiecesDecision:
    """A norm, an activation or a sum on clusters, each a piece of every batch."""

    pieces: int
    by_rows: bool
    """Whether pieces are cut by rows; by columns otherwise."""
    cost_from: str
    """Where the duration comes from: ``kernel_costs`` or ``model``."""
    tcdm_bytes: int


@record(frozen=True, slots=True)
class AttentionDecision:
    """An attention on clusters, shared out by heads."""

    programs: tuple[AttentionShape, ...]
    """The heads of each cluster, and how their queries are cut."""
    on_engine: bool
    """Whether clusters with a matrix engine are needed."""
    kept_bytes: int
    """Kept keys and values that cross the link [bytes]."""
    from_dram: int
    """Bytes that pass the DRAM channel for it."""
    after: str | None
    """The attention whose place its keys and values take, of those that come from the DRAM."""
    cost_from: str
    tcdm_bytes: int


WorkDecision = (
    LinearDecision | EmbeddingDecision | ResidualDecision | PiecesDecision | AttentionDecision
)


@record(frozen=True, eq=False)
class Chosen:
    """The decision for each work of a network, in order; works alike share theirs."""

    distinct: tuple[WorkDecision, ...]
    numbers: tuple[int, ...]
    """For each work, which one of :attr:`distinct` it is."""

    @classmethod
    def of(cls, decisions: Iterable[WorkDecision]) -> "Chosen":
        """Return decisions, each distinct one once."""
        place: dict[WorkDecision, int] = {}
        # most are the very same thing, and take longer to hash than to tell by that
        given, same = [*decisions], dict[int, int]()
        for each in given:
            if id(each) not in same:
                same[id(each)] = place.setdefault(each, len(place))
        return cls(tuple(place), tuple([same[id(each)] for each in given]))

    @cached_property
    def _hash(self) -> int:
        return hash((self.distinct, self.numbers))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Chosen):
            return NotImplemented
        return self is other or (
            self._hash == other._hash
            and (self.numbers, self.distinct) == (other.numbers, other.distinct)
        )

    def __getitem__(self, place: int) -> WorkDecision:
        return self.distinct[self.numbers[place]]


@record(frozen=True)
class Decided:
    """All that the plan of a network depends on, beside network and placement."""

    batch: int | None
    """Tokens that go from op to op together; None takes all of them."""
    keep: Keep
    """How long adapters stay in a cluster, where they find room."""
    barrier: bool
    """Whether a block waits for the last batch of the block before."""
    dispatch: Dispatch
    """Whether a part starts what is ready, or keeps to an order reserved ahead of time."""
    homes: bool
    """Whether clusters are told apart for the adapters that they keep."""
    kept_bytes: int
    """Scratchpad of every cluster that adapters of all layers take for the whole run [bytes]."""
    ops: Chosen
    notes: tuple[str, ...] = ()
    """What a person should know of how it was decided, a line each."""
    kept_of_kinds: tuple[tuple[str, int], ...] = ()
    """The same of each further kind of clusters [bytes]."""

    @cached_property
    def has_homes(self) -> bool:
        """Whether any adapter has a home in clusters of its own."""
        linear = (op.adapter for op in self.ops.distinct if isinstance(op, LinearDecision))
        return any(isinstance(own, AdapterDecision) and own.homes for own in linear)
