"""What a description of a model family says: the words in which families are data.

A value of a description is what it says (a number, true or false), the key of a config.json that
says it (``a|b``: whichever is there), or a function of the config for what no key says alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Literal

from hybridsim.records import record
from hybridsim.workload.families.builder import Head
from hybridsim.workload.families.config import Config

Value = int | str | bool | None | Callable[[Config], Any]
"""A number or flag, the key of a config that holds it, or a function of the config."""
Gating = Literal["", "two", "fused"]
"""Whether a feed-forward network multiplies by a gate: of two matrices, or of a fused one."""


@record(frozen=True, slots=True)
class Latent:
    """Keys and values made of a short vector per token (DeepSeek-V2, arXiv 2405.04434)."""

    q_rank: Value = "q_lora_rank"
    kv_rank: Value = "kv_lora_rank"
    plain: Value = "qk_nope_head_dim"
    """Elements of a head's queries and keys without a position."""
    turned: Value = "qk_rope_head_dim"
    """Elements of a head's queries and keys with a rotary position."""
    values: Value = "v_head_dim"


@record(frozen=True, slots=True)
class Attend:
    """An attention: its projections, and what happens between them."""

    name: str
    """The name of the op."""
    q: str = ".q_proj"
    k: str = ".k_proj"
    v: str = ".v_proj"
    o: str = ".o_proj"
    """Names of the projections; one that begins with a dot follows :attr:`name`."""
    fused: str = ""
    """The name of one matrix for queries, keys and values. Cut here as if they lay one behind the
    other, which changes no size where they lie head by head."""
    bias: Value = False
    """Whether queries, keys and values have biases."""
    k_bias: Value | Literal["as_q"] = "as_q"
    o_bias: Value = False
    causal: bool = False
    cross: bool = False
    """Whether keys and values are made of the output of the encoder."""
    rotary: bool | Callable[[Config, int], bool] = False
    """Whether queries and keys of a block (by its index) are turned by their position; all their
    elements are charged, where a part is turned as well."""
    qk_norm: Literal["", "head", "all"] | Callable[[Config], str] = ""
    """Norms of queries and keys: of each head, or of all together."""
    qk_names: tuple[str, str] = (".q_norm", ".k_norm")
    window: Value | Callable[[Config, int], int | None] = None
    """The most keys of a query, in a block."""
    relative: str = ""
    """The table of biases by distance that the first block has for all."""
    latent: Latent | None = None
    inner_norm: str = ""
    """A norm of the context in front of the output projection."""
    extra: tuple["Extra", ...] = ()


@record(frozen=True, slots=True)
class Extra:
    """One more linear layer of an attention, beside the way of its tokens."""

    name: str
    reads: Literal["tokens", "first", "positions"]
    """All tokens, the first one, or the table of relative positions."""
    bias: Value = True
    when: Value = True
    shared: str = ""
    """The projection whose weights it uses."""


@record(frozen=True, slots=True)
class Feed:
    """A feed-forward network."""

    up: str
    down: str
    act: str
    """The name of the op between them."""
    gate: str = ""
    """The name of the gate's own matrix."""
    beside: str = ""
    """The name of the first matrix where it has a gate beside it; :attr:`up` if left out."""
    gated: Gating | Callable[[Config], Gating] = ""
    bias: Value = True
    inner: Value = None
    """Length of the vector between them, if other than the stack's."""
    norm: str = ""
    """A norm in front of the second matrix."""
    function: str = ""
    """Our name of the activation, if other than the stack's."""


@record(frozen=True, slots=True)
class Routed:
    """Feed-forward networks of which a token passes through some, and one that it always does."""

    router: str
    up: str
    """The name of the bank of gates and first matrices, fused."""
    down: str
    count: Value
    active: Value
    inner: Value
    shared: Feed | None = None
    shared_gate: str = ""
    """The name of a linear layer that scales what the shared network gives."""
    dense: Feed | None = None
    """The network of the blocks that are not routed."""
    routed: Callable[[Config, int], bool] | None = None
    """Whether a block is routed; all if None."""
    gated: bool = True
    adapted: bool = False
    """Whether PEFT adapts router and experts as ``all-linear``, and then no other such network
    (PEFT 0.21, ``transformers_weight_conversion.py``)."""


@record(frozen=True, slots=True)
class Mixer:
    """The block of a selective state space (Mamba)."""

    name: str = "mixer"


@record(frozen=True, slots=True)
class Sub:
    """A part of a block, with the norms around it and the residual over it."""

    core: Attend | Feed | Routed | Mixer
    add: str
    before: str | Callable[[int], str] = ""
    """The norm that it reads; none in a block for which a function returns none."""
    after: str = ""
    """The norm of its output, in front of the sum."""
    scale: str = ""
    """The scales of its output, in front of the sum."""
    behind: str = ""
    """The norm of the sum."""


@record(frozen=True, slots=True)
class Bottleneck:
    """The narrow inside of a block of MobileBERT, and its several feed-forward networks."""


@record(frozen=True, slots=True)
class Embed:
    """What makes the first vectors of tokens."""

    words: str
    positions: str = ""
    position_rows: Value = "max_position_embeddings"
    offset: int = 0
    """Rows of the position table in front of the first position."""
    positioned: Value = True
    """Whether there is a position table."""
    types: str = ""
    type_rows: Value = "type_vocab_size"
    size: Value = None
    """Length of a word's vector, if other than the stack's."""
    trigram: Value = False
    project: str = ""
    """The linear layer from a word's vector to the stack's size, where they differ."""
    project_bias: bool = True
    project_always: bool = False
    project_first: bool = False
    """Whether positions are added behind the projection, not before."""
    add: str = "embeddings.add"
    norm: str | Callable[[Config], str] = ""
    tied: bool = False
    """Whether the words are those of a stack before."""
    relative: str = ""
    """A table of biases by distance that all blocks share."""
    distances: str = ""
    """A table of vectors by distance, with a norm of its own."""


@record(frozen=True, slots=True)
class Pixels:
    """What makes the first vectors of an image: patches through a convolution."""

    projection: str
    bias: bool = True
    in_front: tuple[str, ...] = ()
    """Names of trained tokens in front of the patches."""
    positions: str = ""
    positioned: Value = True
    add: str = "embeddings.add"
    norm: str = ""
    given: bool = False
    """Whether the image stands beside a sequence of text, whose length says nothing of it."""


@record(frozen=True, slots=True)
class Sound:
    """What makes the first vectors of a sound: convolutions over frames."""

    convolutions: Callable[[Config], list[tuple[str, int, int, int, int, bool]]]
    """Name, output channels, kernel, stride, padding and bias of each."""
    channels: Value = 1
    frames: Value = None
    """How many frames enter; None: as many as make the tokens of a run."""
    norms: Callable[[Config], Mapping[int, str]] | None = None
    """Norms behind convolutions, by their number."""
    projection: tuple[str, str] | None = None
    """Names of a norm and a linear layer behind them."""
    positions: str = ""
    """The name of a table of positions."""
    convolved: tuple[str, Value, Value] | None = None
    """Name, kernel and groups of a convolution whose output is added as positions."""
    norm: str | Callable[[Config], str] = ""


@record(frozen=True, slots=True)
class Shortened:
    """Gated convolutions behind the last block that leave fewer tokens (wav2vec2)."""

    name: str
    when: Value
    """Whether there are any."""
    size: Value
    """Length of the vectors that leave; a layer in front makes them, where it is another."""
    layers: Value
    kernel: Value
    stride: Value


@record(frozen=True, slots=True)
class Stack:
    """Blocks that are alike, one behind the other."""

    embed: Embed | Pixels | Sound
    block: tuple[Sub, ...] | Bottleneck | Callable[[Config], tuple[Sub, ...]]
    prefix: str = ""
    """What stands in front of the names of its ops; in blocks behind that of the block."""
    section: str = ""
    """The part of the config that describes it."""
    size: Value = "hidden_size"
    inner: Value = "intermediate_size"
    layers: Value = "num_hidden_layers"
    heads: Value = "num_attention_heads"
    kv_heads: Value = None
    head_dim: Value = None
    act: Value = "hidden_act"
    vocab: Value = "vocab_size"
    norm: Value = "layer_norm"
    """``layer_norm``, ``rms_norm``, or the key that says it."""
    parallel: Value = False
    """Whether the parts of a block read the same vector, and one sum takes all."""
    final: str | Callable[[Config], str] = ""
    """The norm behind the last block."""
    project: str = ""
    """The linear layer behind it, to the length of a word's vector where that differs."""
    groups: Value = None
    """How many different blocks there are, each used several times in a row; None: no sharing."""
    source: bool = False
    """Whether it reads a source sequence for a stack behind it."""
    shortened: Shortened | None = None
    pooled: tuple[str, ...] = ()
    """Linear layers behind its first token, part of the model itself."""
    pooled_size: Value = None
    """Length of what they give, if other than the size."""
    pooled_bias: bool = True
    probe: str | Callable[[Config], str] = ""
    """An attention of one trained query over all tokens behind it, with a network (SigLIP)."""
    enters: Value = None
    """How many vectors of an encoder's output enter, where that stack is not there."""
    most: Callable[[Config], int | None] | None = None
    """The most tokens of a sequence."""
    stages: bool = False
    """Whether it is a hierarchy whose tokens become fewer and longer (Swin)."""


@record(frozen=True, slots=True)
class Family:
    """A model type: stacks, in the order in which they run, and what else its config says."""

    stacks: tuple[Stack, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What transformers takes where a key is missing."""
    heads: tuple[Head, ...] = ("none",)
    last_only: bool = True
    """Whether the language model head scores the last token alone: generation needs no other."""
    tied: Value = False
    """Whether the language model head has the weights of the word embedding."""
    head_bias: bool = False
    """Whether the language model head has a bias."""
    dense_pooler: Value = True
    only: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    """Key -> the one value that is modelled, and how a message calls it."""
    same: tuple[tuple[str, Callable[[Config], int]], ...] = ()
    """Keys that say what others do: a key, and what it has to be."""
    not_modelled: Callable[[Config], tuple[str, ...]] | tuple[str, ...] = ()
    about: str = ""
    """Where the order of ops comes from."""
