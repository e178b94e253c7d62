"""A network: ops in the order in which they run, and the adapters they carry."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from hybridsim.errors import InputError, UnknownNameError, did_you_mean
from hybridsim.specs import PlacedError, validate
from hybridsim.units import Spec
from hybridsim.workload.adapters import Adapter, AdapterSpec
from hybridsim.workload.ops import (
    Attention,
    ClassToken,
    FirstToken,
    Input,
    LastToken,
    Linear,
    Name,
    Op,
    Tokens,
)

MOST_OPS = 20_000
"""The most ops of a network; the largest known transformers have some thousands."""


def _plain(text: str) -> str:
    """Refuse characters that a terminal would obey instead of showing them."""
    for character in text:
        if not (character.isprintable() or character == "\n"):
            raise ValueError(f"found the character {character!r}; printable text would do")
    return text


PlainText = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_plain)]
"""Words for people: kept as they are, without control characters."""


class Network(Spec):
    """A graph of ops in topological order; every op reads only what is computed before it.

    Raises:
        ValidationError: A name is used twice, an op reads what is not there, has too few or too
            many inputs, or a size disagrees with that of its producer; an adapter pattern
            matches nothing. The loaders of this package raise a SpecError instead.
    """

    name: Name
    """The name of the network."""
    source: PlainText
    """Where the shapes come from."""
    reference: PlainText | None = None
    """The publication that describes the network or reports its figures."""
    sequence_length: Tokens | None = None
    """Tokens per sequence where a run names none."""
    max_sequence_length: Tokens | None = None
    """The most tokens per sequence that its position table allows."""
    ops: Annotated[tuple[Op, ...], Field(min_length=1, max_length=MOST_OPS)]
    """All ops, in the order in which they run."""
    adapters: AdapterSpec | None = None
    """The adapters its linear layers carry; None without any."""

    @model_validator(mode="after")
    def _check(self) -> "Network":
        _check_graph(self.ops)
        tokens, most = self.sequence_length, self.max_sequence_length
        if tokens and most and tokens > most:
            problem = f"found {tokens}; the position table allows {most} tokens"
            raise PlacedError("sequence_length", problem)
        _ = self._adapters  # a pattern that matches nothing is an error now, not at first use
        return self

    def op(self, name: str) -> Op:
        """Return the op of that name.

        Raises:
            UnknownNameError: No op has that name.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownNameError(f"network {self.name!r}: op", name, self._by_name) from None

    @cached_property
    def static_linear_layers(self) -> tuple[Linear, ...]:
        """The linear layers whose weights are written once, in order."""
        return tuple(op for op in self.ops if isinstance(op, Linear))

    @property
    def blocks(self) -> int:
        """How many transformer blocks there are."""
        return len({op.block for op in self.ops if op.block is not None})

    @property
    def weights(self) -> int:
        """Elements of all static weight matrices, without biases."""
        return sum(op.weights for op in self.static_linear_layers)

    @property
    def biases(self) -> int:
        """Elements of the biases of all static linear layers."""
        return sum(op.biases for op in self.static_linear_layers)

    @property
    def parameters(self) -> int:
        """All trained numbers but for adapters: linear layers, embeddings and norms."""
        return sum(op.parameters for op in self.ops)

    @property
    def adapted_layers(self) -> tuple[Linear, ...]:
        """The linear layers that carry an adapter, in order."""
        return tuple(op for op in self.static_linear_layers if op.name in self._adapters)

    @property
    def adapter_parameters(self) -> int:
        """Trained numbers of all adapters: the sum of rank * (in + out)."""
        return sum(adapter.parameters for adapter in self._adapters.values())

    def adapter(self, op: Op) -> Adapter | None:
        """Return the adapter that ``op`` carries, or None."""
        return self._adapters.get(op.name)

    def tokens(self, op: Op, sequence_length: int) -> int:
        """Return how many vectors ``op`` works on in one sequence of that many tokens.

        That is one for all that follows a :class:`FirstToken` or a :class:`LastToken`, one less
        than the sequence has for all that comes before a :class:`ClassToken`, as many as an
        :class:`Input` has that says so, for what is made of it alone, and every token otherwise.

        Raises:
            InputError: The class token is the only token of the sequence.
        """
        if op.name in self._once_per_sequence:
            return 1
        if op.name in self._given_tokens:
            return self._given_tokens[op.name]
        if op.name not in self._before_class_token:
            return sequence_length
        if sequence_length < 2:
            raise InputError(
                f"network {self.name!r}: found {sequence_length} tokens per sequence; the first "
                f"is the class token, so 2 or more would do"
            )
        return sequence_length - 1

    def keys(self, op: Attention, sequence_length: int, past: int = 0) -> int:
        """Return how many tokens an attention attends to.

        Those that its keys are made of; with a causal mask also the ``past`` ones, whose keys
        and values are kept from before.
        """
        made_of = self._by_name.get(op.inputs[1]) if op.inputs else None
        own = sequence_length if made_of is None else self.tokens(made_of, sequence_length)
        return own + (past if op.causal and not self.is_given(made_of) else 0)

    def is_given(self, op: Op | None) -> bool:
        """Return whether an op is made of an :class:`Input` of a fixed length alone.

        Then it is the same for every token of a sequence, and computed with the first one.
        """
        return op is not None and op.name in self._given_tokens

    @property
    def remembers(self) -> bool:
        """Whether it can go on from kept keys and values: an attention is causal."""
        return any(isinstance(op, Attention) and op.causal for op in self.ops)

    def with_adapters(
        self,
        *,
        rank: int | None = None,
        alpha: int | None = None,
        targets: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
    ) -> "Network":
        """Return the same network with other adapters; what is not given stays as it is.

        Raises:
            SpecError: A value is not usable, a pattern matches no layer, or the network has no
                adapters yet and no rank is given.
        """
        given = {"rank": rank, "alpha": alpha, "targets": targets, "exclude": exclude}
        now = self.adapters.model_dump() if self.adapters else {}
        changed = now | {key: value for key, value in given.items() if value is not None}
        return self._with(validate(AdapterSpec, changed, self.name, "adapters"))

    def without_adapters(self) -> "Network":
        """Return the same network without any adapter."""
        return self._with(None)

    def _with(self, adapters: AdapterSpec | None) -> "Network":
        fields = {name: getattr(self, name) for name in Network.model_fields}
        return validate(Network, fields | {"adapters": adapters}, self.name)

    @cached_property
    def _by_name(self) -> Mapping[str, Op]:
        return {op.name: op for op in self.ops}

    @cached_property
    def _adapters(self) -> Mapping[str, Adapter]:
        spec = self.adapters
        if spec is None:
            return {}
        return {
            op.name: Adapter(op.name, op.in_features, op.out_features, spec.rank, spec.alpha)
            for op in spec.choose(self.static_linear_layers)
        }

    @cached_property
    def _once_per_sequence(self) -> frozenset[str]:
        once: set[str] = set()
        for op in self.ops:
            if isinstance(op, FirstToken | LastToken) or (
                op.inputs and once.issuperset(op.inputs)
            ):
                once.add(op.name)
        return frozenset(once)

    @cached_property
    def _given_tokens(self) -> Mapping[str, int]:
        given: dict[str, int] = {}
        for op in self.ops:
            if isinstance(op, Input) and op.tokens is not None:
                given[op.name] = op.tokens
            elif op.inputs and all(name in given for name in op.inputs):
                given[op.name] = given[op.inputs[0]]
        return given

    @cached_property
    def _before_class_token(self) -> frozenset[str]:
        before: set[str] = set()
        for op in reversed(self.ops):
            if isinstance(op, ClassToken) or op.name in before:
                before.update(op.inputs)
        return frozenset(before)


def _check_graph(ops: Sequence[Op]) -> None:
    """Refuse names given twice, inputs that are not there yet, and sizes that disagree."""
    made: dict[str, int] = {}
    for op in ops:
        place = f"op {op.name!r}"
        if op.name in made:
            raise PlacedError(place, "the name is given to two ops; a name of its own would do")
        expected = op.takes
        if op.inputs and len(op.inputs) != len(expected):
            problem = f"number of inputs: found {len(op.inputs)}; {len(expected)} would do"
            raise PlacedError(place, problem)
        for name, size in zip(op.inputs, expected, strict=False):
            if name not in made:
                raise PlacedError(place, _not_there(name, ops, made))
            if made[name] != size:
                problem = (
                    f"takes {size} features, but its input {name!r} gives {made[name]}; "
                    "equal sizes would do"
                )
                raise PlacedError(place, problem)
        made[op.name] = op.out_features


def _not_there(name: str, ops: Sequence[Op], made: Mapping[str, int]) -> str:
    if any(op.name == name for op in ops):
        return f"input {name!r} comes later; an op can only read ops before it, without cycles"
    return f"input {name!r} is no op{did_you_mean(name, made)}; the name of an op before would do"
