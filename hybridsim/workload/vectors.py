"""How many vectors each op of a network works on: tokens, patches, frames, copies for experts."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from hybridsim.errors import InputError
from hybridsim.workload.ops import (
    ClassToken,
    Combine,
    Embedding,
    Experts,
    FirstToken,
    Given,
    Input,
    LastToken,
    Op,
    Pool,
    Window,
)


class Vectors:
    """The vectors of the ops of one network, as a function of the tokens of a sequence.

    One for all that follows a :class:`FirstToken` or a :class:`LastToken`; for what is made of
    inputs and tables of a given length alone, what these say; one less than what follows for all
    that comes before a :class:`ClassToken`, and as many as make the windows for what comes before
    a :class:`Window`; otherwise every token. Between :class:`Experts` and :class:`Combine` each of
    them counts once for every expert that it passes through.
    """

    def __init__(self, network: str, ops: Sequence[Op]) -> None:
        self._network, self._ops = network, ops

    def of(self, op: Op, sequence_length: int, source_length: int | None = None) -> int:
        """Return the vectors of ``op`` in one sequence of that many tokens.

        Raises:
            InputError: The sequence has no token but those that are put in front of it.
        """
        copies = self.copies.get(op.name, 1)
        if op.name in self.once:
            return copies
        given = self.given.get(op.name)
        if given is not None:
            tokens = given if isinstance(given, int) else source_length or sequence_length
            return copies * tokens
        tokens = sequence_length
        for step in self._until_the_end.get(op.name, ()):
            tokens = step.tokens_before(tokens) if isinstance(step, Window) else tokens - 1
        if tokens < 1:
            least = sequence_length - tokens + 1
            raise InputError(
                f"network {self._network!r}: found {sequence_length} tokens per sequence; the "
                f"first {_in_front(least - 1)}, so {least} or more would do"
            )
        return copies * tokens

    @cached_property
    def once(self) -> frozenset[str]:
        """What is done once per sequence."""
        found: set[str] = set()
        for op in self._ops:
            if isinstance(op, FirstToken | LastToken) or (
                op.inputs and found.issuperset(op.inputs)
            ):
                found.add(op.name)
        return frozenset(found)

    @cached_property
    def given(self) -> Mapping[str, Given]:
        """What has as many vectors as it says itself, whatever the sequence."""
        found: dict[str, Given] = {}
        for op in self._ops:
            if isinstance(op, Input | Embedding):
                if op.tokens is not None:
                    found[op.name] = op.tokens
            elif op.inputs and all(name in found for name in op.inputs):
                found[op.name] = _after(op, found[op.inputs[0]])
        return found

    @cached_property
    def copies(self) -> Mapping[str, int]:
        """How many vectors stand for each token, where it passes through several experts."""
        found: dict[str, int] = {}
        for op in self._ops:
            before = max((found.get(name, 1) for name in op.inputs), default=1)
            own = op.active if isinstance(op, Experts) and before == 1 else before
            if own > 1 and not isinstance(op, Combine):
                found[op.name] = own
        return found

    @cached_property
    def _until_the_end(self) -> Mapping[str, tuple[ClassToken | Window, ...]]:
        """What changes the number of tokens behind each op, the last first."""
        found: dict[str, tuple[ClassToken | Window, ...]] = {}
        for op in reversed(self._ops):
            steps = found.get(op.name, ())
            if isinstance(op, ClassToken | Window):
                steps = (*steps, op)
            for name in op.inputs if steps else ():
                found.setdefault(name, steps)
        return found


def _after(op: Op, tokens: Given) -> Given:
    if isinstance(tokens, int) and isinstance(op, ClassToken):
        return tokens + 1
    if isinstance(tokens, int) and isinstance(op, Window):
        return op.tokens_after(tokens)
    return op.positions if isinstance(op, Pool) else tokens


def _in_front(tokens: int) -> str:
    return "is the class token" if tokens == 1 else f"{tokens} are put in front of it"
