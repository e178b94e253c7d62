"""Texts, numbers and paths from outside: read as they are written, or refused in one sentence."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.arch import load_machine, parse_override
from hybridsim.boundary.values import (
    MOST_DIGITS,
    decimal,
    is_printable,
    path_of,
    printable,
    text_of,
    whole,
)
from hybridsim.errors import InputError, SpecError

DOUBTFUL = (
    "010", "1:30", "0x10", "0b1", "0b_", "0o7", "1e3", "1_0", "\u0663", "--1", "+", "", " ", "nan",
    ".inf", "9" * 5000, "[" * 5000, "2024-13-45", "\ud800", "1\n2",
)  # fmt: skip
"""Texts that some reader of numbers takes for a number, or fails at."""


@given(st.integers(-(10 ** (MOST_DIGITS - 1)) + 1, 10**MOST_DIGITS - 1))
def test_a_whole_number_is_what_it_says(number: int) -> None:
    assert whole(str(number), "--x") == whole(f" {number} ", "--x") == number


@pytest.mark.parametrize("text", DOUBTFUL, ids=lambda text: ascii(text[:12]))
def test_what_is_no_plain_whole_number_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"--x: found .* a whole number of 1 or more would do"):
        whole(text, "--x", 1)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_decimal_number_is_what_it_says(number: float) -> None:
    assert decimal(repr(number), "--x") == number


@pytest.mark.parametrize(
    "text", ["nan", "inf", "-inf", "1e999", "0x1p3", "1_0", "\u0663", "1" * 61]
)
def test_what_is_no_finite_decimal_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="a number would do"):
        decimal(text, "--x")


@given(st.text())
def test_printable_text_stays_and_all_becomes_printable(text: str) -> None:
    assert is_printable(printable(text))
    printable(text).encode()
    if is_printable(text):
        assert printable(text) == text


@given(st.text(max_size=5000) | st.just("x" * 5000))
def test_a_path_is_given_back_or_refused(text: str) -> None:
    said = ""
    try:
        assert path_of(text, "--out") == Path(text)
    except SpecError as error:
        said = str(error)
    assert said.startswith("--out: found ") or not said
    if not said:
        assert text.strip()
        assert not any(len(part.encode()) > 255 for part in text.split("/"))


def test_a_text_has_a_budget() -> None:
    with pytest.raises(SpecError, match="--x: found 5,000 characters; at most 4,096 would do"):
        text_of("x" * 5000, "--x")


@pytest.mark.parametrize(
    "text",
    ["010", "1:30", "0x10", "0b1", "0b_", "9" * 5000, "[" * 5000, "{" * 5000, "\ud800", "\x1b[31m",
     ".inf", ".nan", "1.5e+400", '"\\x1b[31m"', "&a 1", "*a", "!!python/none 1", "1: 2: 3"],
    ids=lambda text: ascii(text[:12]),
)  # fmt: skip
def test_a_setting_is_read_as_strictly_as_a_file(text: str) -> None:
    with pytest.raises(SpecError, match=r"--set: tile\.rows: "):
        parse_override(f"tile.rows={text}")


@given(st.text(alphabet=st.characters(), max_size=40))
def test_any_setting_is_a_value_or_one_sentence(text: str) -> None:
    with contextlib.suppress(InputError):
        parse_override(f"tile.rows={text}")


@pytest.mark.parametrize("path", ["tiles.\udcf7o", "tile.rows\x1b[2J", "x" * 5000])
def test_a_path_of_a_value_is_plain_text(path: str) -> None:
    """From Python, too, and from an input that a fuzzer found."""
    with pytest.raises(SpecError, match=r"--set: found .* would do"):
        load_machine("ahwa_lora_2026", {path: 3})
