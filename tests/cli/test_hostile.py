"""What a terminal, a disk or a folder may do to a command: one sentence, and nothing lost."""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

import pytest

from hybridsim.cli import main

pytestmark = pytest.mark.usefixtures("explained_once")

ONE = ("layer_128x128", "ahwa_lora_2026", "--tokens", "8")
DEEP = "[" * 100_000
COMMANDS = (
    ("run", *ONE, "--layers-only"),
    ("compare", *ONE, "--strategies", "layer_serial"),
    ("serve", ONE[0], "ahwa_lora_2026:served", "--tokens", "8", "--count", "2", "--tasks", "1"),
)


class Terminal:
    """Runs the program as the script does, with an encoding and a standard output of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    def __call__(
        self, *arguments: str, encoding: str = "utf-8", out: str = ""
    ) -> tuple[int, str, str]:
        raw = open(out, "wb") if out else io.BytesIO()  # noqa: SIM115
        stdout = io.TextIOWrapper(raw, encoding=encoding, write_through=not out)
        stderr = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
        self._patch.setattr(sys, "stdout", stdout)
        self._patch.setattr(sys, "stderr", stderr)
        self._patch.setattr(sys, "argv", ["hybridsim", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        if out:
            with contextlib.suppress(OSError):
                stdout.close()
        shown = raw.getvalue().decode(encoding) if isinstance(raw, io.BytesIO) else ""
        said = stderr.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
        code = ended.value.code
        return (code if isinstance(code, int) else 0 if code is None else 1), shown, said


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(monkeypatch)


def test_a_full_disk_behind_standard_output_is_one_sentence(terminal: Terminal) -> None:
    code, _, said = terminal("list", "--json", out="/dev/full")
    assert (code, said) == (
        2, "hybridsim: standard output: cannot be written: No space left on device\n",
    )  # fmt: skip


def test_a_closed_standard_output_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["hybridsim", "list"])
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, said.getvalue()) == (
        2, "hybridsim: standard output: cannot be written: it is closed\n",
    )  # fmt: skip


def test_a_closed_standard_error_leaves_its_place_to_no_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "argv", ["hybridsim", "no_such_command"])
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert sys.stderr.name == os.devnull
    sys.stderr.close()


def test_what_an_ascii_terminal_lacks_is_written_out(terminal: Terminal, tmp_path: Path) -> None:
    network = tmp_path / "net.yaml"
    network.write_text(
        "name: net\nsource: größe\nsequence_length: 4\nops:\n"
        "  - {kind: linear, name: a, inputs: [], in_features: 8, out_features: 8}\n"
    )
    code, shown, said = terminal("show", str(network), encoding="ascii")
    assert (code, said) == (0, "")
    assert r"gr\xf6\xdfe" in shown
    code, shown, _ = terminal("show", str(network), "--json", encoding="ascii")
    assert code == 0
    assert json.loads(shown)["source"] == "größe"


@pytest.mark.parametrize("words", [("show", "\x1b[31mred"), ("\x1b[31m",), ("run", "--\x1b[31m")])
def test_a_terminal_is_given_no_control_characters(
    terminal: Terminal, words: tuple[str, ...]
) -> None:
    code, shown, said = terminal(*words)
    assert (code, shown) == (2, "")
    assert said.startswith("hybridsim: found a control character in ")
    assert "\x1b" not in said


@pytest.mark.parametrize("name", ['"\\x1b[31mred"', '"a\\0b"', '"\\u009b31m"'])
def test_names_in_files_have_no_control_characters(cli, tmp_path: Path, name: str) -> None:
    machine = tmp_path / "machine.yaml"
    machine.write_text(f"name: {name}\ndescription: x\n")
    said = cli.refused("show", f"{tmp_path}/machine.yaml")
    assert "found a control character" in said or "broken YAML" in said
    assert "\x1b" not in said


# --- folders of results ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a run and of a comparison, without their checksums."""
    from typer.testing import CliRunner

    from hybridsim.cli import app

    root = tmp_path_factory.mktemp("made")
    for words in (
        ("run", *ONE, "--layers-only"),
        ("compare", *ONE, "--strategies", "layer_serial"),
    ):
        done = CliRunner().invoke(app, [*words, "--out", str(root / words[0]), "--quiet"])
        assert done.exit_code == 0, done.output
        (root / words[0] / "SHA256SUMS").rename(root / f"{words[0]}.sums")
    return root


def copied(made: Path, tmp_path: Path, what: str) -> Path:
    folder = tmp_path / what
    folder.mkdir()
    for path in (made / what).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize(
    ("what", "name"), [("run", "result.json"), ("compare", "comparison.json")]
)
def test_deep_documents_are_refused(cli, made: Path, tmp_path: Path, what: str, name: str) -> None:
    folder = copied(made, tmp_path, what)
    (folder / name).write_text(DEEP)
    assert f"{name}: line 1: lists or mappings are nested" in cli.refused("report", str(folder))


@pytest.mark.parametrize("key", ["scheduler", "strategy", "machine", "network"])
def test_inputs_of_a_result_that_are_none_are_named(
    cli, made: Path, tmp_path: Path, key: str
) -> None:
    folder = copied(made, tmp_path, "run")
    document = json.loads((folder / "result.json").read_text())
    if key == "scheduler":
        document["inputs"].pop("strategy")
    document["inputs"][key] = -1
    (folder / "result.json").write_text(json.dumps(document))
    name = "strategy" if key == "scheduler" else key
    for command in ("report", "explain"):
        said = cli.refused(command, str(folder))
        assert f"result.json: inputs.{name}: found -1; a mapping (key: value) would do" in said


@pytest.mark.parametrize(
    "name", ["result.json", "timeline.npz", "comparison.json", "activity.csv"]
)
def test_a_flipped_bit_becomes_no_page(cli, made: Path, tmp_path: Path, name: str) -> None:
    what = "run" if name in ("result.json", "timeline.npz") else "compare"
    folder = copied(made, tmp_path, what)
    (folder / "SHA256SUMS").write_bytes((made / f"{what}.sums").read_bytes())
    assert cli("report", str(folder)).exit_code == 0
    raw = bytearray((folder / name).read_bytes())
    page = (folder / "page.html").read_bytes()
    for at in range(0, len(raw), max(1, len(raw) // 5)):
        raw[at] ^= 1
        (folder / name).write_bytes(raw)
        assert f"{name}: has changed since it was written" in cli.refused("report", str(folder))
        raw[at] ^= 1
    assert (folder / "page.html").read_bytes() == page


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_nothing_is_lost_where_a_folder_lies_in_the_way(
    cli, tmp_path: Path, words: tuple[str, ...]
) -> None:
    folder = tmp_path / "out"
    assert cli(*words, "--out", str(folder), "--quiet").exit_code == 0
    last = sorted(path.name for path in folder.iterdir() if path.suffix)[-1]
    (folder / last).unlink()
    (folder / last).mkdir()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    said = cli.refused(*words, "--out", str(folder))
    assert f"{last} is a folder there; give another folder" in said
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize("out", ["", "x" * 300, "file/below"])
def test_places_that_take_no_results_are_refused(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], out: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    assert "--out: " in cli.refused(*words, "--out", out)
    assert os.listdir(tmp_path) == ["file"]
