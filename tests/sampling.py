"""Cases of one law: some of them by default, all with ``-m "slow or not slow"``."""

from collections.abc import Iterable
from typing import Any

import pytest


def every(nth: int, cases: Iterable[Any], first: int = 0) -> list[Any]:
    """Return all cases, of which every nth from the first one on runs by default.

    A tuple is the values of several arguments. Mutants meet three cases of a law, evenly taken
    (``tests/mutants``), so a third of them or less loses none that is caught.
    """
    given = [_param(case) for case in cases]
    return [
        case
        if place % nth == first
        else pytest.param(*case.values, marks=[*case.marks, pytest.mark.slow], id=case.id)
        for place, case in enumerate(given)
    ]


def _param(case: Any) -> Any:
    if hasattr(case, "marks"):
        return case
    return pytest.param(*case) if isinstance(case, tuple) else pytest.param(case)
