"""Nothing moved: structure, durations, timelines, results, energies and tables of many cases."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.digest import access
from tests.digest.case import Case
from tests.digest.cases import CASES
from tests.digest.digest import differences, digest, golden
from tests.sampling import every

HINT = "python -m tests.digest.digest --show NAME prints what is hashed, here and in old code"


@pytest.mark.parametrize(
    "case",
    every(
        9,
        [pytest.param(c, marks=[pytest.mark.slow] if c.slow else [], id=c.name) for c in CASES],
    ),
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


def _dropped(given: access.Needs) -> access.Needs:
    return access.Needs(*(column[1:] for column in given))


def _longer(given: access.Ints) -> access.Ints:
    return given + (np.arange(len(given)) == len(given) // 2)


def _dearer(given: dict[str, access.Ints]) -> dict[str, access.Ints]:
    return given | {"tile": _longer(given["tile"])}


def _renamed(given: access.Named) -> access.Named:
    return access.Named(("nothing", *given.names[1:]), given.codes)


@pytest.mark.parametrize(
    ("function", "change", "part"),
    [
        ("durations", _longer, "durations"),
        ("items", _longer, "items"),
        ("needs", _dropped, "needs"),
        ("ops", _renamed, "ops"),
        ("labels", _renamed, "labels"),
        ("energy_of_tasks", _dearer, "energy_of_tasks"),
    ],
)
def test_a_change_is_found_where_it_is(
    monkeypatch: pytest.MonkeyPatch, function: str, change: Callable[[Any], Any], part: str
) -> None:
    case = Case("small_bert", tokens=9)
    before, real = digest(case), getattr(access, function)
    monkeypatch.setattr(access, function, lambda run: change(real(run)))
    changed = differences(digest(case), before)
    assert [line.partition(":")[0] for line in changed] == [part]


def test_the_order_of_names_and_needs_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("small_bert", tokens=9)
    before, labels, needs = digest(case), access.labels, access.needs

    def other_labels(run: Any) -> access.Named:
        names, codes = labels(run)
        return access.Named(names[::-1], len(names) - 1 - codes)

    def other_needs(run: Any) -> access.Needs:
        return access.Needs(*(column[::-1] for column in needs(run)))

    monkeypatch.setattr(access, "labels", other_labels)
    monkeypatch.setattr(access, "needs", other_needs)
    assert digest(case) == before
