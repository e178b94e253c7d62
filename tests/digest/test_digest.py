"""Nothing moved: structure, durations, timelines, results, energies and tables of many cases."""

import pytest

from tests.digest import access
from tests.digest.cases import CASES, Case
from tests.digest.digest import differences, digest, golden

HINT = "python -m tests.digest.digest --show NAME prints what is hashed, here and in old code"


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=[pytest.mark.slow] if c.slow else [], id=c.name) for c in CASES],
)
def test_nothing_moved(case: Case) -> None:
    changed = differences(digest(case), golden()[case.name])
    assert not changed, "\n".join([case.name, *changed, HINT])


def test_every_case_has_golden_values_and_no_other_has() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert set(names) == set(golden())


@pytest.mark.parametrize("strategy", access.strategy_names())
def test_every_strategy_and_each_of_its_options_is_run(strategy: str) -> None:
    own = [case for case in CASES if case.strategy == strategy and case.kind == "run"]
    ran = [case for case in own if "refused" not in golden()[case.name]]
    assert ran
    given = {name for case in ran for name in case.options}
    assert set(access.option_names(strategy)) <= given
