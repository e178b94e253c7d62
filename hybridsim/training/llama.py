"""A decoder of the Llama family in plain torch, from a folder as Hugging Face writes it.

Parameters have the names of Hugging Face's LlamaForCausalLM. Embedding, norms and head are
digital; the seven linear layers of every block go onto tiles.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from hybridsim.errors import SpecError, UnsupportedError
from hybridsim.specs import read_json_mapping
from hybridsim.training.linear import DecoderOnTiles, StaticLinear
from hybridsim.training.past import Past, seen

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SIZES = (
    "hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "vocab_size",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """The sizes of a model, and what its arithmetic needs."""

    width: int
    inner: int
    blocks: int
    heads: int
    key_heads: int
    head: int
    """Length of a head's vector."""
    words: int
    eps: float
    """Of the norms."""
    frequencies: tuple[float, ...]
    """Of rotary positions [rad per token], head / 2 of them."""
    tied: bool
    """Whether the head is the word embedding."""


Turn = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines of positions, (tokens, head / 2) each."""


class _Norm(nn.Module):
    """x / sqrt(mean x^2 + eps) times a weight. Source: Zhang and Sennrich, NeurIPS 2019."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + self.eps) * self.weight


class _Attention(nn.Module):
    """Grouped queries (Ainslie et al., EMNLP 2023) with rotary positions (Su et al., 2021)."""

    def __init__(self, shape: LlamaShape, block: int) -> None:
        super().__init__()
        self.shape, self.block = shape, block
        own, shared = shape.heads * shape.head, shape.key_heads * shape.head
        self.q_proj = StaticLinear(shape.width, own)
        self.k_proj = StaticLinear(shape.width, shared)
        self.v_proj = StaticLinear(shape.width, shared)
        self.o_proj = StaticLinear(own, shape.width)

    def forward(self, x: torch.Tensor, turn: Turn, past: Past | None) -> torch.Tensor:
        size, tokens, _ = x.shape
        flat = x.flatten(0, 1)
        q, k, v = (
            layer(flat).view(size, tokens, -1, self.shape.head).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        k = turned(k, turn)
        if past is not None:
            k, v = past.grown(self.block, k, v)
        group = self.shape.heads // self.shape.key_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        every = k.shape[2]
        mask = None if every == tokens else seen(tokens, every, x.device)
        mixed = functional.scaled_dot_product_attention(
            turned(q, turn), k, v, attn_mask=mask, is_causal=mask is None
        )
        return self.o_proj(mixed.transpose(1, 2).flatten(2).flatten(0, 1)).view_as(x)


def turned(x: torch.Tensor, turn: Turn) -> torch.Tensor:
    """Return vectors (..., tokens, head) turned by their positions: halves make the pairs."""
    cosines, sines = turn
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1)


class _FeedForward(nn.Module):
    """down(silu(gate x) * up x). Source: Shazeer, *GLU variants improve transformer*, 2020."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.gate_proj = StaticLinear(shape.width, shape.inner)
        self.up_proj = StaticLinear(shape.width, shape.inner)
        self.down_proj = StaticLinear(shape.inner, shape.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(0, 1)
        hidden = functional.silu(self.gate_proj(flat)) * self.up_proj(flat)
        return self.down_proj(hidden).view_as(x)


class _Block(nn.Module):
    def __init__(self, shape: LlamaShape, block: int) -> None:
        super().__init__()
        self.input_layernorm = _Norm(shape.width, shape.eps)
        self.self_attn = _Attention(shape, block)
        self.post_attention_layernorm = _Norm(shape.width, shape.eps)
        self.mlp = _FeedForward(shape)

    def forward(self, x: torch.Tensor, turn: Turn, past: Past | None) -> torch.Tensor:
        x = x + self.self_attn(self.input_layernorm(x), turn, past)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(DecoderOnTiles):
    """Logits of the next token."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.shape = shape
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(shape.words, shape.width)
        self.model.layers = nn.ModuleList(_Block(shape, i) for i in range(shape.blocks))
        self.model.norm = _Norm(shape.width, shape.eps)
        self.lm_head = None if shape.tied else nn.Linear(shape.width, shape.words, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return logits, (sequences, tokens) to (sequences, tokens, vocabulary)."""
        return self.logits(self.read(ids))

    def read(self, ids: torch.Tensor, past: Past | None = None) -> torch.Tensor:
        """Return what the head looks at, (sequences, tokens) to (sequences, tokens, width).

        With a past, the tokens stand behind those read before, and are kept there too.
        """
        x = self.model.embed_tokens(ids)
        before = past.tokens if past is not None else 0
        frequencies = torch.tensor(self.shape.frequencies, dtype=torch.float64)
        places = torch.arange(before, before + ids.shape[1], dtype=torch.float64)
        angles = places[:, None] * frequencies
        turn = angles.cos().to(x), angles.sin().to(x)
        for block in self.model.layers:
            x = block(x, turn, past)
        vectors: torch.Tensor = self.model.norm(x)
        return vectors

    def logits(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the head's logits of what was read, (..., width) to (..., vocabulary)."""
        head = self.model.embed_tokens if self.lm_head is None else self.lm_head
        found: torch.Tensor = vectors @ head.weight.T
        return found


def filled(shape: LlamaShape, stored: Mapping[str, torch.Tensor], source: Path) -> Llama:
    """Return a frozen model with weights by the names of Hugging Face.

    Raises:
        SpecError: One is missing or has another shape.
    """
    with torch.device("meta"):  # no memory for weights that are replaced at once
        model = Llama(shape)
    weights = {}
    for name, value in model.state_dict().items():
        if name not in stored and name.endswith("_proj.bias"):
            weights[name] = torch.zeros(value.shape)
            continue
        if name not in stored:
            raise SpecError(str(source), name, "is missing; a Llama has it")
        if stored[name].shape != value.shape:
            problem = f"found the shape {tuple(stored[name].shape)}; {tuple(value.shape)} would do"
            raise SpecError(str(source), name, problem)
        weights[name] = stored[name].float()
    model.load_state_dict(weights, assign=True)
    model.requires_grad_(False)
    for layer in model.static_layers().values():
        layer.remember_spread()
    return model.eval()


def load_llama(folder: Path) -> Llama:
    """Return the model of a folder with config.json and weights in one or several files.

    Raises:
        SpecError: A file is missing or broken, or weights are missing.
        UnsupportedError: It is no Llama, or turns positions in a way that is not known.
    """
    config = read_json_mapping(folder / "config.json")
    shape, files = shape_of(config, folder / "config.json"), [WEIGHTS]
    if not (folder / WEIGHTS).exists() and (folder / INDEX).exists():
        files = sorted(set(read_json_mapping(folder / INDEX)["weight_map"].values()))
    stored: dict[str, torch.Tensor] = {}
    for name in files:
        try:
            stored |= load_file(str(folder / name))
        except (SafetensorError, OSError) as error:
            raise SpecError(str(folder / name), "", f"cannot be read: {error}") from None
    return filled(shape, stored, folder)


def shape_of(config: Mapping[str, Any], file: Path) -> LlamaShape:
    """Return what a config.json says.

    Raises:
        SpecError: A size is missing.
        UnsupportedError: It is no Llama that this module computes.
    """
    known = {"model_type": "llama", "hidden_act": "silu", "mlp_bias": False}
    for key, value in known.items():
        if config.get(key, None if key == "model_type" else value) != value:
            raise UnsupportedError(f"{file}: {key}: found {config.get(key)!r}; {value!r} would do")
    for key in SIZES:
        if not isinstance(config.get(key), int) or config[key] < 1:
            raise SpecError(str(file), key, f"found {config.get(key)!r}; a whole number would do")
    heads = config["num_attention_heads"]
    key_heads = config.get("num_key_value_heads") or heads
    head = config.get("head_dim") or config["hidden_size"] // heads
    if heads % key_heads or head % 2:
        raise SpecError(str(file), "num_key_value_heads", "does not divide heads of an even size")
    rotary = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    base = float(rotary.get("rope_theta") or config.get("rope_theta") or 10000.0)
    return LlamaShape(
        config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"],
        heads, key_heads, head, config["vocab_size"], float(config.get("rms_norm_eps", 1e-6)),
        _stretched(frequencies(base, head), rotary, file),
        bool(config.get("tie_word_embeddings", False)),
    )  # fmt: skip


def frequencies(base: float, head: int) -> tuple[float, ...]:
    """Return base^(-2 i / head) for i = 0 ... head / 2 - 1."""
    return tuple(base ** (-2 * i / head) for i in range(head // 2))


def _stretched(
    plain: tuple[float, ...], rotary: Mapping[str, Any], file: Path
) -> tuple[float, ...]:
    """Return frequencies as Llama 3.1 stretches them: long waves by a factor, short ones not.

    Source: Hugging Face's ``modeling_rope_utils``, ``llama3``.
    """
    kind = rotary.get("rope_type", rotary.get("type", "default"))
    if kind == "default":
        return plain
    if kind != "llama3":
        found = f"found {kind!r}; 'default' or 'llama3' would do"
        raise UnsupportedError(f"{file}: rope_scaling.rope_type: {found}")
    factor, context = rotary["factor"], rotary["original_max_position_embeddings"]
    low, high = rotary["low_freq_factor"], rotary["high_freq_factor"]
    result = []
    for each in plain:
        turns = context * each / (2 * math.pi)
        share = min(max((turns - low) / (high - low), 0.0), 1.0)
        result.append((1 - share) * each / factor + share * each)
    return tuple(result)
