"""Records: what ``dataclass`` makes of the same class, but for refusing."""

import pickle
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hybridsim.records import record


def made_by(decorator: Any) -> type[Any]:
    @decorator(frozen=True, slots=True)
    class Pair:
        left: int
        right: tuple[int, ...] = ()
        aside: object = field(default=None, compare=False)
        hidden: int = field(default=0, repr=False)

    return Pair


@record(frozen=True, eq=False)
class Told:
    """One by itself, that says by itself how it is shown."""

    value: int

    def __repr__(self) -> str:
        return f"told {self.value}"


@record(frozen=True, slots=True)
class Kept:
    """One that a file may hold."""

    value: int


VALUES: list[tuple[Any, ...]] = [
    (1,),
    (1, (2,)),
    (2, (2,)),
    (1, (), "a"),
    (1, (), None, 3),
    (1, (), []),
]


@pytest.mark.parametrize("values", VALUES)
def test_a_record_is_shown_hashed_and_equal_as_a_frozen_dataclass(values: tuple[Any, ...]) -> None:
    of_record, of_dataclass = made_by(record), made_by(dataclass)
    one, other = of_record(*values), of_dataclass(*values)
    assert repr(one) == repr(other)
    assert hash(one) == hash(other)
    assert one != other  # another class
    for more in VALUES:
        assert (one == of_record(*more)) is (other == of_dataclass(*more))
    assert replace(one, left=7) == of_record(7, *values[1:])


def test_a_record_without_equality_is_itself_alone() -> None:
    one = Told(1)
    assert one != Told(1)
    assert {one, Told(1)} > {one}
    assert repr(one) == "told 1"


def test_a_record_is_kept_and_read_back() -> None:
    assert pickle.loads(pickle.dumps(Kept(3))) == Kept(3)


def test_only_what_is_set_once_is_a_record() -> None:
    with pytest.raises(AssertionError):
        made_by(lambda **given: record(**given | {"frozen": False}))
