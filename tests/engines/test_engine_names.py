import subprocess
import sys

import pytest

from hybridsim.engines import ENGINES, engine
from hybridsim.errors import UnknownNameError


def test_an_unknown_engine_is_refused_with_what_there_is() -> None:
    with pytest.raises(
        UnknownNameError,
        match=r"engine 'compile' .*did you mean 'compiled'.*there is: compiled, reference$",
    ):
        engine("compile")


def test_each_name_leads_to_its_own_engine() -> None:
    found = {name: engine(name) for name in ENGINES}
    assert {name: run.__module__ for name, run in found.items()} == {
        "reference": "hybridsim.engines.reference",
        "compiled": "hybridsim.engines.compiled",
    }


@pytest.mark.parametrize(("other", "name"), [("des", "reference"), ("fast", "compiled")])
def test_an_engine_answers_to_its_other_name(other: str, name: str) -> None:
    assert engine(other) is engine(name)


def test_an_engine_is_imported_when_it_is_asked_for_and_simpy_without_numba() -> None:
    # that the compiled one does without SimPy is among what a run imports: tests/start
    code = (
        "import sys, hybridsim.components.matrix_engine; from hybridsim.engines import engine; "
        "assert {'simpy', 'numba'}.isdisjoint(sys.modules); engine('reference'); "
        "assert 'simpy' in sys.modules and 'numba' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
