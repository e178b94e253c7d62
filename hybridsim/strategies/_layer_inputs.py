"""Which static linear layers read which, looked up through all that lies between them."""

from dataclasses import dataclass

from hybridsim.workload import Network
from hybridsim.workload.ops import Attention, FirstToken, LastToken, Linear, Trigram


@dataclass(frozen=True, slots=True)
class Reads:
    """What a layer reads, as names of static linear layers."""

    batchwise: frozenset[str] = frozenset()
    """Layers of whose output a batch of tokens needs only the same tokens."""
    whole: frozenset[str] = frozenset()
    """Layers of whose output it needs more: all that an attention has seen."""

    def __or__(self, other: "Reads") -> "Reads":
        return Reads(self.batchwise | other.batchwise, self.whole | other.whole)


BARRIERS = (Attention, Trigram, FirstToken, LastToken)
"""Ops that read tokens other than the one they make: attention all, a trigram its neighbours."""


def layer_inputs(network: Network) -> dict[str, Reads]:
    """Return what each static linear layer of a network reads.

    Norms, activations, additions, embeddings and concatenations are looked through: they work on
    each token alone.
    """
    made: dict[str, Reads] = {}
    layers: dict[str, Reads] = {}
    for op in network.ops:
        read = Reads()
        for name in op.inputs:
            read |= made[name]
        if isinstance(op, Linear):
            layers[op.name] = read
            made[op.name] = Reads(frozenset({op.name}))
        elif isinstance(op, BARRIERS):
            made[op.name] = Reads(whole=read.batchwise | read.whole)
        else:
            made[op.name] = read
    return layers
