"""A folder keeps to one kind of answer, whatever kind comes second."""

from itertools import permutations
from pathlib import Path

import pytest

from hybridsim.boundary.kinds import KINDS, check_folder
from hybridsim.errors import SpecError
from tests.boundary.test_writing import held


@pytest.mark.parametrize(("there", "new"), [*permutations(KINDS, 2)])
def test_no_kind_goes_beside_another(tmp_path: Path, there: str, new: str) -> None:
    for number, pattern in enumerate(KINDS[there]):
        folder = tmp_path / str(number)
        file = folder / pattern.replace("*", "000000")
        file.parent.mkdir(parents=True)
        file.write_text("an answer")
        before = held(folder)
        check_folder(folder, there)  # the same kind again is replaced
        with pytest.raises(SpecError, match=f"holds a {there}, .* another folder would do"):
            check_folder(folder, new)
        assert held(folder) == before


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_ones_own_are_in_nobodys_way(tmp_path: Path, kind: str) -> None:
    (tmp_path / "points").mkdir()
    (tmp_path / "study.yaml").write_text("name: mine")
    (tmp_path / "page.html").write_text("mine")
    check_folder(tmp_path, kind)
    check_folder(tmp_path / "new", kind)
