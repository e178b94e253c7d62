"""What a study of recalibration asks: trained adapters, when chips are measured, what it costs."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hybridsim.analog import ElapsedTime, format_time
from hybridsim.specs import PlacedError, read_yaml_mapping, validate
from hybridsim.training.study import ArmName, Rate
from hybridsim.units import Count, Spec

Times = Annotated[tuple[ElapsedTime, ...], Field(min_length=1)]
Schedule = tuple[ElapsedTime, ...]


class Retraining(Spec):
    """Training the adapters on, on the chip, to compare corrections with."""

    steps: Count | None = None
    """Steps; null for as many as the machine takes no longer for than for a correction."""
    batch: Count = 32
    """Sentences per step, of those that corrections are measured with, one after the other."""
    learning_rate: Rate
    """Of Adam, the same in every step."""
    teacher: Literal["labels", "digital"] = "labels"
    """What is learned: the labels, or what digital arithmetic gives, which needs none."""


class RecalibrationStudy(Spec):
    """A study: chips corrected at some times since programming, and tested from then on.

    Chips, times, tiles, training seeds and sentences are those of the study of adapters.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,60}$")]
    """What the study is called."""
    question: str
    """What it is to answer, in a sentence."""
    adapters: str
    """The study of ``hybridsim adapt`` whose adapters are corrected, beside this file."""
    results: str | None = None
    """Results folder of that study, beside ``--out`` or by its path; null trains what is missing
    into ``--out/adapters``."""
    arms: tuple[ArmName, ...] = ()
    """Arms to correct; all that train adapters unless given."""
    rank: Annotated[int, Field(strict=True, ge=1, le=256)] = 8
    """Rank of the correction."""
    sentences: Count = 96
    """Unlabelled sentences that a chip is measured with, the first of the training part."""
    checked: Count = 32
    """Unlabelled sentences after those, or the last ones where there are fewer: no correction is
    fitted to them, and what does not bring them nearer to digital arithmetic is left out."""
    reads: Count = 1
    """How often the chip computes them, each with read noise of its own; their mean is fitted."""
    ridge: Annotated[float, Field(ge=0)] = 1e-3
    """What holds back directions that few vectors take, in mean squared inputs; assumed."""
    keep: Literal["beside", "folded"] = "beside"
    """``beside`` makes the adapter larger by ``rank``; ``folded`` keeps its rank, and gives the
    nearest adapter to both for these vectors."""
    events: Times = Field(default=("0s", "1d", "1mo", "1y", "10y"), validate_default=True)
    """Times since programming at which a chip may be measured; each is a time of the study of
    adapters. A correction is tested at its own time and at all later ones."""
    written: tuple[ElapsedTime, ...] = ()
    """Events whose corrected adapters are written for PEFT, below ``corrected`` in the results
    folder; adapters of 36 layers of MiniLM take 0.16 MB per rank."""
    retrain: Retraining | None = None
    """Whether adapters are also trained on at the events, and tested at once; null for not."""
    schedules: dict[str, Schedule] = Field(
        default={"never": (), "once": ("0s",)}, validate_default=True
    )
    """Name -> the events that a maintenance schedule has; compared over all times."""
    network: str | None = "minilm_l6"
    """Network of the simulator, bundled or a file, with the shapes of the model; null for no
    price."""
    machine: str = "ahwa_lora_2026"
    """Machine that measures and corrects itself, bundled or a file."""

    @model_validator(mode="after")
    def _check(self) -> "RecalibrationStudy":
        for event in self.written:
            if event not in self.events:
                known = ", ".join(format_time(t) for t in self.events)
                problem = f"found {format_time(event)}; one of events would do: {known}"
                raise PlacedError("written", problem)
        for name, schedule in self.schedules.items():
            for time in schedule:
                if time not in self.events:
                    known = ", ".join(format_time(t) for t in self.events)
                    problem = f"found {format_time(time)}; one of events would do: {known}"
                    raise PlacedError(f"schedules.{name}", problem)
        return self


def read_recalibration_study(path: Path) -> tuple[RecalibrationStudy, Path]:
    """Return the study that a YAML file, or ``study.yaml`` in a folder, describes, and the file.

    Raises:
        SpecError: The file does not describe a study.
    """
    file = path / "study.yaml" if path.is_dir() else path
    return validate(RecalibrationStudy, read_yaml_mapping(file), str(file)), file
