"""One reader for all families: a description and a config.json become the ops of a network."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from hybridsim.errors import SpecError
from hybridsim.specs import shown
from hybridsim.workload.families.bottleneck import add_bottleneck
from hybridsim.workload.families.builder import (
    ActivationName,
    Body,
    Head,
    OpList,
    activation_function,
)
from hybridsim.workload.families.config import Config, divided
from hybridsim.workload.families.description import (
    Bottleneck,
    Family,
    Pixels,
    Shortened,
    Stack,
    Sub,
)
from hybridsim.workload.families.parts import Making, part
from hybridsim.workload.families.stems import patches_of, stem
from hybridsim.workload.ops import (
    Activation,
    Convolution,
    FirstToken,
    Input,
    LastToken,
    Window,
)

_BY_BLOCK = ("layer_types", "no_rope_layers", "attention_window", "mlp_layer_types")
"""Keys that list something for each block."""
NORMS = ("layer_norm", "rms_norm", "no_norm")


def build(family: Family, data: Mapping[str, Any], head: Head, file: str, model_type: str) -> Body:
    """Return the ops of a model of a family, as its config.json says.

    Raises:
        SpecError: A key is missing or has a value of no use, two disagree, the head is not one
            of the family, or the config asks for what is not modelled.
    """
    config = Config(data, file, family.defaults)
    _check(family, config, head, model_type)
    ops, hidden, first = OpList(file), "", 0
    for stack in family.stacks:
        encoded = hidden if len(family.stacks) > 1 else None
        hidden = _stack(ops, stack, config.section(stack.section), encoded, first)
        first = 1 + max((op.block for op in ops.ops if op.block is not None), default=-1)
    _head(ops, family, config, head, hidden)
    last = family.stacks[-1]
    section = config.section(last.section)
    tokens = _tokens_of_an_image(last, section)
    most = last.most(section) if last.most else tokens
    notes = family.not_modelled
    return Body(ops.ops, most, tokens, notes(config) if callable(notes) else notes)


def _tokens_of_an_image(stack: Stack, config: Config) -> int | None:
    """Return the tokens that a run has where the network reads an image alone."""
    if not isinstance(stack.embed, Pixels):
        return None
    if stack.stages:
        return stack.most(config) if stack.most else None
    return patches_of(config)[0] + len(stack.embed.in_front)


def _check(family: Family, config: Config, head: Head, model_type: str) -> None:
    """Refuse another head, pruned heads, and what the family does not model."""
    if head not in family.heads:
        problem = f"found {head!r}; one of {', '.join(family.heads)} would do for a {model_type}"
        raise SpecError(config.file, "head", problem)
    if config.get("pruned_heads"):
        problem = f"found {shown(config.get('pruned_heads'))}; no pruned heads would do"
        raise config.problem("pruned_heads", problem)
    if "classifier" in family.heads:
        _classes(config)
    for key, (value, name) in family.only.items():
        found = config.get(key)
        if found is not None and found != value:
            said = str(found).lower() if isinstance(found, bool) else shown(found)
            raise config.problem(key, f"found {said}; {name} would do")
    for key in _BY_BLOCK:
        found, layers = config.get(key), config.get("num_hidden_layers")
        if isinstance(found, list) and isinstance(layers, int) and len(found) != layers:
            problem = f"found {len(found)} entries; the {layers} blocks need one each"
            raise config.problem(key, problem)
    for key, right in family.same:
        if config.has(key) and config.get(key) != right(config):
            found, wanted = (str(each).lower() for each in (config.get(key), right(config)))
            problem = f"found {found[:60]}; the {wanted} of the other keys would do"
            raise config.problem(key, problem)


# --- stacks -------------------------------------------------------------------------------------


def _stack(ops: OpList, stack: Stack, config: Config, encoded: str | None, first: int) -> str:
    """Append a stack whose first block has the number ``first``; return its output."""
    ops.prefix = stack.prefix
    size, act = config.size(stack.size, "size"), config.read(stack.act, ActivationName)
    norm = stack.norm if stack.norm in NORMS else config.read(stack.norm, Literal[NORMS])
    layers = list(_layers(stack, config, size))
    more = {"vocab": stack.vocab, "norm": norm, "source": stack.source, "heads": layers[0][2]}
    hidden, distances = stem(stack.embed, ops, config, layers[0][0], **more)
    if stack.enters is not None:
        entering = {"features": size, "tokens": config.size(stack.enters)}
        encoded = ops.put(Input, "encoder_output", [], **entering)
    block = stack.block(config) if callable(stack.block) else stack.block
    for index, (size, inner, heads, kv_heads, dim, merges) in enumerate(layers):
        ops.block = first + index
        if merges:
            hidden = _merged(ops, hidden, size // 2)
        making = Making(
            ops, config, index, size, inner, heads, kv_heads, dim,
            activation_function(act), config.key(stack.act) if isinstance(stack.act, str) else "",
            norm, encoded, distances,
        )  # fmt: skip
        ops.twin = _twin(stack, config, index, len(layers), first)
        if isinstance(block, Bottleneck):
            hidden = add_bottleneck(making, hidden)
        elif config.flag(stack.parallel):
            hidden = _parallel(making, block, hidden)
        else:
            for sub in block:
                hidden = _sub(making, sub, hidden)
    ops.block = ops.twin = None
    return _end(ops, stack, config, size, norm, hidden)


def _layers(
    stack: Stack, config: Config, size: int
) -> Iterator[tuple[int, int, int, int, int, bool]]:
    """Yield size, inner size, heads, their keys' heads and elements, and whether tokens merge."""
    if stack.stages:
        depths = config.numbers("depths")
        counts = config.numbers("num_heads", len(depths))
        ratio = config.read("mlp_ratio", float)
        for stage, (depth, heads) in enumerate(zip(depths, counts, strict=True)):
            dim = divided(config, size, heads, "num_heads")
            for i in range(depth):
                yield size, int(size * ratio), heads, heads, dim, stage > 0 and i == 0
            size *= 2
        return
    inner, layers = config.size(stack.inner, "inner"), config.size(stack.layers, "layers")
    heads = config.size(stack.heads, "heads")
    kv_heads = config.size_or(stack.kv_heads, heads, "Heads of the keys and of the values.")
    divided(config, heads, kv_heads, stack.kv_heads)
    dim = config.size_or(stack.head_dim, 0, "head_dim")
    dim = dim or divided(config, size, heads, stack.heads)
    for _ in range(layers):
        yield size, inner, heads, kv_heads, dim, False


def _merged(ops: OpList, hidden: str, size: int) -> str:
    """Append the merging of 2 x 2 patches: their vectors, a norm, and a layer of half as many."""
    shape = {"features": size, "kernel": 4, "stride": 4}
    hidden = ops.put(Window, "downsample.patches", [hidden], **shape)
    hidden = ops.norm("downsample.norm", hidden, "layer_norm", 4 * size)
    return ops.linear("downsample.reduction", hidden, 4 * size, 2 * size, bias=False)


def _twin(stack: Stack, config: Config, index: int, layers: int, first: int) -> int | None:
    """Return the block whose weights a block has, if these are not its own."""
    groups = config.size(stack.groups) if stack.groups is not None else layers
    if groups > layers or layers % groups:
        problem = f"found {groups}; a number that divides {layers} blocks would do"
        raise config.problem(str(stack.groups), problem)
    own = index // (layers // groups) * (layers // groups)
    return None if own == index else first + own


def _sub(making: Making, sub: Sub, hidden: str) -> str:
    """Append a part of a block with its norms and the sum with its residual."""
    read = _before(making, sub, hidden) or hidden
    total = making.ops.add(sub.add, [*_made(making, sub, read), hidden], making.size)
    return _normed(making, sub.behind, total)


def _parallel(making: Making, block: tuple[Sub, ...], hidden: str) -> str:
    """Append parts that read the same vector, or norms of it, and the sum of all."""
    read, found = hidden, []
    for sub in block:
        read = _before(making, sub, hidden) or read
        found += _made(making, sub, read)
    return making.ops.add(block[-1].add, [*found, hidden], making.size)


def _before(making: Making, sub: Sub, hidden: str) -> str:
    name = sub.before(making.index) if callable(sub.before) else sub.before
    return _normed(making, name, hidden) if name else ""


def _made(making: Making, sub: Sub, read: str) -> list[str]:
    """Append a part, and the norm and the scales of its output."""
    made = part(sub.core, making, read)
    if sub.after or sub.scale:
        if len(made) > 1:
            made = [making.ops.add(f"{sub.add}.parts", made, making.size)]
        made = [_normed(making, sub.after, made[0])]
    if sub.scale:
        made = [making.ops.norm(sub.scale, made[0], "scale", making.size)]
    return made


def _normed(making: Making, name: str, hidden: str) -> str:
    return making.ops.norm(name, hidden, making.norm, making.size) if name else hidden


def _end(ops: OpList, stack: Stack, config: Config, size: int, norm: str, hidden: str) -> str:
    """Append the norm behind the last block, and what of a head belongs to the model itself."""
    final = stack.final(config) if callable(stack.final) else stack.final
    if final:
        hidden = ops.norm(final, hidden, norm, size)
    if stack.project:
        assert not isinstance(stack.embed, Pixels)
        own = getattr(stack.embed, "size", None)
        width = size if own is None else config.size(own, "words")
        if width != size:
            hidden = ops.linear(stack.project, hidden, size, width, bias=False)
    if stack.shortened is not None and config.flag(stack.shortened.when):
        hidden = _shortened(ops, stack.shortened, config, size, norm, hidden)
    probe = stack.probe(config) if callable(stack.probe) else stack.probe
    if probe:
        hidden = _probed(ops, probe, config, size, norm, hidden)
    for name in stack.pooled:
        first = ops.put(FirstToken, f"{name}.token", [hidden], features=size)
        out = config.size_or(stack.pooled_size, size)
        hidden = ops.linear(name, first, size, out, bias=stack.pooled_bias)
    ops.prefix = ""
    return hidden


def _shortened(
    ops: OpList, short: Shortened, config: Config, size: int, norm: str, hidden: str
) -> str:
    """Append gated convolutions with one token of zeros at each end.

    Their gate, a sigmoid, is charged as that of SwiGLU, which takes one product more.
    """
    out = config.size_or(short.size, size)
    if out != size:
        hidden = ops.linear(f"{short.name}.proj", hidden, size, out)
        hidden = ops.norm(f"{short.name}.proj_layer_norm", hidden, norm, out)
    kernel, stride = config.size(short.kernel), config.size(short.stride)
    shape = {"features": out, "kernel": kernel, "stride": stride, "padding": 2}
    for i in range(config.size(short.layers)):
        name = f"{short.name}.layers.{i}.conv"
        window = ops.put(Window, f"{name}.window", [hidden], **shape)
        both = ops.linear(name, window, kernel * out, 2 * out, kind=Convolution)
        halves = ops.slices(both, 2 * out, [f"{name}.gate", f"{name}.values"], [out, out])
        hidden = ops.activation(f"{name}.glu", halves, "swiglu", out)
    return hidden


def _probed(ops: OpList, name: str, config: Config, size: int, norm: str, hidden: str) -> str:
    """Append an attention of one query over all tokens, and a network over what it gives.

    Its projections are one parameter, no linear layer by name; the query is trained and takes no
    time but that of its projection.
    """
    fused: dict[str, Any] = {"bias": True, "kind": Convolution}
    heads = config.size("num_attention_heads", "heads")
    first = ops.put(FirstToken, f"{name}.probe", [hidden], features=size)
    query = ops.linear(f"{name}.attention.query", first, size, size, **fused)
    both = ops.linear(f"{name}.attention.in_proj", hidden, size, 2 * size, **fused)
    names = [f"{name}.attention.{part}" for part in ("key", "value")]
    qkv = [query, *ops.slices(both, 2 * size, names, [size, size])]
    context = ops.attention(f"{name}.attention", qkv, heads, divided(config, size, heads, "heads"))
    context = ops.linear(f"{name}.attention.out_proj", context, size, size)
    normed, inner = (
        ops.norm(f"{name}.layernorm", context, norm, size),
        config.size("intermediate_size", "inner"),
    )
    wide = ops.linear(f"{name}.mlp.fc1", normed, size, inner)
    active = ops.activation(f"{name}.mlp.act", [wide], "gelu", inner)
    output = ops.linear(f"{name}.mlp.fc2", active, inner, size)
    return ops.add(f"{name}.add", [output, context], size)


# --- heads --------------------------------------------------------------------------------------


def _head(ops: OpList, family: Family, config: Config, head: Head, hidden: str) -> None:
    """Append what follows the model."""
    stack = family.stacks[-1]
    section = config.section(stack.section)
    size: int = getattr(ops.ops[-1], "out_features")  # noqa: B009 - of every op there is
    if head == "question_answering":
        ops.linear("qa_outputs", hidden, size, 2)  # a start and an end score per token
    elif head == "pooler":
        first = ops.put(FirstToken, "pooler.first_token", [hidden], features=size)
        if config.flag(family.dense_pooler):
            pooled = ops.linear("pooler", first, size, size)
            shape = {"function": "tanh", "features": size}
            ops.put(Activation, "pooler.activation", [pooled], **shape)
    elif head == "classifier":
        first = ops.put(FirstToken, "classifier.first_token", [hidden], features=size)
        ops.linear("classifier", first, size, _classes(config))
    elif head == "lm_head":
        if family.last_only:
            hidden = ops.put(LastToken, "lm_head.last_token", [hidden], features=size)
        tied = config.flag(family.tied)
        vocab = section.size(stack.vocab, "vocab")
        ops.linear("lm_head", hidden, size, vocab, bias=family.head_bias, tied=tied)


def _classes(config: Config) -> int:
    """Return the classes that the classifier tells apart."""
    names = config.get("id2label")
    if names is not None and not (isinstance(names, Mapping) and names):
        raise config.problem("id2label", "found an empty mapping; 1 or more entries would do")
    count = config.size_or("num_labels", 0, "Classes.")
    if names and count and len(names) != count:
        problem = f"found {count}; the {len(names)} of id2label would do"
        raise config.problem("num_labels", problem)
    return count or (len(names) if names else 2)
