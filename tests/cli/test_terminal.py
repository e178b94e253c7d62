"""What a terminal shows: 80 columns, no colours in pipes, silence and talk when asked for."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hybridsim.library import machine_names, network_names

STUDY = str(Path(__file__).parents[2] / "reports" / "ahwa_lora_2026_fig4")
ONE = ("layer_128x128", "ahwa_lora_2026", "--tokens", "16")
NETWORK = ("minilm_l6", "harp_2026", "--tokens", "16")
COMMANDS = [
    ("--help",),
    ("list",),
    *(("show", name) for name in (*machine_names(), *network_names())),
    *((name, "--help") for name in ("run", "compare", "explain", "cost", "sweep", "search")),
    *(("validate", name, "--help") for name in ("rtl", "paper", "harp")),
    ("run", *ONE, "--strategy", "auto"),
    ("run", "mobilebert_squad", "ahwa_lora_2026", "--tokens", "16"),
    ("run", "bert_large", "ahwa_lora_2026", "--tokens", "16", "--every-layer"),
    ("run", "t5_small_encoder", "ahwa_lora_2026", "--tokens", "16", "--strategy", "cross_layer"),
    ("run", *NETWORK, "--strategy", "xb_pipe", "--batch", "16"),
    ("compare", *ONE),
    ("compare", *NETWORK, "--strategies", "xb_pipe,serial"),
    ("explain", "--run", *ONE),
    ("cost", "ahwa_lora_2026", "matrix_engine", "gemm", "m=128", "n=512", "k=8"),
    ("cost", "ahwa_lora_2026", "cluster", "lora", "in=512", "out=128", "rank=8", "tokens=32"),
    ("cost", "ahwa_lora_2026", "tcdm", "lora", "in=512", "out=128", "rank=8", "tokens=128"),
    ("sweep", STUDY),
    ("sweep", STUDY, "--dry-run"),
]
SLOW = [("validate", "rtl"), ("validate", "paper"), ("validate", "harp")]


def check_width(cli, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = cli(*command)
    assert done.exit_code == 0, done.stderr
    assert done.stdout
    assert "\x1b" not in done.stdout
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_everything_fits_80_columns(cli, monkeypatch, command: tuple[str, ...]) -> None:
    check_width(cli, monkeypatch, command)


@pytest.mark.slow
@pytest.mark.parametrize("command", SLOW, ids=" ".join)
def test_validations_fit_80_columns(cli, monkeypatch, command: tuple[str, ...]) -> None:
    check_width(cli, monkeypatch, command)


def in_a_terminal(*arguments: str, **environment: str) -> str:
    """What a command shows in a terminal of its own."""
    master, slave = pty.openpty()
    environment = {"TERM": "xterm-256color", "COLUMNS": "80", **environment}
    base = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    with subprocess.Popen(
        [sys.executable, "-m", "hybridsim", *arguments],
        stdout=slave, stderr=slave, env=base | environment,
    ) as process:  # fmt: skip
        os.close(slave)
        shown = b""
        try:
            while part := os.read(master, 65536):
                shown += part
        except OSError:  # how a terminal says that the other side has gone
            pass
    os.close(master)
    assert process.returncode == 0
    return shown.decode()


def colors(text: str) -> list[str]:
    codes = re.findall(r"\x1b\[([\d;]*)m", text)
    return [code for code in codes if any(3 <= int(c or 0) // 10 <= 4 for c in code.split(";"))]


def test_no_color_is_respected_in_a_terminal() -> None:
    shown = in_a_terminal("list", NO_COLOR="1")
    assert "\x1b[1m" in shown  # heads stay bold
    assert colors(shown) == []


def _name(command: tuple[str, ...]) -> str:
    return command[0]


QUIET = [
    ("run", *ONE),
    ("compare", *ONE, "--strategies", "token_parallel"),
    ("explain", "--run", *ONE),
    ("sweep", STUDY),
    pytest.param(("validate", "paper"), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("command", QUIET, ids=_name)
def test_quiet_prints_nothing_that_was_not_asked_for(cli, command: tuple[str, ...]) -> None:
    done = cli(*command, "--quiet")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("command", QUIET, ids=_name)
def test_verbose_talks_beside_the_answer(cli, command: tuple[str, ...]) -> None:
    document, told = cli(*command, "--json"), cli(*command, "--json", "--verbose")
    assert told.exit_code == 0
    first, second = json.loads(document.stdout), json.loads(told.stdout)
    for changing in ("seconds",):
        assert (changing in first) == (changing in second)
        first.pop(changing, None)
        second.pop(changing, None)
    assert first == second
    assert document.stderr == ""
    assert "version   hybridsim " in told.stderr
    assert re.search(r"time      \d+\.\d{3} s  altogether", told.stderr)
    if command[0] in ("run", "explain"):
        assert "engine    compiled, " in told.stderr


@pytest.mark.parametrize("command", QUIET, ids=_name)
def test_talk_and_silence_at_once_are_refused(cli, command: tuple[str, ...]) -> None:
    assert "give one of them" in cli.refused(*command, "--quiet", "--verbose")


def test_verbose_says_what_was_resolved(cli) -> None:
    told = cli("run", *ONE, "--verbose", "--batch", "8").stderr
    assert "network   layer_128x128, 16 tokens" in told
    assert "machine   ahwa_lora_2026, 512x512 analog tiles" in told
    assert "strategy  token_parallel (batch=8, unit=matrix_engine" in told
