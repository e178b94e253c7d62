"""What a study of sensitivity asks: trained adapters, tiles and times, how much is measured."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hybridsim.analog import ElapsedTime
from hybridsim.analog.converters import Bits
from hybridsim.specs import read_yaml_mapping, validate
from hybridsim.training.study import ArmName
from hybridsim.units import Count, Spec


class Condition(Spec):
    """Tiles of one kind at one time; what is not said is as in the study of adapters."""

    time: ElapsedTime
    """Time since programming."""
    dac_bits: Bits | None = 8
    """Resolution of the inputs; null for none."""
    adc_bits: Bits | None = 8
    """Resolution of the outputs; null for none."""
    output_noise: Annotated[float, Field(ge=0)] = 0.04
    """Standard deviation at the ADC, in full inputs times full weights."""


class SensitivityStudy(Spec):
    """A study: what the analog error of each layer costs, and how sure a prediction from it is."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,60}$")]
    """What the study is called."""
    question: str
    """What it is to answer, in a sentence."""
    task: str
    """What the adapter was trained for, for people."""
    adapters: str
    """The study of ``hybridsim adapt`` whose adapter computes, beside this file."""
    results: str | None = None
    """Results folder of that study, beside ``--out`` or by its path; null trains what is missing
    into ``--out/adapters``."""
    arm: ArmName
    """The arm whose adapter computes, of the first training seed."""
    network: str = "minilm_l6"
    """Network of the simulator with the layers of the model, bundled or a file."""
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)]
    """Tiles and times, each with a curve of its own."""
    sentences: Count = 96
    """Sentences of the pass that finds the cost of every layer."""
    chips: Count = 2
    """Chips of that pass, and of the runs with all layers on tiles: 1, 2, ..."""
    checks: Annotated[int, Field(strict=True, ge=2, le=1000)] = 6
    """Placements drawn at random and run, each on a chip of its own, to state the error."""
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    """Of these placements."""


def read_sensitivity_study(path: Path) -> tuple[SensitivityStudy, Path]:
    """Return the study that a YAML file, or ``study.yaml`` in a folder, describes, and the file.

    Raises:
        SpecError: The file does not describe a study.
    """
    file = path / "study.yaml" if path.is_dir() else path
    return validate(SensitivityStudy, read_yaml_mapping(file), str(file)), file
