"""A network: ops in the order in which they run, and the adapters they carry."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from hybridsim.described import bare_fields
from hybridsim.errors import SpecError, UnknownNameError, did_you_mean
from hybridsim.shown import html, lines
from hybridsim.specs import PlacedError, validate
from hybridsim.units import Spec
from hybridsim.workload.adapters import Adapter, AdapterSpec, Besides, OwnSize
from hybridsim.workload.ops import Attention, Experts, Linear, Name, Op, Scan, Tokens
from hybridsim.workload.vectors import Vectors

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


_ADAPTER_SETTINGS = ("rank", "alpha", "targets", "exclude", "ranks.PATTERN")
"""What a person may set of a network's adapters; the last one for layers whose names match."""


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
    source_length: Tokens | None = None
    """Tokens of the source sequence that an encoder reads; as many as the sequence if None."""
    not_modelled: Annotated[tuple[PlainText, ...], Field(max_length=32)] = ()
    """What the model computes beside its ops, a line each."""
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
    def on_tiles(self) -> tuple[Linear, ...]:
        """All that passes through matrices on tiles, in order; shared ones as often as used."""
        return tuple(op for op in self.ops if isinstance(op, Linear))

    @cached_property
    def matrices(self) -> tuple[Linear, ...]:
        """Everything whose weights are written once: linear layers, convolutions, experts."""
        return tuple(op for op in self.on_tiles if op.shared is None)

    @cached_property
    def static_linear_layers(self) -> tuple[Linear, ...]:
        """The linear layers whose weights are written once, in order; each once."""
        return tuple(op for op in self.matrices if op.kind == "linear")

    @property
    def blocks(self) -> int:
        """How many transformer blocks there are."""
        return len({op.block for op in self.ops if op.block is not None})

    @property
    def weights(self) -> int:
        """Elements of the matrices of all static linear layers, without biases."""
        return sum(op.weights for op in self.static_linear_layers)

    @property
    def weights_on_tiles(self) -> int:
        """Elements of all matrices: linear layers, convolutions, routers and experts."""
        return sum(op.weights for op in self.matrices)

    @property
    def expert_weights(self) -> int:
        """Elements of the matrices of all routed experts."""
        return sum(op.weights for op in self.matrices if isinstance(op, Experts))

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
        """The matrices that carry an adapter, in order; those of experts have one each."""
        return tuple(op for op in self.matrices if op.name in self._adapters)

    @property
    def adapter_parameters(self) -> int:
        """Trained numbers of all adapters: the sum of rank * (in + out)."""
        return sum(adapter.parameters for adapter in self._adapters.values())

    def adapter(self, op: Op) -> Adapter | None:
        """Return the adapter that ``op`` carries, or shares with its layer, or None."""
        return self._adapters.get(getattr(op, "shared", None) or op.name)

    def tokens(self, op: Op, sequence_length: int) -> int:
        """Return how many vectors ``op`` works on in one sequence of that many tokens.

        Raises:
            InputError: The sequence is too short for the tokens in front of it.
        """
        return self.vectors.of(op, sequence_length, self.source_length)

    def keys(self, op: Attention, sequence_length: int, past: int = 0) -> int:
        """Return how many tokens an attention attends to, at most those of its window.

        Those that its keys are made of; with a causal mask also the ``past`` ones, whose keys
        and values are kept from before.
        """
        made_of = self._by_name.get(op.inputs[1]) if op.inputs else None
        own = sequence_length if made_of is None else self.tokens(made_of, sequence_length)
        all_keys = own + (past if op.causal and not self.is_given(made_of) else 0)
        return min(all_keys, op.window or all_keys)

    def is_given(self, op: Op | None) -> bool:
        """Return whether an op does not depend on the sequence: an encoder, a whole image.

        Then it is the same for every token of a sequence, and computed with the first one.
        """
        return op is not None and op.name in self.vectors.given

    @cached_property
    def vectors(self) -> Vectors:
        """How many vectors each op works on."""
        return Vectors(self.name, self.ops)

    @property
    def remembers(self) -> bool:
        """Whether it can go on from what is kept: an attention is causal, or it has a state."""
        return any(isinstance(op, Scan) or getattr(op, "causal", False) for op in self.ops)

    @property
    def has_source(self) -> bool:
        """Whether it reads a source sequence beside its own, as an encoder-decoder does."""
        return any(getattr(op, "tokens", None) == "source" for op in self.ops)

    def with_adapters(
        self,
        *,
        rank: int | None = None,
        alpha: float | None = None,
        targets: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        own: Sequence[OwnSize | Mapping[str, Any]] | None = None,
        besides: Sequence[Besides] | None = None,
    ) -> "Network":
        """Return the same network with other adapters; what is not given stays as it is.

        Raises:
            SpecError: A value is not usable, a pattern matches no layer, or the network has no
                adapters yet and no rank is given.
        """
        given: dict[str, object] = {
            "rank": rank, "alpha": alpha, "targets": targets, "exclude": exclude,
            "own": own, "besides": besides,
        }  # fmt: skip
        now = self.adapters.model_dump() if self.adapters else {}
        changed = now | {key: value for key, value in given.items() if value is not None}
        return self._with(validate(AdapterSpec, changed, self.name, "adapters"))

    def with_adapter_settings(self, settings: Mapping[str, Any]) -> "Network":
        """Return the same network with some settings of its adapters replaced, by their paths.

        ``ranks.PATTERN`` is the rank of the layers whose names match; of several patterns that
        match a layer the first counts, and those that the network had come last.

        Raises:
            UnknownNameError: Adapters have no such setting.
            SpecError: As :meth:`with_adapters`.
        """
        ranks, alpha = dict[str, Any](), settings.get("alpha")
        for path in settings:
            head, _, pattern = path.partition(".")
            if head == "ranks" and pattern:
                ranks[pattern] = settings[path]
            elif path not in _ADAPTER_SETTINGS[:-1]:
                raise UnknownNameError("adapter setting", path, _ADAPTER_SETTINGS)
        if not settings:
            return self
        usual = self.adapters.alpha if alpha is None and self.adapters else alpha
        own = [
            {"targets": [pattern], "rank": rank, "alpha": 32 if usual is None else usual}
            for pattern, rank in ranks.items()
        ]
        plain = {path: value for path, value in settings.items() if path in _ADAPTER_SETTINGS}
        had = self.adapters.own if self.adapters else ()
        return self.with_adapters(**plain, own=[*own, *had] if own else None)

    def without_adapters(self) -> "Network":
        """Return the same network without any adapter."""
        return self._with(None)

    def with_expert_load(self, load: Sequence[float]) -> "Network":
        """Return the same network with shares of the tokens for the experts of every block.

        Raises:
            SpecError: It has no experts, or another number of them.
        """
        if not self.expert_weights:
            raise SpecError(self.name, "expert_load", "the network has no experts; leave it out")
        ops = [
            validate(Experts, dict(op) | {"load": tuple(load)}, self.name, f"op {op.name!r}")
            if isinstance(op, Experts)
            else op
            for op in self.ops
        ]
        return validate(Network, self._fields | {"ops": tuple(ops)}, self.name)

    def after_source(self, tokens: int) -> "Network":
        """Return the same network with so many tokens of its source sequence."""
        return validate(Network, self._fields | {"source_length": tokens}, self.name)

    def __str__(self) -> str:
        """Return what the network is, a line for each thing that there is to say."""
        layers, adapters = len(self.static_linear_layers), "none"
        if self.adapters is not None:
            adapters = f"rank {self.adapters.rank}, {self.adapter_parameters:,} parameters, on "
            adapters += f"{len(self.adapted_layers):,} of {layers:,} linear layers"
        facts = {
            "ops": f"{len(self.ops):,} in {self.blocks} blocks",
            "weights": f"{self.weights:,} in {layers:,} linear layers; {self.parameters:,} "
            "parameters in all",
            "adapters": adapters,
            "sequence": f"{self.sequence_length or 'as asked for'} tokens",
            "source": self.source,
        }
        return lines(f"Network {self.name}", facts.items())

    def __repr__(self) -> str:
        return f"<Network {self.name}: {len(self.ops):,} ops>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the ops by kind."""
        kinds: dict[tuple[str, str], int] = {}
        for op in self.ops:
            shape = f"{op.in_features} x {op.out_features}" if isinstance(op, Linear) else ""
            kinds[op.kind, shape] = kinds.get((op.kind, shape), 0) + 1
        rows = [(kind, shape, f"{count:,}") for (kind, shape), count in kinds.items()]
        return html(f"{self.name}, {self.source}", ("op", "in x out", "how many"), rows)

    def _with(self, adapters: AdapterSpec | None) -> "Network":
        return validate(Network, self._fields | {"adapters": adapters}, self.name)

    @property
    def _fields(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in bare_fields(Network)}

    @cached_property
    def _by_name(self) -> Mapping[str, Op]:
        return {op.name: op for op in self.ops}

    @cached_property
    def _adapters(self) -> Mapping[str, Adapter]:
        return self.adapters.of(self.matrices) if self.adapters else {}


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
        _check_shared(op, ops, made, place)
        made[op.name] = op.out_features


def _check_shared(op: Op, ops: Sequence[Op], made: Mapping[str, int], place: str) -> None:
    """Refuse to share what is no earlier layer of the same sizes with weights of its own."""
    shared, turned = getattr(op, "shared", None), getattr(op, "turned", False)
    if shared is None:
        if turned:
            problem = "found true; true beside shared, which names the layer before, would do"
            raise PlacedError(f"{place}.turned", problem)
        return
    if shared not in made:
        raise PlacedError(f"{place}.shared", _not_there(shared, ops, made))
    other = next(each for each in ops if each.name == shared)
    sizes = (*other.takes, other.out_features)[:: -1 if turned else 1]
    alike = (other.kind, sizes) == (op.kind, (*op.takes, op.out_features))
    if getattr(other, "shared", "") is not None or not alike:
        problem = f"found {shared!r}; one of the same kind and sizes with its own would do"
        raise PlacedError(f"{place}.shared", problem)


def _not_there(name: str, ops: Sequence[Op], made: Mapping[str, int]) -> str:
    if any(op.name == name for op in ops):
        return f"input {name!r} comes later; an op can only read ops before it, without cycles"
    return f"input {name!r} is no op{did_you_mean(name, made)}; the name of an op before would do"
