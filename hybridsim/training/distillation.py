"""What a teacher adds to the loss of an arm: its logits, and the outputs of its blocks."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from hybridsim.training.classifier import Classifier
from hybridsim.training.study import Arm
from hybridsim.training.tokens import Batch

TEMPERATURE = 2.0
"""Of distillation; assumed."""


def distilled(
    loss: torch.Tensor,
    outputs: Sequence[torch.Tensor],
    logits: torch.Tensor,
    teacher: Classifier,
    batch: Batch,
    arm: Arm,
) -> torch.Tensor:
    """Return the loss of a student that also follows a teacher.

    (1 - w) loss + w T^2 KL(teacher || student) + v d, with w = ``arm.distill_weight``, logits
    divided by T = 2 and v = ``arm.distill_blocks`` times :func:`distance_of_blocks`. Source of the
    second term: Hinton et al., 2015; of following what lies between, with other distances:
    Romero et al., FitNets, 2015, and Jiao et al., TinyBERT, 2020.

    Args:
        loss: What the student would learn from alone.
        outputs: Of every block of the student, each of shape (all tokens, width).
        logits: Of the student, shape (sentences, classes).
        teacher: Computes digitally, and does not learn.
        batch: What both have read.
        arm: The weights of the terms.
    """
    with torch.no_grad():
        wanted = teacher.encoder.outputs(batch)
        target = functional.log_softmax(teacher.logits(wanted[-1], batch) / TEMPERATURE, dim=1)
    found = functional.log_softmax(logits / TEMPERATURE, dim=1)
    compared = functional.kl_div(found, target, reduction="batchmean", log_target=True)
    share = arm.distill_weight
    total = (1 - share) * loss + share * TEMPERATURE**2 * compared
    if arm.distill_blocks:
        total = total + arm.distill_blocks * distance_of_blocks(outputs, wanted)
    return total


def distance_of_blocks(
    found: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return the mean over blocks of |found - wanted|^2 / |wanted - its mean over tokens|^2.

    So 0 is the same outputs, and 1 an error as large as what tells tokens apart.
    """
    apart = [
        (x - y).square().mean() / (y - y.mean(dim=0)).square().mean()
        for x, y in zip(found, wanted, strict=True)
    ]
    return torch.stack(apart).mean()
