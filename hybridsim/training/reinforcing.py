"""Group-relative policy optimisation of a pretrained decoder's adapters, through noisy tiles.

A step asks some questions, samples a group of answers to each, and has a program verify them; the
objective is that of :mod:`.grpo`, its reference the decoder without what was learned. Noise acts
where a chip has it: that of weights is drawn once for a step and is the same in sampling and in
every pass of training; output noise is drawn anew for every product. Passes that are compared
(new, old, reference) draw the same, so that ratios begin at 1 and the distance at 0.
"""

import json
import math
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from hybridsim.analog import AnalogSettings
from hybridsim.boundary.reading import json_of
from hybridsim.errors import InputError
from hybridsim.training.answering import Answers, answered, log_probabilities
from hybridsim.training.asked import Asked
from hybridsim.training.checkpoints import keep, take_up
from hybridsim.training.crossbar import Disturbance, Pool, RowBlock, stream
from hybridsim.training.grpo import adapter_values, advantages, objective, other_adapters
from hybridsim.training.llama import Llama
from hybridsim.training.reward_study import Reinforced
from hybridsim.training.run import Watch
from hybridsim.training.training import KIBI, LARGEST_GRADIENT, rate_at

Row = dict[str, Any]
"""What a step was: step, loss, reward (mean of the sampled answers), mixed (groups with better and
worse answers, the only ones that teach), cpu_seconds."""


@dataclass(frozen=True, slots=True)
class Exam:
    """What is asked, in the tokens of a model."""

    asked: Asked
    tokenizer: Tokenizer
    ends: torch.Tensor
    """For each token whether it ends an answer."""

    def said(self, answers: Answers) -> list[str]:
        """Return answers as text, up to where they end."""
        rows = range(len(answers.tokens))
        return [self.tokenizer.decode(answers.row(i)) for i in rows]


class Reinforcement:
    """One training run of the adapters that a model has."""

    def __init__(
        self, name: str, model: Llama, how: Reinforced, exam: Exam, settings: AnalogSettings
    ) -> None:
        self.name, self.model, self.how, self.exam = name, model, how, exam
        self.pool, self.learned = Pool(how.seed, "cpu"), model.trained()
        self.start = adapter_values(model)
        self.optimizer = torch.optim.AdamW(self.learned, lr=how.learning_rate, weight_decay=0.0)
        self.held: dict[str, tuple[RowBlock, ...]] = {}
        if how.weight_noise is None:
            model.compute_digitally()
        else:
            model.compute_on_tiles(settings, Disturbance(self.pool))
            self.held = {n: layer.crossbars for n, layer in model.static_layers().items()}

    def run(self, checkpoint: Path, every: int, told: str, watch: Watch) -> list[Row]:
        """Train from the checkpoint, if there is one, to the end; return what each step was.

        Args:
            checkpoint: Where training is kept.
            every: Steps after which it is.
            told: What the run depends on: a checkpoint of another one is refused.
            watch: Is told of every step.

        Raises:
            InputError: A loss is no number, or the checkpoint is broken or of another run.
        """
        rows = self._resumed(checkpoint, told)
        for step in range(len(rows), self.how.steps):
            rows.append(self._step(step))
            recent = np.mean([row["reward"] for row in rows[-10:]])
            told_now = f"reward {recent:.3f}"
            watch(f"reinforce {self.name}", step + 1, self.how.steps, told_now)
            if (step + 1) % every == 0:
                self._keep(checkpoint, told, rows)
        return rows

    def _step(self, step: int) -> Row:
        """Take one step; everything random follows from the seed and the step."""
        how, exam, start = self.how, self.exam, time.process_time()
        train, shots = exam.asked.train, exam.asked.shots
        self._new_weights(step)
        rng = np.random.default_rng([how.seed, 23, step])
        chosen = train.drawn(rng, how.questions)
        questions = train.read(chosen)
        given = answered(
            self.model, shots, questions, how.group, exam.asked.most, exam.ends,
            how.temperature, torch.Generator().manual_seed(stream(how.seed, 29, step)),
        )  # fmt: skip
        repeated = np.repeat(chosen, how.group).tolist()
        earned = train.rewards(repeated, exam.said(given))
        better = advantages(earned, how.group)
        what = (self.model, shots, questions, how.group, given.tokens, how.temperature)
        with torch.no_grad(), other_adapters(self.model, self.start):
            self._same_noise(step)
            reference = log_probabilities(*what)
        old: torch.Tensor | None = None
        for _ in range(how.updates):
            self._same_noise(step)
            new = log_probabilities(*what)
            old = new.detach() if old is None else old
            loss = -objective(new, old, reference, better, how, given.counted)
            self._update(loss, step)
        groups = earned.view(-1, how.group)
        mixed = (groups.amax(dim=1) > groups.amin(dim=1)).float().mean()
        return {
            "step": step, "loss": round(float(loss.detach()), 6),
            "reward": round(float(earned.mean()), 6),
            "mixed": round(float(mixed), 6),
            "cpu_seconds": round(time.process_time() - start, 2),
        }  # fmt: skip

    def _new_weights(self, step: int) -> None:
        """Let tiles hold other noisy weights, for all passes of a step."""
        self.pool.at_step(self.how.seed, 2 * step)
        if self.how.weight_noise is None:
            return
        layers = self.model.static_layers()
        for name, blocks in self.held.items():
            noisy = []
            for block in blocks:
                drawn = self.pool.like(tuple(block.relative.shape))
                weights = torch.add(block.relative, drawn, alpha=self.how.weight_noise)
                noisy.append(RowBlock(block.rows, weights, block.scales))
            layers[name].hold(tuple(noisy))

    def _same_noise(self, step: int) -> None:
        self.pool.at_step(self.how.seed, 2 * step + 1)

    def _update(self, loss: torch.Tensor, step: int) -> None:
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(
                f"reinforced.{self.name}, step {step}: the loss is {value}; a learning rate below "
                f"{self.how.learning_rate:g} would do"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.learned, LARGEST_GRADIENT)
        for group in self.optimizer.param_groups:
            group["lr"] = self.how.learning_rate * rate_at(step, self.how.steps)
        self.optimizer.step()

    # --- checkpoints ----------------------------------------------------------------------------

    def _keep(self, checkpoint: Path, told: str, rows: list[Row]) -> None:
        """Write all that the next steps depend on."""
        about = {"told": told, "rows": json.dumps(rows)}
        keep(checkpoint, self._named(), self.optimizer, about, {})

    def _resumed(self, checkpoint: Path, told: str) -> list[Row]:
        """Take up a checkpoint, if there is one, and return the steps that were done."""
        if not checkpoint.exists():
            return []
        about, _ = take_up(checkpoint, self._named(), self.optimizer, "cpu")
        if about["told"] != told:
            problem = "is of another training run; another --out would do"
            raise InputError(f"{checkpoint}: {problem}")
        rows: list[Row] = json_of(about["rows"], str(checkpoint))
        return rows

    def _named(self) -> dict[str, torch.nn.Parameter]:
        return {str(i): parameter for i, parameter in enumerate(self.learned)}


def most_memory() -> int:
    """Return the most memory this process has held so far [B]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBI
