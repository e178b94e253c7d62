"""Which layer of a network a module path of transformers names.

``base_model.model.bert.encoder.layer.3.attention.self.query`` is ``block3.attention.self.query``:
names here follow the modules, without what stands before the number of the block. Where a release
of transformers has renamed modules (``vit.layers.3.attention.q_proj`` was
``vit.encoder.layer.3.attention.attention.query``), a layer is found by its part in the block, if
only one has it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hybridsim.workload import Attention, Experts, Linear, Network

PREFIX = "base_model.model."
"""What PEFT puts before the path of a module."""

Place = tuple[str | None, int, str]
"""A part of a network of several, the number of a block in it, and a name in the block."""

_WRAPPED = (".dense", ".linear", ".projection")
"""Modules that only wrap a layer; names here leave them out."""
_NUMBER = re.compile(r"(?:^|\.)(\d+)\.")
_BLOCK = re.compile(r"^block\d+\.")
_SECTIONS = frozenset(
    ("encoder", "decoder", "vision_model", "text_model", "language_model", "audio_tower",
     "vision_tower")
)  # fmt: skip
"""Parts of a network of several: their blocks are counted on here, and from 0 by modules."""
_CROSS = re.compile(r"(?i)encdec|encoder_attn|cross_?attention|cross_?attn")
_PARTS: Sequence[tuple[str, re.Pattern[str]]] = tuple(
    (part, re.compile(rf"(?:^|\.)(?:{names})$"))
    for part, names in (
        ("query", "query|query_proj|q|q_proj|q_lin"),
        ("key", "key|key_proj|k|k_proj|k_lin"),
        ("value", "value|value_proj|v|v_proj|v_lin"),
        ("fused", "c_attn|qkv|qkv_proj|query_key_value|Wqkv|in_proj"),
        (
            "attended",
            "attention\\.output|o|o_proj|out_proj|out_lin|attn\\.c_proj|attention\\.dense",
        ),
        ("gate", "gate|gate_proj|wi_0"),
        ("up", "intermediate|fc1|fc_in|lin1|c_fc|wi|wi_1|up_proj|dense_h_to_4h"),
        ("down", "output|fc2|fc_out|lin2|mlp\\.c_proj|wo|down_proj|dense_4h_to_h"),
    )
)
"""The parts of a block and the names that families give them; the first that fits counts."""


@dataclass(frozen=True, slots=True)
class Found:
    """The layer that a module path names."""

    layer: Linear
    renamed: bool = False
    """Whether it was found by its part in the block, under another name."""


class ModulePaths:
    """The layers of a network that adapters can adapt, found by module paths.

    ``modules`` are all paths that will be asked for: an encoder-decoder is told by paths of both
    stacks, and a network that has one of them alone has none of the other's layers.
    """

    def __init__(self, network: Network, modules: Sequence[str]) -> None:
        layers = network.matrices
        self._outside = {op.name: op for op in layers if op.block is None}
        named = {op.name: _section(op.name) for op in layers}
        self._sections = frozenset(section for section in named.values() if section)
        self._alone = None if self._sections else _alone(network, modules)
        first: dict[str | None, int] = {}
        self._inside: dict[Place, Linear] = {}
        self._by_part: dict[Place, list[Linear]] = {}
        for op in layers:
            if op.block is None:
                continue
            section = named[op.name]
            number = op.block - first.setdefault(section, op.block if section else 0)
            rest = _BLOCK.sub("", op.name).removeprefix(f"{section}.")
            self._inside[section, number, rest] = op
            part = _part(rest)
            if part is not None:
                self._by_part.setdefault((section, number, part), []).append(op)

    def find(self, module: str, sizes: tuple[int, int]) -> Found | None:
        """Return the layer of a module that adapts (in, out) features, or None."""
        if self.other_stack(module):
            return None
        path = module.removeprefix(PREFIX)
        places = [
            (self._section(path[: number.start()]), int(number[1]), path[number.end() :])
            for number in _NUMBER.finditer(path)
        ]
        for plain in (False, True):
            for section, number, rest in places:
                name = _plain(rest) if plain else rest
                layer = self._inside.get((section, number, name))
                if layer is not None:
                    return Found(layer)
            layer = self._outside_of_blocks(_plain(path) if plain else path)
            if layer is not None:
                return Found(layer)
        return self._experts(places, sizes) or self._renamed(places, sizes)

    def other_stack(self, module: str) -> str | None:
        """Return the stack that a path names, if the network is the other one alone."""
        stack = _stack(module)
        return stack if self._alone and stack and stack != self._alone else None

    def _section(self, before: str) -> str | None:
        """Return the part of the network that a path names before the number of the block."""
        return next((word for word in before.split(".") if word in self._sections), None)

    def _outside_of_blocks(self, path: str) -> Linear | None:
        """Return the layer outside of blocks that a path ends with, or that ends with the path."""
        words = path.split(".")
        for i, word in enumerate(words):
            layer = self._outside.get(".".join(words[i:]))
            if layer is not None:
                return layer
            if word.isdecimal():
                break  # what comes behind is inside of something that is numbered
        ends = [op for name, op in self._outside.items() if name.endswith(f".{path}")]
        return ends[0] if len(ends) == 1 else None

    def _experts(self, places: Sequence[Place], sizes: tuple[int, int]) -> Found | None:
        """Return the matrices of all experts that one pair of A and B adapts, told by sizes.

        PEFT wraps a module once for each of its parameters, and does not name the parameter.
        """
        for section, number, rest in places:
            name = rest.replace(".base_layer", "")
            found = [
                op
                for (*at, own), op in self._inside.items()
                if at == [section, number]
                and isinstance(op, Experts)
                and own.startswith(f"{name}.")
                and (op.in_features, op.out_features) == sizes
            ]
            if len(found) == 1:
                return Found(found[0])
        return None

    def _renamed(self, places: Sequence[Place], sizes: tuple[int, int]) -> Found | None:
        """Return the only layer that is the same part of the block, under another name."""
        for section, number, rest in places[-1:]:
            part = _part(_plain(rest))
            found = self._by_part.get((section, number, part), []) if part else []
            same = [op for op in found if (op.in_features, op.out_features) == sizes]
            if len(same) == len(found) == 1:
                return Found(same[0], renamed=True)
        return None


def short(module: str) -> str:
    """Return a module path as layers are named here: ``block3.attention.self.query``."""
    path = _plain(module.removeprefix(PREFIX))
    match = _NUMBER.search(path)
    return f"block{match[1]}.{path[match.end() :]}" if match else path


def _plain(path: str) -> str:
    for wrapped in _WRAPPED:
        path = path.removesuffix(wrapped)
    return path


def _section(name: str) -> str | None:
    """Return the part of a network of several that a layer is in: a stack, a tower."""
    word = _BLOCK.sub("", name).partition(".")[0]
    return word if word in _SECTIONS else None


def _stack(path: str) -> str | None:
    """Return the stack that stands before the number of the block, if one does."""
    number = _NUMBER.search(path)
    words = (path[: number.start()] if number else path).split(".")
    return next((word for word in words if word in ("encoder", "decoder")), None)


def _alone(network: Network, modules: Sequence[str]) -> str | None:
    """Return which stack of an encoder-decoder a network is, or None if it is no part of one.

    Only a decoder hides later tokens. A text encoder may do so too (CLIP), so it takes an
    attention to other vectors than the block's own, or an adapter with modules of a decoder, to
    tell that there are two stacks.
    """
    attentions = [op for op in network.ops if isinstance(op, Attention)]
    crossed = any(op.inputs and network.is_given(network.op(op.inputs[1])) for op in attentions)
    if not crossed and all(_stack(module) != "decoder" for module in modules):
        return None
    return "decoder" if any(op.causal for op in attentions) else "encoder"


def _part(name: str) -> str | None:
    """Return which part of its block a layer is, or None."""
    inside = _NUMBER.sub(".", name).lstrip(".")
    for part, names in _PARTS:
        if names.search(inside):
            return f"cross {part}" if _CROSS.search(inside) else part
    return None
