"""Files are read within a budget, and never taken for what was written if a bit has changed."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybridsim.boundary.reading import (
    SUMS,
    json_of,
    read_bytes,
    read_json,
    read_own,
    read_own_json,
    read_sums,
    read_text,
)
from hybridsim.boundary.writing import write_all
from hybridsim.errors import SpecError


def refusal(path: Path, **more: object) -> str:
    with pytest.raises(SpecError) as caught:
        read_bytes(path, **more)  # type: ignore[arg-type]
    return str(caught.value)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe blocks whoever opens it, and some devices have no end."""
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/full")):
        assert refusal(place) == f"{place}: is not a file but a pipe or a device"
    assert refusal(tmp_path) == f"{tmp_path}: is a folder, not a file"
    assert refusal(tmp_path / "gone", would_do="x would do").endswith("does not exist; x would do")
    assert "File name too long" in refusal(tmp_path / ("x" * 300))
    assert "not a path" in refusal(Path("a\0b"))


def test_a_file_has_a_budget(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1025)
    assert refusal(tmp_path / "file", most=1024).endswith(
        "is larger than 1 KiB; at most 1 KiB would do"
    )
    assert len(read_bytes(tmp_path / "file", 1025)) == 1025


def test_line_ends_and_byte_order_marks_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(tmp_path / "file") == "a\nb\nc\n"
    (tmp_path / "file").write_bytes(b"a\xff")
    with pytest.raises(SpecError, match="byte 1 is not UTF-8 text"):
        read_text(tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "nested more than 32 deep"),
        ('{"a": 1, "a": 2}', "key 'a' is given twice"),
        ('{"NaN": "NaN 1e999",\n\n"b": [1, NaN]}', "line 3: found the number NaN"),
        ('{"a": "\\"1e999",\n"b": 1e999}', "line 2: found the number 1e999"),
        ("[\n" + "9" * 31 + "]", "line 2: found a number of 31 characters"),
        ("[NaN]", "found the number NaN"),
        ("[-Infinity]", "found the number -Infinity"),
        ("[1e999]", "found the number 1e999"),
        ("[" + "9" * 5000 + "]", "found a number of 5000 characters"),
        ('["\\u001b[31m"]', "found a control character in '\\x1b[31m'"),
        ('["\\ud800"]', "found a control character in '\\ud800'"),
        ('{"\\u0000": 1}', "found a control character"),
        ("[1,", "line 1, column 4: broken JSON"),
        ("", "line 1, column 1: broken JSON"),
    ],
    ids=lambda text: text[:20],
)
def test_json_is_read_strictly(text: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        json_of(text, "file.json")
    assert str(caught.value).startswith("file.json: ")
    assert says in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_json_or_one_sentence(text: str) -> None:
    try:
        json_of(text, "file")
    except SpecError as error:
        found = str(error)
        assert found.startswith("file: ")


FILES = {"result.json": '{"latency_ps": 10634000}', "timeline.npz": b"\x00\x01\x02" * 9}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "out"
    write_all(folder, FILES)
    return folder


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(FILES)), at=st.integers(0, 10**4), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_with_the_name_of_the_file(
    written: Path, name: str, at: int, bit: int
) -> None:
    path = written / name
    raw = path.read_bytes()
    changed = bytearray(raw)
    changed[at % len(raw)] ^= 1 << bit
    try:
        path.write_bytes(changed)
        with pytest.raises(SpecError, match=rf"{name}: has changed since it was written"):
            read_own(path)
    finally:
        path.write_bytes(raw)
    assert read_own(path) == raw


@given(at=st.integers(0, 10**4), bit=st.integers(0, 7))
def test_a_flipped_bit_in_the_list_never_hides_another(written: Path, at: int, bit: int) -> None:
    """The list is refused, or no longer names a file, or names another sum: never a wrong one."""
    path = written / SUMS
    raw = path.read_bytes()
    changed = bytearray(raw)
    changed[at % len(raw)] ^= 1 << bit
    held = {}
    try:
        path.write_bytes(changed)
        for name in FILES:
            try:
                held[name] = read_own(written / name)
            except SpecError as error:
                assert SUMS in str(error)  # noqa: PT017
    finally:
        path.write_bytes(raw)
    for name, found in held.items():
        assert found == (written / name).read_bytes()


def test_files_without_a_sum_are_those_of_earlier_releases(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{}")
    assert read_own_json(tmp_path / "result.json") == read_json(tmp_path / "result.json") == {}
    assert read_sums(tmp_path) == {}


def test_an_energy_of_more_than_64_bits_is_read_back(tmp_path: Path) -> None:
    write_all(tmp_path, {"a.json": f"[{10**30}]"})
    assert read_own_json(tmp_path / "a.json") == [10**30]
    with pytest.raises(SpecError, match="found a number of 31 characters"):
        read_json(tmp_path / "a.json")
