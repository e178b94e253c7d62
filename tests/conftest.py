import os
from collections.abc import Iterator
from functools import wraps
from typing import Any

import pytest
from hypothesis import settings

from hybridsim import outside
from hybridsim.certainty import intervals
from hybridsim.engines import ENGINES, Engine
from hybridsim.engines import engine as engine_by_name
from hybridsim.explanation import Explanation, explain
from hybridsim.measure.result import Result
from hybridsim.report.page import run_page
from tests.random_inputs import Run, times

# The first call of a compiled function takes seconds, so a single example has no deadline. A check
# of a change says the same each time it runs; every run by hand tries other examples. Where a law
# does not say how many, it meets as many as mutants do (tests/mutants), and those of Hypothesis
# itself with --hypothesis-profile=thorough.
for _name, _examples in (("hybridsim", 40), ("thorough", 100)):
    settings.register_profile(
        _name, deadline=None, derandomize=bool(os.environ.get("CI")), max_examples=_examples
    )
settings.load_profile("hybridsim")


@pytest.fixture(scope="session", autouse=True)
def nothing_else_is_installed() -> Iterator[None]:
    """Whatever offers parts and strategies in this environment, no test's answer names it."""

    @wraps(outside._entry_points.__wrapped__)
    def none(_: str) -> dict[str, object]:
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outside, "_entry_points", none)
        yield


@pytest.fixture(params=sorted(ENGINES), scope="session")
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn: a test that uses it never names one."""
    return engine_by_name(request.param)


@pytest.fixture(scope="session")
def run(engine: Engine) -> Run:
    """Each engine in turn, for plans of delays."""
    return lambda plan: engine(plan, times(plan))


@pytest.fixture
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals are of few samples: for tests of other things, most of whose time they take."""
    monkeypatch.setattr(intervals, "MOST_SAMPLES", intervals.LEAST_SAMPLES)


_EXPLAINED: dict[str, Explanation] = {}


@pytest.fixture
def explained_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would help a run, which its page says, is found out once for runs that are equal.

    For tests of other things: it takes most of the time of ``hybridsim run --out``.
    """

    def known(result: Result) -> Explanation:
        key = result.to_json()
        if key not in _EXPLAINED:
            _EXPLAINED[key] = explain(result)
        return _EXPLAINED[key]

    monkeypatch.setattr(run_page, "explain", known)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give a file's tests to one process, so that what they share is made once."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log)
