"""Which ops of a network take time on a machine, what they read there, and in which batches.

Ops that only rearrange data, and those that the machine declares free, are looked through: what
reads them reads their source.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any, Literal

import numpy as np

from hybridsim.errors import SpecError
from hybridsim.mapping.objectives import name_in_block
from hybridsim.plan import Need, Within
from hybridsim.records import record
from hybridsim.strategies.machine_shape import MachineShape
from hybridsim.units import Ints, ceil_div
from hybridsim.workload import Attention, Embedding, Input, Linear, Network, Op
from hybridsim.workload.ops import LastToken

_REARRANGING = {
    "input", "concat", "slice", "trigram", "window", "first_token", "last_token", "class_token",
}  # fmt: skip
"""Kinds of ops that only say which elements are read."""
_NEVER_FREE = (Linear, Attention, Embedding)
"""What a machine cannot declare free: what it is there for."""


@record(frozen=True, slots=True)
class FlowOp:
    """An op that takes time."""

    name: str
    """The name of the op."""
    op: Op
    sources: tuple[str, ...]
    """The works whose outputs it reads, each once, in the order of its inputs."""
    tokens: int
    """Vectors that it works on."""
    keys: int = 0
    """Tokens attended to; 0 if it is no attention."""
    last: bool = False
    """Whether it reads the last token alone."""
    copies: int = 1
    """Vectors that stand for each token, where it passes through several experts."""
    once: bool = False
    """Whether it works once per sequence: on the first token, or the last."""


@record(frozen=True)
class Dataflow:
    """The works of a network in order, and the ops that cost nothing."""

    works: tuple[FlowOp, ...]
    free: tuple[str, ...]
    """Ops that would be computed, but cost nothing by declaration of the machine, and tables
    that it holds where they are read."""


def dataflow(
    network: Network, machine: MachineShape, tokens: int, past: int = 0, sequences: int = 1
) -> Dataflow:
    """Return what takes time when ``network`` runs on ``machine``, for one sequence or several.

    With ``past`` tokens before these, what is the same for all tokens is there already: the keys
    and values of an encoder's output.

    The tables of embeddings are read together: what reads one of them waits for all. A free op
    happens where its last operand from a tile is made, and its other operands cost nothing.

    Raises:
        SpecError: A pattern of the machine's free ops cannot be read.
    """
    patterns = [_pattern(machine, text) for text in machine.free_ops]
    fetched = machine.has_dram
    made: dict[str, tuple[str, ...]] = {}
    works: list[FlowOp] = []
    free: list[str] = []
    linear: dict[str, int] = {}
    tables: list[str] = []
    declared: dict[tuple[str, str, str], bool] = {}
    read = {name for op in network.ops for name in op.inputs}
    last = {op.name for op in network.ops if isinstance(op, LastToken)}
    for op in network.ops:
        inputs = [made[name] for name in op.inputs]
        # most ops read a single other one, whose sources are told apart already
        sources = inputs[0] if len(inputs) == 1 else tuple(dict.fromkeys(chain(*inputs)))
        if past and network.is_given(op):
            made[op.name] = ()
            continue
        if op.kind in _REARRANGING and not (fetched and _is_fetched(op)):
            made[op.name] = sources
            continue
        if isinstance(op, Embedding) and not (fetched and op.name in read):
            free.append(op.name)
            made[op.name] = ()
            continue
        if patterns and not isinstance(op, _NEVER_FREE):
            key = (op.kind, getattr(op, "function", ""), name_in_block(op))
            if key not in declared:
                declared[key] = any(_matches(op, pattern) for pattern in patterns)
            if declared[key]:
                free.append(op.name)
                made[op.name] = _made_by(inputs, linear)
                continue
        keys = network.keys(op, tokens, past) if isinstance(op, Attention) else 0
        rows = sequences * network.tokens(op, tokens)
        reads_last = not last.isdisjoint(op.inputs) if last else False
        copies, once = network.vectors.copies.get(op.name, 1), op.name in network.vectors.once
        works.append(FlowOp(op.name, op, sources, rows, keys, reads_last, copies, once))
        made[op.name] = (op.name,)
        if isinstance(op, Linear):
            linear[op.name] = len(linear)
        if isinstance(op, Embedding):
            tables.append(op.name)
    return Dataflow(tuple(_reading_together(works, tables)), tuple(free))


def _made_by(inputs: Sequence[tuple[str, ...]], linear: Mapping[str, int]) -> tuple[str, ...]:
    """Return the source that a free op is hidden behind: the latest one on tiles, or the last."""
    on_tiles = [each for each in inputs if any(name in linear for name in each)]
    if on_tiles:
        return max(on_tiles, key=lambda each: max(linear.get(name, -1) for name in each))
    return inputs[-1] if inputs else ()


def _reading_together(works: Sequence[FlowOp], tables: Sequence[str]) -> list[FlowOp]:
    """Put the tables first, and let what reads one of them read all."""
    known = set(tables)
    found = [work for work in works if work.name in known]
    for work in works:
        if work.name in known:
            continue
        if known.isdisjoint(work.sources):
            found.append(work)
            continue
        others = (name for name in work.sources if name not in known)
        found.append(replace(work, sources=(*tables, *others)))
    return found


def _is_fetched(op: Op) -> bool:
    """Return whether an input of the network lies in the DRAM: the output of an encoder."""
    return isinstance(op, Input) and op.tokens is not None


def _pattern(machine: MachineShape, text: str) -> tuple[str, str]:
    kind, colon, rest = text.partition(":")
    if not kind or (colon and not rest):
        raise SpecError(
            machine.name,
            "free_ops",
            f"found {text[:60]!r}; write a kind, kind:function or name:pattern, "
            "as in norm:no_norm",
        )
    return kind, rest


def _matches(op: Op, pattern: tuple[str, str]) -> bool:
    kind, rest = pattern
    if kind == "name":
        return fnmatchcase(name_in_block(op), rest)
    return op.kind == kind and (not rest or getattr(op, "function", "") == rest)


Needs = list[Need | Within]
Cut = Literal["", "rows", "columns"]


@record(frozen=True, slots=True)
class Batches:
    """The batches that tokens are cut into: all alike, but maybe the last one."""

    full: int
    """Rows of a batch."""
    last: int
    count: int

    @classmethod
    def of(cls, tokens: int, batch: int | None) -> "Batches":
        """Return the batches of some tokens; the last one takes what is left."""
        full = min(batch or tokens, tokens)
        count = ceil_div(tokens, full)
        return cls(full, tokens - (count - 1) * full, count)

    @classmethod
    def of_work(cls, work: FlowOp, batch: int | None) -> "Batches":
        """Return the batches of an op, of so many tokens each; copies of a token stay together."""
        return cls.of(work.tokens, batch and batch * work.copies)


@record(frozen=True, slots=True)
class Output:
    """Where the output of an op is: piece p of batch i is task ``first + p + stride * i``."""

    first: int
    stride: int
    count: int
    pieces: int
    width: int
    """Elements of a token's vector, all pieces together."""
    cut: Cut = ""
    """What the pieces of a batch share out."""

    def later(self, shift: int) -> "Output":
        """Return the same output of a copy of its tasks, ``shift`` tasks later."""
        first = self.first + shift
        return Output(first, self.stride, self.count, self.pieces, self.width, self.cut)

    def ready(self, count: int, once: bool = False) -> Needs:
        """Return what batch i of a reader with ``count`` batches waits for.

        One that works ``once`` per sequence reads the first token alone. Another that has other
        batches (a token more, or windows of several tokens) waits for all.
        """
        if count == self.count:
            return [Need(self.first + piece, self.stride) for piece in range(self.pieces)]
        if once:
            return [Need(self.first + piece) for piece in range(self.pieces)]
        return self.last()

    def last(self) -> Needs:
        """Return the pieces of the last batch."""
        behind = self.first + self.stride * (self.count - 1)
        return [Need(behind + piece) for piece in range(self.pieces)]


@record(frozen=True, slots=True, eq=False)
class Cuts:
    """The batches that the tokens of an op are cut into, one entry per candidate."""

    full: Ints
    last: Ints
    count: Ints

    @classmethod
    def of(cls, work: FlowOp, batches: Ints) -> "Cuts":
        """Return the cuts of an op for each of some batches, as :class:`Batches` cuts it."""
        full = np.minimum(batches * work.copies, work.tokens)
        count: Ints = ceil_div(np.full_like(full, work.tokens), full)
        return cls(full, work.tokens - (count - 1) * full, count)

    def over(self, usual: Ints, last: Ints) -> Ints:
        """Return the sum over batches of what a full one and the last one take."""
        return (self.count - 1) * usual + last

    def at(self, some: Any) -> "Cuts":
        """Return the cuts of some of the candidates."""
        return Cuts(self.full[some], self.last[some], self.count[some])
