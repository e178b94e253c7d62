"""Adapters of a pretrained decoder: trained on the next token, digitally or on noisy tiles.

They are kept in fp16, as the cluster holds them, and used as they are kept.
"""

import hashlib
import json
import math
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from hybridsim.analog import AnalogSettings
from hybridsim.boundary.reading import read_own_json
from hybridsim.errors import InputError
from hybridsim.training.crossbar import Disturbance, Pool
from hybridsim.training.files import write_file
from hybridsim.training.identity import without_unused
from hybridsim.training.language_study import LanguageAdapter
from hybridsim.training.llama import Llama
from hybridsim.training.peft_files import read_decoder_adapter, write_decoder_adapter
from hybridsim.training.recalibrating import Corrections, adapter_of
from hybridsim.training.run import Watch
from hybridsim.training.training import KIBI, LARGEST_GRADIENT, rate_at

RECENT = 20
"""Steps over which the loss is averaged that is shown and kept."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What an adapter learns from, and on."""

    documents: torch.Tensor
    """Tokens, shape (documents, tokens)."""
    settings: AnalogSettings | None
    """Tiles; None for digital arithmetic."""
    base: str
    """What PEFT is told of the model."""


def adapter_from(
    folder: Path, name: str, model: Llama, how: LanguageAdapter, lesson: Lesson, watch: Watch
) -> Corrections:
    """Return an adapter, layer by layer: from its folder, or trained and then kept there.

    The model is left digital and without adapters.

    Raises:
        InputError: The folder holds one that was trained in another way, or a loss is no number.
    """
    about, told = folder / "training.json", _identity(how, lesson)
    model.add_adapters(how.lora, how.seed)
    if not (folder / "adapter").is_dir():
        row = _trained(name, model, how, lesson, watch)
        write_decoder_adapter(folder / "adapter", model, how.lora, lesson.base, torch.float16)
        write_file(about, (json.dumps(told | row, indent=2) + "\n").encode())
    elif {key: read_own_json(about).get(key) for key in told} != told:
        raise InputError(f"{folder}: was trained in another way; another --out would do")
    read_decoder_adapter(folder / "adapter", model)
    found = {layer: adapter_of(model, layer) for layer, _ in model.adapters()}
    without_adapters(model)
    return {layer: each for layer, each in found.items() if each is not None}


def without_adapters(model: Llama) -> None:
    """Take all adapters off a model."""
    for layer in model.static_layers().values():
        layer.adapter = None


def _identity(how: LanguageAdapter, lesson: Lesson) -> dict[str, Any]:
    """Return what an adapter depends on, but for the model, which the results folder knows."""
    tiles = None if lesson.settings is None else {"analog": lesson.settings.to_text()}
    return {
        "adapter": how.to_text(),
        "tiles": None if tiles is None else without_unused(tiles)["analog"],
        "documents_sha256": hashlib.sha256(lesson.documents.numpy().tobytes()).hexdigest(),
    }


def _trained(
    name: str, model: Llama, how: LanguageAdapter, lesson: Lesson, watch: Watch
) -> dict[str, Any]:
    """Train the adapters that a model has, and return what that took."""
    pool = Pool(how.seed, "cpu")
    if lesson.settings is None:
        model.compute_digitally()
    else:  # once: each step only draws other noise
        model.compute_on_tiles(lesson.settings, Disturbance(pool, how.weight_noise))
    learned, losses, start = model.trained(), [], time.process_time()
    optimizer = torch.optim.AdamW(learned, lr=how.learning_rate, weight_decay=0.0)
    for step in range(how.steps):
        pool.at_step(how.seed, step)
        ids = lesson.documents[_documents_of(how, step, len(lesson.documents))]
        logits = model(ids)[:, :-1]
        loss = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise InputError(
                f"adapters.{name}, step {step}: the loss is {losses[-1]}; a learning rate below "
                f"{how.learning_rate:g} would do"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, LARGEST_GRADIENT)
        for group in optimizer.param_groups:
            group["lr"] = how.learning_rate * rate_at(step, how.steps)
        optimizer.step()
        told = f"loss {np.mean(losses[-RECENT:]):.3f}"
        watch(f"train {name}", step + 1, how.steps, told)
    model.requires_grad_(False)
    model.compute_digitally()
    return {
        "parameters": sum(each.numel() for each in learned),
        "first_loss": round(float(np.mean(losses[:RECENT])), 4),
        "last_loss": round(float(np.mean(losses[-RECENT:])), 4),
        "cpu_seconds_per_step": round((time.process_time() - start) / how.steps, 3),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBI,
    }


def _documents_of(how: LanguageAdapter, step: int, count: int) -> list[int]:
    """Return the documents of a step: every epoch in an order of its own."""
    chosen = []
    for place in range(step * how.batch, (step + 1) * how.batch):
        epoch, offset = divmod(place, count)
        order = np.random.default_rng([how.seed, 11, epoch]).permutation(count)
        chosen.append(int(order[offset]))
    return chosen
