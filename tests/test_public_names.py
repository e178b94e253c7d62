"""The face of the package: its table of contents, its verbs, and the names of earlier releases."""

import re
import sys
import warnings
from importlib import import_module
from types import ModuleType

import pytest

import hybridsim
from hybridsim import strategies
from hybridsim._old_names import MOVED, new_name

VERBS = ("ask", "compare", "explain", "generate", "load", "place", "simulate", "sweep")


def old_module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a module by an old name as if for the first time."""
    for known in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
        monkeypatch.delitem(sys.modules, known)
    return import_module(name)


def test_public_names_are_complete_and_sorted() -> None:
    assert hybridsim.__all__ == sorted(hybridsim.__all__)
    for name in hybridsim.__all__:
        assert getattr(hybridsim, name) is not None
    public = {name for name in vars(hybridsim) if not name.startswith("_")}
    rooms = {name for name in public if isinstance(getattr(hybridsim, name), ModuleType)}
    assert public - rooms == set(hybridsim.__all__) - {"__version__"}


def test_the_table_of_contents_names_each_public_name_once() -> None:
    contents = re.findall(r"``(\w+)``", hybridsim.__doc__ or "")
    assert sorted(contents) == sorted(set(hybridsim.__all__) - {"__version__"})


def test_every_strategy_is_there() -> None:
    classes = {kind.__name__ for kind in strategies.STRATEGIES.values()}
    assert classes <= set(hybridsim.__all__)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_no_module(verb: str) -> None:
    found = getattr(hybridsim, verb)
    assert callable(found)
    assert not isinstance(found, ModuleType)


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_an_old_name_is_the_module_of_today_and_says_so_once(
    old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.warns(FutureWarning, match=f"^{re.escape(old)} is now {re.escape(new)}$") as said:
        found = old_module(old, monkeypatch)
    assert found is import_module(new)
    assert len(said) == 1
    # its own name is not taken from it
    assert found.__spec__ is not None
    assert (found.__name__, found.__spec__.name) == (new, new)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        import_module(old)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if f"hybridsim.{verb}" in MOVED])
def test_a_module_of_the_same_name_does_not_hide_a_verb(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = getattr(hybridsim, verb)
    with pytest.warns(FutureWarning):
        old_module(f"hybridsim.{verb}", monkeypatch)
    assert callable(before)
    assert getattr(hybridsim, verb) is before


def test_what_lies_below_an_old_name_is_found_and_is_no_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.warns(FutureWarning, match="hybridsim.sweep is now hybridsim.sweeps"):
        old_module("hybridsim.sweep", monkeypatch)
    assert import_module("hybridsim.sweep.axes") is import_module("hybridsim.sweeps.axes")
    assert hybridsim.sweep.axes is import_module("hybridsim.sweeps.axes")  # type: ignore[attr-defined]
    assert new_name("hybridsim.metrics.power") == "hybridsim.measure.energy"
    assert new_name("hybridsim.measure.stalls") is None
    assert new_name("hybridsim.sweeper") is None


def test_what_is_gone_tells_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(FutureWarning):
        old_module("hybridsim.schedulers", monkeypatch)
    with pytest.raises(ModuleNotFoundError, match=r"is gone; .* is in hybridsim\.strategies"):
        import_module("hybridsim.schedulers.nothing")
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'hybridsim\.nothing'"):
        import_module("hybridsim.nothing")
