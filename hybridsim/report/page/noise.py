"""Noise of the analog tiles, where a run was asked for it."""

import re
from typing import Any

from hybridsim.measure.result import AnalogNoiseResult
from hybridsim.report.page.cells import Column, Table, table

_COLUMNS = (
    Column("layer", "layer"),
    Column("layers", "layers", "count", "Layers of this kind with these figures."),
    Column("seconds", "since programming", "since", "Time since programming [s]."),
    Column("snr_db", "SNR", "decibels", "-20 log10 of the mean relative error [dB]."),
    Column("relative_error", "error", "share", "||y - exact|| / ||exact||, mean."),
    Column("relative_error_sd", "its spread", "share", "Standard deviation over chips."),
    Column("cosine_error", "1 - cos", "number", "Of y and the exact vector, mean."),
    Column("alpha", "alpha", "number", "Mean factor of the drift compensation."),
    Column("clipping_error", "clipping", "share", "||W - clipped|| / ||W||."),
)


def noise_table(noise: AnalogNoiseResult | None) -> Table | None:
    """Return a row per kind of layer and time, or None where nothing was asked for.

    Layers whose names differ in numbers alone are one row where all their figures are the same.
    """
    if noise is None:
        return None
    alike: dict[tuple[Any, ...], int] = {}
    for row in noise.rows:
        figures = row.model_dump(exclude={"layer"})
        key = (re.sub(r"\d+", "*", row.layer), *figures.items())
        alike[key] = alike.get(key, 0) + 1
    records = [{"layer": key[0], "layers": count, **dict(key[1:])} for key, count in alike.items()]
    return table("analog_noise", "Noise of the analog tiles", _COLUMNS, records)
