"""The block of MobileBERT: narrow inside, with several feed-forward networks.

Source: transformers, ``modeling_mobilebert.py``, after MobileBERT (Sun et al., ACL 2020).
"""

from dataclasses import replace

from hybridsim.workload.families.config import Config, divided
from hybridsim.workload.families.parts import Making


def add_bottleneck(making: Making, hidden: str) -> str:
    """Append a block: bottlenecks of its input and of queries and keys, attention, residual with
    the input bottleneck, the small feed-forward networks, the last one, and the way back to the
    full size with a residual over the whole block.

    Raises:
        SpecError: Sizes do not fit together.
    """
    config, ops, size = making.config, making.ops, making.size
    bottleneck, inner = config.flag("use_bottleneck", True), inner_size(config)
    dim = divided(config, inner, making.heads, "num_attention_heads")
    inside = replace(making, size=inner, head_dim=dim)
    state = _attention(inside, hidden, size, bottleneck)
    for i in range(config.size("num_feedforward_networks") - 1):
        state = _feed_forward(inside, f"ffn.{i}.", state)
    state = _feed_forward(inside, "", state)
    if not bottleneck:
        return state
    wide = ops.linear("output.bottleneck", state, inner, size)
    total = ops.add("output.bottleneck.add", [wide, hidden], size)
    return ops.norm("output.bottleneck.norm", total, making.norm, size)


def inner_size(config: Config) -> int:
    """Return the elements of a vector inside a block."""
    narrow = config.flag("use_bottleneck", True)
    return config.size("intra_bottleneck_size" if narrow else "hidden_size")


def _narrow(inside: Making, name: str, hidden: str, size: int) -> str:
    narrow = inside.ops.linear(f"bottleneck.{name}", hidden, size, inside.size)
    return inside.ops.norm(f"bottleneck.{name}.norm", narrow, inside.norm, inside.size)


def _attention(inside: Making, hidden: str, size: int, bottleneck: bool) -> str:
    ops, inner, config = inside.ops, inside.size, inside.config
    residual = query_key = value = hidden
    value_size = size
    if bottleneck:
        residual = query_key = _narrow(inside, "input", hidden, size)
        if config.flag("use_bottleneck_attention"):
            value, value_size = residual, inner
        elif config.flag("key_query_shared_bottleneck", True):
            query_key = _narrow(inside, "attention", hidden, size)
        else:
            problem = (
                "found false, without use_bottleneck_attention; true for one of them would do"
            )
            raise config.problem("key_query_shared_bottleneck", problem)
    qkv = [
        ops.linear("attention.self.query", query_key, inner, inner),
        ops.linear("attention.self.key", query_key, inner, inner),
        ops.linear("attention.self.value", value, value_size, inner),
    ]
    heads = inside.heads
    context = ops.attention("attention.self", qkv, heads, inside.head_dim, kv_heads=heads)
    output = ops.linear("attention.output", context, inner, inner)
    total = ops.add("attention.output.add", [output, residual], inner)
    return ops.norm("attention.output.norm", total, inside.norm, inner)


def _feed_forward(inside: Making, prefix: str, state: str) -> str:
    ops, size, inner = inside.ops, inside.size, inside.inner
    wide = ops.linear(f"{prefix}intermediate", state, size, inner)
    active = ops.activation(f"{prefix}intermediate.activation", [wide], inside.act, inner)
    output = ops.linear(f"{prefix}output", active, inner, size)
    total = ops.add(f"{prefix}output.add", [output, state], size)
    return ops.norm(f"{prefix}output.norm", total, inside.norm, size)
