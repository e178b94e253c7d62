"""The ops of a network: what is computed for every token, with sizes and nothing else.

An op reads the outputs of earlier ops, which it names; an op that names none reads the input of
the network. A new kind of op is one class here and one line of :data:`Op`.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hybridsim.specs import PlacedError
from hybridsim.workload.matrices import Convolution, Experts, Linear, Router
from hybridsim.workload.op_base import (
    MOST,
    MOST_INPUTS,
    Features,
    Flag,
    Given,
    Name,
    OneSize,
    OpBase,
    Rows,
    Tokens,
)


class Input(OneSize):
    """What enters the network, where several ops read it; a lone reader needs no such op."""

    kind: Literal["input"] = "input"
    features: Features
    """Length of a token's vector [elements]."""
    tokens: Given | None = None
    """How many vectors enter, where that does not depend on the sequence, as the output of an
    encoder for its decoder, or ``source``; None: one per token of the sequence."""

    @property
    def takes(self) -> tuple[int, ...]:
        """Nothing: it comes from outside the network."""
        return ()


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
    value_dim: Features | None = None
    """Elements of a head's values, where they are other than the keys (latent attention). Time is
    that of values as long as keys, to which transformers' fast kernels pad them as well."""
    window: Tokens | None = None
    """The most tokens that a token attends to, itself included; None: all (sliding windows,
    windows of an image, sparse blocks)."""

    @model_validator(mode="after")
    def _check(self) -> "Attention":
        if self.heads % self.kv_heads:
            problem = f"found {self.kv_heads}; a number that divides {self.heads} heads would do"
            raise PlacedError("kv_heads", problem)
        return self

    @property
    def takes(self) -> tuple[int, ...]:
        """The sizes of queries, keys and values [elements]."""
        keys = self.kv_heads * self.head_dim
        return (
            self.heads * self.head_dim,
            keys,
            self.kv_heads * (self.value_dim or self.head_dim),
        )

    @property
    def out_features(self) -> int:
        """Length of the output vector [elements]."""
        return self.heads * (self.value_dim or self.head_dim)

    @property
    def kept_features(self) -> int:
        """Elements of the keys and values of a token."""
        return sum(self.takes[1:])


class Norm(OneSize):
    """A normalization of each token's vector, with trained scales."""

    kind: Literal["norm"] = "norm"
    function: Literal["layer_norm", "rms_norm", "no_norm", "scale"]
    """The formula; ``no_norm`` is an element-wise scale and shift (MobileBERT), ``scale`` a scale
    alone (the layer scale of BEiT and DINOv2)."""
    features: Features
    """Length of the vector [elements]."""
    parts: Features = 1
    """Equal parts of the vector, as its heads, each normalized by itself with the same scales."""
    shared: Name | None = None
    """The earlier norm whose scales and shifts it uses, and which counts them."""

    @property
    def parameters(self) -> int:
        """Scales, and shifts but for ``rms_norm`` and ``scale``."""
        if self.shared:
            return 0
        return self.features // self.parts * (1 if self.function in ("rms_norm", "scale") else 2)


class Activation(OneSize):
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


class Add(OneSize):
    """An element-wise sum of two or more vectors, such as a residual connection."""

    kind: Literal["add"] = "add"
    features: Features
    """Length of each vector [elements]."""

    @property
    def takes(self) -> tuple[int, ...]:
        """The size of each input [elements]: as many as there are inputs, at least two."""
        return (self.features,) * max(2, len(self.inputs))


class Embedding(OneSize):
    """A table with one row per token id, position or segment; it reads ids, not vectors."""

    kind: Literal["embedding"] = "embedding"
    rows: Rows
    """Rows of the table."""
    features: Features
    """Length of a row [elements]."""
    tokens: Given | None = None
    """How many rows are read, where that does not depend on the sequence; None: one per token."""
    tied: Flag = False
    """Whether it is another table of the network once more, which counts the entries."""

    @property
    def takes(self) -> tuple[int, ...]:
        """Nothing: ids come from outside the network."""
        return ()

    @property
    def parameters(self) -> int:
        """Entries of the table, unless they are another one's."""
        return 0 if self.tied else self.rows * self.features


class Concat(OpBase):
    """The vectors of its inputs, one behind the other."""

    kind: Literal["concat"] = "concat"
    features: Annotated[tuple[Features, ...], Field(min_length=2, max_length=MOST_INPUTS)]
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


class ClassToken(OneSize):
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


class Window(OneSize):
    """The vectors of neighbouring tokens, one behind the other: what a convolution reads.

    With a stride it leaves fewer tokens; so does the merging of patches.
    """

    kind: Literal["window"] = "window"
    features: Features
    """Length of a token's vector [elements]."""
    kernel: Tokens
    """Tokens of a window."""
    stride: Tokens = 1
    """Tokens from one window to the next."""
    padding: Annotated[int, Field(strict=True, ge=0, le=MOST)] = 0
    """Tokens of zeros, those in front and those behind together."""
    positions: Tokens | None = None
    """Windows of an image, whose tokens are its pixels; None: along a sequence, as told above."""

    @property
    def out_features(self) -> int:
        """Length of the output vector [elements]."""
        return self.kernel * self.features

    def tokens_after(self, tokens: int) -> int:
        """Return how many windows there are."""
        if self.positions is not None:
            return self.positions
        return max(0, tokens + self.padding - self.kernel) // self.stride + 1

    def tokens_before(self, windows: int) -> int:
        """Return the fewest tokens that make so many windows."""
        return max(1, (windows - 1) * self.stride + self.kernel - self.padding)


class Select(OneSize):
    """The softmax of a token's scores, and the choice of the largest ones: on a cluster."""

    kind: Literal["select"] = "select"
    features: Features
    """Experts that have a score."""
    active: Features
    """Experts that are chosen."""


class Combine(OneSize):
    """The sum of what a token's experts gave, each times its score."""

    kind: Literal["combine"] = "combine"
    features: Features
    """Length of each vector [elements]."""
    experts: Features
    """Experts that have a score."""
    active: Features
    """Vectors that make one."""

    @property
    def takes(self) -> tuple[int, ...]:
        """The sizes of what experts gave and of the scores [elements]."""
        return (self.features, self.experts)


class Depthwise(OneSize):
    """A convolution of each channel with weights of its own, over a token and those before it.

    Its matrix would be all zeros but for a diagonal, so it is computed on a cluster.
    """

    kind: Literal["depthwise"] = "depthwise"
    features: Features
    """Channels [elements]."""
    kernel: Tokens
    """Weights of each channel."""

    @property
    def parameters(self) -> int:
        """The weights of all channels, and a bias each."""
        return self.features * (self.kernel + 1)


class Pool(OneSize):
    """The mean or the largest of neighbouring pixels of an image, channel by channel."""

    kind: Literal["pool"] = "pool"
    features: Features
    """Channels [elements]."""
    kernel: Tokens
    """Pixels that make one."""
    positions: Tokens
    """Pixels that it leaves."""


class Scan(OneSize):
    """A selective state space: for each element a state that each token changes and reads.

    It reads the sequence, the step sizes, and what enters and leaves the state. Source: Gu and
    Dao, Mamba, arXiv 2312.00752, Algorithm 2.
    """

    kind: Literal["scan"] = "scan"
    features: Features
    """Length of the sequence's vectors [elements]."""
    state: Features
    """Numbers of the state of each element."""

    @property
    def takes(self) -> tuple[int, ...]:
        """The sizes of sequence, step sizes, B and C [elements]."""
        return (self.features, self.features, self.state, self.state)

    @property
    def parameters(self) -> int:
        """A of every state, and D."""
        return self.features * (self.state + 1)


class Trigram(OneSize):
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


class FirstToken(OneSize):
    """The vector of the first token of a sequence; what reads it runs once per sequence."""

    kind: Literal["first_token"] = "first_token"
    features: Features
    """Length of the vector [elements]."""


class LastToken(OneSize):
    """The vector of the last token of a sequence, whose successor a language model predicts."""

    kind: Literal["last_token"] = "last_token"
    features: Features
    """Length of the vector [elements]."""


AnyOp = (
    Input
    | Linear
    | Router
    | Convolution
    | Experts
    | Select
    | Combine
    | Depthwise
    | Pool
    | Scan
    | Window
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

__all__ = [
    "MOST",
    "Convolution",
    "Experts",
    "Features",
    "Flag",
    "Given",
    "Linear",
    "Name",
    "Op",
    "OpBase",
    "Router",
    "Rows",
    "Tokens",
]
