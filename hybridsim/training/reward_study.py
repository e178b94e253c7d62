"""What a study of rewards asks: a pretrained decoder reinforced by answers a program verifies."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hybridsim.analog import AnalogSettings, ElapsedTime, parse_time
from hybridsim.specs import PlacedError, read_yaml_mapping, validate
from hybridsim.training.decoder_study import Grpo
from hybridsim.training.language_study import LanguageLora, LanguageModel
from hybridsim.training.study import ArmName, Seeds, check_ranges
from hybridsim.units import Count, Spec

MOST_DIGITS = 4
"""Of all numbers of a question together, so that its questions can be counted out."""


class NumberTask(Spec):
    """Questions about numbers, asked behind a few that are answered.

    The reward is 1 where the line of the answer is the right number and nothing else, otherwise 0.
    """

    kind: Literal["sum", "next", "larger"]
    """``sum`` 25 + 8 = 33, ``next`` 664 -> 665, ``larger`` 41 , 73 -> 73."""
    digits: Annotated[tuple[Annotated[int, Field(strict=True, ge=1)], ...], Field(min_length=1)]
    """Digits of each number of a question, one number for ``next``, two otherwise. None begins
    with 0."""
    shots: Annotated[int, Field(strict=True, ge=1, le=64)] = 3
    """Answered questions that stand before every question, always the same."""
    test: Count = 100
    """Questions to test on."""
    validation: Annotated[int, Field(strict=True, ge=0)] = 50
    """Questions to choose settings by; all others are trained on."""
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    """Of which questions these are: no question is in two parts."""

    @model_validator(mode="after")
    def _check(self) -> "NumberTask":
        wanted = 1 if self.kind == "next" else 2
        if len(self.digits) != wanted or sum(self.digits) > MOST_DIGITS:
            problem = (
                f"found {list(self.digits)}; {wanted} for {self.kind!r}, {MOST_DIGITS} digits "
                "together at most, would do"
            )
            raise PlacedError("digits", problem)
        return self


class GymTask(Spec):
    """Questions of the package reasoning-gym, asked behind a few that are answered.

    The reward is what the package's ``score_answer`` says of the line of the answer.
    """

    kind: Literal["reasoning_gym"]
    """The package; extra ``gym``."""
    name: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,60}$")]
    """Its task, ``chain_sum`` for example: one whose answers are a line of text."""
    config: dict[str, Any] = Field(default={})
    """Settings of that task by their names in the package, but for ``seed`` and ``size``."""
    shots: Annotated[int, Field(strict=True, ge=1, le=64)] = 3
    """Answered questions that stand before every question, always the same."""
    test: Count = 100
    """Questions to test on."""
    validation: Annotated[int, Field(strict=True, ge=0)] = 50
    """Questions to choose settings by."""
    train: Count = 1000
    """Questions to train on."""
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    """Of the seeds of the parts, one each; no question is in two."""


class Reinforced(Grpo):
    """An adapter that learns from rewards, on tiles or digitally."""

    weight_noise: Annotated[float, Field(ge=0)] | None = 0.067
    """Deviation of every weight of the tiles, in largest weights of its column; drawn for a step
    and kept through all of its answers and passes, as weights of a chip are. Source of the value:
    the paper. Null to learn digitally."""
    lora: LanguageLora = LanguageLora()
    """Rank, scale and layers."""
    seed: Annotated[int, Field(strict=True, ge=0)] = 1
    """Of start, questions, samples and noise."""


class RewardStudy(Spec):
    """A pretrained decoder on tiles: what rewards make of its answers, over years."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,60}$")]
    """What the study is called."""
    question: str
    """What it is to answer, in a sentence."""
    language: LanguageModel
    """The decoder."""
    task: Annotated[NumberTask | GymTask, Field(discriminator="kind")]
    """What it is asked."""
    reinforced: Annotated[dict[ArmName, Reinforced], Field(min_length=1)]
    """Name -> an adapter; each is tested beside the model without one, from which it starts."""
    analog: AnalogSettings = AnalogSettings()
    """The tiles, in training and in tests."""
    chips: Seeds = (1, 2, 3)
    """Programming runs that it is tested on; none is trained on."""
    times: Annotated[tuple[ElapsedTime, ...], Field(min_length=1)] = Field(
        default=tuple(map(parse_time, ("0s", "1d", "1y", "10y")))
    )
    """Times since programming."""
    checkpoint_every: Count = 10
    """Steps after which training is kept."""
    threads: Count = 1
    """Threads of torch; another number may change the last bits."""

    @model_validator(mode="after")
    def _check(self) -> "RewardStudy":
        check_ranges("analog", self.analog, calibrates=False)
        return self


def is_reward_study(file: Path) -> bool:
    """Return whether a study file describes rewards of a pretrained decoder.

    Raises:
        SpecError: It cannot be read.
    """
    return "reinforced" in read_yaml_mapping(file)


def read_reward_study(file: Path) -> RewardStudy:
    """Return the study that a YAML file describes.

    Raises:
        SpecError: The file does not describe a study.
    """
    return validate(RewardStudy, read_yaml_mapping(file), str(file))
