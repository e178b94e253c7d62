"""A decoder's study: a frozen base on tiles, an adapter tuned on answers and then on rewards."""

import hashlib
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from hybridsim._version import __version__
from hybridsim.analog import format_time
from hybridsim.boundary.reading import read_own
from hybridsim.errors import InputError, SpecError
from hybridsim.training.crossbar import Disturbance, Pool, stream
from hybridsim.training.decoder import Decoder, load_decoder, new_decoder, save_decoder
from hybridsim.training.decoder_study import DecoderStudy, read_decoder_study
from hybridsim.training.files import claim, write_file
from hybridsim.training.grpo import (
    COPY,
    INSTRUCTION,
    adapter_values,
    advantages,
    answers,
    length,
    log_probabilities,
    objective,
    other_adapters,
    questions,
    rewards,
    sample,
    vocabulary,
)
from hybridsim.training.linear import program_chip, put_on_chip
from hybridsim.training.peft_files import read_decoder_adapter, write_decoder_adapter
from hybridsim.training.training import LARGEST_GRADIENT, rate_at

Watch = Callable[[str, int, int, str], None]
"""Called with (what is done, how far, of how much, a remark)."""
STAGES = ("base", "tuned", "grpo")
"""What is tested: the base alone, after instruction tuning, and after reinforcement learning."""


@dataclass(frozen=True, slots=True)
class DecoderResult:
    """The answer of a study."""

    study: DecoderStudy
    rewards: pd.DataFrame
    """Stage, seed, chip (-1 for digital), time, mean reward and share of answers all right."""
    training: pd.DataFrame
    """Stage, seed, step, and the loss or the mean reward of the sampled answers."""


class DecoderRun:
    """A study with its results folder; stages that are done are not done again."""

    def __init__(self, file: Path, out: Path, watch: Watch | None = None) -> None:
        self.study = read_decoder_study(file)
        self.beside, self.out, self.watch = file.parent, out, watch or (lambda *_: None)
        torch.set_num_threads(self.study.threads)
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # all of it is written
        self._rows: list[dict[str, Any]] = []

    def run(self) -> DecoderResult:
        """Train and test what is not done yet, and write the tables.

        Raises:
            InputError: A loss is no number, or the folder belongs to another study.
        """
        self._claim()
        found: list[dict[str, Any]] = []
        for seed in self.study.seeds:
            model = self.model(seed)
            found += self.tested("base", seed, model)
            self.stage("tuned", seed, model, self.tune)
            found += self.tested("tuned", seed, model)
            self.stage("grpo", seed, model, self.reinforce)
            found += self.tested("grpo", seed, model)
        table = pd.DataFrame(found)
        write_file(self.out / "rewards.csv", table.to_csv(index=False).encode())
        logs = sorted(self.out.glob("runs/*/seed*/training.csv"))
        training = pd.concat(
            [pd.read_csv(io.BytesIO(read_own(log))) for log in logs], ignore_index=True
        )
        return DecoderResult(self.study, table, training)

    def _claim(self) -> None:
        """Tell a new folder what study it belongs to, and refuse that of another one."""
        weights = "random"
        if self.study.decoder.folder is not None:
            stored = self._folder(self.study.decoder.folder) / "model.safetensors"
            weights = hashlib.sha256(stored.read_bytes()).hexdigest() if stored.exists() else ""
        identity = {
            "study": self.study.to_text(), "model": weights, "hybridsim": __version__,
            "torch": torch.__version__, "numpy": np.__version__,
        }  # fmt: skip
        if not (self.out / "study.json").exists():
            self.base()  # a model that cannot be read leaves no folder behind
        claim(self.out, identity, "study, model or version")

    def _folder(self, name: str) -> Path:
        places = (self.beside / name, Path(name).expanduser())
        return next((place for place in places if place.is_dir()), places[0])

    # --- the base -------------------------------------------------------------------------------

    def model(self, seed: int) -> Decoder:
        """Return the frozen base with new adapters."""
        model = self.base()
        model.add_adapters(self.study.lora, seed)
        return model

    def base(self) -> Decoder:
        """Return the base: from its folder, or random and trained on copying, which is kept.

        Raises:
            SpecError: It has too few tokens or positions for the task.
        """
        spec, task, kept = self.study.decoder, self.study.task, self.out / "base"
        if spec.folder is not None:
            model = load_decoder(self._folder(spec.folder))
            for key, least in (("vocab_size", vocabulary(task)), ("n_positions", length(task))):
                if model.config[key] < least:
                    problem = f"found {model.config[key]}; the task takes {least} or more"
                    raise SpecError(spec.folder, key, problem)
            return model
        if kept.is_dir():
            return load_decoder(kept)
        config = {
            "model_type": "gpt2", "activation_function": "gelu_new", "n_embd": spec.width,
            "n_head": spec.heads, "n_layer": spec.blocks, "n_positions": length(task),
            "vocab_size": vocabulary(task), "layer_norm_epsilon": 1e-5, "n_inner": None,
        }  # fmt: skip
        model = new_decoder(config, stream(0, 3))
        self._pretrain(model)
        save_decoder(kept, model)
        return model

    def _pretrain(self, model: Decoder) -> None:
        spec = self.study.decoder
        optimizer = torch.optim.AdamW(model.parameters(), lr=spec.pretrain_rate, weight_decay=0)
        for step in range(spec.pretrain_steps):
            asked = questions(self.study.task, 64, np.random.default_rng([17, step]), COPY)
            loss = self._loss(model, asked)
            told = f"loss {float(loss.detach()):.3f}"
            self._update(optimizer, loss, spec.pretrain_rate, step, spec.pretrain_steps, "base")
            self.watch("train base", step + 1, spec.pretrain_steps, told)

    # --- stages ---------------------------------------------------------------------------------

    def stage(
        self, name: str, seed: int, model: Decoder, train: Callable[[int, Decoder], Any]
    ) -> None:
        """Train a stage from where ``model`` is, or take up its adapter if it is done."""
        place = self.out / "runs" / name / f"seed{seed}"
        if (place / "adapter").is_dir():
            read_decoder_adapter(place / "adapter", model)
            return
        rows = [{"stage": name, "seed": seed} | row for row in train(seed, model)]
        columns = ["stage", "seed", "step", "loss", "reward"]
        log = pd.DataFrame(rows, columns=columns).to_csv(index=False)
        write_file(place / "training.csv", log.encode())
        base = self.study.decoder.folder or str(self.out / "base")
        write_decoder_adapter(place / "adapter", model, self.study.lora, base)

    def tune(self, seed: int, model: Decoder) -> Iterator[dict[str, float]]:
        """Train on given answers; yield step and loss."""
        how, pool = self.study.tune, Pool(seed, "cpu")
        optimizer = torch.optim.AdamW(model.trained(), lr=how.learning_rate, weight_decay=0)
        for step in range(how.steps):
            rng = np.random.default_rng([seed, 19, step])
            asked = questions(self.study.task, how.batch, rng, INSTRUCTION)
            self._on_tiles(model, pool, seed, step)
            loss = self._loss(model, asked)
            self._update(optimizer, loss, how.learning_rate, step, how.steps, f"tune seed {seed}")
            value = float(loss.detach())
            self.watch(f"tune, seed {seed}", step + 1, how.steps, f"loss {value:.3f}")
            yield {"step": step, "loss": value}

    def reinforce(self, seed: int, model: Decoder) -> Iterator[dict[str, float]]:
        """Train on rewards of sampled answers; yield step, loss and mean reward."""
        how, task, pool = self.study.grpo, self.study.task, Pool(seed, "cpu")
        start = adapter_values(model)
        optimizer = torch.optim.AdamW(model.trained(), lr=how.learning_rate, weight_decay=0)
        generator = torch.Generator()
        for step in range(how.steps):
            rng = np.random.default_rng([seed, 23, step])
            once = questions(task, how.questions, rng, INSTRUCTION)
            repeated = np.repeat(once, how.group, axis=0)
            asked, place = torch.from_numpy(repeated), 1_000_000 + step
            self._on_tiles(model, pool, seed, place)
            generator.manual_seed(stream(seed, 29, step))
            given = sample(model, asked, task.digits, how.temperature, generator)
            earned = rewards(task, repeated, given)
            better = advantages(earned, how.group)
            with torch.no_grad(), other_adapters(model, start):
                self._on_tiles(model, pool, seed, place)
                reference = log_probabilities(model, asked, given, how.temperature)
            old: torch.Tensor | None = None
            for _ in range(how.updates):
                self._on_tiles(
                    model, pool, seed, place
                )  # the same noise, so that ratios begin at 1
                new = log_probabilities(model, asked, given, how.temperature)
                old = new.detach() if old is None else old
                loss = -objective(new, old, reference, better, how)
                self._update(
                    optimizer, loss, how.learning_rate, step, how.steps, f"grpo seed {seed}"
                )
            reward = float(earned.mean())
            self.watch(f"grpo, seed {seed}", step + 1, how.steps, f"reward {reward:.3f}")
            yield {"step": step, "loss": float(loss.detach()), "reward": reward}

    def _loss(self, model: Decoder, asked: Any) -> torch.Tensor:
        right = torch.from_numpy(np.ascontiguousarray(answers(self.study.task, asked)))
        ids = torch.cat([torch.from_numpy(asked), right], dim=1)
        logits = model(ids)[:, asked.shape[1] - 1 : -1]
        loss: torch.Tensor = functional.cross_entropy(logits.flatten(0, 1), right.flatten())
        return loss

    def _update(
        self, optimizer: Any, loss: torch.Tensor, rate: float, step: int, steps: int, what: str
    ) -> None:
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(
                f"{what}, step {step}: the loss is {value}; a learning rate below {rate:g} "
                "would do"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for group in optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], LARGEST_GRADIENT)
            group["lr"] = rate * rate_at(step, steps)
        optimizer.step()

    def _on_tiles(self, model: Decoder, pool: Pool, seed: int, place: int) -> None:
        if self.study.noise is None:
            model.compute_digitally()
            return
        pool.at_step(seed, place)
        how = Disturbance(pool, self.study.noise.weights)
        model.compute_on_tiles(self.study.analog, how)

    # --- tests ----------------------------------------------------------------------------------

    def tested(self, stage: str, seed: int, model: Decoder) -> list[dict[str, Any]]:
        """Return rewards of the likeliest answers: digital, and on every chip at every time."""
        asked = questions(
            self.study.task, self.study.test, np.random.default_rng([31]), INSTRUCTION
        )
        model.compute_digitally()
        rows = [self._scored(stage, seed, -1, "digital", model, asked)]
        pool = Pool(0, "cpu")
        for chip in self.study.chips:
            programmed = program_chip(model, self.study.analog, (chip,))
            for seconds in self.study.times:
                pool.at_step(chip, round(seconds))
                put_on_chip(model, programmed, seconds, self.study.analog, Disturbance(pool))
                rows.append(self._scored(stage, seed, chip, format_time(seconds), model, asked))
        model.compute_digitally()
        return rows

    def _scored(
        self, stage: str, seed: int, chip: int, time: str, model: Decoder, asked: Any
    ) -> dict[str, Any]:
        task = self.study.task
        given = sample(model, torch.from_numpy(asked), task.digits, 1.0, None)
        earned = rewards(task, asked, given)
        whole = float((earned == 1).float().mean())
        row = {"stage": stage, "seed": seed, "chip": chip, "time": time}
        return row | {"reward": round(float(earned.mean()), 6), "all_right": round(whole, 6)}
