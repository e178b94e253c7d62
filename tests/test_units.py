"""Text with units outside, integers inside, and nothing lost on the way."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hybridsim.errors import TooLongError
from hybridsim.units import (
    BytesPerCycle,
    BytesPerSecond,
    Clock,
    Count,
    Cycles,
    Duration,
    Size,
    Spec,
    Width,
    ceil_div,
    format_bytes,
    format_ps,
    format_share,
)


class Everything(Spec):
    time: Duration = 0
    size: Size = 1
    width: Width = 8
    rate: BytesPerCycle = 1
    speed: BytesPerSecond = 10**6
    cycles: Cycles = 0
    count: Count = 1


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("time", "256 ns", 256_000),
        ("time", "0.5 us", 500_000),
        ("time", "1.25ns", 1250),
        ("size", "128 KiB", 131_072),
        ("size", "1 MB", 1_000_000),
        ("width", "32 B", 256),
        ("rate", "512 b/cycle", 64),
        ("rate", "8 B/cycle", 8),
        ("speed", "800 MiB/s", 800 * 2**20),
        ("cycles", "15 cycles", 15),
        ("cycles", "1 cycle", 1),
        ("count", 3, 3),
    ],
)
def test_a_quantity_is_read_into_base_units(field: str, text: object, value: int) -> None:
    assert getattr(Everything.model_validate({field: text}), field) == value


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("time", "256"),
        ("time", 256),
        ("time", "256 nF"),
        ("time", "-1 ns"),
        ("time", "0.0001 ns"),
        ("time", "1e3 ns"),
        ("time", "9" * 31 + " ns"),
        ("size", "0 B"),
        ("size", "128 kb"),
        ("rate", "3 b/cycle"),
        ("rate", "8 B"),
        ("speed", "800 MiB"),
        ("cycles", 15),
        ("count", "3"),
        ("count", 3.0),
        ("count", True),
        ("count", 0),
    ],
)
def test_what_is_no_quantity_of_the_field_is_refused(field: str, text: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Everything.model_validate({field: text})
    assert [found["loc"] for found in caught.value.errors()] == [(field,)]


@pytest.mark.parametrize(
    ("field", "text", "says"),
    [
        ("time", "1001 s", "at most 1000 s would do: no single step of a chip takes longer"),
        ("size", "257 GiB", ""),
        ("size", "262145 GiB", "at most 262144 GiB would do: addresses of 48 bits"),
        ("width", "65537 bit", "at most 8192 B would do"),
        ("rate", "65537 B/cycle", "at most 65536 B/cycle would do"),
        ("speed", "1 B/s", "at least 1 kB/s would do"),
        ("speed", "1000001 GB/s", "at most 1000000 GB/s would do"),
        ("cycles", f"{10**17} cycles", "at most 1000000 cycles would do"),
        ("count", 10**17, "at most 1,000,000,000 would do: products of two"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_reason(
    field: str, text: object, says: str
) -> None:
    if not says:
        Everything.model_validate({field: text})
        return
    with pytest.raises(ValidationError, match=says):
        Everything.model_validate({field: text})


@given(
    time=st.integers(0, 10**15),
    size=st.integers(1, 2**45),
    rate=st.integers(1, 2**16),
    cycles=st.integers(0, 10**6),
)
def test_what_is_written_reads_back(time: int, size: int, rate: int, cycles: int) -> None:
    text = {"time": f"{time} ps", "size": f"{size} B", "rate": f"{rate} B/cycle"}
    spec = Everything.model_validate(text | {"cycles": f"{cycles} cycles"})
    assert Everything.model_validate(spec.to_text()) == spec


def test_cycles_are_rounded_once_at_the_end() -> None:
    clock = Clock.model_validate({"frequency": "1.3 GHz"})
    assert clock.to_ps(1) == 770
    assert clock.to_ps(13) == 10_000


@given(cycles=st.integers(0, 10**9), megahertz=st.integers(1, 5000))
def test_a_clock_treats_arrays_as_numbers(cycles: int, megahertz: int) -> None:
    clock = Clock.model_validate({"frequency": f"{megahertz} MHz"})
    exact = -(-cycles * 10**12 // (megahertz * 10**6))
    assert clock.to_ps(cycles) == exact
    if exact < 2**62:
        assert clock.to_ps(np.array([cycles]))[0] == exact


def test_a_time_beyond_an_array_is_an_error_not_a_wrong_number() -> None:
    clock = Clock.model_validate({"frequency": "1 kHz"})
    with pytest.raises(TooLongError, match="longer than 106 days"):
        clock.to_ps(np.array([2**40]))


@given(a=st.integers(0, 10**12), b=st.integers(1, 10**6))
def test_division_rounds_up(a: int, b: int) -> None:
    assert (ceil_div(a, b) - 1) * b < a <= ceil_div(a, b) * b


@pytest.mark.parametrize(
    ("ps", "text"),
    [(0, "0 ps"), (999, "999 ps"), (32_768_000, "32.8 us"), (4096 * 10**9, "4.10 s")],
)
def test_times_are_shown_with_a_unit(ps: int, text: str) -> None:
    assert format_ps(ps) == text


@pytest.mark.parametrize(
    ("size", "text"), [(8, "8 B"), (131_072, "128 KiB"), (176_128, "172 KiB")]
)
def test_sizes_are_shown_with_a_unit(size: int, text: str) -> None:
    assert format_bytes(size) == text


def test_a_percent_sign_stands_apart_wherever_a_share_is_written() -> None:
    assert [format_share(0.534), format_share(0.125, 1)] == ["53 %", "12.5 %"]
    sources = [*Path("hybridsim").rglob("*.py"), *Path("docs").glob("*.py")]
    glued = {str(path): found for path in sources if (found := _glued(path.read_text("utf-8")))}
    assert glued == {}
    assert _glued('f"{share:.0%}"') == _glued('f"{share:{width}%}"') == [1]
    assert _glued('f"{share:.0%} {100 * share:.0f} %"') == [1]
    assert _glued('f"{share:.0f} %", "{:.0%}"') == []


def _glued(source: str) -> list[int]:
    """Return the lines with a format that sets a percent sign of its own."""
    if "%}" not in source:
        return []  # no need to parse it
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FormattedValue) and _ends_in_percent(node.format_spec)
    ]


def _ends_in_percent(spec: ast.expr | None) -> bool:
    """Return whether a format, as in ``{share:.0%}``, sets its own sign, without a space."""
    last = spec.values[-1] if isinstance(spec, ast.JoinedStr) else None
    return isinstance(last, ast.Constant) and str(last.value).endswith("%")
