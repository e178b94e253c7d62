"""The ops of a network: what is computed for every token, with sizes and nothing else.

An op reads the outputs of earlier ops, which it names; an op that names none reads the input of
the network. A new kind of op is one class here and one line of :data:`Op`.
"""

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from hybridsim.specs import PlacedError
from hybridsim.units import Spec

MOST = 2**20
"""The largest size of a vector, a table or a sequence: products of three still fit 64 bits."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,199}")


def _op_name(name: str) -> str:
    """Refuse what a pattern, a table or a page could misread."""
    if not _NAME.fullmatch(name):
        shown = repr(name[:60]) + ("..." if len(name) > 60 else "")
        raise ValueError(
            f"found {shown}; 1 to 200 of the letters A to Z, digits, '_', '.' and '-' would do"
        )
    return name


Name = Annotated[str, AfterValidator(_op_name)]
"""The name of an op or a network: plain characters only, as it is matched and printed."""
Features = Annotated[int, Field(strict=True, gt=0, le=MOST)]
"""The number of elements of a vector, at most :data:`MOST`."""
Rows = Annotated[int, Field(strict=True, gt=0, le=MOST)]
"""The number of rows of a table, at most :data:`MOST`."""
Tokens = Annotated[int, Field(strict=True, gt=0, le=MOST)]
"""A number of tokens, at most :data:`MOST`."""
Flag = Annotated[bool, Field(strict=True)]
"""True or false, and nothing that could be taken for it."""


class OpBase(Spec):
    """What every op has: a name, the ops it reads, and the transformer block it belongs to."""

    name: Name
    """The name, unique in the network."""
    inputs: tuple[Name, ...] = Field(default=(), max_length=64)
    """The names of the earlier ops that it reads; none means the input of the network."""
    block: Annotated[int, Field(strict=True, ge=0)] | None = None
    """The index of the transformer block it belongs to, from 0; None outside the blocks."""

    @property
    def parameters(self) -> int:
        """How many trained numbers it holds: weights, biases, scales, table entries."""
        return 0


class _OneSize(OpBase):
    """An op whose vectors, in and out, have ``features`` elements, unless it says otherwise."""

    if TYPE_CHECKING:  # told by each op, among its own fields
        features: int

    @property
    def takes(self) -> tuple[int, ...]:
        """The size of each input [elements]."""
        return (self.features,)

    @property
    def out_features(self) -> int:
        """Length of the output vector [elements]."""
        return self.features


class Input(_OneSize):
    """What enters the network, where several ops read it; a lone reader needs no such op."""

    kind: Literal["input"] = "input"
    features: Features
    """Length of a token's vector [elements]."""
    tokens: Tokens | None = None
    """How many vectors enter, where that does not depend on the sequence, as the output of an
    encoder for its decoder; None: one per token of the sequence."""

    @property
    def takes(self) -> tuple[int, ...]:
        """Nothing: it comes from outside the network."""
        return ()


class Linear(OpBase):
    """A static linear layer: ``y = W x + b``, its weights written once and then left alone."""

    kind: Literal["linear"] = "linear"
    in_features: Features
    """Length of the input vector [elements]."""
    out_features: Features
    """Length of the output vector [elements]."""
    bias: Flag = True
    """Whether a bias is added; the default is that of PyTorch's Linear."""
    tied: Flag = False
    """Whether its weights are those of an embedding of the network, which counts them."""

    @property
    def takes(self) -> tuple[int, ...]:
        """The size of each input [elements]."""
        return (self.in_features,)

    @property
    def weights(self) -> int:
        """Elements of the weight matrix, shape (out_features, in_features)."""
        return self.in_features * self.out_features

    @property
    def biases(self) -> int:
        """Elements of the bias."""
        return self.out_features if self.bias else 0

    @property
    def parameters(self) -> int:
        """Weights, unless they are tied, and biases."""
        return self.biases + (0 if self.tied else self.weights)


def _as_many_as_heads(data: dict[str, int]) -> int:
    return data.get("heads", 1)


class Attention(OpBase):
    """Scores, softmax and weighted sum over all tokens; reads queries, keys and values.

    Both operands of its products are computed at run time, so it holds no weights.
    With fewer key-value heads than heads it is grouped-query attention.
    """

    kind: Literal["attention"] = "attention"
    heads: Features
    """Heads of the queries."""
    head_dim: Features
    """Elements of one head."""
    kv_heads: Features = Field(default_factory=_as_many_as_heads)
    """Heads of the keys and of the values; as many as :attr:`heads` unless told otherwise."""
    causal: Flag = False
    """Whether a token attends to itself and earlier tokens only."""

    @model_validator(mode="after")
    def _check(self) -> "Attention":
        if self.heads % self.kv_heads:
            problem = f"found {self.kv_heads}; a number that divides {self.heads} heads would do"
            raise PlacedError("kv_heads", problem)
        return self

    @property
    def takes(self) -> tuple[int, ...]:
        """The sizes of queries, keys and values [elements]."""
        shared = self.kv_heads * self.head_dim
        return (self.heads * self.head_dim, shared, shared)

    @property
    def out_features(self) -> int:
        """Length of the output vector [elements]."""
        return self.heads * self.head_dim


class Norm(_OneSize):
    """A normalization of each token's vector, with trained scales."""

    kind: Literal["norm"] = "norm"
    function: Literal["layer_norm", "rms_norm", "no_norm"]
    """The formula; ``no_norm`` is an element-wise scale and shift (MobileBERT)."""
    features: Features
    """Length of the vector [elements]."""

    @property
    def parameters(self) -> int:
        """Scales, and shifts but for ``rms_norm``."""
        return self.features if self.function == "rms_norm" else 2 * self.features


class Activation(_OneSize):
    """An element-wise function; the gated ones multiply ``f(first input)`` by the second."""

    kind: Literal["activation"] = "activation"
    function: Literal["relu", "gelu", "silu", "tanh", "swiglu", "geglu"]
    """The function; ``swiglu`` and ``geglu`` are gated and read two inputs."""
    features: Features
    """Length of each vector [elements]."""

    @property
    def takes(self) -> tuple[int, ...]:
        """The size of each input [elements]."""
        return (self.features,) * (2 if self.function in ("swiglu", "geglu") else 1)


class Rotary(OpBase):
    """Rotary position embedding: each head turned, pair by pair, by angles of the position.

    Source: Su et al., RoFormer, arXiv 2104.09864; what the angles are changes no shape.
    """

    kind: Literal["rotary"] = "rotary"
    heads: Features
    """Heads that are turned."""
    head_dim: Features
    """Elements of one head."""

    @property
    def takes(self) -> tuple[int, ...]:
        """The size of each input [elements]."""
        return (self.out_features,)

    @property
    def out_features(self) -> int:
        """Length of the output vector, that of the input [elements]."""
        return self.heads * self.head_dim


class Add(_OneSize):
    """An element-wise sum of two or more vectors, such as a residual connection."""

    kind: Literal["add"] = "add"
    features: Features
    """Length of each vector [elements]."""

    @property
    def takes(self) -> tuple[int, ...]:
        """The size of each input [elements]: as many as there are inputs, at least two."""
        return (self.features,) * max(2, len(self.inputs))


class Embedding(_OneSize):
    """A table with one row per token id, position or segment; it reads ids, not vectors."""

    kind: Literal["embedding"] = "embedding"
    rows: Rows
    """Rows of the table."""
    features: Features
    """Length of a row [elements]."""

    @property
    def takes(self) -> tuple[int, ...]:
        """Nothing: ids come from outside the network."""
        return ()

    @property
    def parameters(self) -> int:
        """Entries of the table."""
        return self.rows * self.features


class Concat(OpBase):
    """The vectors of its inputs, one behind the other."""

    kind: Literal["concat"] = "concat"
    features: Annotated[tuple[Features, ...], Field(min_length=2, max_length=64)]
    """Length of each input vector [elements]."""

    @property
    def takes(self) -> tuple[int, ...]:
        """The size of each input [elements]."""
        return self.features

    @property
    def out_features(self) -> int:
        """Length of the output vector [elements]."""
        return sum(self.features)


class Slice(OpBase):
    """A run of consecutive elements of each token's vector, as the queries of a fused product."""

    kind: Literal["slice"] = "slice"
    in_features: Features
    """Length of the input vector [elements]."""
    start: Annotated[int, Field(strict=True, ge=0, le=MOST)]
    """Index of the first element that is taken, from 0."""
    out_features: Features
    """How many elements are taken [elements]."""

    @model_validator(mode="after")
    def _check(self) -> "Slice":
        if self.start + self.out_features > self.in_features:
            problem = (
                f"found {self.start}; with {self.out_features} of {self.in_features} elements at "
                f"most {self.in_features - self.out_features} would do"
            )
            raise PlacedError("start", problem)
        return self

    @property
    def takes(self) -> tuple[int, ...]:
        """The size of each input [elements]."""
        return (self.in_features,)


class ClassToken(_OneSize):
    """A trained token in front of a sequence; what is read before it has one token less.

    Source: Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021.
    """

    kind: Literal["class_token"] = "class_token"
    features: Features
    """Length of the vector [elements]."""

    @property
    def parameters(self) -> int:
        """The elements of the token."""
        return self.features


class Trigram(_OneSize):
    """The vectors of the next, the same and the previous token, one behind the other.

    Source: transformers, ``modeling_mobilebert.py``; with the linear layer that follows it is
    the convolution of kernel size 3 of MobileBERT (Sun et al., ACL 2020).
    """

    kind: Literal["trigram"] = "trigram"
    features: Features
    """Length of the input vector [elements]."""

    @property
    def out_features(self) -> int:
        """Length of the output vector: three times the input [elements]."""
        return 3 * self.features


class FirstToken(_OneSize):
    """The vector of the first token of a sequence; what reads it runs once per sequence."""

    kind: Literal["first_token"] = "first_token"
    features: Features
    """Length of the vector [elements]."""


class LastToken(_OneSize):
    """The vector of the last token of a sequence, whose successor a language model predicts."""

    kind: Literal["last_token"] = "last_token"
    features: Features
    """Length of the vector [elements]."""


AnyOp = (
    Input
    | Linear
    | Attention
    | Norm
    | Activation
    | Rotary
    | Add
    | Embedding
    | Concat
    | Slice
    | Trigram
    | ClassToken
    | FirstToken
    | LastToken
)
Op = Annotated[AnyOp, Field(discriminator="kind")]
"""Any op; ``kind`` says which."""
