"""Vision transformers (``model_type: vit``), as a Hugging Face config.json describes them."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from hybridsim.errors import SpecError
from hybridsim.specs import validate
from hybridsim.workload.families.builder import (
    ActivationName,
    Body,
    FamilyConfig,
    Head,
    OpList,
    activation_function,
    add_head,
    check_head,
    head_dim,
)
from hybridsim.workload.ops import Features, Flag


class VitConfig(FamilyConfig):
    """The keys of a ViT config.json that decide shapes; the others are left unread.

    Defaults are those of transformers' ``ViTConfig``.
    """

    image_size: Features
    """Height and width of an image [pixels]."""
    patch_size: Features
    """Height and width of a patch [pixels]."""
    num_channels: Features = 3
    """Values per pixel."""
    hidden_size: Features
    """Length of a token's vector between blocks [elements]."""
    intermediate_size: Features
    """Length of the vector inside a feed-forward network [elements]."""
    num_hidden_layers: Features
    """Transformer blocks."""
    num_attention_heads: Features
    """Heads of every attention."""
    hidden_act: ActivationName
    """Activation of the feed-forward networks."""
    qkv_bias: Flag = True
    """Whether queries, keys and values have a bias."""
    num_labels: Features | None = None
    """Classes; two unless this or id2label says otherwise."""
    id2label: Annotated[dict[str, Any], Field(min_length=1)] | None = None
    """Names of the classes by their index, which count them as well."""

    @property
    def patches(self) -> int:
        """Patches of an image; pixels that fill no patch at the far edges are left out."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def patch_features(self) -> int:
        """Values of a patch [elements]."""
        return self.num_channels * self.patch_size**2

    @property
    def classes(self) -> int:
        """Classes that the classifier tells apart."""
        return self.num_labels or (len(self.id2label) if self.id2label else 2)


def build_vit(config: Mapping[str, Any], head: Head, file: str) -> Body:
    """Return the ops of a vision transformer; names follow the modules of transformers' model.

    The patches, each a vector of its pixels, pass through one linear layer (a convolution whose
    stride is its kernel) before the class token is put in front. Order of a block: norm, query,
    key, value, attention, its output, residual; then norm, feed-forward network, residual. A
    norm follows the last block. Source: transformers, ``modeling_vit.py``, after Dosovitskiy et
    al., ICLR 2021.

    Raises:
        SpecError: A key is missing or has a value of no use, the head is not one of the family,
            sizes do not fit together, or the two counts of classes disagree.
    """
    spec = validate(VitConfig, dict(config), file)
    check_head(head, ("none", "classifier", "pooler"), "vit", file)
    _check_sizes(spec, file)
    dim = head_dim(spec.hidden_size, spec.num_attention_heads, file)
    ops = OpList(file)
    hidden = _embeddings(ops, spec)
    for ops.block in range(spec.num_hidden_layers):
        hidden = _feed_forward(ops, spec, _attention(ops, spec, hidden, dim))
    ops.block = None
    hidden = ops.norm("layernorm", hidden, "layer_norm", spec.hidden_size)
    if head == "classifier":
        first = ops.first_token("classifier.first_token", hidden, spec.hidden_size)
        ops.linear("classifier", first, spec.hidden_size, spec.classes)
    else:
        add_head(ops, head, hidden, spec.hidden_size, dense_pooler=True)
    return Body(ops.ops, spec.patches + 1)


def _check_sizes(spec: VitConfig, file: str) -> None:
    if spec.patch_size > spec.image_size:
        problem = f"found {spec.patch_size}; at most the image's {spec.image_size} would do"
        raise SpecError(file, "patch_size", problem)
    names = spec.id2label
    if names and spec.num_labels and len(names) != spec.num_labels:
        problem = f"found {spec.num_labels}; the {len(names)} of id2label would do"
        raise SpecError(file, "num_labels", problem)


def _embeddings(ops: OpList, spec: VitConfig) -> str:
    size = spec.hidden_size
    pixels = ops.input("pixel_values", spec.patch_features)
    patches = ops.linear(
        "embeddings.patch_embeddings.projection", pixels, spec.patch_features, size
    )
    tables = [
        ops.class_token("embeddings.cls_token", patches, size),
        ops.embedding("embeddings.position_embeddings", spec.patches + 1, size),
    ]
    return ops.add("embeddings.add", tables, size)


def _attention(ops: OpList, spec: VitConfig, hidden: str, dim: int) -> str:
    size = spec.hidden_size
    normed = ops.norm("layernorm_before", hidden, "layer_norm", size)
    qkv = [
        ops.linear(f"attention.attention.{name}", normed, size, size, bias=spec.qkv_bias)
        for name in ("query", "key", "value")
    ]
    context = ops.attention("attention.attention", qkv, spec.num_attention_heads, dim)
    output = ops.linear("attention.output", context, size, size)
    return ops.add("attention.output.add", [output, hidden], size)


def _feed_forward(ops: OpList, spec: VitConfig, attended: str) -> str:
    size, inner = spec.hidden_size, spec.intermediate_size
    normed = ops.norm("layernorm_after", attended, "layer_norm", size)
    names = ("intermediate", "intermediate.activation", "output", "output.add")
    function = activation_function(spec.hidden_act)
    return ops.feed_forward(names, normed, attended, size, inner, function)
