"""What the builders of all model families share: their configs, heads, and the list of ops."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import ConfigDict

from hybridsim.errors import SpecError
from hybridsim.specs import validate
from hybridsim.units import Spec
from hybridsim.workload.graph import MOST_OPS
from hybridsim.workload.ops import (
    Activation,
    Add,
    Attention,
    ClassToken,
    Embedding,
    FirstToken,
    Input,
    LastToken,
    Linear,
    Norm,
    OpBase,
    Rotary,
    Slice,
    Trigram,
)

Head = Literal["none", "question_answering", "pooler", "lm_head", "classifier"]
"""What follows the last block: nothing, start and end scores of a span, the pooled token, scores
of the next word, or scores of the classes of a whole sequence."""
HEADS: tuple[Head, ...] = get_args(Head)

ActivationName = Literal[
    "gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh", "relu", "silu", "swish",
    "tanh",
]  # fmt: skip
"""Names of activations in a config.json; the variants of GELU differ in their approximation."""


class FamilyConfig(Spec):
    """The keys of a config.json that one family reads; the others are left unread."""

    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True)
class Body:
    """What a builder makes of a config.json."""

    ops: tuple[OpBase, ...]
    """All ops, head included, in the order in which they run."""
    max_sequence_length: int | None
    """The most tokens per sequence; None where no position table limits it."""


def activation_function(name: ActivationName) -> str:
    """Return our name of an activation."""
    if name.startswith("gelu"):
        return "gelu"
    return "silu" if name == "swish" else name


def check_head(head: Head, known: Sequence[Head], model_type: str, file: str) -> None:
    """Refuse a head that the models of a family do not have.

    Raises:
        SpecError: ``head`` is not among ``known``.
    """
    if head not in known:
        problem = f"found {head!r}; one of {', '.join(known)} would do for a {model_type}"
        raise SpecError(file, "head", problem)


def head_dim(size: int, heads: int, file: str, key: str = "num_attention_heads") -> int:
    """Return the elements of one head; ``key`` is where the config says how many heads.

    Raises:
        SpecError: ``size`` is no multiple of ``heads``.
    """
    if size % heads:
        problem = f"found {heads}; a number that divides {size} would do"
        raise SpecError(file, key, problem)
    return size // heads


class OpList:
    """Ops in the order in which they run; each method appends one and returns its name.

    While :attr:`block` is set, names get the prefix ``block<index>.``. A size that an op refuses
    is a :class:`SpecError` that names the file and the op.
    """

    def __init__(self, file: str) -> None:
        self.block: int | None = None
        self._file = file
        self._ops: list[OpBase] = []

    @property
    def ops(self) -> tuple[OpBase, ...]:
        """The ops so far."""
        return tuple(self._ops)

    def input(self, name: str, features: int, tokens: int | None = None) -> str:
        """Append what enters the network; ``tokens`` if not one per token of the sequence."""
        return self._append(Input, name, [], features=features, tokens=tokens)

    def linear(
        self,
        name: str,
        source: str,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        tied: bool = False,
    ) -> str:
        """Append a linear layer; ``tied`` weights are counted with an embedding."""
        sizes = {"in_features": in_features, "out_features": out_features}
        return self._append(Linear, name, [source], **sizes, bias=bias, tied=tied)

    def attention(
        self,
        name: str,
        sources: Sequence[str],
        heads: int,
        head_dim: int,
        *,
        causal: bool = False,
        kv_heads: int | None = None,
    ) -> str:
        """Append attention; ``sources`` are queries, keys and values."""
        sizes = {"heads": heads, "head_dim": head_dim, "kv_heads": kv_heads or heads}
        return self._append(Attention, name, sources, **sizes, causal=causal)

    def slice(self, name: str, source: str, in_features: int, start: int, size: int) -> str:
        """Append the choice of ``size`` elements of a vector, from ``start``."""
        sizes = {"in_features": in_features, "start": start, "out_features": size}
        return self._append(Slice, name, [source], **sizes)

    def norm(self, name: str, source: str, function: str, features: int) -> str:
        """Append a normalization."""
        return self._append(Norm, name, [source], function=function, features=features)

    def activation(self, name: str, source: str, function: str, features: int) -> str:
        """Append an element-wise function of one vector."""
        return self._append(Activation, name, [source], function=function, features=features)

    def gate(self, name: str, sources: Sequence[str], function: str, features: int) -> str:
        """Append a gated function; ``sources`` are its argument and what it multiplies."""
        return self._append(Activation, name, sources, function=function, features=features)

    def feed_forward(
        self,
        names: Sequence[str],
        source: str,
        residual: str,
        size: int,
        inner: int,
        function: str,
    ) -> str:
        """Append two linear layers with a function between them, and the sum with a residual.

        ``names`` are those of the first layer, the function, the second layer and the sum.
        """
        first, between, second, total = names
        wide = self.linear(first, source, size, inner)
        active = self.activation(between, wide, function, inner)
        output = self.linear(second, active, inner, size)
        return self.add(total, [output, residual], size)

    def rotary(self, name: str, source: str, heads: int, head_dim: int) -> str:
        """Append a rotary position embedding of queries or keys."""
        return self._append(Rotary, name, [source], heads=heads, head_dim=head_dim)

    def add(self, name: str, sources: Sequence[str], features: int) -> str:
        """Append a sum of two or more vectors."""
        return self._append(Add, name, sources, features=features)

    def embedding(self, name: str, rows: int, features: int) -> str:
        """Append a table."""
        return self._append(Embedding, name, [], rows=rows, features=features)

    def trigram(self, name: str, source: str, features: int) -> str:
        """Append the concatenation of neighbouring tokens."""
        return self._append(Trigram, name, [source], features=features)

    def class_token(self, name: str, source: str, features: int) -> str:
        """Append the trained token in front of a sequence."""
        return self._append(ClassToken, name, [source], features=features)

    def first_token(self, name: str, source: str, features: int) -> str:
        """Append the choice of a sequence's first token."""
        return self._append(FirstToken, name, [source], features=features)

    def last_token(self, name: str, source: str, features: int) -> str:
        """Append the choice of a sequence's last token."""
        return self._append(LastToken, name, [source], features=features)

    def _append(
        self, kind: type[OpBase], name: str, sources: Sequence[str], **sizes: object
    ) -> str:
        if len(self._ops) == MOST_OPS:
            problem = f"the network has more than {MOST_OPS} ops; fewer layers would do"
            raise SpecError(self._file, "", problem)
        full = name if self.block is None else f"block{self.block}.{name}"
        fields = {"name": full, "inputs": tuple(sources), "block": self.block, **sizes}
        self._ops.append(validate(kind, fields, self._file, f"op {full!r}"))
        return full


def add_head(ops: OpList, head: Head, hidden: str, size: int, *, dense_pooler: bool) -> None:
    """Append a head: ``qa_outputs``, or the pooler with or without its linear layer."""
    if head == "question_answering":
        ops.linear("qa_outputs", hidden, size, 2)  # a start and an end score per token
    elif head == "pooler":
        first = ops.first_token("pooler.first_token", hidden, size)
        if dense_pooler:
            ops.activation(
                "pooler.activation", ops.linear("pooler", first, size, size), "tanh", size
            )
