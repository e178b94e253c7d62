"""What comes along and what is read: measured data is as it was, and no file becomes code."""

import ast
import hashlib
import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SUMS = Path(__file__).parent / "bundled.sha256"
"""Checksums of what was measured or published: ``sha256sum -c tests/bundled.sha256`` reads it."""
DATA = ("arch_configs/*/cycles/*", "arch_configs/*/results/*", "workloads/**/*")
IN_MEMORY = {"hybridsim/sweeps/evaluate.py", "hybridsim/testing.py"}
"""Files that unpickle what they, or the process that started theirs, pickled."""
UNPICKLING = {"load", "Unpickler", "read_pickle"}
MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "joblib",
    "torch",
    "pd",
}


def test_measured_and_published_data_is_as_it_was() -> None:
    """Changed on purpose: ``sha256sum FILE``, its line here, and why in CHANGELOG.md."""
    said = dict(line.split("  ")[::-1] for line in SUMS.read_text().splitlines())
    found = {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in DATA
        for path in ROOT.glob(pattern)
        if path.is_file()
    }
    assert found == said


def unpickled(source: str, in_memory: bool = False) -> list[int]:
    """Return the lines that read what may be a pickle from a file."""
    lines: list[int] = []
    if not any(f".{name}" in source for name in UNPICKLING):
        return lines  # most sources, and it takes long to parse them
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        module, name = ast.unparse(node.func.value), node.func.attr
        wanted = UNPICKLING if in_memory else UNPICKLING | {"loads"}
        given = {option.arg: ast.unparse(option.value) for option in node.keywords}
        numpy = module in ("np", "numpy") and name == "load"
        if numpy and given.get("allow_pickle") != "False":
            lines.append(node.lineno)
        if module in MODULES and name in wanted and given.get("weights_only") != "True":
            lines.append(node.lineno)
    return lines


def test_no_pickle_is_read_from_disk() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): lines
        for path in sorted((ROOT / "hybridsim").rglob("*.py"))
        if (lines := unpickled(path.read_text(), str(path.relative_to(ROOT)) in IN_MEMORY))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    ["pickle.load(file)", "np.load(file)", "torch.load(path)", "pd.read_pickle(path)"],
)
def test_what_reads_a_pickle_is_seen(line: str) -> None:
    assert unpickled(line) == [1]


def test_workflows_are_read_by_yaml_and_run_no_action_that_may_change() -> None:
    """An action is named by its commit; the tests are the second command of README."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/checks.yml").read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    used = [step["uses"] for step in steps if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", name) for name in used)
    runs = [step["run"] for step in jobs["tests"]["steps"] if "run" in step]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command, in_readme in zip(
        runs, ("pip install --quiet --editable", "pytest -n auto"), strict=False
    ):
        assert in_readme in command
        assert in_readme in readme
    assert [step["run"] for step in jobs["all"]["steps"] if "run" in step] == [".ci/run"]


def test_what_is_run_elsewhere_asks_for_what_there_is() -> None:
    """Workflows and images run where no test sees them: extras, Pythons and files they name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    workflow = (ROOT / ".github/workflows/checks.yml").read_text("utf-8")
    container = (ROOT / ".devcontainer/devcontainer.json").read_text("utf-8")
    texts = [workflow, container] + [
        (ROOT / name).read_text("utf-8") for name in ("Dockerfile", ".ci/run", "README.md")
    ]
    extras = {
        name
        for text in texts
        for group in re.findall(r"(?:/src|[\"'.])\[([a-z,]+)\]", text)
        for name in group.split(",")
    }
    assert {"dev", "sweep", "adapt", "docs"} <= extras <= {*project["optional-dependencies"]}

    steps = yaml.safe_load(workflow)["jobs"]
    pythons = [
        tuple(map(int, v.split("."))) for v in steps["tests"]["strategy"]["matrix"]["python"]
    ]
    least = tuple(map(int, project["requires-python"].removeprefix(">=").split(".")))
    images = re.findall(r"python:(\d+\.\d+)", (ROOT / "Dockerfile").read_text("utf-8") + container)
    assert pythons[0] == least
    assert {tuple(map(int, version.split("."))) for version in images} <= {*pythons}
    runs = [step["run"] for job in steps.values() for step in job["steps"] if "run" in step]
    assert ".ci/run" in runs
    assert os.access(ROOT / ".ci/run", os.X_OK)
