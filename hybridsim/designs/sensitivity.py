"""``sensitivity.json``: what each layer costs on tiles alone, and what sums of it do to a task.

The file says, for tiles of one kind at one time, the mean KL divergence of the outputs with one
layer alone on tiles, layer by layer, and a curve from a total KL to accuracy lost. Single-layer
KLs add up (measured on MiniLM-L6: 0.0416 against 0.0417 with all layers on tiles), so that a
placement that never ran costs the sum of its layers; predictions that differ follow the root of
KL, and so the curve is interpolated in it. Nothing is extrapolated.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from hybridsim.analog.times import ElapsedTime, format_time
from hybridsim.errors import SpecError
from hybridsim.specs import PlacedError, read_json_mapping, validate
from hybridsim.units import Count, Spec

SENSITIVITY = "sensitivity.json"

Number = Annotated[float, Field(ge=0, le=1e6)]
Percent = Annotated[float, Field(ge=0, le=100)]


class OnCurve(Spec):
    """What a total KL does to a task."""

    kl: Number
    """Mean KL divergence to the digital outputs [nats]."""
    flips_percent: Percent
    """Predictions that differ from digital arithmetic [%]."""
    drop_points: Annotated[float, Field(ge=-100, le=100)]
    """Accuracy lost against digital arithmetic [points]."""
    low_points: Annotated[float, Field(ge=-100, le=100)]
    """Lower end of the 95 % interval of the drop."""
    high_points: Annotated[float, Field(ge=-100, le=100)]
    """Upper end of it."""


class Condition(Spec):
    """Tiles of one kind, some time after programming."""

    model_config = ConfigDict(extra="ignore")  # the file may say more than a design reads

    time: ElapsedTime
    dac_bits: int | None
    adc_bits: int | None
    output_noise: Number
    kl: Annotated[dict[str, Number], Field(min_length=1)]
    """Layer -> KL with that layer alone on tiles [nats]."""
    curve: Annotated[tuple[OnCurve, ...], Field(min_length=2)]
    """From no KL to past that of all layers, rising."""
    error_points: Number
    """Mean absolute error of the predicted drop on placements that it had not seen [points]."""
    checked_on: Count
    """How many these were."""

    @model_validator(mode="after")
    def _rises(self) -> "Condition":
        totals = [own.kl for own in self.curve]
        if totals[0] != 0 or any(b <= a for a, b in pairwise(totals)):
            raise PlacedError("curve", "begins with kl 0 and rises, or it is no curve")
        return self

    def kl_of(self, layer: str, file: str) -> float:
        """Return what a layer costs alone [nats].

        Raises:
            SpecError: It was not measured.
        """
        if layer not in self.kl:
            problem = f"has no layer {layer!r}; a study of this network's layers would do"
            raise SpecError(file, "kl", problem)
        return self.kl[layer]

    def drop(self, total: float, file: str) -> OnCurve:
        """Return what a placement loses whose layers on tiles cost so much together [nats].

        Raises:
            SpecError: That is more than the curve knows.
        """
        last = self.curve[-1].kl
        if total > last:
            problem = f"ends at kl {last:g}, and the layers on tiles make {total:g}"
            raise SpecError(file, "curve", problem)
        root = np.sqrt([own.kl for own in self.curve])
        names = ("flips_percent", "drop_points", "low_points", "high_points")
        found = {
            name: float(
                np.interp(np.sqrt(total), root, [getattr(own, name) for own in self.curve])
            )
            for name in names
        }
        return OnCurve(kl=total, **found)


class MeasuredAdapter(Spec):
    """The adapters with which layers were measured."""

    model_config = ConfigDict(extra="ignore")

    rank: Count
    alpha: float | None = None
    targets: Annotated[tuple[str, ...], Field(min_length=1)]


class Sensitivity(Spec):
    """What ``hybridsim sensitivity`` writes, as far as a design reads it."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["sensitivity"]
    format_version: Literal[1]
    digital_accuracy_percent: Percent
    adapter: MeasuredAdapter | None
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)]

    @property
    def digital_percent(self) -> float:
        """Accuracy in digital arithmetic [%]."""
        return self.digital_accuracy_percent

    def at(self, after: float, file: str) -> Sequence[Condition]:
        """Return the conditions of one time.

        Raises:
            SpecError: There is none.
        """
        found = [own for own in self.conditions if own.time == after]
        if not found:
            known = ", ".join(dict.fromkeys(format_time(own.time) for own in self.conditions))
            problem = f"has nothing for {format_time(after)}; it has {known}"
            raise SpecError(file, "conditions", problem)
        return found


def read_sensitivity(file: Path) -> Sensitivity:
    """Return what a file says.

    Raises:
        SpecError: It cannot be read, or does not describe sensitivities.
    """
    document: dict[str, Any] = read_json_mapping(file)
    return validate(Sensitivity, document, str(file))
