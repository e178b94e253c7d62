"""Adapters as PEFT writes and reads them: adapter_config.json and adapter_model.safetensors.

The head is no part of PEFT's format and lies beside them in head.safetensors. Trained meta-weights
(full fine-tuning) are written as weights.safetensors instead; learned input ranges lie in
ranges.safetensors.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from hybridsim.boundary.reading import read_own
from hybridsim.errors import SpecError
from hybridsim.training.classifier import Classifier
from hybridsim.training.decoder import Decoder
from hybridsim.training.files import write_folder
from hybridsim.training.llama import Llama
from hybridsim.training.study import Lora

ADAPTER = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
HEAD = "head.safetensors"
WEIGHTS = "weights.safetensors"
RANGES = "ranges.safetensors"

_PREFIX = "base_model.model."
_GPT2 = "base_model.model.transformer."


def write_trained(folder: Path, model: Classifier, lora: Lora | None, base: str) -> None:
    """Write what was trained, all of it or nothing; ``base`` names the model it belongs to."""
    head = {
        name: value.detach().cpu().contiguous() for name, value in model.head.state_dict().items()
    }
    files, ranges = {HEAD: save(head)}, _ranges(model)
    if ranges:
        files[RANGES] = save({name: value.detach().cpu() for name, value in ranges.items()})
    if lora is not None:
        config = _config(model, lora, base, {})
        files |= {ADAPTER: save(_tensors(model, _PREFIX)), CONFIG: config.encode()}
    else:
        rest = {n: p.detach().cpu().contiguous() for n, p in model.encoder.named_parameters()}
        files[WEIGHTS] = save({n: v for n, v in rest.items() if not n.startswith("embeddings.")})
    write_folder(folder, files)


def read_trained(folder: Path, model: Classifier) -> None:
    """Put what :func:`write_trained` wrote into a model that has the same adapters.

    Raises:
        SpecError: A file is missing, broken, or belongs to another model.
    """
    try:
        model.head.load_state_dict(load(read_own(folder / HEAD)))
        if (folder / WEIGHTS).exists():
            model.encoder.load_state_dict(load(read_own(folder / WEIGHTS)), strict=False)
            return
        stored = load(read_own(folder / ADAPTER))
        with torch.no_grad():
            if (folder / RANGES).exists():
                learned = load(read_own(folder / RANGES))
                for name, value in _ranges(model).items():
                    value.copy_(learned[name])
            for name, adapter in model.adapters():
                theirs = _name(model, name)
                adapter.lora_A.copy_(stored.pop(f"{_PREFIX}{theirs}.lora_A.weight"))
                adapter.lora_B.copy_(stored.pop(f"{_PREFIX}{theirs}.lora_B.weight"))
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise SpecError(str(folder), "", f"cannot be read as its adapter: {error}") from None
    if stored:
        raise SpecError(str(folder), ADAPTER, f"holds {next(iter(stored))}, which no layer has")


def _ranges(model: Classifier) -> dict[str, torch.nn.Parameter]:
    """Return the input ranges that are learned, by layer."""
    layers = model.static_layers().items()
    return {n: layer.learned_range for n, layer in layers if layer.learned_range is not None}


def write_decoder_adapter(
    folder: Path,
    model: Decoder | Llama,
    lora: Lora,
    base: str,
    kind: torch.dtype = torch.float32,
) -> None:
    """Write the adapters of a decoder for PEFT, all or nothing, in the arithmetic ``kind``.

    ``base`` names the model that they belong to.
    """
    own: dict[str, object] = {"task_type": "CAUSAL_LM"}
    if isinstance(model, Decoder):
        own["fan_in_fan_out"] = True  # GPT-2's linear weights lie transposed
    config = _config(model, lora, base, own)
    tensors = _tensors(model, _prefix_of(model), kind)
    write_folder(folder, {ADAPTER: save(tensors), CONFIG: config.encode()})


def read_decoder_adapter(folder: Path, model: Decoder | Llama) -> None:
    """Put what :func:`write_decoder_adapter` wrote into a model that has the same adapters.

    Raises:
        SpecError: A file is missing, broken, or belongs to another model.
    """
    prefix = _prefix_of(model)
    try:
        stored = load(read_own(folder / ADAPTER))
        with torch.no_grad():
            for name, adapter in model.adapters():
                adapter.lora_A.copy_(stored.pop(f"{prefix}{name}.lora_A.weight"))
                adapter.lora_B.copy_(stored.pop(f"{prefix}{name}.lora_B.weight"))
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise SpecError(str(folder), "", f"cannot be read as its adapter: {error}") from None
    if stored:
        raise SpecError(str(folder), ADAPTER, f"holds {next(iter(stored))}, which no layer has")


def _tensors(
    model: Classifier | Decoder | Llama, prefix: str, kind: torch.dtype = torch.float32
) -> dict[str, torch.Tensor]:
    tensors = {}
    for name, adapter in model.adapters():
        for key in ("lora_A", "lora_B"):
            value = getattr(adapter, key).detach().cpu().to(kind).contiguous()
            tensors[f"{prefix}{_name(model, name)}.{key}.weight"] = value
    return tensors


def _prefix_of(model: Decoder | Llama) -> str:
    return _GPT2 if isinstance(model, Decoder) else _PREFIX


def _name(model: Classifier | Decoder | Llama, layer: str) -> str:
    """Return what Hugging Face calls a layer."""
    return model.encoder.base.name(layer) if isinstance(model, Classifier) else layer


def _config(
    model: Classifier | Decoder | Llama, lora: Lora, base: str, own: dict[str, object]
) -> str:
    document: dict[str, object] = {
        "peft_type": "LORA",
        "task_type": "FEATURE_EXTRACTION",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": [_name(model, name) for name, _ in model.adapters()],
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "use_rslora": False,
    }
    return json.dumps(document | own, indent=2) + "\n"
