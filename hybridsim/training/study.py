"""What a study of adapters asks: a model, labelled text, ways to train, chips and times."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hybridsim.analog import STANDARD_TIMES, AnalogSettings, ElapsedTime, format_time
from hybridsim.specs import PlacedError, read_yaml_mapping, validate
from hybridsim.training.sources import Data, ModelSource
from hybridsim.units import Count, Spec

Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
Seeds = Annotated[tuple[Annotated[int, Field(strict=True, ge=0)], ...], Field(min_length=1)]
ArmName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]

TARGETS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
"""The static linear layers of a BERT block, by the names of Hugging Face."""
SHARES_EXACT = 1e-6
"""How far from 1 shares may come to: thirds are written in decimals."""
MOST_BITS = 9
"""Inputs of more bits are not exact in bfloat16."""


class Lora(Spec):
    """The adapters that are trained."""

    rank: Annotated[int, Field(strict=True, ge=1, le=256)] = 8
    """Source: 8 in the paper."""
    alpha: Annotated[float, Field(gt=0)] = 32.0
    """The scale is alpha / rank. Source: 32 in the paper."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = TARGETS
    """Layers of every block that carry an adapter, by the end of their name."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of adapter inputs dropped in training. The paper has 0.1."""


class GaussianNoise(Spec):
    """Noise of training, drawn anew for every step. Source of the values: the paper."""

    kind: Literal["gaussian"] = "gaussian"
    weights: Annotated[float, Field(ge=0)] = 0.067
    """Deviation of every weight, in largest weights of its column."""
    ramp: Share = 0.0
    """Share of the steps over which the noise rises from nothing; 0 for all of it at once."""


class ChipNoise(Spec):
    """Noise of training from whole chips: programmed, drifted, read, compensated as in the end.

    So that drift is inside the training loop, each chip is looked at a random time, uniform in
    log(t + t0) from the shortest one to the longest.
    """

    kind: Literal["chips"] = "chips"
    refresh: Count = 10
    """Steps until another chip is taken."""
    longest: ElapsedTime = Field(default="10y", validate_default=True)
    """The longest time since programming [s]."""
    shortest: ElapsedTime = Field(default="0s", validate_default=True)
    """The shortest time since programming [s]: above zero for hardware whose age is known."""

    @model_validator(mode="after")
    def _check(self) -> "ChipNoise":
        if self.shortest > self.longest:
            found = f"found {format_time(self.shortest)}, longer than longest"
            raise PlacedError("shortest", f"{found}; at most {format_time(self.longest)} would do")
        return self


class Arm(Spec):
    """One way to train, evaluated in digital arithmetic and on every chip at every time."""

    train: Literal["lora", "full"]
    """``lora`` trains adapters and head; ``full`` the weights and biases of all static layers,
    the norms and the head. Embeddings never change."""
    noise: Annotated[GaussianNoise | ChipNoise, Field(discriminator="kind")] | None = None
    """Noise of the tiles during training, beside the converters; null trains digitally."""
    learning_rate: Rate
    """Largest rate: it rises over the first tenth of the steps."""
    schedule: Literal["falling", "flat"] = "falling"
    """Whether the rate then falls to zero or stays."""
    average: Share = 0.0
    """Share of the steps, the last ones, over whose values the mean is kept instead of what comes
    out at the end; 0 for the end. Source: stochastic weight averaging, Izmailov et al., UAI 2018,
    which finds flatter minima."""
    steps: Count | None = None
    """Steps of this arm; null for those of the study."""
    lora: Lora | None = None
    """Adapters of this arm; null for those of the study."""
    analog: AnalogSettings | None = None
    """Tiles during training, where they differ from those of the evaluation; null for the same."""
    learn_ranges: bool = False
    """Whether the input range of every layer is learned with the adapter, from the calibrated
    one: with ``converters.input_scaling: fixed`` and ``ranges`` of another kind than given.
    Source: aihwkit's learned input ranges."""
    start_from: ArmName | None = None
    """An earlier arm of the study whose adapter is the start, for the same seed."""
    mean_of: tuple[ArmName, ...] = ()
    """Earlier arms whose adapters and heads, for the same seed, are averaged value by value;
    nothing is trained then, and the rest says what kind of arm it is. Makes sense of arms that
    started from the same one. Source: Wortsman et al., Model soups, ICML 2022."""
    merge: dict[ArmName, Share] = Field(default={})
    """Earlier arms and the share of each, which come to 1: for the same seed, the adapters of this
    arm's rank that are nearest to the mean of their products, with what the tiles of this arm take
    from the weights that an arm was trained with added (:mod:`.merging`). Nothing is trained."""
    distill_from: ArmName | None = None
    """An earlier arm whose digital outputs are also a target, for the same seed."""
    distill_weight: Share = 0.5
    """Share of the loss that compares with the outputs of that arm, at temperature 2."""
    distill_blocks: Annotated[float, Field(ge=0)] = 0.0
    """Weight of one more part of the loss: how far the outputs of the blocks are from those of
    that arm, relative to what tells its tokens apart; 0 for none."""
    adapter_of: Annotated[str, Field(pattern=r"^.+/[a-z][a-z0-9_]{0,39}$")] | None = None
    """``RESULTS/ARM``: the adapters of that arm of an earlier study, whose results folder lies
    beside ``--out`` or at that path; nothing is trained, and the rest says how it was. Null to
    train."""

    @model_validator(mode="after")
    def _check(self) -> "Arm":
        if self.train == "full" and isinstance(self.noise, ChipNoise):
            raise PlacedError("noise", "found chips with train: full; gaussian noise would do")
        if self.train == "full" and (self.lora is not None or self.start_from is not None):
            raise PlacedError("train", "found full with adapters; lora would do")
        if self.merge:
            self._check_merge()
        if self.distill_blocks and self.distill_from is None:
            raise PlacedError("distill_blocks", "found without distill_from; name a teacher there")
        return self

    @property
    def is_trained(self) -> bool:
        """Whether it is trained, and not made of other arms."""
        return not (self.mean_of or self.merge)

    def _check_merge(self) -> None:
        total = sum(self.merge.values())
        if abs(total - 1) > SHARES_EXACT:
            raise PlacedError("merge", f"found shares that come to {total:g}; 1 would do")
        others = self.mean_of, self.start_from, self.distill_from, self.noise, self.learn_ranges
        if any(others) or self.train != "lora":
            names = "mean_of, start_from, distill_from, noise, learn_ranges or train: full"
            raise PlacedError("merge", f"found with {names}; none of them would do")


class AdaptStudy(Spec):
    """A study: every arm with every training seed, on every chip, at every time."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,60}$")]
    """What the study is called."""
    question: str
    """What it is to answer, in a sentence."""
    model: ModelSource
    """The encoder."""
    data: Data
    """The task."""
    lora: Lora = Lora()
    """The adapters."""
    arms: Annotated[dict[ArmName, Arm], Field(min_length=1)]
    """Name -> way to train."""
    controls: tuple[ArmName, ...] = ()
    """Arms that all others are compared with; the first one unless given."""
    steps: Count
    """Training steps."""
    batch: Count = 32
    """Sentences per step. Source: 32 in the paper."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Of AdamW; assumed."""
    seeds: Seeds = (1, 2, 3)
    """Training runs per arm: start of the adapters, order of the data, noise."""
    chips: Seeds = (1, 2, 3, 4, 5)
    """Programming runs: each is a chip, the same one for every arm."""
    times: Annotated[tuple[ElapsedTime, ...], Field(min_length=1)] = Field(
        default=STANDARD_TIMES, validate_default=True
    )
    """Times since programming."""
    analog: AnalogSettings = AnalogSettings()
    """The tiles, in training and in evaluation."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where torch computes; auto takes a GPU where there is one."""
    products: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of products on tiles; bfloat16 keeps 8 bits of weights and sums, and is two to
    three times as fast where the processor multiplies it. Digital arms stay in float32."""
    adapter_precision: Literal["fp32", "fp16"] = "fp32"
    """Arithmetic of adapters where arms are tested: ``fp16`` as the cluster's matrix engine
    computes them, rounding after every multiply-add (:mod:`hybridsim.kernels`), which is slow.
    They are trained in fp32."""
    adapters_from: str | None = None
    """Results folder of an earlier study with the same arms, seeds, model and task, beside
    ``--out`` or by its path: its adapters are tested on the tiles of this study, and nothing is
    trained; null to train."""
    threads: Count = 2
    """Threads of torch; another number may change the last bits."""
    checkpoint_every: Count = 50
    """Steps between checkpoints."""

    @model_validator(mode="after")
    def _check(self) -> "AdaptStudy":
        names = list(self.arms)
        for i, name in enumerate(self.controls):
            if name not in names:
                problem = f"found {name!r}; an arm of the study would do: {', '.join(names)}"
                raise PlacedError(f"controls.{i}", problem)
        for i, (name, arm) in enumerate(self.arms.items()):
            others = [("start_from", arm.start_from), ("distill_from", arm.distill_from)]
            others += [(f"mean_of.{k}", other) for k, other in enumerate(arm.mean_of)]
            others += [(f"merge.{other}", other) for other in arm.merge]
            for key, other in others:
                if other is not None and other not in names[:i]:
                    known = ", ".join(names[:i]) or "none: it is the first"
                    problem = f"found {other!r}; an arm before this one would do: {known}"
                    raise PlacedError(f"arms.{name}.{key}", problem)
            self._check_alike(name)
        check_ranges("analog", self.analog)
        for name in names:
            check_ranges(f"arms.{name}.analog", self.analog_of(name))
            self._check_learned_ranges(name)
            bits = self.analog_of(name).converters.dac_bits
            if self.products == "bfloat16" and (bits is None or bits > MOST_BITS):
                problem = f"found bfloat16 with dac_bits {bits}; at most {MOST_BITS} bits would do"
                raise PlacedError("products", problem)
        return self

    def _check_alike(self, name: str) -> None:
        """Refuse a mean of what has other values, and to merge what lies on other layers."""
        arm = self.arms[name]
        own = (arm.train, self.lora_of(name), arm.learn_ranges)
        for k, other in enumerate(arm.mean_of):
            if own != (self.arms[other].train, self.lora_of(other), self.arms[other].learn_ranges):
                problem = f"found {other!r}, which trains other values; the same train, lora and "
                problem += "learn_ranges would do"
                raise PlacedError(f"arms.{name}.mean_of.{k}", problem)

        for other in arm.merge:
            theirs = self.arms[other]
            alike = theirs.train == "lora" and not theirs.mean_of and not theirs.learn_ranges
            if not alike or self.lora_of(other).targets != self.lora_of(name).targets:
                problem = "found an arm of mean_of, train: full, learn_ranges or other targets; "
                problem += "one that trained adapters on the same layers would do"
                raise PlacedError(f"arms.{name}.merge.{other}", problem)

    def _check_learned_ranges(self, name: str) -> None:
        arm, tiles = self.arms[name], self.analog_of(name)
        fixed = tiles.converters.input_scaling == "fixed" and tiles.ranges.kind != "given"
        if arm.learn_ranges and (arm.train != "lora" or arm.noise is None or not fixed):
            hint = "train: lora with noise, converters.input_scaling: fixed and ranges of kind "
            hint += "'quantile' or 'least_error' would do"
            problem = f"found true, but no fixed range to begin with on tiles; {hint}"
            raise PlacedError(f"arms.{name}.learn_ranges", problem)

    def analog_of(self, arm: str) -> AnalogSettings:
        """Return the tiles that an arm is trained on."""
        return self.arms[arm].analog or self.analog

    def earlier_adapters_of(self, arm: str) -> tuple[str, str] | None:
        """Return (results folder, arm) of an earlier study that trained an arm, None to train."""
        taken = self.arms[arm].adapter_of
        if taken is not None:
            results, _, name = taken.rpartition("/")
            return results, name
        return None if self.adapters_from is None else (self.adapters_from, arm)

    def lora_of(self, arm: str) -> Lora:
        """Return the adapters of an arm."""
        return self.arms[arm].lora or self.lora

    def steps_of(self, arm: str) -> int:
        """Return the training steps of an arm."""
        return self.arms[arm].steps or self.steps


def check_ranges(place: str, analog: AnalogSettings, calibrates: bool = True) -> None:
    """Refuse tiles whose ranges nothing sets."""
    how, kind = analog.converters, analog.ranges.kind
    if kind != "given" and not calibrates:
        problem = f"found {kind!r}; a decoder's study calibrates nothing, 'given' would do"
        raise PlacedError(f"{place}.ranges.kind", problem)
    if how.input_scaling == "fixed" and how.input_range is None and kind == "given":
        hint = "converters.input_range, or ranges of kind 'quantile' or 'least_error', would do"
        problem = f"found 'fixed' and no range; {hint}"
        raise PlacedError(f"{place}.converters.input_scaling", problem)


def read_adapt_study(file: Path) -> AdaptStudy:
    """Return the study that a YAML file describes; files it names lie beside it or in the way.

    Raises:
        SpecError: The file does not describe a study.
    """
    return validate(AdaptStudy, read_yaml_mapping(file), str(file))
