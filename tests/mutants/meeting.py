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
from pathlib import Path
from typing import Any

from tests.mutants.mutation import Mutant, mutated
from tests.mutants.rooms import HERE
from tests.mutants.survey import forked

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
    """Let a function that is changed meet tests in a fork; None if the change is in none."""
    change = changed_function(file, mutant.number)
    if change is None:
        return None
    items = {item.nodeid: item for item in session.items}
    reading, writing = os.pipe()

    class First:
        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed:
                os.write(writing, report.nodeid.encode())
                os._exit(1)

    def run() -> int:
        limit(seconds)
        if not os.environ.get("MUTANTS_CONTROL"):
            put_in_place(*change)
        session.config.pluginmanager.register(First())
        for name in tests:
            item = items[name]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return 0

    status, took = forked(run)
    os.close(writing)
    with open(reading) as stream:
        return outcome_of(status, stream.read(), tests, took)


def limit(seconds: float) -> None:
    """Let a mutant take no more than some times of what the tests take, and some memory."""
    most = int(5 + 3 * seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))


def outcome_of(status: int, by: str, tests: list[str], took: float) -> dict[str, Any]:
    """Return what came of a mutant."""
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
    if status and not by and not killed:
        return {"outcome": "broken", "by": "", "tests": 0, "seconds": 0.0}
    outcome = "caught" if status else "survived"
    by = "killed: too long" if killed else by
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
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
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

        limit(seconds + 3)
        sys.meta_path.insert(0, Found(module, HERE / file, mutant.number))
        return int(pytest.main([*PYTEST, "-x", *tests], plugins=[First()]))

    status, took = forked(run)
    by = place.read_text()
    place.unlink()
    return outcome_of(status, by, tests, took)
