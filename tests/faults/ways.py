"""Commands that write files, small ones, each as it is called and with what it reads."""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import yaml

WRITES = {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "os.truncate"}
"""Audit events of calls that change the disk, beside files that are opened to be written."""
STUDY = {
    "name": "faults",
    "machine": "ahwa_lora_2026",
    "network": "layer_128x128",
    "axes": {
        "tokens": {"from": 16, "to": 45, "step": 1},
        "strategy.batch": [1, 2, 4, 16],
    },
    "objectives": {"latency_ps": "minimise"},
}


@dataclass(frozen=True)
class Way:
    """A command with a folder of results: ``older`` is what lay there before, if anything."""

    name: str
    arguments: Callable[[Path, Path], list[str]]
    """(folder of what it reads, --out) -> arguments."""
    older: Callable[[Path, Path], list[str]] | None = None
    differ: frozenset[str] = field(default_factory=frozenset)
    """Files that may differ from run to run: records of what was done when."""
    goes_on: bool = False
    """Whether it keeps what was finished, and goes on from there."""


def _run(tokens: int) -> Callable[[Path, Path], list[str]]:
    def arguments(_: Path, out: Path) -> list[str]:
        # a strategy for whole networks, as pages of others try what would help: seconds each time
        given = ["run", "layer_128x128", "ahwa_lora_2026", "--tokens", str(tokens)]
        given += ["--strategy", "network"]
        return [*given, "--out", str(out), "--quiet"]

    return arguments


def _compare(tokens: int) -> Callable[[Path, Path], list[str]]:
    def arguments(_: Path, out: Path) -> list[str]:
        given = ["compare", "layer_128x128", "ahwa_lora_2026", "--tokens", str(tokens)]
        given += ["--strategies", "token_parallel,layer_serial"]
        return [*given, "--out", str(out), "--quiet"]

    return arguments


def _serve(count: int) -> Callable[[Path, Path], list[str]]:
    def arguments(_: Path, out: Path) -> list[str]:
        given = ["serve", "layer_128x128", "ahwa_lora_2026:served", "--count", str(count)]
        return [*given, "--tasks", "3", "--out", str(out), "--quiet"]

    return arguments


def _codesign(place: Path, out: Path) -> list[str]:
    return ["codesign", str(place / "codesign.yaml"), "--out", str(out), "--quiet"]


def _sweep(executor: str) -> Callable[[Path, Path], list[str]]:
    def arguments(place: Path, out: Path) -> list[str]:
        given = ["sweep", str(place / "study.yaml"), "--out", str(out)]
        return [*given, "--executor", executor, "--quiet"]

    return arguments


def _search(place: Path, out: Path) -> list[str]:
    return ["search", str(place / "study.yaml"), "--trials", "12", "--out", str(out), "--quiet"]


def _report(_: Path, out: Path) -> list[str]:
    return ["report", str(out), "--window", "0 us:1 us", "--quiet"]


def _adapt(place: Path, out: Path) -> list[str]:
    return ["adapt", str(place / "adapt.yaml"), "--out", str(out), "--quiet"]


TABLES = frozenset({"lock", "optuna.log", "SHA256SUMS", "journal.jsonl"})
TIMES = TABLES | {"training.json", "training.csv"}
"""Files of ``adapt`` that tell how long training took, too."""
WAYS = {
    way.name: way
    for way in (
        Way("run", _run(16), _run(8)),
        Way("compare", _compare(8), _compare(4)),
        Way("serve", _serve(50), _serve(20)),
        Way("codesign", _codesign),
        Way("report", _report, _run(16)),
        Way("sweep", _sweep("in-process"), differ=TABLES, goes_on=True),
        Way("sweep_processes", _sweep("processes:2"), differ=TABLES, goes_on=True),
        Way("search", _search, differ=TABLES, goes_on=True),
        Way("adapt", _adapt, differ=TIMES, goes_on=True),
    )
}
"""Name -> command. ``adapt`` needs torch."""


def prepare(place: Path, name: str) -> None:
    """Write what a command reads."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "study.yaml").write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    if name == "codesign":
        from tests.codesign.test_codesign import study_of

        study_of(place).rename(place / "codesign.yaml")
    if name == "adapt":
        from tests.training.conftest import write_model, write_study

        write_model(place / "model")
        write_study(place).rename(place / "adapt.yaml")


class Started:
    """A command in a fork of this process, which has imported all that it needs."""

    def __init__(self, arguments: Sequence[str], place: Path, before: Callable[[], None]) -> None:
        self.said = place / f"said{time.monotonic_ns()}"
        # an interrupt waits until the command itself begins
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self.pid = os.fork()
        if not self.pid:
            _become(arguments, self.said, before)
        os.setpgid(self.pid, self.pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def send(self, number: int) -> None:
        """Send it a signal; Ctrl-C reaches the processes that it started too."""
        if number == signal.SIGINT:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)

    def ended(self) -> tuple[int, str]:
        """Wait; return its exit code, negative for a signal, and what it said."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status), self.text()

    def text(self) -> str:
        """Return what it said, the file of which is gone then."""
        said = self.said.read_text(errors="replace") if self.said.exists() else ""
        self.said.unlink(missing_ok=True)
        return said


def _become(arguments: Sequence[str], said: Path, before: Callable[[], None]) -> None:
    code = 70
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sink = os.open(said, os.O_WRONLY | os.O_CREAT)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
        sys.argv = ["hybridsim", *arguments]
        from hybridsim.__main__ import main

        before()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def nothing() -> None:
    """Do nothing before a command begins."""


def heard_writes(then: Callable[[], None]) -> None:
    """Do something before each call of this process that changes the disk, from now on."""

    def heard(event: str, args: tuple[object, ...]) -> None:
        flags = args[2] if event == "open" else 0
        opened = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
        if opened or event in WRITES:
            then()

    sys.addaudithook(heard)


def at_write(number: int, then: Callable[[], None]) -> Callable[[], None]:
    """Return what makes a command do something before its n-th call that changes the disk."""

    def before() -> None:
        count = 0

        def counted() -> None:
            nonlocal count
            count += 1
            if count == number:
                then()

        heard_writes(counted)

    return before


def counting(file: Path) -> Callable[[], None]:
    """Return what makes a command write a byte into a file at each call that changes the disk."""

    def before() -> None:
        sink = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        heard_writes(lambda: os.write(sink, b"x"))

    return before


def warmed(arguments: list[str]) -> None:
    """Run a command here, so that forks find ready what it imports and makes."""
    from hybridsim.cli import app

    app(arguments, standalone_mode=False)


def preload(adapt: bool = False) -> None:
    """Import what commands use, once for all forks."""
    for name in ("codesign", "compare", "report", "run", "serve", "sweep", *["adapt"] * adapt):
        import_module(f"hybridsim.cli.{name}")
    for name in ("report.page.run_page", "sweeps.journal", "sweeps.search"):
        import_module(f"hybridsim.{name}")


def contents(out: Path) -> dict[str, bytes]:
    """Return relative name -> bytes of all files below a folder."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }
