"""Every key of files and results is described, and the pages and schemas say what readers read."""

import copy
import importlib.util
import json
import re
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.version import Version

import hybridsim
from hybridsim.arch import load_machine
from hybridsim.arch.files import leaves
from hybridsim.errors import SpecError
from hybridsim.library import MACHINES, NETWORKS, machine_names
from hybridsim.measure.result import Result, read_result
from hybridsim.reference import SCHEMAS, keys_of, schema_of
from hybridsim.reference.keys import NO_DEFAULT
from tests.schemas import broken

DOCS = Path(__file__).parents[2] / "docs"
REPORTS = DOCS.parent / "reports"


def generator() -> ModuleType:
    """Return the program that writes the pages."""
    spec = importlib.util.spec_from_file_location("reference", DOCS / "generate_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_what_the_models_say() -> None:
    """Run ``python docs/generate_reference.py`` where they are not."""
    pages = generator().pages()
    if Version(version("typer")) < Version("0.29"):
        del pages["commands"]  # an older one lays help out in another way
    for what, text in pages.items():
        assert (DOCS / "reference" / f"{what}.md").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("what", SCHEMAS)
def test_every_key_has_a_meaning_and_a_range(what: str) -> None:
    keys = keys_of(schema_of(what))
    assert [key.path for key in keys if not key.meaning or not key.range] == []
    assert len({key.path for key in keys}) == len(keys)


@pytest.mark.parametrize("name", machine_names())
def test_every_key_of_a_bundled_machine_is_in_the_reference(name: str) -> None:
    keys = keys_of(schema_of("machine"))
    known = {re.sub(r" \([^)]*\)", "", key.path).partition("[")[0] for key in keys}
    paths = [path for path, _ in leaves(load_machine(name).to_text())]
    assert [path for path in paths if path not in known] == []


def test_what_files_write_with_a_unit_has_units() -> None:
    """Every quantity of a bundled machine is text; the key of each says its units."""
    keys = {re.sub(r" \([^)]*\)", "", k.path): k for k in keys_of(schema_of("machine"))}
    for path, value in leaves(load_machine("ahwa_lora_2026").to_text()):
        if path != "description" and isinstance(value, str) and value[:1].isdigit():
            assert value.split()[1] in keys[path].unit.split(", "), path


def test_keys_that_may_be_left_out_say_what_is_taken() -> None:
    keys = {key.path: key for key in keys_of(schema_of("machine"))}
    assert keys["tile.rows"].default == NO_DEFAULT
    assert keys["cluster.plain_count"].default == "0"
    assert keys["memory"].default == "null"


# --- schemas ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", machine_names())
def test_the_schema_takes_every_bundled_machine(name: str) -> None:
    data = yaml.safe_load((MACHINES / name / "arch.yaml").read_text(encoding="utf-8"))
    assert broken("machine", data) == []


def test_the_schema_of_machines_refuses_what_the_reader_refuses() -> None:
    data = yaml.safe_load((MACHINES / "ahwa_lora_2026" / "arch.yaml").read_text(encoding="utf-8"))
    for path, value in (("rowz", 1), ("rows", "512"), ("integration_time", "256"), ("rows", 0)):
        wrong = copy.deepcopy(data)
        wrong["tile"][path] = value
        assert broken("machine", wrong) != []
    del data["tile"]["rows"]
    assert broken("machine", data) != []


def test_the_schema_of_a_difference_asks_for_nothing_but_knows_all_keys() -> None:
    mine = {"extends": "ahwa_lora_2026", "tile": {"rows": 256}, "cluster": {"count": 4}}
    assert broken("machine", mine) == []
    assert broken("machine", mine | {"tile": {"rowz": 256}}) != []


def test_the_schema_takes_every_bundled_network_and_study() -> None:
    for path in NETWORKS.glob("*.yaml"):
        assert broken("network", yaml.safe_load(path.read_text(encoding="utf-8"))) == []
    studies = list(REPORTS.glob("*/study.yaml"))
    kinds = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in studies]
    of_sweeps = [study for study in kinds if "axes" in study and "objectives" in study]
    assert of_sweeps
    for study in of_sweeps:
        assert broken("study", study) == []


@pytest.fixture(scope="module")
def result() -> Result:
    """A small result."""
    return hybridsim.simulate(*hybridsim.load("layer_128x128", "ahwa_lora_2026"), tokens=16)


def test_the_schema_takes_a_result(result: Result) -> None:
    assert broken("result", json.loads(result.to_json())) == []


# --- versions -----------------------------------------------------------------------------------


def test_a_result_says_its_format_and_reads_back(result: Result, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(result.to_json(), encoding="utf-8")
    assert json.loads(result.to_json())["format_version"] == 2
    assert read_result(tmp_path) == result


def test_a_result_of_before_there_were_versions_is_read(result: Result) -> None:
    document = json.loads(result.to_json())
    del document["format_version"]
    assert Result.from_json(json.dumps(document)) == result


@pytest.mark.parametrize("version", [3, 0, "2", True, None])
def test_a_result_from_the_future_is_refused(
    result: Result, version: object, tmp_path: Path
) -> None:
    document = json.loads(result.to_json()) | {"format_version": version}
    path = tmp_path / "result.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        read_result(path)
    assert str(caught.value).startswith(f"{path}: format_version: found ")
    assert "this release reads versions 1 to 2" in str(caught.value)
