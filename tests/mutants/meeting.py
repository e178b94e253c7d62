"""A mutant meets tests, in a fork so that nothing it did is left."""

import gc
import inspect
import os
import resource
import signal
import sys
import tempfile
import types
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.mutants.interpreting import let_python_run
from tests.mutants.mutation import Mutant, mutated
from tests.mutants.rooms import HERE
from tests.mutants.survey import forked

TOO_LONG = "killed: too long"
SLOWER = 15
"""How many times as long tests may take where Python runs what is machine code otherwise."""
PYTEST = [
    "-q", "--tb=no", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "-p",
    "no:benchmark", "--hypothesis-profile=mutants",
]  # fmt: skip


def functions_of(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield the functions of a module and of its classes, not those within functions."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            if constant.co_flags & inspect.CO_NEWLOCALS:
                yield constant
            else:
                yield from functions_of(constant)


def changed_function(file: str, number: int) -> tuple[types.CodeType, types.CodeType] | None:
    """Return the function that a change is in, as it is and changed; None if it is in none."""
    path = str(HERE / file)
    source = Path(path).read_text(encoding="utf-8")
    whole = functions_of(compile(source, path, "exec", dont_inherit=True))
    other = functions_of(compile(mutated(source, number), path, "exec", dont_inherit=True))
    for one, two in zip(whole, other, strict=True):
        if one != two:
            return one, two
    return None


def module_of(file: str) -> str:
    """Return the name of the module that a file is."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def put_in_place(one: types.CodeType, two: types.CodeType) -> None:
    """Change every function that has a code."""
    found = [
        each
        for each in gc.get_objects()
        if isinstance(each, types.FunctionType) and each.__code__ == one
    ]
    assert found, one
    for each in found:
        each.__code__ = two


def meet_here(
    session: Any, file: str, mutant: Mutant, tests: list[str], seconds: float
) -> dict[str, Any] | None:
    """Let a function that is changed meet tests in a fork; None if the change is in none.

    Where Python runs machine code for it, a test that fails must pass so without the change.
    """
    change = changed_function(file, mutant.number)
    if change is None:
        return None
    changes = not os.environ.get("MUTANTS_CONTROL")
    while True:
        found = _met(session, file, change, changes, tests, seconds)
        by = found["by"]
        if found["outcome"] != "caught" or not found.pop("slower") or not changes:
            return found
        again = tests if by.startswith("killed") else [by]
        if _met(session, file, change, False, again, seconds)["outcome"] == "survived":
            return found
        if by == TOO_LONG:
            return found | {"outcome": "broken"}
        tests = [name for name in tests if name != by]  # it fails without the change
        if not tests:
            return found | {"outcome": "no test", "by": "", "tests": 0}


def _met(
    session: Any,
    file: str,
    change: tuple[types.CodeType, types.CodeType],
    changes: bool,
    tests: list[str],
    seconds: float,
) -> dict[str, Any]:
    """Let a function meet tests in a fork, changed or as it is."""
    items = {item.nodeid: item for item in session.items}
    reading, writing = os.pipe()

    class First:
        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed:
                os.write(writing, report.nodeid.encode())
                os._exit(1)

    def run() -> int:
        import_module(module_of(file))
        slower = let_python_run(lambda code: code in change)
        os.write(writing, b"+" if slower else b"-")
        limit(seconds * (SLOWER if slower else 1))
        if changes:
            put_in_place(*change)
        session.config.pluginmanager.register(First())
        for name in tests:
            item = items[name]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return 0

    status, took = forked(run)
    os.close(writing)
    with open(reading) as stream:
        told = stream.read()
    return outcome_of(status, told[1:], tests, took) | {"slower": told[:1] == "+"}


def limit(seconds: float) -> None:
    """Let a mutant take no more than some times of what the tests take, and some memory."""
    most = int(5 + 3 * seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))


def outcome_of(status: int, by: str, tests: list[str], took: float) -> dict[str, Any]:
    """Return what came of a mutant."""
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if ended_by in (signal.SIGXCPU, signal.SIGKILL):
        by = TOO_LONG
    elif ended_by in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT):
        by = "killed: out of bounds"  # machine code was given what nothing is wide enough for
    if status and not by:
        return {"outcome": "broken", "by": "", "tests": 0, "seconds": 0.0}
    outcome = "caught" if status else "survived"
    return {"outcome": outcome, "by": by, "tests": len(tests), "seconds": round(took, 1)}


class Found:
    """A finder that gives one module with a change in it."""

    def __init__(self, module: str, path: Path, number: int) -> None:
        self.module, self.path, self.number = module, path, number

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return how the changed module is loaded."""
        from importlib.machinery import SourceFileLoader
        from importlib.util import spec_from_file_location

        if name != self.module:
            return None
        number, file = self.number, str(self.path)

        class Loader(SourceFileLoader):
            def get_code(self, fullname: str) -> Any:
                tree = mutated(Path(file).read_text(encoding="utf-8"), number)
                return compile(tree, file, "exec", dont_inherit=True)

        package = self.path.name == "__init__.py"
        where = [str(self.path.parent)] if package else None
        loader = Loader(name, file)
        return spec_from_file_location(name, file, loader=loader, submodule_search_locations=where)


def meet(file: str, mutant: Mutant, tests: list[str], seconds: float) -> dict[str, Any]:
    """Let a mutant meet tests, and return what came of it."""
    module = module_of(file)
    file_, name = tempfile.mkstemp()
    os.close(file_)
    place = Path(name)

    class First:
        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed:
                place.write_text(report.nodeid)

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed:
                place.write_text(f"import of {report.nodeid}")

    def run() -> int:
        import pytest

        limit((seconds + 3) * SLOWER)
        sys.meta_path.insert(0, Found(module, HERE / file, mutant.number))
        let_python_run(lambda code: code.co_filename == str(HERE / file))
        return int(pytest.main([*PYTEST, "-x", *tests], plugins=[First()]))

    status, took = forked(run)
    by = place.read_text()
    place.unlink()
    return outcome_of(status, by, tests, took)
