"""What a co-design study asks: adaptation results, machines, integration times, batches.

Beside it how noisy the output of a tile is that integrates for some time.
"""

import math
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hybridsim._old_names import new_column, with_new_keys
from hybridsim.analog.times import ElapsedTime
from hybridsim.errors import UnknownNameError
from hybridsim.specs import PlacedError, read_yaml_mapping, validate
from hybridsim.sweeps.columns import new_constraint, parse_constraint
from hybridsim.units import Count, Duration, Spec

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


Direction = Literal["minimise", "maximise"]
OBJECTIVES: dict[str, Direction] = {
    "accuracy_percent": "maximise",
    "slowdown_percent": "minimise",
    "energy_pj": "minimise",
}
"""What is sought unless the study says otherwise."""
NUMERIC = (
    "rank", "dac_bits", "adc_bits", "integration_time_ps", "batch", "output_noise",
    "accuracy_percent", "ci95_low", "ci95_high", "latency_ps", "yardstick_ps",
    "overhead_percent", "slowdown_percent", "energy_pj", "energy_overhead_percent",
    "adapter_parameters", "tcdm_bytes",
)  # fmt: skip
"""Columns that can be sought or compared."""

Text = Annotated[str, Field(min_length=1, max_length=1000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,40}$")]


class MachineChoice(Spec):
    """A machine to choose, maybe with some fields replaced."""

    machine: Text
    """Bundled machine or file, maybe with ``:variant``."""
    set: dict[Text, Any] = Field(default={})
    """Path -> value, as ``--set`` has it."""


class Shipping(Spec):
    """How the adapter to ship is chosen from the Pareto front."""

    within_points: Annotated[float, Field(ge=0, le=100)] = 1.0
    """How far below the best accuracy that meets all constraints it may be, in points."""
    then: Annotated[tuple[Text, ...], Field(min_length=1)] = ("slowdown_percent", "energy_pj")
    """Columns that decide among these, the first first; less is better."""

    @field_validator("then")
    @classmethod
    def _of_today(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new_column(name, NUMERIC) for name in given)


class CodesignStudy(Spec):
    """Adaptation results crossed with machines, integration times and batches."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,60}$")]
    """The study's name."""
    question: str
    """What it is to answer, in a sentence."""
    network: Text
    """Bundled network or file: the one that the adapters were trained on, for the simulator."""
    tokens: Count | None = None
    """Tokens per sequence; the network's own unless given."""
    after: ElapsedTime
    """The time since programming at which accuracy counts; the results must have it."""
    results: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Folders written by ``hybridsim adapt``, beside the study."""
    arms: tuple[Text, ...] = ()
    """Arms to choose from; all that trained adapters unless given."""
    layers: dict[Text, Text] = Field(default={})
    """Target of an adapter -> pattern of layers in ``network``. A target that is not here stands
    for all layers that end with it, without ``.dense``."""
    machines: Annotated[dict[Name, MachineChoice], Field(min_length=1)]
    """Name -> machine to choose."""
    integration_times: Annotated[tuple[Annotated[Duration, Field(gt=0)], ...], Field(min_length=1)]
    """Integration times of the tiles to choose; they replace those of the machines."""
    noise: IntegrationNoise
    """How an integration time becomes output noise."""
    untested_noise: Literal["refuse", "noisier"] = "refuse"
    """What happens where no result was tested at an integration time's output noise: the study is
    refused, or the next noisier result stands in, which assumes that less noise does no harm."""
    set_by_bits: dict[int, dict[Text, Any]] = Field(default={})
    """Bits of the ADC -> fields of the machine with such converters, such as their energy; what is
    not said here does not depend on bits."""
    strategy: Text = "token_parallel"
    """Strategy by name."""
    batches: Annotated[tuple[Count, ...] | None, Field(min_length=1)] = None
    """Tokens per batch to choose; null leaves it to the strategy."""
    constraints: tuple[Text, ...] = ()
    """Comparisons that a point must meet, as in ``overhead_percent <= 20``."""
    objectives: Annotated[dict[Text, Direction], Field(min_length=1)] = Field(default=OBJECTIVES)
    """Column -> what is better."""
    ship: Shipping = Shipping()
    """Which adapter of the front to ship."""

    @model_validator(mode="before")
    @classmethod
    def _by_names_of_today(cls, given: Any) -> Any:
        return with_new_keys(given, {"scheduler": "strategy"})

    @field_validator("constraints")
    @classmethod
    def _constraints_of_today(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new_constraint(text, partial(new_column, known=NUMERIC)) for text in given)

    @field_validator("objectives")
    @classmethod
    def _objectives_of_today(cls, given: dict[str, Direction]) -> dict[str, Direction]:
        return {new_column(name, NUMERIC): direction for name, direction in given.items()}

    @model_validator(mode="after")
    def _check(self) -> "CodesignStudy":
        places = [(f"constraints[{i}]", text) for i, text in enumerate(self.constraints)]
        for place, text in places:
            try:
                parse_constraint(text, NUMERIC)
            except (ValueError, UnknownNameError) as error:
                raise PlacedError(place, str(error)) from None
        for place, names in (("objectives", self.objectives), ("ship.then", self.ship.then)):
            for name in names:
                if name not in NUMERIC:
                    known = ", ".join(NUMERIC)
                    raise PlacedError(place, f"found {name!r}; one of {known} would do")
        return self


def read_codesign_study(path: Path) -> tuple[CodesignStudy, Path]:
    """Return the study that a YAML file, or ``study.yaml`` in a folder, describes, and the file.

    Raises:
        SpecError: The file does not describe a study.
    """
    file = path / "study.yaml" if path.is_dir() else path
    return validate(CodesignStudy, read_yaml_mapping(file), str(file)), file
