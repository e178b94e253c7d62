"""A few of the faults on purpose; ``python -m tests.faults`` does hundreds to every command."""

import signal
from pathlib import Path

import pytest

from tests.faults.corrupt import corrupted
from tests.faults.disk import refused_by_the_disk
from tests.faults.kill import Bench, kill
from tests.faults.ways import WAYS
from tests.sampling import every


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A comparison over an older one: files of several kinds, and no folder that goes on."""
    return Bench(WAYS["compare"], tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("number", every(2, [signal.SIGKILL, signal.SIGINT]))
def test_whatever_stops_a_command_its_files_are_old_or_new(bench: Bench, number: int) -> None:
    found = [*kill(bench, 4, 0, number)]
    assert [fault for fault in found if fault.wrong] == []
    assert any(fault.ended != "ended before" for fault in found)


def test_what_the_disk_refuses_is_said_and_changes_nothing(bench: Bench) -> None:
    found = [*refused_by_the_disk(bench, 0, limits=3)]
    assert [fault for fault in found if fault.wrong] == []
    assert any(fault.ended == "exit code 2" for fault in found)


def test_no_flipped_bit_and_no_torn_file_becomes_a_page(bench: Bench) -> None:
    found = [fault for _, fault in corrupted(bench, 0, times=1)]
    assert [fault for fault in found if fault.wrong] == []
    assert any(fault.ended == "exit code 2" for fault in found)


def test_a_fault_is_seen(bench: Bench, tmp_path: Path) -> None:
    """A command whose file is cut behind its back is told to be wrong."""
    from tests.faults.kill import wrong_with

    out = bench.fresh(tmp_path / "out", old=True)
    assert [*wrong_with(bench, out, signal.SIGKILL, -9, "")] == []
    (out / "comparison.csv").write_bytes(b"strategy,")
    wrong = [*wrong_with(bench, out, signal.SIGKILL, -9, "Traceback")]
    assert "comparison.csv is neither old nor new" in wrong
    assert len(wrong) == 3
