"""How long a tile integrates, and how noisy its output is."""

import math
from typing import Annotated

from pydantic import Field, model_validator

from hybridsim.specs import PlacedError
from hybridsim.units import Duration, Spec

Noise = Annotated[float, Field(ge=0, le=10)]


class IntegrationNoise(Spec):
    """Output noise against integration time.

    sigma(T) = sqrt(floor^2 + (sigma_0^2 - floor^2) (T_0 / T)^(2 exponent))

    An exponent of 1/2 is that of white noise: over a time T signal charge grows with T, and the
    deviation of the sum of independent noise with sqrt(T). The floor is what no averaging
    removes, such as 1/f noise and mismatch.
    """

    output_noise: Annotated[float, Field(gt=0, le=10)]
    """sigma_0, the noise at the ADC at ``integration_time``, in full inputs times full weights."""
    integration_time: Annotated[Duration, Field(gt=0)]
    """T_0, where ``output_noise`` holds."""
    floor: Noise = 0.0
    """The part of ``output_noise`` that does not depend on time, in the same unit; assumed 0."""
    exponent: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How fast the rest falls with time; 0.5 for white noise."""
    pulse: Duration | None = None
    """The shortest pulse of the input DAC. Where inputs are pulse widths, b bits with sign take
    2^(b - 1) - 1 pulses, so a shorter integration is refused; null for no such limit."""
    source: Annotated[str, Field(min_length=10)]
    """Where these values come from, or that they are assumed."""

    @model_validator(mode="after")
    def _check(self) -> "IntegrationNoise":
        if self.floor > self.output_noise:
            problem = (
                f"found {self.floor:g}; at most the output_noise {self.output_noise:g} would do"
            )
            raise PlacedError("floor", problem)
        return self

    def at(self, integration_ps: int) -> float:
        """Return the output noise of an integration that takes so long [ps]."""
        moving = self.output_noise**2 - self.floor**2
        shorter = self.integration_time / integration_ps
        return math.sqrt(self.floor**2 + moving * shorter ** (2 * self.exponent))

    def least_ps(self, dac_bits: int | None) -> int:
        """Return the shortest integration for inputs of so many bits [ps]; 0 for no limit."""
        if self.pulse is None or dac_bits is None:
            return 0
        return int((2 ** (dac_bits - 1) - 1) * self.pulse)
