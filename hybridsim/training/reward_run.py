"""A study of rewards from its file to its table: adapters are trained, answers tested over years.

Training goes on from its last checkpoint and evaluations are kept, so that the same command goes
on where it stopped.
"""

import hashlib
import io
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from hybridsim._version import __version__
from hybridsim.analog import format_time
from hybridsim.analog.times import in_order
from hybridsim.boundary.reading import read_own, read_own_json
from hybridsim.errors import InputError, SpecError
from hybridsim.training.answering import answered
from hybridsim.training.asked import asked, endings
from hybridsim.training.crossbar import Disturbance, Pool
from hybridsim.training.files import Lines, claim, packed, unpacked, write_file
from hybridsim.training.gym import PACKAGE, gym_version
from hybridsim.training.identity import Part, without_unused
from hybridsim.training.intervals import paired, share_interval, t_interval
from hybridsim.training.language_adapters import without_adapters
from hybridsim.training.linear import Chip, program_chip, put_on_chip
from hybridsim.training.peft_files import read_decoder_adapter, write_decoder_adapter
from hybridsim.training.pretrained import identity_file, loaded, named, place_of
from hybridsim.training.recalibrating import Corrections, adapter_of, put_adapters
from hybridsim.training.reinforcing import Exam, Reinforcement, most_memory
from hybridsim.training.reward_study import GymTask, Reinforced, read_reward_study
from hybridsim.training.run import Watch

DIGITAL, NO_CHIP = "digital", -1
"""In place of a time and of a chip: exact arithmetic."""
BARE = "-"
"""In place of an adapter: none, the decoder before it learned from rewards."""
_ROW = ("adapter", "chip", "time", "questions", "right", "cpu_seconds")
_MAYBE = ("rewards",)
_GROWING = ("question", "reinforced", "chips", "times", "threads", "checkpoint_every")
RECENT = 10
"""Steps over which the rewards are averaged that are told of a training run."""


class Key(NamedTuple):
    """One evaluation."""

    adapter: str
    chip: int
    time: str


@dataclass(frozen=True, slots=True)
class RewardResult:
    """The answer of a study."""

    table: pd.DataFrame
    """A row per adapter and time: mean reward [%], and what the adapter added to it [points]."""
    training: pd.DataFrame
    """A row per adapter: parameters, rewards of its first and last steps, time and memory."""


class RewardRun:
    """A study with its model, its questions and its results folder.

    Raises:
        SpecError: The study, the model or its tokenizer cannot be used.
    """

    def __init__(
        self, file: Path, out: Path, watch: Watch | None = None, on: Part = "test"
    ) -> None:
        file = file / "study.yaml" if file.is_dir() else file
        self.study, self.out, self.on = read_reward_study(file), out, on
        self.watch = watch or (lambda *_: None)
        torch.set_num_threads(self.study.threads)
        self.place = place_of(self.study.language, file.parent)
        self.model, tokenizer = loaded(self.place)
        self.exam = Exam(asked(self.study.task, tokenizer), tokenizer, endings(tokenizer))
        self.judged = self.exam.asked.test if on == "test" else self.exam.asked.validation
        self.pool = Pool(0, "cpu")
        there = max(map(len, self.exam.asked.train.alike))
        for name, how in self.study.reinforced.items():
            if how.questions > there:
                problem = f"found {how.questions} a step; {there} are there to train on at a time"
                raise SpecError(str(file), f"reinforced.{name}.questions", problem)

    def run(self) -> RewardResult:
        """Train and evaluate what is not known yet, and write the tables.

        What the decoder starts from comes first: a task that it always or never gets right
        teaches nothing, and training takes the longest.

        Raises:
            InputError: The folder belongs to another study, or a loss is no number.
            KeyboardInterrupt: Someone stopped it; what is known is kept.
        """
        lines, known = self._open()
        wanted = [key for key in self._wanted() if key not in known]
        before = [key for key in wanted if key.adapter == BARE]
        adapters: dict[str, Corrections] = {BARE: {}}
        told = []
        try:
            self._evaluate(before, adapters, lines, known)
            for name, how in self.study.reinforced.items():
                adapters[name], row = self._adapter(name, how)
                told.append({"adapter": name} | row)
            after = [key for key in wanted if key not in before]
            self._evaluate(after, adapters, lines, known)
        finally:
            table = self._table(known)
        training = pd.DataFrame(told)
        write_file(self.out / "training.csv", training.to_csv(index=False).encode())
        return RewardResult(table, training)

    # --- training -------------------------------------------------------------------------------

    def _adapter(self, name: str, how: Reinforced) -> tuple[Corrections, dict[str, Any]]:
        """Return an adapter as it is kept, trained if it is not there yet, and what that took."""
        folder, model = self.out / "adapters" / name, self.model
        about, checkpoint = folder / "training.json", folder / "checkpoint.safetensors"
        own = {"adapter": how.to_text()}
        model.compute_digitally()
        model.add_adapters(how.lora, how.seed)
        if not (folder / "adapter").is_dir():
            training = Reinforcement(name, model, how, self.exam, self.study.analog)
            text = json.dumps([own, self._identity()])
            rows = training.run(checkpoint, self.study.checkpoint_every, text, self.watch)
            log = pd.DataFrame(rows)
            write_file(folder / "steps.csv", log.to_csv(index=False).encode())
            took = {
                "parameters": sum(each.numel() for each in training.learned),
                "peak_memory_bytes": most_memory(),
            }
            write_file(about, (json.dumps(own | took, indent=2) + "\n").encode())
            base = named(self.study.language)
            write_decoder_adapter(folder / "adapter", model, how.lora, base, torch.float16)
            checkpoint.unlink(missing_ok=True)
        took = read_own_json(about)
        if took.get("adapter") != own["adapter"]:
            raise InputError(f"{folder}: was trained in another way; another --out would do")
        model.compute_digitally()
        read_decoder_adapter(folder / "adapter", model)
        found = {layer: adapter_of(model, layer) for layer, _ in model.adapters()}
        model.requires_grad_(False)
        without_adapters(model)
        row = _row_of(took, folder / "steps.csv")
        return {layer: each for layer, each in found.items() if each is not None}, row

    # --- evaluations ----------------------------------------------------------------------------

    def _wanted(self) -> Iterator[Key]:
        """Yield all evaluations, chip by chip and time by time."""
        every = (BARE, *self.study.reinforced)
        yield from (Key(name, NO_CHIP, DIGITAL) for name in every)
        for chip in self.study.chips:
            for seconds in self.study.times:
                yield from (Key(name, chip, format_time(seconds)) for name in every)

    def _evaluate(
        self,
        wanted: list[Key],
        adapters: dict[str, Corrections],
        lines: Lines,
        known: dict[Key, NDArray[np.float64]],
    ) -> None:
        seconds = {format_time(each): each for each in self.study.times}
        programmed: tuple[int, Chip] | None = None
        put: tuple[int, str] | None = None
        for done, key in enumerate(wanted):
            self.watch(f"test {key.adapter} {key.chip} {key.time}", done, len(wanted), "")
            start, settings = time.process_time(), self.study.analog
            without_adapters(self.model)
            if key.chip == NO_CHIP:
                self.model.compute_digitally()
            else:
                if programmed is None or programmed[0] != key.chip:
                    programmed = None  # a chip takes gigabytes
                    programmed = key.chip, program_chip(self.model, settings, (key.chip,))
                if put != (key.chip, key.time):
                    noise = Disturbance(self.pool)
                    put_on_chip(self.model, programmed[1], seconds[key.time], settings, noise)
                    put = key.chip, key.time
                self.pool.at_step(key.chip, round(seconds[key.time]))
            if adapters[key.adapter]:
                put_adapters(self.model, adapters[key.adapter])
            known[key] = self._rewards()
            took = round(time.process_time() - start, 1)
            lines.add(key._asdict() | _as_row(known[key]) | {"cpu_seconds": took})

    def _rewards(self) -> NDArray[np.float64]:
        """Return what the likeliest answer to each question is worth."""
        exam, found = self.exam, np.empty(len(self.judged.questions))
        for group in self.judged.alike:
            for first in range(0, len(group), 50):
                chosen = group[first : first + 50]
                given = answered(
                    self.model, exam.asked.shots, self.judged.read(chosen), 1, exam.asked.most,
                    exam.ends,
                )  # fmt: skip
                said = zip(chosen, exam.said(given), strict=True)
                found[list(chosen)] = [self.judged.questions[i].reward(each) for i, each in said]
        return found

    # --- what is kept ---------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        own = without_unused(self.study.to_text())
        for name in _GROWING:
            own.pop(name, None)
        weights = identity_file(self.place).read_bytes()
        made_by = {PACKAGE: gym_version()} if isinstance(self.study.task, GymTask) else {}
        return {
            "study": own, "model_sha256": hashlib.sha256(weights).hexdigest(),
            "judged_by": self.on, "hybridsim": __version__, "torch": torch.__version__,
            "numpy": np.__version__,
        } | made_by  # fmt: skip

    def _open(self) -> tuple[Lines, dict[Key, NDArray[np.float64]]]:
        claim(self.out, self._identity(), "study, model, part or version")
        lines, known = Lines(self.out / "journal.jsonl"), {}
        for number, row in lines.rows(_ROW, _MAYBE):
            try:
                key = Key(*(row[name] for name in Key._fields))
                known[key] = _of_row(row)
            except (TypeError, ValueError):
                raise lines.broken(number) from None
        return lines, known

    def _table(self, known: dict[Key, NDArray[np.float64]]) -> pd.DataFrame:
        """Return the reward of each adapter at each time, over all chips, and its gain over the
        decoder without it on the same chips and questions."""
        rows: list[dict[str, Any]] = []
        told = dict.fromkeys((k.adapter, k.time) for k in self._wanted() if k in known)
        names, times = [BARE, *self.study.reinforced], in_order(when for _, when in told)
        told = dict.fromkeys((a, t) for a in names for t in times if (a, t) in told)
        for adapter, when in told:
            chips = sorted(k.chip for k in known if (k.adapter, k.time) == (adapter, when))
            both = [c for c in chips if Key(BARE, c, when) in known]
            cube = _cube(known, adapter, chips, when)
            low, high = share_interval(cube)
            row = {
                "adapter": adapter, "time": when, "reward_percent": 100 * float(cube.mean()),
                "low": low, "high": high,
            }  # fmt: skip
            if adapter != BARE and both:
                more = paired(_cube(known, adapter, both, when), _cube(known, BARE, both, when))
                ends = t_interval(more)
                row |= {"gain_points": 100 * float(more.mean())}
                row |= {"gain_low": ends[0], "gain_high": ends[1]}
            counts = {"chips": len(chips), "questions": cube.shape[2]}
            rows.append({k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()}
                        | counts)  # fmt: skip
        table = pd.DataFrame(rows)
        write_file(self.out / "rewards.csv", table.to_csv(index=False).encode())
        return table


def _as_row(rewards: NDArray[np.float64]) -> dict[str, Any]:
    """Return what is kept of an evaluation: which answers are right, and where some are worth
    less than that but something, what all are worth."""
    row = {"questions": len(rewards), "right": packed(rewards == 1)}
    partly = ((rewards > 0) & (rewards != 1)).any()
    return row | ({"rewards": rewards.tolist()} if partly else {})


def _of_row(row: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return what :func:`_as_row` kept."""
    right = unpacked(row["right"], row["questions"])
    rewards = np.array(row.get("rewards", right), np.float64)
    if rewards.shape != right.shape:
        raise ValueError("another number of rewards than of questions")
    return rewards


def _row_of(took: Mapping[str, Any], steps: Path) -> dict[str, Any]:
    """Return what is told of a training run."""
    log = pd.read_csv(io.BytesIO(read_own(steps)))
    return {
        "parameters": took["parameters"],
        "steps": len(log),
        "first_reward": round(float(log["reward"].head(RECENT).mean()), 4),
        "last_reward": round(float(log["reward"].tail(RECENT).mean()), 4),
        "cpu_seconds_per_step": round(float(log["cpu_seconds"].mean()), 3),
        "peak_memory_bytes": took["peak_memory_bytes"],
    }


def _cube(
    known: dict[Key, NDArray[np.float64]], adapter: str, chips: list[int], when: str
) -> NDArray[np.float64]:
    """Return what answers are worth, shape (1, chips, questions)."""
    return np.array([[known[Key(adapter, chip, when)] for chip in chips]], np.float64)
