"""What a study of a pretrained language model asks: how well it predicts text from tiles."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hybridsim.analog import AnalogSettings, ElapsedTime, parse_time
from hybridsim.specs import PlacedError, read_yaml_mapping, validate
from hybridsim.training.study import ArmName, Lora, Rate, Seeds, check_ranges
from hybridsim.units import Count, Spec


class LanguageModel(Spec):
    """A decoder of the Llama family: one of three ways to say where it lies."""

    folder: str | None = None
    """A folder with config.json, weights and tokenizer.json as Hugging Face writes them."""
    file: str | None = None
    """A GGUF file; needs the package gguf."""
    package: str | None = None
    """An installed package with one GGUF file inside; it is not imported."""

    @model_validator(mode="after")
    def _check(self) -> "LanguageModel":
        if sum(place is not None for place in (self.folder, self.file, self.package)) != 1:
            raise PlacedError("", "found none or several of folder, file, package; one would do")
        return self


class NewsText(Spec):
    """Documents of the source archive of vaderSentiment 3.3.2: their sentences in a row."""

    kind: Literal["vader"] = "vader"
    archive: str
    """The file vaderSentiment-3.3.2.tar.gz, as pip downloads it."""
    subset: Literal["amazon", "nyt"] = "nyt"
    """Product reviews or news."""


class PlainText(Spec):
    """Text files, a document each."""

    kind: Literal["files"] = "files"
    files: Annotated[tuple[str, ...], Field(min_length=1)]
    """The files, UTF-8."""


LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The static linear layers of a block, by the names of Hugging Face."""


class LanguageLora(Lora):
    """The adapters of a Llama."""

    targets: Annotated[tuple[str, ...], Field(min_length=1)] = LAYERS


class LanguageAdapter(Spec):
    """An adapter that learns the next token of the training documents, digitally or on tiles."""

    steps: Count
    """Training steps."""
    batch: Count = 1
    """Documents per step."""
    learning_rate: Rate
    """Of Adam, the largest: it rises over the first tenth of the steps, then falls to zero."""
    lora: LanguageLora = LanguageLora()
    """Rank, scale and layers."""
    tiles: ArmName | None = None
    """Tiles that it learns on, so AHWA training; null to learn digitally."""
    weight_noise: Annotated[float, Field(ge=0)] = 0.067
    """Deviation of every weight in a step there, in largest weights of its column. Source: the
    paper."""
    seed: Annotated[int, Field(strict=True, ge=0)] = 1
    """Of start, order of the documents and noise."""


class LanguageCorrection(Spec):
    """The correction of every layer, as ``hybridsim recalibrate`` makes it."""

    rank: Annotated[int, Field(strict=True, ge=1, le=256)] = 8
    """Its rank."""
    ridge: Annotated[float, Field(ge=0)] = 1e-3
    """What holds back directions that few vectors take, in mean squared inputs; assumed."""
    checked: Count = 4
    """Documents, none of them in another part: no correction is fitted to them, and what does not
    bring them nearer to digital arithmetic is left out."""
    adapters: tuple[ArmName, ...] = ()
    """Adapters that it goes on top of; the model without one unless given."""


class LanguageStudy(Spec):
    """A pretrained decoder on tiles: the perplexity of text it was not trained on, over years."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,60}$")]
    """What the study is called."""
    question: str
    """What it is to answer, in a sentence."""
    language: LanguageModel
    """The decoder."""
    text: Annotated[NewsText | PlainText, Field(discriminator="kind")]
    """What it reads."""
    tokens: Annotated[int, Field(strict=True, ge=8, le=4096)] = 128
    """Tokens of a document that are read, from its start; shorter documents are left out."""
    calibration: Count = 12
    """Documents that chips are measured with."""
    test: Count = 16
    """Documents that are predicted, none of them among those."""
    train: Annotated[int, Field(strict=True, ge=0)] = 0
    """Documents that adapters learn from, none of them among those."""
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    """Of which documents these are."""
    adapters: dict[ArmName, LanguageAdapter] = Field(default_factory=dict)
    """Name -> an adapter; each is tested beside the model without one."""
    adapted: tuple[ArmName, ...] = ()
    """Tiles that adapters are tested on; all unless given."""
    tiles: Annotated[dict[ArmName, AnalogSettings], Field(min_length=1)]
    """Name -> tiles; each is programmed with the same chips."""
    chips: Seeds = (1,)
    """Programming runs."""
    times: Annotated[tuple[ElapsedTime, ...], Field(min_length=1)] = Field(
        default=tuple(map(parse_time, ("0s", "1d", "1y", "10y")))
    )
    """Times since programming; a correction is made at the time of its test."""
    correction: LanguageCorrection | None = LanguageCorrection()
    """The correction without labels or training; null for none."""
    corrected: tuple[ArmName, ...] = ()
    """Tiles that are corrected; all unless given."""
    machine: str | None = None
    """Machine, bundled or a file, that the side path is priced on; null for no price."""
    batch: Count = 16
    """Tokens that the machine computes at once, for that price."""
    threads: Count = 1
    """Threads of torch; another number may change the last bits."""

    @model_validator(mode="after")
    def _check(self) -> "LanguageStudy":
        for name, settings in self.tiles.items():
            check_ranges(f"tiles.{name}", settings, calibrates=False)
        of_correction = self.correction.adapters if self.correction is not None else ()
        named = [(f"corrected.{i}", name, "tiles") for i, name in enumerate(self.corrected)]
        named += [(f"adapted.{i}", name, "tiles") for i, name in enumerate(self.adapted)]
        named += [
            (f"adapters.{name}.tiles", each.tiles, "tiles")
            for name, each in self.adapters.items()
            if each.tiles is not None
        ]
        named += [
            (f"correction.adapters.{i}", name, "adapters") for i, name in enumerate(of_correction)
        ]
        for place, name, kind in named:
            known = self.tiles if kind == "tiles" else self.adapters
            if name not in known:
                would_do = ", ".join(known) or "there are none"
                problem = f"found {name!r}; one of {kind} would do: {would_do}"
                raise PlacedError(place, problem)
        if self.adapters and not self.train:
            raise PlacedError("train", "found 0 with adapters; 1 or more would do")
        return self


def is_language_study(file: Path) -> bool:
    """Return whether a study file describes a pretrained decoder.

    Raises:
        SpecError: It cannot be read.
    """
    return "language" in read_yaml_mapping(file)


def read_language_study(file: Path) -> LanguageStudy:
    """Return the study that a YAML file describes.

    Raises:
        SpecError: The file does not describe a study.
    """
    return validate(LanguageStudy, read_yaml_mapping(file), str(file))
