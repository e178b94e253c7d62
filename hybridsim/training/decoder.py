"""A GPT-2 in plain torch: random, or from a folder as Hugging Face writes it.

Parameters have the names of Hugging Face's GPT2Model; its linear weights lie transposed there.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn
from torch.nn import functional

from hybridsim.errors import SpecError, UnsupportedError
from hybridsim.specs import read_json_mapping
from hybridsim.training.files import write_folder
from hybridsim.training.linear import DecoderOnTiles, StaticLinear

SIZES = ("n_embd", "n_head", "n_layer", "n_positions", "vocab_size")
START = 0.02
"""Deviation of random weights. Source: GPT-2's ``initializer_range``."""


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn = StaticLinear(width, 3 * width)
        self.c_proj = StaticLinear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size, tokens, width = x.shape
        parts = self.c_attn(x.flatten(0, 1)).view(size, tokens, 3, self.heads, -1)
        q, k, v = (parts[:, :, i].transpose(1, 2) for i in range(3))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(mixed.transpose(1, 2).reshape(-1, width)).view(size, tokens, width)


class _FeedForward(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.c_fc = StaticLinear(width, inner)
        self.c_proj = StaticLinear(inner, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.gelu(self.c_fc(x.flatten(0, 1)), approximate="tanh")
        return self.c_proj(hidden).view_as(x)


class _Block(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, eps = config["n_embd"], config["layer_norm_epsilon"]
        self.ln_1, self.ln_2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.attn = _Attention(width, config["n_head"])
        self.mlp = _FeedForward(width, config["n_inner"] or 4 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Decoder(DecoderOnTiles):
    """Logits of the next token; the head is the word embedding, digital."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config["vocab_size"], config["n_embd"])
        self.wpe = nn.Embedding(config["n_positions"], config["n_embd"])
        self.h = nn.ModuleList(_Block(config) for _ in range(config["n_layer"]))
        self.ln_f = nn.LayerNorm(config["n_embd"], eps=config["layer_norm_epsilon"])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return logits, (sequences, tokens) to (sequences, tokens, vocabulary)."""
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        for block in self.h:
            x = block(x)
        return self.ln_f(x) @ self.wte.weight.T


def new_decoder(config: dict[str, Any], seed: int) -> Decoder:
    """Return a decoder with random weights, as GPT-2 starts."""
    generator = torch.Generator().manual_seed(seed)
    model = Decoder(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif "ln_" not in name:
                # the last layers of each half are smaller, so that the sum of blocks is not large
                deep = math.sqrt(2 * config["n_layer"]) if "c_proj" in name else 1.0
                drawn = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(drawn * START / deep)
    return model


def load_decoder(folder: Path) -> Decoder:
    """Return the decoder of a folder with config.json and model.safetensors.

    Raises:
        SpecError: A file is missing or broken, or weights are missing.
        UnsupportedError: It is no GPT-2 with its own activation.
    """
    model = Decoder(_read_config(folder / "config.json"))
    file = folder / "model.safetensors"
    try:
        stored = load_file(str(file))
    except (SafetensorError, OSError) as error:
        raise SpecError(str(file), "", f"cannot be read: {error}") from None
    stored = {name.removeprefix("transformer."): v.float() for name, v in stored.items()}
    linear = {f"{name}.weight" for name in model.static_layers()}
    wanted, weights = model.state_dict(), {}
    for name, value in wanted.items():
        if name not in stored:
            raise SpecError(str(file), name, "is missing; a GPT-2 has it")
        found = stored[name].T if name in linear else stored[name]
        if found.shape != value.shape:
            problem = f"found the shape {tuple(found.shape)}; {tuple(value.shape)} would do"
            raise SpecError(str(file), name, problem)
        weights[name] = found.contiguous()
    model.load_state_dict(weights)
    return model


def save_decoder(folder: Path, model: Decoder) -> None:
    """Write a decoder without its adapters, as :func:`load_decoder` and Hugging Face read it."""
    linear = {f"{name}.weight" for name in model.static_layers()}
    weights = {
        f"transformer.{name}": (value.T if name in linear else value).detach().cpu().contiguous()
        for name, value in model.state_dict().items()
        if ".adapter." not in name
    }
    config = json.dumps(model.config, indent=2) + "\n"
    stored = save(weights, metadata={"format": "pt"})
    write_folder(folder, {"config.json": config.encode(), "model.safetensors": stored})


def _read_config(file: Path) -> dict[str, Any]:
    config = read_json_mapping(file)
    known = {"model_type": "gpt2", "activation_function": "gelu_new"}
    for key, value in known.items():
        if config.get(key, None if key == "model_type" else value) != value:
            raise UnsupportedError(f"{file}: {key}: found {config.get(key)!r}; {value!r} would do")
    for key in SIZES:
        if not isinstance(config.get(key), int) or config[key] < 1:
            raise SpecError(str(file), key, f"found {config.get(key)!r}; a whole number would do")
    if config["n_embd"] % config["n_head"]:
        raise SpecError(str(file), "n_head", "does not divide n_embd")
    epsilon = float(config.get("layer_norm_epsilon", 1e-5))
    return config | {"layer_norm_epsilon": epsilon, "n_inner": config.get("n_inner")}
