"""The other way to mend a chip: its adapters trained on, for as long as a correction takes.

The chip computes forward under one draw of its read noise, other than that of tests; gradients
pass straight through its converters. Adapters learn, the head stays.
"""

import torch
from torch.nn import functional

from hybridsim.analog import AnalogSettings
from hybridsim.training.classifier import Classifier
from hybridsim.training.crossbar import Disturbance
from hybridsim.training.linear import Chip, put_on_chip
from hybridsim.training.marks import Sentences
from hybridsim.training.recalibration_study import Retraining
from hybridsim.training.training import LARGEST_GRADIENT


def retrained(
    model: Classifier,
    chip: Chip,
    seconds: float,
    settings: AnalogSettings,
    noise: Disturbance,
    sentences: Sentences,
    how: Retraining,
    steps: int,
) -> None:
    """Train the adapters of a model on a chip as it is at a time; the model is left on it.

    Args:
        model: It has the adapters to start from.
        chip: What it computes on.
        seconds: Time since programming.
        settings: The tiles.
        noise: Output noise.
        sentences: Those to learn from, in this order, and from the first again.
        how: Rate, sentences per step, and whether labels or digital outputs teach.
        steps: How many.
    """
    groups = [[(s * how.batch + i) % len(sentences.labels) for i in range(how.batch)]
              for s in range(steps)]  # fmt: skip
    device, wanted = str(model.head.weight.device), []
    model.eval()
    if how.teacher == "digital":
        model.compute_digitally()
        with torch.no_grad():
            wanted = [model(sentences.text.batch(group, device)) for group in groups]
    put_on_chip(model, chip, seconds, settings, noise, reading=1)
    learned = [p for _, adapter in model.adapters() for p in adapter.parameters()]
    for parameter in learned:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(learned, lr=how.learning_rate, weight_decay=0.0)
    for step, group in enumerate(groups):
        logits = model(sentences.text.batch(group, device))
        if how.teacher == "digital":
            target = functional.log_softmax(wanted[step], dim=1)
            found = functional.log_softmax(logits, dim=1)
            loss = functional.kl_div(found, target, reduction="batchmean", log_target=True)
        else:
            loss = functional.cross_entropy(logits, torch.from_numpy(sentences.labels[group]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, LARGEST_GRADIENT)
        optimizer.step()
    for parameter in learned:
        parameter.requires_grad_(False)
