"""The parts of a block as ops: attention, feed-forward networks, experts, state spaces."""

from functools import singledispatch
from typing import Any

from hybridsim.errors import SpecError
from hybridsim.records import record
from hybridsim.units import ceil_div
from hybridsim.workload.families.builder import GATES, OpList
from hybridsim.workload.families.config import Config
from hybridsim.workload.families.description import Attend, Extra, Feed, Latent, Mixer, Routed
from hybridsim.workload.ops import (
    Combine,
    Concat,
    Depthwise,
    Embedding,
    Experts,
    FirstToken,
    Norm,
    Rotary,
    Router,
    Scan,
    Select,
)


@record(frozen=True, slots=True)
class Making:
    """What the parts of one block are made with."""

    ops: OpList
    config: Config
    index: int
    """Of the block in its stack."""
    size: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    act: str
    """Our name of the activation."""
    act_key: str
    norm: str
    encoded: str | None = None
    """The output of the encoder before."""
    distances: str | None = None
    """A table of vectors by distance."""

    def of_block(self, value: Any) -> Any:
        """Return what a description says of this block: a value, or a function of its index."""
        return value(self.config, self.index) if callable(value) else value


@singledispatch
def part(core: Any, making: Making, hidden: str) -> list[str]:
    """Append a part of a block; return what is summed up with its residual."""
    raise TypeError(core)


# --- attention ----------------------------------------------------------------------------------


@part.register
def _attention(core: Attend, making: Making, hidden: str) -> list[str]:
    ops, config, dim = making.ops, making.config, making.head_dim
    heads, kv_heads = making.heads, making.kv_heads
    sizes: dict[str, Any] = {"causal": core.causal, "window": _window(core, making)}
    if core.latent is not None:
        qkv, dim, values = _latent(core, core.latent, making, hidden)
        sizes["value_dim"] = None if values == dim else values
        kv_heads, width = heads, heads * values
    else:
        qkv, width = _projected(core, making, hidden), heads * dim
    for extra in core.extra:
        if config.flag(extra.when):
            _extra(core, extra, making, hidden)
    if core.relative and making.index == 0:
        add_table(ops, core.relative, config, heads)
    context = ops.attention(core.name, qkv, heads, dim, kv_heads=kv_heads, **sizes)
    if core.inner_norm:
        context = ops.norm(_full(core, core.inner_norm), context, making.norm, width)
    bias = config.flag(core.o_bias)
    return [ops.linear(_full(core, core.o), context, width, making.size, bias=bias)]


def add_table(ops: OpList, name: str, config: Config, heads: int) -> None:
    """Append a table of biases by distance: part of the scores of all attentions."""
    rows = config.size("relative_attention_num_buckets")
    ops.put(Embedding, name, [], rows=rows, features=heads)


def _full(core: Attend, name: str) -> str:
    return core.name + name if name.startswith(".") else name


def _bias(core: Attend, making: Making, own: Any) -> bool:
    return making.config.flag(core.bias if own == "as_q" else own)


def _window(core: Attend, making: Making) -> int | None:
    found = making.of_block(core.window)
    if isinstance(found, str):
        return making.config.size(found) if making.config.get(found) else None
    return None if found is None else int(found)


def _projected(core: Attend, making: Making, hidden: str) -> list[str]:
    """Return queries, keys and values, with their norms and positions."""
    ops, dim = making.ops, making.head_dim
    counts = (making.heads, making.kv_heads, making.kv_heads)
    names = [_full(core, name) for name in (core.q, core.k, core.v)]
    sizes = [count * dim for count in counts]
    if core.fused:
        bias, total = making.config.flag(core.bias), sum(sizes)
        fused = ops.linear(_full(core, core.fused), hidden, making.size, total, bias=bias)
        qkv = ops.slices(fused, total, names, sizes)
    else:
        source = making.encoded if core.cross and making.encoded is not None else hidden
        biases = [_bias(core, making, own) for own in ("as_q", core.k_bias, "as_q")]
        qkv = [
            ops.linear(name, read, making.size, size, bias=bias)
            for name, read, size, bias in zip(
                names, (hidden, source, source), sizes, biases, strict=True
            )
        ]
    normed = core.qk_norm(making.config) if callable(core.qk_norm) else core.qk_norm
    for i in range(2 if normed else 0):
        name, parts = _full(core, core.qk_names[i]), counts[i] if normed == "head" else 1
        shape = {"function": making.norm, "features": sizes[i], "parts": parts}
        qkv[i] = ops.put(Norm, name, [qkv[i]], **shape)
    if making.of_block(core.rotary):
        for i, name in enumerate("qk"):
            turned = {"heads": counts[i], "head_dim": dim}
            qkv[i] = ops.put(Rotary, f"{core.name}.{name}_rotary", [qkv[i]], **turned)
    return qkv


def _latent(
    core: Attend, latent: Latent, making: Making, hidden: str
) -> tuple[list[str], int, int]:
    """Return queries, keys and values made of latent vectors, and the sizes of a head of them."""
    ops, config, name, heads = making.ops, making.config, core.name, making.heads
    plain, turned, values = (
        config.size(value) for value in (latent.plain, latent.turned, latent.values)
    )
    dim, bias = plain + turned, config.flag(core.bias)
    source, size, projection = hidden, making.size, f"{name}.q_proj"
    if rank := config.size_or(latent.q_rank, 0):
        source = ops.linear(f"{name}.q_a_proj", hidden, size, rank, bias=bias)
        source, size = ops.norm(f"{name}.q_a_layernorm", source, making.norm, rank), rank
        projection = f"{name}.q_b_proj"
    query = ops.linear(projection, source, size, heads * dim, bias=False)
    rank = config.size(latent.kv_rank)
    both = ops.linear(f"{name}.kv_a_proj_with_mqa", hidden, making.size, rank + turned, bias=bias)
    short, key = ops.slices(both, rank + turned, [f"{name}.latent", f"{name}.key"], [rank, turned])
    short = ops.norm(f"{name}.kv_a_layernorm", short, making.norm, rank)
    wide = ops.linear(f"{name}.kv_b_proj", short, rank, heads * (plain + values), bias=False)
    parts = [f"{name}.plain_keys", f"{name}.values"]
    keys, value = ops.slices(
        wide, heads * (plain + values), parts, [heads * plain, heads * values]
    )
    parts = [f"{name}.plain_queries", f"{name}.turned_queries"]
    queries = ops.slices(query, heads * dim, parts, [heads * plain, heads * turned])
    shape = {"heads": heads, "head_dim": turned}
    queries[1] = ops.put(Rotary, f"{name}.q_rotary", [queries[1]], **shape)
    key = ops.put(Rotary, f"{name}.k_rotary", [key], **(shape | {"heads": 1}))
    query = ops.put(Concat, f"{name}.queries", queries, features=(heads * plain, heads * turned))
    shared = [key] * heads  # every head has the same turned part
    features = (heads * plain, *[turned] * heads)
    keys = ops.put(Concat, f"{name}.keys", [keys, *shared], features=features)
    return [query, keys, value], dim, values


def _extra(core: Attend, extra: Extra, making: Making, hidden: str) -> None:
    """Append a projection beside the way of the tokens; its products are not modelled."""
    ops, name = making.ops, _full(core, extra.name)
    read = hidden
    if extra.reads == "first":
        shape = {"features": making.size}
        read = ops.put(FirstToken, f"{name}.token", [hidden], **shape)
    elif extra.reads == "positions":
        if making.distances is None:
            return
        read = making.distances
    more: dict[str, Any] = (
        {"shared": ops.named(_full(core, extra.shared), ops.block)} if extra.shared else {}
    )
    bias = making.config.flag(extra.bias)
    ops.linear(name, read, making.size, making.size, bias=bias, **more)


# --- feed-forward networks ----------------------------------------------------------------------


@part.register
def _feed_forward(core: Feed, making: Making, hidden: str) -> list[str]:
    return [_feed(core, making, hidden)]


def _feed(core: Feed, making: Making, hidden: str, all_linear: int = 1) -> str:
    ops, config, size = making.ops, making.config, making.size
    inner = making.inner if core.inner is None else config.size(core.inner)
    more: dict[str, Any] = {"bias": config.flag(core.bias), "all_linear": all_linear}
    gated = core.gated(config) if callable(core.gated) else core.gated
    if gated == "two":
        names = (core.gate, core.beside or core.up)
        wide = [ops.linear(name, hidden, size, inner, **more) for name in names]
    elif gated == "fused":
        fused = ops.linear(core.up, hidden, size, 2 * inner, **more)
        wide = ops.slices(fused, 2 * inner, [f"{core.up}.gate", f"{core.up}.up"], [inner] * 2)
    else:
        wide = [ops.linear(core.up, hidden, size, inner, **more)]
    function = core.function or _function(making, bool(gated))
    active = ops.activation(core.act, wide, function, inner)
    if core.norm:
        active = ops.norm(core.norm, active, making.norm, inner)
    return ops.linear(core.down, active, inner, size, **more)


def _function(making: Making, gated: bool) -> str:
    if not gated:
        return making.act
    try:
        return GATES[making.act]
    except KeyError:
        found = making.config.get(making.act_key)
        problem = f"found {found!r}; silu or gelu would do"
        raise SpecError(making.config.file, making.act_key, problem) from None


@part.register
def _experts(core: Routed, making: Making, hidden: str) -> list[str]:
    """Append a router, two banks of matrices and their sum, and the networks beside them."""
    ops, config, size = making.ops, making.config, making.size
    ranks = 1 if core.adapted else 0
    plain = 0 if core.adapted else 1
    if core.routed is not None and not core.routed(config, making.index):
        assert core.dense is not None
        return [_feed(core.dense, making, hidden, plain)]
    count, inner = config.size(core.count, "Experts."), config.size(core.inner)
    active = config.size(core.active, "Experts of a token.")
    bank: dict[str, Any] = {"experts": count, "active": active}
    scores = ops.linear(
        core.router, hidden, size, count, bias=False, kind=Router, all_linear=ranks
    )
    few: dict[str, Any] = {"features": count, "active": active}
    scores = ops.put(Select, f"{core.router}.choice", [scores], **few)
    shape = {"in_features": size, "out_features": 2 * inner, "bias": False} | bank
    fused = ops.put(Experts, core.up, [hidden, scores], **shape, all_linear=2 * ranks)
    wide = ops.slices(fused, 2 * inner, [f"{core.up}.gate", f"{core.up}.up"], [inner] * 2)
    between = ops.activation(f"{core.up}.act", wide, _function(making, gated=True), inner)
    shape |= {"in_features": inner, "out_features": size}
    output = ops.put(Experts, core.down, [between], **shape, all_linear=ranks)
    chosen = {"features": size, "experts": count, "active": active}
    found = [ops.put(Combine, f"{core.down}.combine", [output, scores], **chosen)]
    if core.shared is not None:
        beside = _feed(core.shared, making, hidden, plain)
        if core.shared_gate:
            gate = ops.linear(core.shared_gate, hidden, size, 1, bias=False)
            one = {"features": size, "experts": 1, "active": 1}
            beside = ops.put(Combine, f"{core.shared_gate}.scale", [beside, gate], **one)
        found.append(beside)
    return found


# --- state spaces -------------------------------------------------------------------------------


@part.register
def _mixer(core: Mixer, making: Making, hidden: str) -> list[str]:
    """Append the block of Mamba: the projections on tiles, convolution and scan on clusters."""
    ops, config, name, size = making.ops, making.config, core.name, making.size
    inner, state = making.inner, config.size("state_size")
    rank = config.get("time_step_rank")
    rank = ceil_div(size, 16) if rank in (None, "auto") else config.size("time_step_rank")
    bias = config.flag("use_bias")
    both = ops.linear(f"{name}.in_proj", hidden, size, 2 * inner, bias=bias)
    x, gate = ops.slices(both, 2 * inner, [f"{name}.x", f"{name}.gate"], [inner] * 2)
    kernel = {"features": inner, "kernel": config.size("conv_kernel")}
    x = ops.put(Depthwise, f"{name}.conv1d", [x], **kernel)
    x = ops.activation(f"{name}.act", [x], "silu", inner)
    wide = rank + 2 * state
    chosen = ops.linear(f"{name}.x_proj", x, inner, wide, bias=False)
    names = [f"{name}.{part}" for part in ("dt", "b", "c")]
    step, enters, leaves = ops.slices(chosen, wide, names, [rank, state, state])
    step = ops.linear(f"{name}.dt_proj", step, rank, inner)
    scanned = {"features": inner, "state": state}
    y = ops.put(Scan, f"{name}.scan", [x, step, enters, leaves], **scanned)
    y = ops.activation(f"{name}.gated", [gate, y], "swiglu", inner)
    return [ops.linear(f"{name}.out_proj", y, inner, size, bias=bias)]
