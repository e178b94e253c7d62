"""Encoders of text: BERT and its kin, as data. Names follow the modules of transformers."""

from dataclasses import replace

from hybridsim.workload.families.bottleneck import inner_size
from hybridsim.workload.families.builder import Head
from hybridsim.workload.families.config import Config
from hybridsim.workload.families.description import (
    Attend,
    Bottleneck,
    Embed,
    Extra,
    Family,
    Feed,
    Stack,
    Sub,
)

_HEADS: tuple[Head, ...] = ("none", "question_answering", "pooler")
_ENCODER = {
    "is_decoder": (False, "an encoder (false)"),
    "add_cross_attention": (False, "false"),
}
_ABSOLUTE = {"position_embedding_type": ("absolute", "'absolute'")}
_SELF = Attend(
    "attention.self", ".query", ".key", ".value", "attention.output", bias=True, o_bias=True
)
_FEED = Feed("intermediate", "output", "intermediate.activation")


def _most(config: Config) -> int:
    return config.size("max_position_embeddings", "rows")


def _behind_padding(config: Config) -> int:
    """Return the most tokens where positions begin behind the padding token's (RoBERTa)."""
    return _most(config) - config.size_or("pad_token_id", 1) - 1


def _block(
    attention: Attend = _SELF, norm: str = "attention.output.norm", feed: Feed = _FEED
) -> tuple[Sub, ...]:
    return (
        Sub(attention, "attention.output.add", behind=norm),
        Sub(feed, "output.add", behind="output.norm"),
    )


_EMBED = Embed(
    "embeddings.word_embeddings",
    positions="embeddings.position_embeddings",
    types="embeddings.token_type_embeddings",
    norm="embeddings.norm",
)
_STACK = Stack(_EMBED, _block(), most=_most)
BERT = Family((_STACK,), heads=_HEADS, only=_ENCODER | _ABSOLUTE, about="modeling_bert.py")
_ROBERTA = replace(BERT, stacks=(replace(_STACK, most=_behind_padding),))

_DISTIL = Stack(
    Embed(
        "embeddings.word_embeddings",
        positions="embeddings.position_embeddings",
        norm="embeddings.norm",
    ),
    (
        Sub(
            Attend("attention", ".q_lin", ".k_lin", ".v_lin", ".out_lin", bias=True, o_bias=True),
            "attention.add",
            behind="sa_layer_norm",
        ),
        Sub(Feed("ffn.lin1", "ffn.lin2", "ffn.activation"), "ffn.add", behind="output_layer_norm"),
    ),
    size="dim|hidden_size",
    inner="hidden_dim",
    layers="n_layers|num_hidden_layers",
    heads="n_heads|num_attention_heads",
    act="activation",
    most=_most,
)

_ALBERT = Stack(
    replace(
        _EMBED,
        size="embedding_size",
        project="embedding_hidden_mapping_in",
        project_always=True,
    ),
    (
        Sub(
            Attend("attention", ".query", ".key", ".value", ".dense", bias=True, o_bias=True),
            "attention.add",
            behind="attention.norm",
        ),
        Sub(Feed("ffn", "ffn_output", "ffn.activation"), "ffn.add", behind="full_layer_norm"),
    ),
    groups="num_hidden_groups",
    most=_most,
)

_POSITIONS = "key products of disentangled attention: scores of positions"


def _disentangled(config: Config) -> tuple[str, ...]:
    found = [_POSITIONS] if config.flag("relative_attention") else []
    if config.get("conv_kernel_size"):
        found.append("the convolution beside the first block")
    return tuple(found)


def _of_positions(kind: str, shared: bool):  # type: ignore[no-untyped-def]
    """Return whether positions have a projection of one kind, of its own or a shared one."""

    def when(config: Config) -> bool:
        kinds = config.get("pos_att_type") or ()
        kinds = kinds.split("|") if isinstance(kinds, str) else kinds
        same = bool(config.get("share_att_key"))
        return kind in kinds and same == shared

    return when


_DEBERTA_EMBED = replace(
    _EMBED,
    size=lambda config: config.size_or("embedding_size", config.size("hidden_size", "size")),
    positioned="position_biased_input",
    project="embeddings.embed_proj",
    project_bias=False,
    distances="encoder.rel_embeddings",
)
_DEBERTA_V1 = replace(
    _SELF,
    fused=".in_proj",
    bias=False,
    extra=(
        Extra(".pos_proj", "positions", bias=False, when=_of_positions("c2p", shared=False)),
        Extra(".pos_q_proj", "positions", when=_of_positions("p2c", shared=False)),
    ),
)
_DEBERTA_V2 = replace(
    _SELF,
    q=".query_proj",
    k=".key_proj",
    v=".value_proj",
    extra=(
        Extra(".pos_key_proj", "positions", when=_of_positions("c2p", shared=False)),
        Extra(".pos_query_proj", "positions", when=_of_positions("p2c", shared=False)),
        Extra(".pos_key", "positions", when=_of_positions("c2p", shared=True), shared=".key_proj"),
        Extra(
            ".pos_query", "positions", when=_of_positions("p2c", shared=True), shared=".query_proj"
        ),
    ),
)
_DEBERTA_DEFAULTS = {
    "type_vocab_size": 0,
    "position_biased_input": True,
    "max_relative_positions": -1,
    "hidden_act": "gelu",
}


def _deberta(attention: Attend) -> Family:
    stack = Stack(_DEBERTA_EMBED, _block(attention), most=_most)
    return Family(
        (stack,), _DEBERTA_DEFAULTS, ("none", "question_answering"), not_modelled=_disentangled,
        same=(("attention_head_size", lambda config: (
            config.size("hidden_size") // config.size("num_attention_heads"))),),
    )  # fmt: skip


_MPNET = Stack(
    Embed(
        "embeddings.word_embeddings",
        positions="embeddings.position_embeddings",
        norm="embeddings.norm",
        relative="encoder.relative_attention_bias",
    ),
    _block(Attend("attention.attn", ".q", ".k", ".v", ".o", bias=True, o_bias=True),
           "attention.norm"),
    most=_behind_padding,
)  # fmt: skip


def _sparse_blocks(config: Config, index: int) -> int | None:
    """Return the keys of a query of BigBird: its block and two beside it, two at the ends, and
    some at random. transformers goes over to all keys below 5 + 2 x random blocks."""
    if config.get("attention_type") != "block_sparse":
        return None
    return (5 + config.size("num_random_blocks")) * config.size("block_size")


_BIG_BIRD = replace(_SELF, bias="use_bias", window=_sparse_blocks)


def _sliding(config: Config, index: int) -> int:
    """Return the keys of a query of Longformer: half a window on each side, and the first."""
    found = config.get("attention_window")
    widths = [found] if isinstance(found, int) else list(found or [512])
    return int(widths[min(index, len(widths) - 1)]) + 2


_LONGFORMER = replace(
    _SELF,
    window=_sliding,
    extra=(
        Extra(".query_global", "first"),
        Extra(".key_global", "tokens"),
        Extra(".value_global", "tokens"),
    ),
)


def _local(config: Config, index: int) -> int | None:
    """Return the keys of a query of ModernBERT, half a window on each side."""
    kinds = config.each("layer_types", index + 1)
    every = config.size_or("global_attn_every_n_layers", 3)
    whole = kinds[index] == "full_attention" if kinds else index % every == 0
    return None if whole else config.size("local_attention") + 1


_MODERN = Stack(
    Embed("embeddings.tok_embeddings", norm="embeddings.norm"),
    (
        Sub(
            Attend("attn", ".query", ".key", ".value", ".Wo", ".Wqkv", bias="attention_bias",
                   o_bias="attention_bias", rotary=True, window=_local),
            "attn.add",
            before=lambda index: "attn_norm" if index else "",
        ),
        Sub(Feed("mlp.Wi", "mlp.Wo", "mlp.act", gated="fused", bias="mlp_bias"), "mlp.add",
            before="mlp_norm"),
    ),
    act="hidden_activation",
    norm="rms_norm",  # layer norm without shifts
    final="final_norm",
    most=_most,
)  # fmt: skip

_MOBILE = Stack(
    replace(
        _EMBED,
        size="embedding_size",
        trigram="trigram_input",
        project="embedding_transformation",
        project_first=True,
    ),
    Bottleneck(),
    norm="normalization_type",
    most=_most,
)

ENCODERS = {
    "bert": BERT,
    "distilbert": Family((_DISTIL,), heads=("none", "question_answering")),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "data2vec-text": _ROBERTA,
    "ernie": replace(BERT, not_modelled=("task type embeddings",)),
    "electra": replace(
        BERT,
        stacks=(
            replace(
                _STACK,
                embed=replace(_EMBED, size="embedding_size", project="embeddings_project"),
            ),
        ),
        defaults={"hidden_act": "gelu", "type_vocab_size": 2},
        heads=("none", "question_answering"),
    ),
    "albert": Family(
        (_ALBERT,),
        {"num_hidden_groups": 1, "inner_group_num": 1},
        _HEADS,
        only={"inner_group_num": (1, "1")} | _ABSOLUTE,
    ),
    "deberta": _deberta(_DEBERTA_V1),
    "deberta-v2": _deberta(_DEBERTA_V2),
    "mpnet": Family((_MPNET,), {"relative_attention_num_buckets": 32}, _HEADS),
    "big_bird": Family(
        (replace(_STACK, block=_block(_BIG_BIRD)),),
        {
            "attention_type": "block_sparse",
            "num_random_blocks": 3,
            "block_size": 64,
            "use_bias": True,
        },
        _HEADS,
        only=_ENCODER,
    ),
    "longformer": Family(
        (replace(_STACK, block=_block(_LONGFORMER), most=_behind_padding),),
        {"type_vocab_size": 2},
        _HEADS,
        not_modelled=("products of global attention, whose projections are",),
    ),
    "modernbert": Family(
        (_MODERN,),
        {"hidden_activation": "gelu", "local_attention": 128},
        ("none", "question_answering"),
    ),
    "mobilebert": Family(
        (_MOBILE,),
        {
            "normalization_type": "no_norm",
            "trigram_input": True,
            "use_bottleneck": True,
            "key_query_shared_bottleneck": True,
            "classifier_activation": True,
        },
        _HEADS,
        dense_pooler="classifier_activation",
        same=(("true_hidden_size", inner_size),),
    ),
}
"""The encoders of text by ``model_type``."""
