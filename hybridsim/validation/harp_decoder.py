"""What HARP's files count of keys and values of T5's decoder; only rows of HARP are run so.

Source: IBM/HARP at c19a799; IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975.
"""

from dataclasses import dataclass

from hybridsim.arch import Machine
from hybridsim.workload import Attention, Input, Network
from hybridsim.workload.ops import Op


class Counted(Network):
    """A decoder with an encoder behind it, as HARP counts.

    Both attentions of a block are charged for the same keys, those of the tokens, also the one
    that reads the encoder (inferred: a key costs twice as much as in one attention).
    """

    def keys(self, op: Attention, sequence_length: int, past: int = 0) -> int:
        """Return how many tokens an attention attends to: all there are."""
        return sequence_length + past

    def is_given(self, op: Op | None) -> bool:
        """Return whether an op is there with the first token; the encoder's output is not."""
        return not isinstance(op, Input) and super().is_given(op)


@dataclass(frozen=True, slots=True)
class Kept:
    """A decoder as HARP counts, and room for its keys and values."""

    network: Network
    sram: int | None
    """An SRAM that keeps those of as many attentions as HARP's rule says [bytes]; None where that
    of the machine does."""
    note: str


def counted(network: Network, machine: Machine, tokens: int, past: int) -> Kept | None:
    """Return how HARP runs a decoder after ``past`` tokens; None if it has no encoder.

    How many attentions keep their keys and values in the SRAM is told by the last one of a block,
    which holds those of the encoder's tokens, however many keys the others hold: T5's has
    2 x 512 x 512 of them, and 2 x 512 of queries and output, so that 8 MiB have room for 15.
    """
    encoder = next((op for op in network.ops if isinstance(op, Input) and op.tokens), None)
    if encoder is None or not isinstance(encoder.tokens, int):
        return None
    attentions = [op for op in network.ops if isinstance(op, Attention)]
    keys, count = tokens + past, len(attentions)
    note = f"HARP's count: both attentions of a block have {keys} keys"
    sram = machine.memory.sram if machine.memory else None
    if sram is None or not past:
        return Kept(_as_counted(network, encoder, past), None, note)
    last = _bytes(attentions[-1], machine, tokens, encoder.tokens)
    each = max(_bytes(op, machine, tokens, keys) for op in attentions)
    stay = sram.size // last
    note += f"; {min(stay, count)} of {count} stay in the SRAM, {last:,} B each"
    return Kept(_as_counted(network, encoder, past), max(stay * each, each - 1), note)


def _as_counted(network: Network, encoder: Input, past: int) -> Network:
    """Return the network as HARP counts.

    The encoder's output is fetched with every token, and crosses the link once: it is among what
    HARP embeds, while its products are made at the first token alone (inferred, and checked on no
    row: 512 x 512 bytes take the 0.32 ms by which a token with few keys is longer than all else).
    """
    ops = list(network.ops)
    if past:
        at, first = next(
            (at, op)
            for at, op in enumerate(ops)
            if isinstance(op, Attention) and network.is_given(network.op(op.inputs[1]))
        )
        inputs = (first.inputs[0], encoder.name, encoder.name)
        ops[at] = first.model_copy(update={"inputs": inputs})
    fields = {name: getattr(network, name) for name in Network.model_fields}
    return Counted.model_validate(fields | {"ops": tuple(ops)})


def _bytes(op: Attention, machine: Machine, tokens: int, keys: int) -> int:
    """Return what an attention takes: queries and output, keys and values."""
    return machine.bytes_of(2 * tokens * op.out_features + 2 * keys * op.kv_heads * op.head_dim)
