"""Whether corrections are kept: tried on what they were not fitted to, under noise of its own.

A layer's correction stays where it leaves less of what the layer's outputs lack, so that no layer
is left further away than it was, for the vectors that it is checked with. All of them are given up
where together they are shown to take the model's outputs further from digital arithmetic.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from hybridsim.analog import helps
from hybridsim.training.built_upon import divergence
from hybridsim.training.linear import OnTiles
from hybridsim.training.observing import Inputs, heard
from hybridsim.training.recalibrating import Corrections, put_adapters

CHECKING = 2**41
"""Where the output noise of checks lies in its stream, apart from measurements and tests."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What a model computes digitally for sentences that no correction is fitted to."""

    inputs: Inputs
    wanted: torch.Tensor
    """Its outputs, shape (sentences or tokens, classes or words)."""
    answer: Callable[[], torch.Tensor]
    """Computes them as the model computes now."""


def checks_of(model: OnTiles, answer: Callable[[], torch.Tensor]) -> Checks:
    """Return what a model computes digitally with the adapters that it has.

    ``answer`` gives its outputs for all sentences, in one call of the model. The model is left
    digital.
    """
    model.compute_digitally()
    with torch.no_grad(), heard(model) as found:
        wanted = answer()
    return Checks({name: parts[0] for name, parts in found.items()}, wanted, answer)


def helping(model: OnTiles, checks: Checks, corrections: Corrections) -> Corrections:
    """Return the corrections that help their layers, on the chip that the model is on."""
    found = {}
    for name, correction in corrections.items():
        layer, x = model.static_layers()[name], checks.inputs[name]
        with torch.no_grad():
            lack = x @ layer.weight.T - layer.on_crossbars(x)
        if helps(correction, x.cpu().numpy(), lack.cpu().numpy()):
            found[name] = correction
    return found


def checked(
    model: OnTiles,
    checks: Checks,
    corrections: Corrections,
    carried: Callable[[Corrections], Corrections],
    restart: Callable[[], object],
) -> Corrections:
    """Return the adapters that carry what helps, or as they were where that harms the whole.

    Harm is shown where the divergence from digital outputs grows by two standard errors or more,
    sentence by sentence: some dozens of sentences scatter as much as a correction gains.

    Args:
        model: It is on the chip, under read noise that was not measured with; it is left there.
        checks: What to try corrections on.
        corrections: Of its layers.
        carried: What adapters become by some corrections; as they were by none.
        restart: Lets output noise begin where it began before, so that both have the same.
    """
    restart()
    plain, mended = carried({}), carried(helping(model, checks, corrections))
    far = []
    for adapters in (plain, mended):
        put_adapters(model, adapters)
        restart()
        with torch.no_grad():
            far.append(divergence(checks.wanted, checks.answer()))
    grown = far[1] - far[0]
    error = float(grown.std(correction=0)) / math.sqrt(len(grown))
    return plain if float(grown.mean()) > 2 * error else mended
