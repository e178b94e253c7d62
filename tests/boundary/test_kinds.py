"""A folder keeps to one kind of answer, whatever kind comes second."""

from itertools import permutations
from pathlib import Path

import pytest

from hybridsim.boundary.kinds import Kind, check_folder
from hybridsim.cli._folders import every_kind
from hybridsim.errors import SpecError
from tests.boundary.test_writing import held

KINDS = tuple(every_kind())
PAIRS = [*permutations(KINDS, 2)]


def test_each_kind_has_a_name_and_files_of_its_own() -> None:
    assert len(KINDS) >= 9
    for names in ([kind.name for kind in KINDS], [file for kind in KINDS for file in kind.files]):
        assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(("there", "new"), PAIRS, ids=lambda kind: kind.name)
def test_no_kind_goes_beside_another(tmp_path: Path, there: Kind, new: Kind) -> None:
    for number, pattern in enumerate(there.files):
        folder = tmp_path / str(number)
        file = folder / pattern.replace("*", "000000")
        file.parent.mkdir(parents=True)
        file.write_text("an answer")
        before = held(folder)
        check_folder(folder, there, every_kind)  # the same kind again is replaced
        with pytest.raises(SpecError, match=f"holds a {there.name}, .* another folder would do"):
            check_folder(folder, new, every_kind)
        assert held(folder) == before


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_files_of_ones_own_are_in_nobodys_way(tmp_path: Path, kind: Kind) -> None:
    (tmp_path / "points").mkdir()
    (tmp_path / "study.yaml").write_text("name: mine")
    (tmp_path / "page.html").write_text("mine")
    check_folder(tmp_path, kind, every_kind)
    check_folder(tmp_path / "new", kind, every_kind)
