from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine

pytestmark = pytest.mark.usefixtures("explained_once")


def test_run_writes_a_page_and_report_writes_it_again(cli: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = cli("run", "layer_128x128", "ahwa_lora_2026", "--out", str(folder), "--quiet")
    assert done.exit_code == 0, done.stderr
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "layer_128x128 on ahwa_lora_2026" in page
    assert "[paper]" in page  # sources of the machine's numbers
    (folder / "page.html").unlink()
    done = cli("report", str(folder))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip().replace("\n", "") == str(folder / "page.html")
    assert (folder / "page.html").read_text(encoding="utf-8") == page


def test_report_refuses_what_it_cannot_show(cli: CommandLine, tmp_path: Path) -> None:
    assert "result.json" in cli.refused("report", str(tmp_path))
    folder = str(tmp_path / "run")
    cli("run", "layer_128x128", "ahwa_lora_2026", "--out", folder, "--quiet")
    page = (tmp_path / "run" / "page.html").read_bytes()
    (tmp_path / "run" / "page.html").unlink()
    assert cli("report", f"{folder}/result.json", "--quiet").exit_code == 0
    assert (tmp_path / "run" / "page.html").read_bytes() == page
    said = cli.refused("report", f"{folder}/page.html")
    assert "page.html: is no folder of results; what hybridsim run --out wrote would do" in said
    assert "--out: " not in said
    assert "no such folder" in cli.refused("report", f"{folder}/nowhere")
    assert "write two times" in cli.refused("report", folder, "--window", "1ms")
    assert "an end after its begin" in cli.refused("report", folder, "--window", "1us:0us")
    assert "within 0 to" in cli.refused("report", folder, "--window", "5 ms:6 ms")
    assert cli("report", folder, "--window", "1us:2us", "--quiet").exit_code == 0


def test_a_comparison_has_no_window(cli: CommandLine, tmp_path: Path) -> None:
    folder = str(tmp_path)
    arguments = ("layer_128x128", "ahwa_lora_2026", "--strategies", "layer_serial")
    cli("compare", *arguments, "--out", folder, "--quiet")
    assert "comparison" in cli.refused("report", folder, "--window", "1us:2us")
    (tmp_path / "activity.csv").write_text("nothing")
    assert "activity.csv: has changed since it was written" in cli.refused("report", folder)
    (tmp_path / "SHA256SUMS").unlink()
    assert "compare again" in cli.refused("report", folder)
