"""Adapters in the format of Hugging Face PEFT, read for what they adapt and how large they are.

A folder holds ``adapter_config.json`` and ``adapter_model.safetensors``; of the latter only the
names, shapes and types of the tensors are read. Layers are found by the end of their module path:
``base_model.model.bert.encoder.layer.3.attention.self.query.lora_A.weight`` is the adapter's A of
``block3.attention.self.query``. Source of the format: PEFT 0.17, ``save_pretrained``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridsim.errors import InputError, SpecError, did_you_mean
from hybridsim.specs import read_json_mapping
from hybridsim.workload import Network

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_TENSOR = re.compile(r"(?P<module>.+)\.lora_(?P<part>[AB])(?:\.default)?\.weight")
_BLOCK = re.compile(r"(?:^|\.)(?P<block>\d+)\.(?P<rest>.+)")


@dataclass(frozen=True, slots=True)
class PeftAdapter:
    """What a folder says of one task's adapters."""

    folder: str
    rank: int
    alpha: int
    modules: Mapping[str, tuple[int, int]]
    """Module path -> (in, out) features of the layer that it adapts."""
    stored_bytes: int
    """Bytes of all A and B as stored."""

    @property
    def parameters(self) -> int:
        """Trained numbers: the sum of rank * (in + out)."""
        return sum(self.rank * (i + o) for i, o in self.modules.values())

    def on(self, network: Network) -> Network:
        """Return the network with exactly these adapters.

        Raises:
            SpecError: A module is no static linear layer of the network, or has other sizes.
        """
        layers = {
            op.name: (op.in_features, op.out_features) for op in network.static_linear_layers
        }
        chosen = []
        for module, sizes in self.modules.items():
            name = _layer(module, layers)
            if name is None:
                near = did_you_mean(_short(module), layers)
                raise SpecError(
                    str(Path(self.folder) / WEIGHTS),
                    module,
                    f"is no static linear layer of network {network.name!r}{near}; an adapter "
                    "trained for this network would do",
                )
            if layers[name] != sizes:
                raise SpecError(
                    str(Path(self.folder) / WEIGHTS),
                    module,
                    f"adapts {sizes[0]} x {sizes[1]} features, but {name} of network "
                    f"{network.name!r} has {layers[name][0]} x {layers[name][1]}",
                )
            chosen.append(name)
        return network.with_adapters(rank=self.rank, alpha=self.alpha, targets=chosen, exclude=())


def read_peft(folder: Path) -> PeftAdapter:
    """Return the adapters that a PEFT folder holds.

    Raises:
        SpecError: A file is missing or is not what it should be; the adapter is no LoRA, its
            layers differ in rank, or a layer has only one of A and B.
        InputError: The package ``safetensors`` is not installed.
    """
    if not folder.is_dir():
        raise SpecError(str(folder), "", "no such folder; give a folder that PEFT has written")
    config = read_json_mapping(folder / CONFIG)
    file = str(folder / CONFIG)
    if config.get("peft_type") != "LORA":
        found = repr(config.get("peft_type"))[:40]
        raise SpecError(file, "peft_type", f"found {found}; only 'LORA' is known here")
    rank = _whole(config, "r", file)
    alpha = _whole(config, "lora_alpha", file)
    shapes, size = _shapes(folder / WEIGHTS)
    modules = {}
    for module, parts in shapes.items():
        if set(parts) != {"A", "B"}:
            there = next(iter(parts))
            raise SpecError(
                str(folder / WEIGHTS), module, f"has only lora_{there}; A and B would do"
            )
        (rank_a, features), (out, rank_b) = parts["A"], parts["B"]
        if {rank_a, rank_b} != {rank}:
            problem = f"has rank {rank_a}, but {CONFIG} says r = {rank}; one rank for all would do"
            raise SpecError(str(folder / WEIGHTS), module, problem)
        modules[module] = (features, out)
    return PeftAdapter(str(folder), rank, alpha, modules, size)


def _shapes(file: Path) -> tuple[dict[str, dict[str, tuple[int, int]]], int]:
    """Return module -> part -> shape of every LoRA tensor, and the bytes of all of them."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise InputError(
            "reading adapters needs the package safetensors; "
            "pip install 'hybridsim[serve]' would do"
        ) from None
    shapes: dict[str, dict[str, tuple[int, int]]] = {}
    size = 0
    try:
        with safe_open(str(file), framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no mapping
                match = _TENSOR.fullmatch(name)
                part = tensors.get_slice(name)
                if match is None or len(part.get_shape()) != 2:
                    continue
                rows, columns = part.get_shape()
                shapes.setdefault(match["module"], {})[match["part"]] = (rows, columns)
                size += rows * columns * _bytes(part.get_dtype())
    except FileNotFoundError:
        raise SpecError(str(file), "", "no such file; PEFT writes it beside its config") from None
    except (SafetensorError, OSError) as error:
        raise SpecError(str(file), "", f"is no safetensors file: {error}"[:200]) from None
    if not shapes:
        raise SpecError(str(file), "", "holds no tensor named *.lora_A.weight or *.lora_B.weight")
    return shapes, size


def _bytes(dtype: str) -> int:
    """Return the bytes of one number of a safetensors type such as ``BF16``."""
    digits = re.search(r"\d+", dtype)
    return int(digits[0]) // 8 if digits else 1


def _whole(config: Mapping[str, Any], key: str, file: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SpecError(file, key, f"found {value!r}; write a whole number of 1 or more")
    return value


def _short(module: str) -> str:
    """Return a module path as layers are named here: ``block3.attention.self.query``."""
    path = module.removesuffix(".dense").removesuffix(".linear")
    match = _BLOCK.search(path)
    return f"block{match['block']}.{match['rest']}" if match else path


def _layer(module: str, layers: Mapping[str, Any]) -> str | None:
    """Return the layer that a module path names, or None."""
    name = _short(module)
    if name in layers:
        return name
    ends = [layer for layer in layers if f".{name}".endswith(f".{layer}")]
    return max(ends, key=len, default=None)
