"""A study of a pretrained decoder from its file to its table; evaluations are kept."""

import hashlib
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.nn import functional

from hybridsim._version import __version__
from hybridsim.analog import AnalogSettings, format_time
from hybridsim.arch import load_machine
from hybridsim.boundary.reading import MOST_OWN_BYTES, read_bytes
from hybridsim.errors import SpecError
from hybridsim.training.checking import CHECKING, Checks, checked, checks_of
from hybridsim.training.crossbar import Disturbance, Pool
from hybridsim.training.data import FETCH, found_file, read_vader
from hybridsim.training.files import Lines, claim, write_file
from hybridsim.training.intervals import share_interval, t_interval
from hybridsim.training.language_adapters import Lesson, adapter_from
from hybridsim.training.language_study import LanguageStudy, NewsText, read_language_study
from hybridsim.training.linear import Chip, program_chip, put_on_chip
from hybridsim.training.observing import heard
from hybridsim.training.pretrained import identity_file, loaded, named, place_of
from hybridsim.training.recalibrating import (
    Corrections,
    Reference,
    carried,
    measure,
    put_adapters,
    reference_from,
)
from hybridsim.training.run import Watch
from hybridsim.training.side_path_price import side_path_rows

DIGITAL = "digital"
"""In place of tiles: the weights as they are, in exact arithmetic."""
HELD = "weights alone"
"""In place of a time: the weights that tiles are to hold, in exact arithmetic."""
NO_CHIP = -1
_MEASURING = 2**40
"""Where the output noise of measurements lies in its stream, apart from that of tests."""
BARE = "-"
"""In place of an adapter: none."""
_ROW = ("tiles", "adapter", "chip", "corrected", "time", "loss", "right", "cpu_seconds")
_GROWING = (
    "question", "chips", "times", "tiles", "corrected", "threads", "machine", "batch", "train",
    "adapters", "adapted",
)  # fmt: skip


class Key(NamedTuple):
    """One evaluation."""

    tiles: str
    adapter: str
    chip: int
    corrected: bool
    """Whether at the time of the test."""
    time: str


@dataclass(frozen=True, slots=True)
class LanguageResult:
    """The answer of a study."""

    study: LanguageStudy
    table: pd.DataFrame
    """One row per tiles, time and whether corrected: perplexity and share of next tokens right."""
    side_path: pd.DataFrame
    """One row per tiles, loop and kind of layer: weights kept digital, and what they take; no
    rows without a machine."""
    peak_memory_bytes: int
    """The most memory this process has held."""


class LanguageRun:
    """A study with its model, its documents and its results folder."""

    def __init__(self, file: Path, out: Path, watch: Watch | None = None) -> None:
        file = file / "study.yaml" if file.is_dir() else file
        self.study = read_language_study(file)
        self.beside, self.out, self.watch = file.parent, out, watch or (lambda *_: None)
        torch.set_num_threads(self.study.threads)
        self.place = place_of(self.study.language, self.beside)
        self.model, tokenizer = loaded(self.place)
        self.calibration, self.test, self.train, self.checked = self._documents(tokenizer)
        self.pool = Pool(0, "cpu")
        self.adapters: dict[str, Corrections] = {BARE: {}}
        self._reference: tuple[str, Reference, Checks] | None = None
        self._put: tuple[Any, ...] = ()

    def run(self) -> LanguageResult:
        """Evaluate what is not known yet, and write the table.

        Raises:
            InputError: The folder belongs to another study.
            KeyboardInterrupt: Someone stopped it; the table of what is known is written.
        """
        lines, known = self._open()
        for name, how in self.study.adapters.items():
            settings = self.study.tiles[how.tiles] if how.tiles is not None else None
            lesson = Lesson(self.train, settings, named(self.study.language))
            folder = self.out / "adapters" / name
            self.adapters[name] = adapter_from(folder, name, self.model, how, lesson, self.watch)
        wanted = [key for key in self._wanted() if key not in known]
        programmed: tuple[tuple[str, int], Chip] | None = None  # a chip takes gigabytes
        try:
            for done, key in enumerate(wanted):
                self.watch(" ".join(map(str, key)), done, len(wanted), "")
                start, place = time.process_time(), (key.tiles, key.chip)
                if key.chip != NO_CHIP and (programmed is None or programmed[0] != place):
                    programmed = None
                    settings = self.study.tiles[key.tiles]
                    programmed = place, program_chip(self.model, settings, (key.chip,))
                loss, right = self._evaluated(key, programmed[1] if programmed else None)
                loss = loss.round(6)  # as the journal keeps it, so that a second run agrees
                known[key] = np.stack([loss, right])
                row = {"loss": loss.tolist(), "right": right.astype(int).tolist()}
                took = {"cpu_seconds": round(time.process_time() - start, 1)}
                lines.add(key._asdict() | row | took)
        finally:
            table = self._table(known)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return LanguageResult(self.study, table, self._priced(), most)

    def _priced(self) -> pd.DataFrame:
        """Return the price of all side paths, and write it where there is one."""
        study, rows = self.study, []
        if study.machine is None:
            return pd.DataFrame()
        name = self.beside / study.machine
        machine = load_machine(str(name) if name.is_file() else study.machine)
        for tiles, settings in study.tiles.items():
            if settings.side_path_sigmas is not None:
                priced = side_path_rows(self.model, settings, machine, study.batch)
                rows += [{"tiles": tiles} | row for row in priced]
        table = pd.DataFrame(rows)
        if rows:
            write_file(self.out / "side_path.csv", table.to_csv(index=False).encode())
        return table

    # --- model and text -------------------------------------------------------------------------

    def _documents(self, tokenizer: Tokenizer) -> tuple[torch.Tensor, ...]:
        """Return tokens of the documents to measure with, to test on, to learn from and to check
        corrections with, each of shape (documents, tokens)."""
        study = self.study
        read = [tokenizer.encode(t, add_special_tokens=False).ids for t in self._texts()]
        long = [ids[: study.tokens] for ids in read if len(ids) >= study.tokens]
        for_checks = study.correction.checked if study.correction is not None else 0
        sizes = (study.calibration, study.test, study.train, for_checks)
        wanted = sum(sizes)
        if len(long) < wanted:
            problem = (
                f"found {len(long)} documents of {study.tokens} tokens or more; "
                f"{wanted} would do, or fewer tokens"
            )
            raise SpecError("text", "", problem)
        order = np.random.default_rng([study.seed, 19]).permutation(len(long))[:wanted]
        return torch.tensor([long[i] for i in order]).split(sizes)

    def _texts(self) -> Iterator[str]:
        source = self.study.text
        if isinstance(source, NewsText):
            file = found_file(source.archive, self.beside, FETCH)
            together: dict[str, list[str]] = {}
            for each in read_vader(file, source.subset, -1.0)[0]:
                together.setdefault(each.group, []).append(each.text)
            yield from (" ".join(parts) for parts in together.values())
            return
        for name in source.files:
            raw = read_bytes(found_file(name, self.beside), MOST_OWN_BYTES)
            yield raw.decode("utf-8", "replace")

    # --- evaluations ----------------------------------------------------------------------------

    def _wanted(self) -> Iterator[Key]:
        """Yield all evaluations: digital, on chips as they are, corrected, and weights alone."""
        study, every = self.study, (BARE, *self.study.adapters)
        for adapter in every:
            yield Key(DIGITAL, adapter, NO_CHIP, False, HELD)
        mended = (study.correction.adapters or (BARE,)) if study.correction is not None else ()
        for chip in study.chips:
            for tiles in study.tiles:
                adapted = tiles in (study.adapted or study.tiles)
                corrected = tiles in (study.corrected or study.tiles)
                own = every if adapted else (BARE,)
                whens = [format_time(seconds) for seconds in study.times]
                yield from (Key(tiles, name, chip, False, t) for t in whens for name in own)
                for name in mended if corrected else ():
                    yield from (Key(tiles, name, chip, True, t) for t in whens)
        for tiles in study.tiles:
            yield Key(tiles, BARE, NO_CHIP, False, HELD)

    def _evaluated(self, key: Key, chip: Chip | None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return loss [nats per token] and right next tokens of every document."""
        own = self.adapters[key.adapter]
        if chip is None or key.chip == NO_CHIP:
            self._digital(own)
            if key.tiles == DIGITAL:
                return self._tested()
            return self._with_held_weights(self.study.tiles[key.tiles])
        settings = self.study.tiles[key.tiles]
        seconds = next(t for t in self.study.times if format_time(t) == key.time)
        adapters = self._corrected(key, chip, seconds, settings) if key.corrected else own
        put_adapters(self.model, adapters)
        if self._put != (key.tiles, key.chip, seconds):
            put_on_chip(self.model, chip, seconds, settings, Disturbance(self.pool))
            self._put = (key.tiles, key.chip, seconds)
        self._noise(key.chip, round(seconds))
        return self._tested()

    def _corrected(
        self, key: Key, chip: Chip, seconds: float, settings: AnalogSettings
    ) -> Corrections:
        """Return what an adapter becomes by a correction of the chip at a time."""
        assert self.study.correction is not None
        reference, checks = self._reference_of(key.adapter)
        own = {name: self.adapters[key.adapter].get(name) for name in reference.inputs}
        self._put = ()
        fits = measure(
            self.model, chip, seconds, settings,
            self._noise(key.chip, _MEASURING + round(seconds)), reference,
        )  # fmt: skip
        rank = self.study.correction.rank
        corrections = {name: fit.of_rank(rank) for name, fit in fits.items()}
        noise = self._noise(key.chip, CHECKING + round(seconds))
        put_on_chip(self.model, chip, seconds, settings, noise, reading=2)
        return checked(
            self.model, checks, corrections,
            lambda fitted: carried(own, fitted, reference, folded=False),
            lambda: self._noise(key.chip, CHECKING + round(seconds)),
        )  # fmt: skip

    def _digital(self, adapters: Corrections) -> None:
        """Take the model off its chip, and give it adapters."""
        self._put = ()
        self.model.compute_digitally()
        put_adapters(self.model, adapters)

    def _noise(self, chip: int, stream: int) -> Disturbance:
        self.pool.at_step(chip, stream)
        return Disturbance(self.pool)

    def _with_held_weights(self, settings: AnalogSettings) -> tuple[NDArray[Any], NDArray[Any]]:
        """Test the weights that tiles and side path are to hold: clipping alone."""
        layers = self.model.static_layers()
        own = {name: layer.weight.data for name, layer in layers.items()}
        for layer in layers.values():
            layer.weight.data = layer.held(settings)
        try:
            return self._tested()
        finally:
            for name, layer in layers.items():
                layer.weight.data = own[name]

    @torch.no_grad()
    def _tested(self) -> tuple[NDArray[Any], NDArray[Any]]:
        losses, right = [], []
        for ids in self.test.split(4):
            logits, after = self.model(ids)[:, :-1], ids[:, 1:]
            loss = functional.cross_entropy(logits.transpose(1, 2), after, reduction="none")
            losses.append(loss.mean(dim=1).double().numpy())
            right.append((logits.argmax(dim=2) == after).sum(dim=1).numpy())
        return np.concatenate(losses), np.concatenate(right)

    def _reference_of(self, adapter: str) -> tuple[Reference, Checks]:
        """Return what the model computes digitally for the documents of calibration, and for
        those that corrections are checked with."""
        if self._reference is None or self._reference[0] != adapter:
            assert self.study.correction is not None
            self._reference = None  # gigabytes
            self._digital(self.adapters[adapter])
            with torch.no_grad(), heard(self.model) as found:
                self.model(self.calibration)
            inputs = {name: parts[0] for name, parts in found.items()}
            made = reference_from(self.model, inputs, self.study.correction.ridge)
            checks = checks_of(self.model, lambda: self.model(self.checked).flatten(0, 1))
            self._reference = adapter, made, checks
        return self._reference[1:]

    # --- what is kept ---------------------------------------------------------------------------

    def _open(self) -> tuple[Lines, dict[Key, NDArray[Any]]]:
        own = self.study.to_text()
        for name in _GROWING:
            own.pop(name, None)
        if own.get("correction"):
            own["correction"].pop("adapters", None)
        weights = identity_file(self.place)
        identity = {
            "study": own, "model_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            "text_sha256": hashlib.sha256(self.test.numpy().tobytes()).hexdigest(),
            "hybridsim": __version__, "torch": torch.__version__, "numpy": np.__version__,
        }  # fmt: skip
        claim(self.out, identity, "study, model, text or version")
        lines, known = Lines(self.out / "journal.jsonl"), {}
        for number, row in lines.rows(_ROW):
            try:
                key = Key(*(row[name] for name in Key._fields))
                known[key] = np.array([row["loss"], row["right"]], np.float64)
            except (TypeError, ValueError):
                raise lines.broken(number) from None
        return lines, known

    def _table(self, known: dict[Key, NDArray[Any]]) -> pd.DataFrame:
        digital, rows = known.get(Key(DIGITAL, BARE, NO_CHIP, False, HELD)), []
        for key in dict.fromkeys(k._replace(chip=0) for k in known):
            found = [value for k, value in known.items() if k._replace(chip=0) == key]
            named = {
                "tiles": key.tiles, "adapter": key.adapter, "time": key.time,
                "corrected": key.corrected,
            }  # fmt: skip
            rows.append(named | self._row(found, digital))
        table = pd.DataFrame(rows)
        write_file(self.out / "perplexity.csv", table.to_csv(index=False).encode())
        return table

    def _row(self, found: list[NDArray[Any]], digital: NDArray[Any] | None) -> dict[str, Any]:
        """Return perplexity, alone and over that of digital arithmetic, and accuracy of some
        chips, with 95 % intervals; over the same documents the ratio scatters less."""
        loss = np.array([[each[0] for each in found]])  # (1, chips, documents)
        right = np.array([[each[1] for each in found]]) / (self.study.tokens - 1)
        more = loss - (loss if digital is None else digital[0])
        ends, times = ([float(np.exp(end / 100)) for end in t_interval(x)] for x in (loss, more))
        low, high = share_interval(right)
        numbers = {
            "perplexity": float(np.exp(loss.mean())),
            "perplexity_low": ends[0], "perplexity_high": ends[1],
            "times_digital": float(np.exp(more.mean())),
            "times_low": times[0], "times_high": times[1],
            "accuracy_percent": 100 * float(right.mean()),
            "accuracy_low": low, "accuracy_high": high,
        }  # fmt: skip
        counts = {"chips": len(found), "documents": loss.shape[2]}
        return {name: round(value, 3) for name, value in numbers.items()} | counts
