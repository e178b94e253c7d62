"""``--analog-noise``: the noise of the tiles beside the latency of a run."""

import re

import pandas as pd
from rich.console import RenderableType
from rich.markup import escape

from hybridsim.cli._terminal import plain_table
from hybridsim.errors import SpecError
from hybridsim.measure.result import AnalogNoiseRow, Result
from hybridsim.workload import Network


def noise_times(text: str | None) -> tuple[float, ...]:
    """Return the seconds since programming that ``t=1h,1y`` asks for; none for None.

    Raises:
        SpecError: The text is not of that form.
    """
    if text is None:
        return ()
    # here and below imported on use: a run without noise shall not wait for it
    from hybridsim.analog.times import STANDARD_TIMES, parse_time

    name, equals, values = text.partition("=")
    if name.strip() != "t" or not equals:
        problem = (
            f"found {text[:60]!r}; t=TIME would do, as in t=1y or t={','.join(STANDARD_TIMES)}"
        )
        raise SpecError("", "--analog-noise", problem)
    try:
        return tuple(dict.fromkeys(parse_time(value) for value in values.split(",")))
    except ValueError as error:
        raise SpecError("", "--analog-noise", f"t: {error}") from None


def with_analog_noise(result: Result, seconds: tuple[float, ...]) -> Result:
    """Return the result with the noise of its network's layers at these times, if any."""
    if not seconds:
        return result
    from hybridsim.measure.numerics import analog_noise_of

    network = Network.model_validate(result.inputs["network"])
    return result.model_copy(update={"analog_noise": analog_noise_of(network, seconds)})


def noise_files(result: Result) -> dict[str, str]:
    """Return the table of the noise as a file, where it was asked for."""
    if result.analog_noise is None:
        return {}
    frame = pd.DataFrame([row.model_dump() for row in result.analog_noise.rows])
    return {"analog_noise.csv": frame.to_csv(index=False)}


def noise_lines(result: Result, one_by_one: bool) -> list[RenderableType]:
    """Return the noise as a table: one row per layer or kind of layer, columns per time."""
    noise = result.analog_noise
    if noise is None:
        return []
    from hybridsim.analog.times import format_time

    times = list(dict.fromkeys(row.seconds for row in noise.rows))
    heads = [f"{format_time(t)} {what}" for t in times for what in ("SNR", "1-cos")]
    table = plain_table("layer", "#", *heads, right="|".join(["#", *heads]))
    alike: dict[tuple[str, ...], list[str]] = {}
    by_layer: dict[str, list[AnalogNoiseRow]] = {}
    for row in noise.rows:
        by_layer.setdefault(row.layer, []).append(row)
    for name, rows in by_layer.items():
        kind = name if one_by_one else re.sub(r"\d+", "*", name)
        cells = [
            text for row in rows for text in (f"{row.snr_db:.1f} dB", f"{row.cosine_error:.4f}")
        ]
        alike.setdefault((kind, *cells), []).append(name)
    for (kind, *cells), names in alike.items():
        table.add_row(escape(kind), str(len(names)), *cells)
    return [
        "",
        f"analog noise over time since programming, mean of {noise.chips} chips, tiles as in the "
        "paper:",
        table,
        f"weights {noise.weights}; IR drop left out",
    ]
