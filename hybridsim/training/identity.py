"""What results depend on: a results folder belongs to one study, model, data and version."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from hybridsim._version import __version__
from hybridsim.analog import Ranges
from hybridsim.training.splits import Split
from hybridsim.training.study import AdaptStudy

Part = Literal["test", "validation"]
"""The sentences that arms are judged by."""

_AS_GIVEN = Ranges().to_text()
_DEVICE: dict[str, object] = {
    "stuck_low": 0.0, "stuck_high": 0.0, "temperature": 300.0, "activation": [0.0, 0.0],
}  # fmt: skip
_TILES: dict[str, object] = {
    "ranges": _AS_GIVEN, "wire_resistance": 0.0, "side_path_sigmas": None,
    "adc_gain_spread": 0.0, "columns_per_adc": 1,
}  # fmt: skip

LATER: dict[str, dict[str, object]] = {
    "": {"adapters_from": None, "adapter_precision": "fp32", "controls": []},
    "data": {"split": "sentences", "validation": 0},
    "data.source": {"neutral": 0.0, "group": None, "rated": False, "overlap": None},
    "analog": _TILES,
    "analog.device": _DEVICE,
    "analog.converters": {"input_range": None},
    "arms.*.analog": _TILES,
    "arms.*.analog.device": _DEVICE,
    "arms.*.analog.converters": {"input_range": None},
    "arms.*": {
        "adapter_of": None,
        "average": 0.0,
        "distill_blocks": 0.0,
        "schedule": "falling",
        "learn_ranges": False,
        "mean_of": [],
        "merge": {},
    },
}
"""Place -> fields that came later, and the values at which all is as it was before: left out
there, so that folders from then go on."""


def identity(study: AdaptStudy, folder: Path, split: Split, on: Part) -> dict[str, Any]:
    """Return what results depend on: another one of these is another study."""
    weights = hashlib.sha256()
    with (folder / "model.safetensors").open("rb") as stream:
        while piece := stream.read(2**20):
            weights.update(piece)
    judged_by = split.test if on == "test" else split.validation
    spans = [example.spans for part in (split.train, judged_by) for example in part]
    # as it was before there were spans
    sentences = (repr((split.train, judged_by)) + (repr(spans) if any(spans) else "")).encode()
    return {
        "study": without_unused(study.to_text()),
        "model_sha256": weights.hexdigest(),
        "sentences_sha256": hashlib.sha256(sentences).hexdigest(),
        "hybridsim": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        **({} if on == "test" else {"judged_by": on}),
    }


def without_unused(text: dict[str, Any]) -> dict[str, Any]:
    """Return the text of a study, or of a part under its name, without fields that came later and
    change nothing."""
    for path, fields in LATER.items():
        places: list[dict[str, Any]] = [text]
        for key in path.split(".") if path else ():
            places = [
                p
                for place in places
                for p in (place.values() if key == "*" else [place.get(key)])
                if p is not None
            ]
        for place in places:
            for field, unused in fields.items():
                if place.get(field, ...) == unused:
                    del place[field]
    return text
