"""The test kit finds what breaks its laws, and the strategies of the house keep them."""

import itertools
from typing import Literal

import pytest

from hybridsim.components.parts import GemmUnit, RowUnit
from hybridsim.errors import SpecError
from hybridsim.strategies import (
    STRATEGIES,
    Job,
    LayerDecisions,
    LayerStrategy,
    PipelinedStrategy,
    Schedule,
    make_strategy,
)
from hybridsim.testing import check_part, check_strategy
from hybridsim.units import Spec, ceil_div

COUNTER = itertools.count(1)


class Good(GemmUnit):
    """32 MACs per cycle, assumed."""

    @property
    def macs_per_cycle(self) -> int:
        return 32

    def product_cycles(self, m: int, n: int, k: int) -> int:
        return 10 + ceil_div(m * n * k, 32)


class TooFast(Good):
    """Assumed."""

    def product_cycles(self, m: int, n: int, k: int) -> int:
        return ceil_div(m * n * k, 33)


class Moody(Good):
    """Assumed."""

    def product_cycles(self, m: int, n: int, k: int) -> int:
        return m * n * k + next(COUNTER)


class Silent(Good):
    """Says nothing of where its numbers are from."""


class Short(Good):
    """Assumed."""

    def buffer_rows(self, m: int) -> int:
        return m - 1


class Free(RowUnit):
    """Assumed."""

    takes = ("softmax",)

    def kernel_cycles(self, kernel: str, rows: int, columns: int) -> int:
        return 0 if columns == 500 else 1


def test_a_good_part_keeps_the_laws() -> None:
    check_part(Good())


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (TooFast(), "beyond its peak of 32 MACs"),
        (Moody(), "Moody answers the same question in two ways"),
        (Silent(), "says no source of its numbers"),
        (Short(), "1 rows do not fit their buffer"),
    ],
)
def test_a_part_that_breaks_a_law_is_found(part: GemmUnit, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_part(part)


def test_a_part_that_prices_nothing_is_found() -> None:
    with pytest.raises(SpecError, match=r"Free: prices softmax of \(1, 500\) at 0 cycles"):
        check_part(Free())


# --- strategies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "auto"])
def test_every_strategy_of_the_house_keeps_the_laws(name: str) -> None:
    check_strategy(make_strategy(name))


class Fickle(PipelinedStrategy):
    """Another batch every time."""

    kind: Literal["fickle"] = "fickle"

    def decide(self, job: Job) -> LayerDecisions:
        return PipelinedStrategy(batch=1 + next(COUNTER) % 5).decide(job)


class Forgets(LayerStrategy):
    """Leaves out the last half of the tokens."""

    kind: Literal["forgets"] = "forgets"

    def decide(self, job: Job) -> LayerDecisions:
        return LayerDecisions()

    def schedule(self, job: Job) -> Schedule:
        half = Job(job.mapping, max(1, job.tokens // 2), job.engine)
        return self.decide(half).lay_out(half)


class Unsaid(PipelinedStrategy):
    """Has an option that is lost on the way to text."""

    kind: Literal["unsaid"] = "unsaid"
    hidden: int = 3

    def to_text(self) -> dict[str, object]:
        return {}


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        (Fickle(), "fickle: decides otherwise when it is asked again"),
        (Forgets(), "forgets: "),
        (Unsaid(hidden=4), "Unsaid does not read back"),
    ],
)
def test_a_strategy_that_breaks_a_law_is_found(strategy: Spec, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_strategy(strategy)  # type: ignore[arg-type]
