"""Writing a network down op by op, as builders of model families do."""

from collections.abc import Sequence

from hybridsim.errors import SpecError
from hybridsim.specs import validate
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
