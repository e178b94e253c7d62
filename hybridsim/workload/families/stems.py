"""What makes the first vectors of a stack as ops: tables of words, patches, frames of sound."""

from functools import singledispatch
from typing import Any

from hybridsim.errors import SpecError
from hybridsim.specs import shown
from hybridsim.workload.families.builder import OpList
from hybridsim.workload.families.config import Config
from hybridsim.workload.families.description import Embed, Pixels, Sound
from hybridsim.workload.families.parts import add_table
from hybridsim.workload.ops import (
    ClassToken,
    Convolution,
    Embedding,
    Input,
    Trigram,
    Window,
)


@singledispatch
def stem(
    embed: Any, ops: OpList, config: Config, size: int, **more: Any
) -> tuple[str, str | None]:
    """Append what makes the first vectors; return them, and a table of distances if there is one.

    ``more`` holds ``vocab``, ``heads``, ``norm`` and ``source`` of the stack.
    """
    raise TypeError(embed)


# --- words --------------------------------------------------------------------------------------


@stem.register
def _words(
    embed: Embed, ops: OpList, config: Config, size: int, **more: Any
) -> tuple[str, str | None]:
    tokens = {"tokens": "source"} if more["source"] else {}
    narrow = size if embed.size is None else config.size(embed.size, "words")
    vocab = config.size(more["vocab"], "vocab")
    tied = {"tied": embed.tied}
    hidden = ops.put(Embedding, embed.words, [], rows=vocab, features=narrow, **tied, **tokens)
    width = narrow
    trigram = config.flag(embed.trigram)
    if trigram:
        hidden, width = (
            ops.put(Trigram, "embeddings.trigram", [hidden], features=narrow),
            3 * narrow,
        )
    projects = embed.project and (width != size or trigram or embed.project_always)
    project = (embed.project, width, size, embed.project_bias)
    if projects and embed.project_first:
        hidden, width = _projected(ops, hidden, *project), size
    tables = [hidden, *_tables(embed, ops, config, width, tokens)]
    if len(tables) > 1:
        hidden = ops.add(embed.add, tables, width)
    norm = embed.norm(config) if callable(embed.norm) else embed.norm
    if norm:
        hidden = ops.norm(norm, hidden, more["norm"], width)
    if projects and not embed.project_first:
        hidden = _projected(ops, hidden, *project)
    if embed.relative:
        add_table(ops, embed.relative, config, more["heads"])
    return hidden, _distances(embed, ops, config, size)


def _projected(ops: OpList, hidden: str, name: str, width: int, size: int, bias: bool) -> str:
    return ops.linear(name, hidden, width, size, bias=bias)


def _tables(
    embed: Embed, ops: OpList, config: Config, width: int, tokens: dict[str, Any]
) -> list[str]:
    found = []
    if embed.positions and config.flag(embed.positioned):
        rows = config.size(embed.position_rows, "rows") + embed.offset
        found.append(ops.put(Embedding, embed.positions, [], rows=rows, features=width, **tokens))
    if embed.types and config.get(str(embed.type_rows)) != 0:
        rows = config.size(embed.type_rows, "Rows of the segment embedding.")
        found.append(ops.put(Embedding, embed.types, [], rows=rows, features=width, **tokens))
    return found


def _distances(embed: Embed, ops: OpList, config: Config, size: int) -> str | None:
    """Append the vectors by distance of DeBERTa, and their norm if it has one."""
    if not embed.distances or not config.flag("relative_attention"):
        return None
    rows = config.get("position_buckets") or 0
    if rows < 1:
        rows = config.get("max_relative_positions") or 0
        rows = rows if rows >= 1 else config.size("max_position_embeddings", "rows")
    shape = {"rows": 2 * rows, "features": size, "tokens": 2 * rows}
    table = ops.put(Embedding, embed.distances, [], **shape)
    if config.get("norm_rel_ebd") == "layer_norm":
        table = ops.norm(f"{embed.distances}.norm", table, "layer_norm", size)
    return table


# --- images -------------------------------------------------------------------------------------


def patches_of(config: Config) -> tuple[int, int]:
    """Return the patches of an image, and the values of a patch.

    Pixels that fill no patch at the far edges are left out.

    Raises:
        SpecError: A patch is larger than the image, or a size is none.
    """
    high, wide = config.pair("image_size")
    found = config.get("patch_size")
    if isinstance(found, list | tuple) and len(found) != 2:
        raise config.problem("patch_size", f"found {shown(found)}; a whole number would do")
    rows, columns = config.pair("patch_size")
    if rows > high or columns > wide:
        problem = f"found {max(rows, columns)}; at most the image's {min(high, wide)} would do"
        raise config.problem("patch_size", problem)
    channels = config.size_or("num_channels", 3, "Values per pixel.")
    return (high // rows) * (wide // columns), channels * rows * columns


@stem.register
def _pixels(
    embed: Pixels, ops: OpList, config: Config, size: int, **more: Any
) -> tuple[str, str | None]:
    patches, values = patches_of(config)
    given = {"tokens": patches} if embed.given else {}
    pixels = ops.put(Input, "pixel_values", [], features=values, **given)
    bias = {"bias": embed.bias}
    hidden = ops.linear(embed.projection, pixels, values, size, **bias, kind=Convolution)
    for name in embed.in_front:
        hidden = ops.put(ClassToken, name, [hidden], features=size)
    if embed.positions and config.flag(embed.positioned, True):
        rows = patches + len(embed.in_front)
        given = {"tokens": rows} if embed.given else {}
        table = ops.put(Embedding, embed.positions, [], rows=rows, features=size, **given)
        hidden = ops.add(embed.add, [hidden, table], size)
    if embed.norm:
        hidden = ops.norm(embed.norm, hidden, "layer_norm", size)
    return hidden, None


# --- sound --------------------------------------------------------------------------------------


@stem.register
def _sound(
    embed: Sound, ops: OpList, config: Config, size: int, **more: Any
) -> tuple[str, str | None]:
    channels = config.size(embed.channels)
    frames = config.size_or(embed.frames, 0)
    given: dict[str, Any] = {"tokens": frames} if frames else {}
    hidden = ops.put(Input, "input_features", [], features=channels, **given)
    norms = embed.norms(config) if embed.norms is not None else {}
    for i, (name, out, kernel, stride, padding, bias) in enumerate(embed.convolutions(config)):
        shape = {"features": channels, "kernel": kernel, "stride": stride, "padding": padding}
        window = ops.put(Window, f"{name}.window", [hidden], **shape)
        hidden = ops.linear(name, window, kernel * channels, out, bias=bias, kind=Convolution)
        if i in norms:
            hidden = ops.norm(norms[i], hidden, "layer_norm", out)
        hidden, channels = ops.activation(f"{name}.act", [hidden], "gelu", out), out
    if embed.projection is not None:
        norm, name = embed.projection
        hidden = ops.norm(norm, hidden, "layer_norm", channels)
        hidden = ops.linear(name, hidden, channels, size)
    hidden = _placed(embed, ops, config, size, hidden, frames)
    norm = embed.norm(config) if callable(embed.norm) else embed.norm
    return ops.norm(norm, hidden, "layer_norm", size) if norm else hidden, None


def _placed(embed: Sound, ops: OpList, config: Config, size: int, hidden: str, frames: int) -> str:
    """Add a table of positions, or the output of a convolution over many frames."""
    if embed.positions:
        rows = config.size("max_source_positions", "rows")
        shape = {"rows": rows, "features": size, "tokens": rows}
        table = ops.put(Embedding, embed.positions, [], **shape)
        return ops.add("embed.add", [hidden, table], size)
    if embed.convolved is None:
        return hidden
    name, kernel, groups = embed.convolved[0], *map(config.size, embed.convolved[1:])
    shape = {"features": size, "kernel": kernel, "padding": kernel - 1}
    window = ops.put(Window, f"{name}.window", [hidden], **shape)
    try:
        moved = ops.linear(name, window, kernel * size, size, kind=Convolution, groups=groups)
    except SpecError:
        key = str(embed.convolved[2])
        raise config.problem(
            key, f"found {groups}; a number that divides {size} would do"
        ) from None
    moved = ops.activation(f"{name}.act", [moved], "gelu", size)
    return ops.add(f"{name}.add", [hidden, moved], size)
