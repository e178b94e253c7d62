"""Training one arm with one seed: the same numbers whether or not it was interrupted.

An arm may have a teacher, whose logits and outputs of blocks add to the loss.
"""

import math
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hybridsim.errors import InputError
from hybridsim.training.checkpoints import keep, take_up
from hybridsim.training.classifier import Classifier
from hybridsim.training.crossbar import Disturbance, Pool, stream
from hybridsim.training.linear import program_chip, put_on_chip
from hybridsim.training.marks import Sentences
from hybridsim.training.observing import inputs_for_ranges, set_ranges
from hybridsim.training.study import AdaptStudy, Arm, ChipNoise, GaussianNoise
from hybridsim.training.tokens import Batch, TokenizedText


def distilled(
    loss: torch.Tensor,
    outputs: Sequence[torch.Tensor],
    logits: torch.Tensor,
    teacher: Classifier,
    batch: Batch,
    arm: Arm,
) -> torch.Tensor:
    """Return the loss of a student that also follows a teacher.

    (1 - w) loss + w distance(teacher, student) + v d, with w = ``arm.distill_weight``, the
    distance of the head's own kind, and v = ``arm.distill_blocks`` times
    :func:`distance_of_blocks`. Source of following what lies between, with other distances:
    Romero et al., FitNets, 2015, and Jiao et al., TinyBERT, 2020.

    Args:
        loss: What the student would learn from alone.
        outputs: Of every block of the student, each of shape (all tokens, width).
        logits: Of the student.
        teacher: Computes digitally, and does not learn.
        batch: What both have read.
        arm: The weights of the terms.
    """
    with torch.no_grad():
        wanted = teacher.encoder.outputs(batch)
        target = teacher.logits(wanted[-1], batch)
    share = arm.distill_weight
    total = (1 - share) * loss + share * teacher.distance(logits, target)
    if arm.distill_blocks:
        total = total + arm.distill_blocks * distance_of_blocks(outputs, wanted)
    return total


def distance_of_blocks(
    found: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return the mean over blocks of |found - wanted|^2 / |wanted - its mean over tokens|^2.

    So 0 is the same outputs, and 1 an error as large as what tells tokens apart.
    """
    apart = [
        (x - y).square().mean() / (y - y.mean(dim=0)).square().mean()
        for x, y in zip(found, wanted, strict=True)
    ]
    return torch.stack(apart).mean()


WARM_UP = 0.1
"""Share of the steps over which the learning rate rises; assumed."""
LARGEST_GRADIENT = 1.0
"""Norm at which gradients are cut; assumed, the default of Hugging Face's trainer."""
KIBI = 1024
"""Bytes per unit of the memory that Linux reports."""
MOST_RECENT = 20
"""Steps over which the loss and accuracy shown are averaged."""

Report = Callable[[int, int, float, float], None]
"""Called after every step with (steps done, all steps, loss, training accuracy)."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training run took."""

    steps: int
    parameters: int
    seconds_per_step: float
    """Wall-clock time per step of this process, so of the last part after a resume [s]."""
    cpu_seconds_per_step: float
    """The same in processor time over all threads [s]."""
    peak_memory_bytes: int
    """The most memory this process has held so far; a process of its own per arm compares arms."""
    loss: float
    """Mean over the last steps of this process."""
    agreement: float
    """Share of the answers that were right in these steps, 0 to 1; of ratings, of their scatter
    that was explained."""


class Training:
    """One run: the model, what it learns from, and where its checkpoint lies."""

    def __init__(
        self,
        study: AdaptStudy,
        arm_name: str,
        seed: int,
        model: Classifier,
        sentences: Sentences,
        teacher: Classifier | None,
        checkpoint: Path | None,
    ) -> None:
        self.study, self.arm_name, self.seed = study, arm_name, seed
        self.arm: Arm = study.arms[arm_name]
        self.steps, self.settings = study.steps_of(arm_name), study.analog_of(arm_name)
        self.model, self.sentences, self.teacher = model, sentences, teacher
        self.checkpoint = checkpoint
        self.device = str(model.head.weight.device)
        self.trained = model.trained()
        self.optimizer = torch.optim.AdamW(
            list(self.trained.values()), lr=self.arm.learning_rate, weight_decay=study.weight_decay
        )
        self.pool = Pool(seed, self.device) if self.arm.noise is not None else None
        self.bfloat16 = study.products == "bfloat16"
        if self.arm.noise is not None:
            self._calibrate()
        self.mean: dict[str, torch.Tensor] = {}
        self._chip_of: int | None = None

    def _calibrate(self) -> None:
        """Set the ranges that the run keeps, on the model as it starts and weights as they are."""
        inputs = inputs_for_ranges(self.model, self.sentences.text, self.settings)
        set_ranges(self.model, inputs, self.settings)

    def run(self, report: Report | None = None, until: int | None = None) -> Trained:
        """Train from the checkpoint, if there is one, to the end, or to step ``until``.

        Raises:
            InputError: The loss is infinite or not a number, or a checkpoint is broken.
        """
        recent: list[tuple[float, float]] = []
        first = self.load_checkpoint()
        last = min(self.steps, until or self.steps)
        self.model.train()
        start, cpu = time.perf_counter(), time.process_time()
        for step in range(first, last):
            recent = [*recent[1 - MOST_RECENT :], self._step(step)]
            loss, accuracy = np.mean(recent, axis=0).tolist()
            if report is not None:
                report(step + 1, self.steps, loss, accuracy)
            if (step + 1) % self.study.checkpoint_every == 0:
                self.save_checkpoint(step + 1)
        if last == self.steps:
            self._keep_mean()
        done, final = max(last - first, 1), np.array(recent or [(math.nan, math.nan)])
        return Trained(
            steps=last,
            parameters=sum(p.numel() for p in self.trained.values()),
            seconds_per_step=(time.perf_counter() - start) / done,
            cpu_seconds_per_step=(time.process_time() - cpu) / done,
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBI,
            loss=float(final[:, 0].mean()),
            agreement=float(final[:, 1].mean()),
        )

    def _step(self, step: int) -> tuple[float, float]:
        """Take one step; everything random follows from the seed and the step."""
        chosen = self._sentences_of(step)
        batch = self.sentences.text.batch(chosen, self.device)
        labels = torch.from_numpy(self.sentences.labels[chosen]).to(self.device)
        torch.manual_seed(stream(self.seed, 2, step))  # dropout of the adapters
        self._set_noise(step)
        outputs = self.model.encoder.outputs(batch)
        logits = self.model.logits(outputs[-1], batch)
        loss = self.model.loss(logits, labels)
        if self.teacher is not None:
            loss = distilled(loss, outputs, logits, self.teacher, batch, self.arm)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(
                f"arm {self.arm_name!r}, seed {self.seed}, step {step}: the loss is {value}; a "
                f"learning rate below {self.arm.learning_rate:g} would do"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        # gradients of ranges are relative to them: sums over tokens, of another size
        cut = [p for n, p in self.trained.items() if not n.endswith("learned_range")]
        torch.nn.utils.clip_grad_norm_(cut, LARGEST_GRADIENT)
        for group in self.optimizer.param_groups:
            share = rate_at(step, self.steps, self.arm.schedule == "falling")
            group["lr"] = self.arm.learning_rate * share
        self.optimizer.step()
        self._take_into_mean(step)
        return value, self.model.agreement(logits.detach(), labels)

    def _take_into_mean(self, step: int) -> None:
        """Let the values after a late step count in what is kept."""
        before = self.steps - round(self.arm.average * self.steps)
        if step < before:
            return
        for name, parameter in self.trained.items():
            mean = self.mean.setdefault(name, torch.zeros_like(parameter, requires_grad=False))
            mean.lerp_(parameter.detach(), 1 / (step - before + 1))

    def _keep_mean(self) -> None:
        with torch.no_grad():
            for name, mean in self.mean.items():
                self.trained[name].copy_(mean)

    def _sentences_of(self, step: int) -> list[int]:
        """Return the indices of a step's sentences: every epoch in an order of its own."""
        size, sentences = self.study.batch, len(self.sentences.labels)
        chosen: list[int] = []
        at = step * size
        while len(chosen) < size:
            epoch, offset = divmod(at + len(chosen), sentences)
            order = np.random.default_rng([self.seed, 11, epoch]).permutation(sentences)
            chosen += order[offset : offset + size - len(chosen)].tolist()
        return chosen

    def _set_noise(self, step: int) -> None:
        noise = self.arm.noise
        if noise is None or self.pool is None:
            self.model.compute_digitally()
            return
        self.pool.at_step(self.seed, step)
        if isinstance(noise, GaussianNoise):
            ramp = min(1.0, (step + 1) / (noise.ramp * self.steps)) if noise.ramp else 1.0
            how = Disturbance(self.pool, noise.weights * ramp, self.bfloat16)
            self.model.compute_on_tiles(self.settings, how)
        else:
            self._take_chip(step - step % noise.refresh, noise)

    def _take_chip(self, first: int, noise: ChipNoise) -> None:
        """Compute on the chip that is taken at step ``first``."""
        if self._chip_of == first:
            return
        assert self.pool is not None
        settings = self.settings
        named = (self.seed, 13, first)
        t0 = settings.device.first_read
        low, high = (math.log((t + t0) / t0) for t in (noise.shortest, noise.longest))
        seconds = t0 * math.expm1(np.random.default_rng(named).uniform(low, high))
        chip = program_chip(self.model, settings, named)
        how = Disturbance(self.pool, bfloat16=self.bfloat16)
        put_on_chip(self.model, chip, seconds, settings, how)
        self._chip_of = first

    # --- checkpoints ------------------------------------------------------------------------

    def save_checkpoint(self, step: int) -> None:
        """Write all that the next steps depend on."""
        if self.checkpoint is None:
            return
        about = {"step": str(step)}
        keep(self.checkpoint, self.trained, self.optimizer, about, self.mean)

    def load_checkpoint(self) -> int:
        """Take up a checkpoint, if there is one, and return how many steps were done.

        Raises:
            InputError: It is broken or of another model.
        """
        if self.checkpoint is None or not self.checkpoint.exists():
            return 0
        about, self.mean = take_up(self.checkpoint, self.trained, self.optimizer, self.device)
        return int(about["step"])


def rate_at(step: int, steps: int, falling: bool = True) -> float:
    """Return the share of the learning rate: up for a tenth, then down to zero, or staying."""
    rising = max(1, round(WARM_UP * steps))
    if step < rising:
        return (step + 1) / rising
    return (steps - step) / max(1, steps - rising) if falling else 1.0


def predictions(model: Classifier, text: TokenizedText, size: int = 32) -> NDArray[np.float64]:
    """Return what a model finds in every sentence: class, rating, or span of a window."""
    device = str(model.head.weight.device)
    found: dict[int, NDArray[np.float64]] = {}
    model.eval()
    with torch.no_grad():
        for indices in text.by_length(size):
            batch = text.batch(indices, device)
            answers = model.found(model(batch), batch).cpu().numpy()
            found |= dict(zip(indices, answers, strict=True))
    return np.array([found[i] for i in range(len(text.ids))], np.float64)
