"""Parts from outside in a machine: what they price, what that costs, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

import hybridsim
from hybridsim.arch import Machine, load_machine, machine_with
from hybridsim.components.parts import GemmUnit, RowUnit
from hybridsim.errors import SpecError, UnsupportedError
from hybridsim.strategies import make_strategy

PARTS = '''
from hybridsim.components.parts import GemmUnit, RowUnit
from hybridsim.units import Count

class Rows(RowUnit):
    """Assumed."""
    takes = ("softmax", "relu")
    lanes: Count = 1
    answer: object = None
    def kernel_cycles(self, kernel, rows, columns):
        return rows * columns // self.lanes or 1 if self.answer is None else self.answer

class Products(GemmUnit):
    """Assumed."""
    rate: Count = 32
    answer: object = None
    macs_per_cycle = property(lambda self: self.rate)
    def product_cycles(self, m, n, k):
        return -(-m * n * k // self.rate) if self.answer is None else self.answer

class Fails(RowUnit):
    """Assumed."""
    takes = ("softmax",)
    def kernel_cycles(self, kernel, rows, columns):
        return rows // 0

class Lists(Fails):
    these: list[int] = [1]

class Nothing(RowUnit):
    def kernel_cycles(self, kernel, rows, columns):
        return 1

class Wrong(RowUnit):
    takes = ("softmax", "sorting")
    def kernel_cycles(self, kernel, rows, columns):
        return 1

class Open(GemmUnit):
    def product_cycles(self, m, n, k):
        return 1
'''
Build = Callable[[str], str]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Return the path of a machine whose cluster says so much more than the paper's."""

    def built(cluster: str) -> str:
        (tmp_path / "parts.py").write_text(PARTS, encoding="utf-8")
        path = tmp_path / "mine.yaml"
        path.write_text(f"extends: ahwa_lora_2026\ncluster: {{{cluster}}}\n", encoding="utf-8")
        return str(path)

    return built


def unit(answer: str = "null", kind: str = "Rows", field: str = "row_unit") -> str:
    return f'{field}: {{part: "parts.py:{kind}", answer: {answer}}}'


def run(
    machine: Machine, network: str = "minilm_l6", strategy: str = "serial"
) -> hybridsim.Result:
    net = hybridsim.load(network, "ahwa_lora_2026")[0]
    return hybridsim.simulate(net, machine, make_strategy(strategy), tokens=8)


def test_a_part_is_found_beside_its_machine_and_reads_back(build: Build) -> None:
    machine = load_machine(build(unit()))
    assert machine.cluster is not None
    assert isinstance(machine.cluster.row_unit, RowUnit)
    text = machine.to_text()
    assert text["cluster"]["row_unit"]["part"] == "parts.py:Rows"
    assert Machine.model_validate(text) == machine
    faster = machine_with(machine, {"cluster.row_unit.lanes": 8})
    assert faster.to_text()["cluster"]["row_unit"]["lanes"] == 8
    assert load_machine(build(unit()), {"cluster.row_unit.lanes": 8}) == faster


def test_a_machine_without_parts_says_nothing_of_them() -> None:
    assert "row_unit" not in load_machine("ahwa_lora_2026").to_text()["cluster"]


def test_a_part_of_a_difference_is_found_beside_the_file_that_names_it(build: Build) -> None:
    first = Path(build(unit()))
    second = first.parent / "below" / "second.yaml"
    second.parent.mkdir()
    second.write_text("extends: ../mine.yaml\ncluster: {row_unit: {lanes: 4}}\n")
    cluster = load_machine(str(second)).to_text()["cluster"]
    assert (cluster["row_unit"]["part"], cluster["row_unit"]["lanes"]) == ("parts.py:Rows", 4)


def test_a_unit_takes_its_kernels_and_leaves_the_others(build: Build) -> None:
    """MiniLM has softmax and GELU; the unit takes the softmax alone."""
    paper, mine = load_machine("ahwa_lora_2026"), load_machine(build(unit("7")))
    assert paper.cluster is not None
    slow, fast = (run(machine) for machine in (paper, mine))
    heads, blocks = 12, 6
    saved = paper.cluster.cores.softmax_cycles(8, 8, "fp16") - 7
    assert slow.latency_ps - fast.latency_ps == heads * blocks * paper.cluster.to_ps(saved)
    where = {op.name: op.cost_from for op in fast.ops}
    assert set(where.values()) <= {"model", "row_unit"}


def test_a_unit_takes_activations_too(build: Build) -> None:
    ops = run(load_machine(build(unit())), "mobilebert").ops
    assert {op.cost_from for op in ops if op.kind == "activation"} == {"row_unit"}
    assert {op.cost_from for op in ops if op.kind == "norm"} == {"model"}


def test_engines_agree_on_a_unit_that_multiplies(build: Build) -> None:
    machine = load_machine(build(unit(kind="Products", field="matrix_engine")))
    assert machine.cluster is not None
    assert isinstance(machine.cluster.engine, GemmUnit)
    net = hybridsim.load("layer_512x128", "ahwa_lora_2026")[0]
    both = [
        hybridsim.simulate(net, machine, tokens=24, engine=e) for e in ("reference", "compiled")
    ]
    assert both[0].latency_ps == both[1].latency_ps
    assert both[0].latency_ps < hybridsim.simulate(net, load_machine("ahwa_lora_2026")).latency_ps


def test_the_energy_of_a_unit_is_its_power_while_it_works(build: Build) -> None:
    """Beside what the cores draw less, the unit draws its power for as long as it works."""
    part = '"parts.py:Rows"'
    known = run(load_machine(build(f"row_unit: {{part: {part}, answer: 7, power: 5 mW}}")))
    hidden = run(load_machine(build(unit("7"))))
    assert known.energy is not None
    assert hidden.energy is not None
    assert known.energy.component_aj["row_unit"] == 12 * 6 * 7 * 2000 * 5000
    assert known.energy.not_counted == ()
    assert hidden.energy.not_counted == ("row_unit",)
    others = known.energy.component_aj.items() - hidden.energy.component_aj.items()
    assert dict(others).keys() == {"row_unit"}


@pytest.mark.parametrize("answer", ["0", "-3", "1.5", "seven", "true", str(2**62)])
@pytest.mark.parametrize(
    ("kind", "field", "what"),
    [("Rows", "row_unit", "softmax of "), ("Products", "matrix_engine", "a product of ")],
)
def test_a_part_that_prices_nothing_is_refused_by_its_name(
    build: Build, answer: str, kind: str, field: str, what: str
) -> None:
    answer = answer if len(answer) < 18 else "400000000000000000"
    machine = load_machine(build(unit(answer, kind, field)))
    with pytest.raises(SpecError) as caught:
        run(machine)
    assert str(caught.value).startswith(f"parts.py:{kind}: prices {what}")
    assert "cycles; a whole number from 1 to below 4611686018427 would do" in str(caught.value)


def test_the_numbers_of_a_unit_from_outside_are_not_checked(build: Build) -> None:
    machine = load_machine(build(unit(kind="Products", field="matrix_engine")))
    network = hybridsim.load("layer_128x128", "ahwa_lora_2026")[0]
    with pytest.raises(UnsupportedError, match=r"the order in which parts.py:Products sums"):
        hybridsim.simulate(network, machine, tokens=8, check_numerics=True)


def test_a_part_that_fails_is_refused_by_its_name(build: Build) -> None:
    machine = load_machine(build('row_unit: {part: "parts.py:Fails"}'))
    with pytest.raises(SpecError, match=r"parts.py:Fails: fails at softmax of .* .ZeroDivisionEr"):
        run(machine)


@pytest.mark.parametrize(
    ("cluster", "says"),
    [
        ('row_unit: {part: "parts.py:Lists"}', "has keys of no use (unhashable type: 'list')"),
        (unit(kind="Nothing"), "takes nothing; some of softmax, layer_norm"),
        (unit(kind="Wrong"), "takes softmax, sorting; some of softmax"),
        (unit(kind="Open", field="matrix_engine"), "leaves macs_per_cycle open; a part that says"),
        (unit(kind="Products"), "is no RowUnit; a class that extends it would do"),
        (unit(kind="Rose"), "has no part 'Rose' (did you mean 'Rows'?); its classes: Rows"),
        ('row_unit: {part: "no.py:Rows"}', "there is no file no.py"),
        ("row_unit: {part: nobody}", "part from outside 'nobody' is not known"),
        ("row_unit: {part: 3}", "found 3; file.py:Class or an entry point would do"),
        (
            'row_unit: {part: "parts.py:Rows", lane: 3}',
            "unknown key 'lane' (did you mean 'lanes'?",
        ),
        ('row_unit: {part: "parts.py:Rows", code: "00"}', "code: found 00, but the code of this"),
        ("matrix_engine: {array_hight: 3}", "unknown key 'array_hight' (did you mean 'array_heig"),
    ],
)
def test_a_section_that_is_no_part_is_refused_with_file_and_reason(
    build: Build, cluster: str, says: str
) -> None:
    path = build(cluster)
    with pytest.raises(SpecError) as caught:
        load_machine(path)
    assert str(caught.value).startswith(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_part_ends_a_run_with_code_2(build: Build) -> None:
    from typer.testing import CliRunner

    from hybridsim.cli import app

    done = CliRunner().invoke(
        app, ["run", "layer_512x128", build(unit("0", "Products", "matrix_engine"))]
    )
    assert done.exit_code == 2
    assert "parts.py:Products: prices a product of" in done.stderr
    assert done.stderr.count("\n") == 1
