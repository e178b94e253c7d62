"""What a design must keep to and what it is to minimise, in the words of the command line.

A limit is a comparison as a study has it (``area_mm2 <= 60 mm2``), with short names allowed
(``area <= 60 mm2``), or one of accuracy some time after programming: ``accuracy >= 78 % @ 10y``,
or ``accuracy >= -1 point @ 10y``, which is against the same task in digital arithmetic.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hybridsim.analog.times import format_time, parse_time
from hybridsim.boundary.values import decimal
from hybridsim.errors import InputError, SpecError, UnknownNameError
from hybridsim.sweeps.columns import (
    ACCURACY,
    RESULTS,
    TEXTS,
    Constraint,
    new_constraint,
    parse_constraint,
)

SHORT = {
    "latency": "latency_ps",
    "overhead": "overhead_percent",
    "energy": "energy_pj",
    "edp": "edp_js",
    "power": "power_w",
    "area": "area_mm2",
    "tcdm": "tcdm_bytes",
    "tiles": "tiles",
    "throughput": "throughput_tokens_per_s",
    "accuracy": ACCURACY,
}
"""Short name -> column of a study."""
NUMERIC = [name for name in RESULTS if name not in TEXTS]
DEFAULT_AFTER = "10y"
"""When accuracy counts where a limit does not say it."""
Direction = Literal["minimise", "maximise"]

_ACCURACY = re.compile(
    r"\s*accuracy(?:_percent)?\s*(>=|>)\s*([-+]?[0-9.]+)\s*(%|points?)\s*(?:@\s*(\S+))?\s*"
)

_BARE = re.compile(r"\s*(\w+)\s*[<>=!]+\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*")
_WITH_UNIT = ("_ps", "_pj", "_w", "_mm2", "_bytes")
"""Ends of columns whose short names say no unit."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit, as it was given and as a study compares it."""

    text: str
    constraint: Constraint | None
    """None where accuracy is limited against a digital accuracy that is not known yet."""
    after: float | None = None
    """Time after programming at which accuracy counts [s]; None for other limits."""
    points: float | None = None
    """How far accuracy may be from digital arithmetic, in points; None for other limits."""

    @property
    def of_accuracy(self) -> bool:
        """Whether it limits accuracy, which needs evidence."""
        return self.after is not None

    def as_text(self) -> str:
        """Return it as a constraint of a study, in the units of the column."""
        assert self.constraint is not None
        own = self.constraint
        return f"{own.column} {own.sign} {own.bound!r}"


def parse_limit(text: str) -> Limit:
    """Return a limit.

    Raises:
        SpecError: The text is none.
    """
    if re.match(r"\s*accuracy", text):
        return _limit_of_accuracy(text)
    try:
        if (bare := _BARE.fullmatch(text)) and SHORT.get(bare[1], "").endswith(_WITH_UNIT):
            raise ValueError(f"found {bare[2]!r} without a unit in {text!r}; a number with its "
                             "unit would do, as in 'area <= 60 mm2'")  # fmt: skip
        named = new_constraint(text, lambda name: SHORT.get(name, name))
        own = parse_constraint(named, NUMERIC)
        if own.sign not in ("<", "<=", ">", ">="):
            raise ValueError(f"found {own.sign!r} in {text!r}; <=, <, >= or > would do")
        return Limit(text, own)
    except (InputError, ValueError) as error:
        raise SpecError("--limit", "", str(error)) from None


def _limit_of_accuracy(text: str) -> Limit:
    match = _ACCURACY.fullmatch(text)
    if match is None:
        problem = f"found {text[:80]!r}; 'accuracy >= -1 point @ 10y' or 'accuracy >= 78 % @ 10y'"
        raise SpecError("--limit", "", f"{problem} would do")
    sign, number, unit, time = match.groups()
    value = decimal(number, "--limit")
    try:
        after = parse_time(time or DEFAULT_AFTER)
    except ValueError as error:
        raise SpecError("--limit", "@", str(error)) from None
    if unit == "%":
        return Limit(text, Constraint(ACCURACY, sign, value), after)
    if value > 0:
        problem = f"found {number} {unit}; 0 or below would do: points lost against digital"
        raise SpecError("--limit", "", problem)
    return Limit(text, None, after, value)


def parse_limits(texts: Iterable[str]) -> list[Limit]:
    """Return all limits.

    Raises:
        SpecError: One is none, one is given twice, or accuracy counts at two times.
    """
    limits = [parse_limit(text) for text in texts]
    times = {limit.after for limit in limits if limit.after is not None}
    if len(times) > 1:
        told = " and ".join(sorted(format_time(time) for time in times))
        raise SpecError("--limit", "", f"accuracy counts at {told}; one time would do")
    seen: set[object] = set()
    for limit in limits:
        own = limit.constraint or limit.points
        key = (own.column, own.sign) if isinstance(own, Constraint) else (ACCURACY, ">=")
        if key in seen:
            raise SpecError(
                "--limit", "", f"{limit.text!r} limits what another one limits already"
            )
        seen.add(key)
    return limits


def parse_objectives(minimise: Sequence[str], maximise: Sequence[str]) -> dict[str, Direction]:
    """Return column -> what is better, in the order in which they were given.

    Raises:
        SpecError: There is none, one is given twice or is no column.
    """
    found: dict[str, Direction] = {}
    directions: tuple[tuple[Sequence[str], Direction], ...] = (
        (minimise, "minimise"), (maximise, "maximise"),
    )  # fmt: skip
    for names, direction in directions:
        for name in names:
            column = SHORT.get(name.strip(), name.strip())
            if column not in NUMERIC:
                unknown = UnknownNameError("objective", name, [*SHORT, *NUMERIC])
                raise SpecError(f"--{direction}", "", str(unknown))
            if column in found:
                raise SpecError(f"--{direction}", "", f"{name!r} is given twice; once would do")
            found[column] = direction
    if not found:
        raise SpecError("--minimise", "", "found nothing; as in latency,energy would do")
    return found
