"""What a study of a small decoder asks: instruction tuning, then reinforcement learning."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from hybridsim.analog import AnalogSettings, ElapsedTime, parse_time
from hybridsim.specs import PlacedError, read_yaml_mapping, validate
from hybridsim.training.study import GaussianNoise, Lora, Rate, Seeds, check_ranges
from hybridsim.units import Count, Spec

TARGETS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
"""The static linear layers of a GPT-2 block, by the names of Hugging Face."""


class DecoderLora(Lora):
    """The adapters of a decoder."""

    targets: Annotated[tuple[str, ...], Field(min_length=1)] = TARGETS


class DecoderModel(Spec):
    """A GPT-2: from a folder, or random and trained here on copying digits before it is frozen."""

    folder: str | None = None
    """A folder with config.json and model.safetensors as Hugging Face writes them; its first
    token ids are taken for the task's tokens. Null for a random start."""
    width: Count = 64
    """Length of a token's vector, where the start is random."""
    blocks: Count = 2
    """Transformer blocks, where the start is random."""
    heads: Count = 4
    """Attention heads, where the start is random."""
    pretrain_steps: Annotated[int, Field(strict=True, ge=0)] = 300
    """Steps of digital training of all weights on copying, before they are put on tiles."""
    pretrain_rate: Rate = 3e-3
    """Learning rate of these; assumed."""

    @model_validator(mode="after")
    def _check(self) -> "DecoderModel":
        if self.width % self.heads:
            problem = f"found {self.heads} heads; a divisor of the width {self.width} would do"
            raise PlacedError("heads", problem)
        return self


class DigitTask(Spec):
    """An instruction, some digits, and what the instruction makes of them.

    The reward is the share of the answer's places that are right, which a program verifies.
    """

    instruction: Annotated[str, Field(pattern="^(reverse|rotate|increment)$")] = "reverse"
    """``reverse`` 1 2 3 is 3 2 1, ``rotate`` is 2 3 1, ``increment`` is 2 3 4."""
    digits: Annotated[int, Field(strict=True, ge=2, le=32)] = 4
    """Digits per question."""
    symbols: Annotated[int, Field(strict=True, ge=2, le=1000)] = 8
    """Different digits."""


class Tuning(Spec):
    """Instruction tuning: the next token of given answers."""

    steps: Annotated[int, Field(strict=True, ge=0)]
    """Training steps."""
    batch: Count = 32
    """Questions with answers per step."""
    learning_rate: Rate


class Grpo(Spec):
    """Group-relative policy optimisation. Source: Shao et al., DeepSeekMath, arXiv 2402.03300."""

    steps: Annotated[int, Field(strict=True, ge=0)]
    """Times that answers are sampled."""
    questions: Count = 16
    """Questions per step."""
    group: Annotated[int, Field(strict=True, ge=2)] = 8
    """Answers per question; the group's mean reward is the baseline. DeepSeekMath has 64."""
    updates: Count = 1
    """Updates per sampling; DeepSeekMath has 1."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """How far the ratio of new to old probability may lie from 1 and still count; the value of
    PPO (Schulman et al., arXiv 1707.06347)."""
    kl_weight: Annotated[float, Field(ge=0)] = 0.04
    """Weight of the distance from the tuned adapter. Source: 0.04 in DeepSeekMath."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of sampling."""
    learning_rate: Rate


class DecoderStudy(Spec):
    """A decoder on tiles: its adapters are tuned on answers and then on rewards."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,60}$")]
    question: str
    """What it is to answer, in a sentence."""
    decoder: DecoderModel
    task: DigitTask = DigitTask()
    lora: DecoderLora = DecoderLora()
    noise: GaussianNoise | None = GaussianNoise()
    """Noise of the tiles during both trainings; null trains digitally."""
    tune: Tuning
    grpo: Grpo
    test: Count = 256
    """Questions to test on; they are drawn, so some may have been trained on."""
    seeds: Seeds = (1,)
    """Training runs."""
    chips: Seeds = (1, 2)
    """Programming runs that it is tested on."""
    times: Annotated[tuple[ElapsedTime, ...], Field(min_length=1)] = Field(
        default=tuple(map(parse_time, ("0s", "10y")))
    )
    """Times since programming."""
    analog: AnalogSettings = AnalogSettings()
    """The tiles, in training and in tests."""
    threads: Count = 1
    """Threads of torch; another number may change the last bits."""

    @model_validator(mode="after")
    def _check(self) -> "DecoderStudy":
        check_ranges("analog", self.analog, calibrates=False)
        return self


def is_decoder_study(file: Path) -> bool:
    """Return whether a study file describes a decoder.

    Raises:
        SpecError: It cannot be read.
    """
    return "decoder" in read_yaml_mapping(file)


def read_decoder_study(file: Path) -> DecoderStudy:
    """Return the study that a YAML file describes.

    Raises:
        SpecError: The file does not describe a study.
    """
    document: dict[str, Any] = read_yaml_mapping(file)
    return validate(DecoderStudy, document, str(file))
