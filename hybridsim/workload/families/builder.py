"""What descriptions are turned into: heads, the list of ops, and the body of a network."""

from collections.abc import Sequence
from typing import Literal, get_args

from hybridsim.errors import SpecError
from hybridsim.records import record
from hybridsim.specs import validate
from hybridsim.workload.graph import MOST_OPS
from hybridsim.workload.ops import Activation, Add, Attention, Linear, Norm, OpBase, Slice

Head = Literal["none", "question_answering", "pooler", "lm_head", "classifier"]
"""What follows the last block: nothing, start and end scores of a span, the pooled token, scores
of the next word, or scores of the classes of a whole sequence."""
HEADS: tuple[Head, ...] = get_args(Head)

ActivationName = Literal[
    "gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh", "quick_gelu", "relu",
    "silu", "swish", "tanh",
]  # fmt: skip
"""Names of activations in a config.json; the variants of GELU differ in their approximation."""
GATES = {"silu": "swiglu", "gelu": "geglu"}
"""Activation of a gate -> the gated function."""


@record(frozen=True, slots=True)
class Body:
    """What a description and a config.json make together."""

    ops: tuple[OpBase, ...]
    """All ops, head included, in the order in which they run."""
    max_sequence_length: int | None
    """The most tokens per sequence; None where no position table limits it."""
    sequence_length: int | None = None
    """Tokens per sequence, where the config says how many there are: those of an image."""
    not_modelled: tuple[str, ...] = ()
    """What the model computes beside the ops, a line each."""


def activation_function(name: str) -> str:
    """Return our name of an activation."""
    if "gelu" in name:
        return "gelu"
    return "silu" if name == "swish" else name


class OpList:
    """Ops in the order in which they run; each method appends one and returns its name.

    While :attr:`block` is set, names get the prefix ``block<index>.``; while :attr:`twin` is set,
    layers and norms have the weights of that block. A size that an op refuses is a
    :class:`SpecError` that names the file and the op.
    """

    def __init__(self, file: str) -> None:
        self.block: int | None = None
        self.twin: int | None = None
        self.prefix = ""
        self._file = file
        self._ops: list[OpBase] = []

    @property
    def ops(self) -> tuple[OpBase, ...]:
        """The ops so far."""
        return tuple(self._ops)

    def put(self, kind: type[OpBase], name: str, sources: Sequence[str], **sizes: object) -> str:
        """Append an op of any kind."""
        if len(self._ops) == MOST_OPS:
            problem = f"the network has more than {MOST_OPS} ops; fewer layers would do"
            raise SpecError(self._file, "", problem)
        full = self.named(name, self.block)
        if self.twin is not None and issubclass(kind, Linear | Norm) and "shared" not in sizes:
            sizes["shared"] = self.named(name, self.twin)
        fields = {"name": full, "inputs": tuple(sources), "block": self.block, **sizes}
        self._ops.append(validate(kind, fields, self._file, f"op {full!r}"))
        return full

    def named(self, name: str, block: int | None) -> str:
        """Return the whole name of an op of a block."""
        return f"{self.prefix}{name}" if block is None else f"block{block}.{self.prefix}{name}"

    def linear(
        self,
        name: str,
        source: str,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        kind: type[Linear] = Linear,
        **more: object,
    ) -> str:
        """Append a linear layer, or another kind of matrix on tiles."""
        sizes = {"in_features": in_features, "out_features": out_features, "bias": bias}
        return self.put(kind, name, [source], **sizes, **more)

    def attention(
        self, name: str, sources: Sequence[str], heads: int, head_dim: int, **more: object
    ) -> str:
        """Append attention; ``sources`` are queries, keys and values."""
        return self.put(Attention, name, sources, heads=heads, head_dim=head_dim, **more)

    def slices(
        self, source: str, in_features: int, names: Sequence[str], sizes: Sequence[int]
    ) -> list[str]:
        """Append the cuts of a vector, one behind the other."""
        found, start = [], 0
        for name, size in zip(names, sizes, strict=True):
            cut = {"in_features": in_features, "start": start, "out_features": size}
            found.append(self.put(Slice, name, [source], **cut))
            start += size
        return found

    def norm(self, name: str, source: str, function: str, features: int) -> str:
        """Append a normalization."""
        return self.put(Norm, name, [source], function=function, features=features)

    def activation(self, name: str, sources: Sequence[str], function: str, features: int) -> str:
        """Append an element-wise function, gated or not."""
        return self.put(Activation, name, sources, function=function, features=features)

    def add(self, name: str, sources: Sequence[str], features: int) -> str:
        """Append a sum of two or more vectors."""
        return self.put(Add, name, sources, features=features)
