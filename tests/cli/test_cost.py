"""``hybridsim cost``: one question, or a table of them, to one component model."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from hybridsim.cost import QUESTIONS

ARCH = "ahwa_lora_2026"
GEMM = ("cost", ARCH, "matrix_engine", "gemm")


def test_a_product_on_the_engine(cli: Any) -> None:
    found = cli.json(*GEMM, "m=128", "n=512", "k=8")
    assert found["cycles"] == sum(found["terms"].values())
    assert found["time_ps"] == 2000 * found["cycles"]
    assert "RedMulE" in found["source"]
    assert found["macs"] == 128 * 512 * 8
    assert found["hazard"] == "works"
    assert found["padded"] == {"m": 128, "n": 512, "k": 8}


def test_a_shape_that_the_engine_cannot_do_is_padded(cli: Any) -> None:
    found = cli.json(*GEMM, "m=128", "n=4", "k=128")
    assert found["hazard"].startswith("n is not larger than the height")
    assert found["padded"]["n"] == 8
    assert found["cycles"] == cli.json(*GEMM, "m=128", "n=8", "k=128")["cycles"]


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((128, 128, 8, 8), 8320),
        ((128, 128, 8, 128), 71680),
        ((512, 128, 8, 8), 20608),
        ((512, 128, 8, 128), 176128),
    ],
)
def test_published_memory_of_an_adapter(cli: Any, shape: tuple[int, ...], size: int) -> None:
    """Li et al. 2026, Fig. 4b: bytes of an adapter and its batch; 128 KiB is the limit."""
    names = ("in", "out", "rank", "tokens")
    given = [f"{name}={value}" for name, value in zip(names, shape, strict=True)]
    found = cli.json("cost", ARCH, "tcdm", "lora", *given)
    assert found["bytes"] == size
    assert found["fits"] is (size <= 131072)


def test_a_measured_row_can_stand_in_for_the_model(cli: Any) -> None:
    engine = cli.json(*GEMM, "m=96", "n=96", "k=96", "source=table")
    assert engine["cycles"] == 27741
    assert "measured row" in engine["source"]
    assert "model" in cli.json(*GEMM, "m=96", "n=96", "k=96", "source=model")["source"]
    on_cores = ("cost", ARCH, "cores", "gemm", "m=8", "n=128", "k=8", "precision=fp32")
    cores = cli.json(*on_cores, "kernel=gemm_ssr_frep", "source=table")
    assert cores["cycles"] == 804


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*GEMM, "m=97", "n=96", "k=96", "source=table"), "nearest: m=96 n=96 k=96"),
        ((*GEMM, "m=96", "n=96", "k=96", "source=guess"), "there is: model, table"),
        (
            (*GEMM, "m=8", "n=8", "k=8", "source=table", "--set",
             "cluster.matrix_engine.array_width=16"),
            "nothing measured for array_height 4, array_width 16",
        ),
        (
            ("cost", ARCH, "cores", "gemm", "m=8", "n=128", "k=8", "source=table"),
            "give kernel=",
        ),
        (
            ("cost", ARCH, "cores", "gemm", "m=8", "n=128", "k=8", "source=table",
             "kernel=gemm_ssr_frep", "--set", "cluster.cores.fp_latency=5 cycles"),
            "these differ",
        ),
        (
            ("cost", "harp_2026", "matrix_engine", "gemm", "m=8", "n=8", "k=8", "source=table"),
            "harp_2026 has no",
        ),
    ],
)  # fmt: skip
def test_a_table_never_guesses(cli: Any, arguments: tuple[str, ...], message: str) -> None:
    assert message in cli.refused(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cost", ARCH, "matrix_engin", "gemm"), "did you mean 'matrix_engine'"),
        (("cost", ARCH, "matrix_engine", "gem"), "did you mean 'gemm'"),
        (("cost", "ahwa", "matrix_engine", "gemm"), "not known"),
        ((*GEMM, "m=8", "n=8"), "k missing"),
        ((*GEMM, "m=8", "n=8", "k=8", "q=8"), "argument 'q' is not known"),
        ((*GEMM, "m=8", "n=8", "k=0"), "k: found '0'"),
        ((*GEMM, "m=8", "n=8", "k=-1"), "k: found '-1'"),
        ((*GEMM, "m=8", "n=8", "k=1.5"), "k: found '1.5'"),
        ((*GEMM, "m=8", "n=8", "k=many"), "k: found 'many'"),
        ((*GEMM, "m=8", "n=8", "k=" + "9" * 50), "k: found '999"),
        ((*GEMM, "m=8", "n=8", "k=999999999"), "65535"),
        ((*GEMM, "m=8", "m=8", "n=8", "k=8"), "given twice"),
        ((*GEMM, "128"), "write key=value"),
        (("cost", ARCH, "cores", "gemm", "m=8", "n=8", "k=8", "kernel=x"), "not known"),
        (("cost", ARCH, "cores", "gelu", "elements=8", "precision=fp8"), "precision 'fp8'"),
        (("cost", ARCH, "dma", "transfer", "bytes=8", "source=disk"), "memory, tcdm"),
        (
            ("cost", ARCH, "cluster", "lora_stream", "in=8", "out=8", "rank=8", "tokens=999999",
             "tile=1"),
            "give a larger tile",
        ),
        (
            ("cost", ARCH, "cluster", "lora_stream", "in=8", "out=8", "rank=8", "tokens=8",
             "tile=1", "unit=gpu"),
            "unit 'gpu' is not known",
        ),
    ],
)  # fmt: skip
def test_wrong_questions_are_refused(cli: Any, arguments: tuple[str, ...], message: str) -> None:
    assert message in cli.refused(*arguments)


def test_an_answer_for_people_fits_a_terminal(cli: Any) -> None:
    done = cli(*GEMM, "m=128", "n=512", "k=8")
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "cycles" in done.stdout


def test_a_streamed_adapter(cli: Any) -> None:
    shape = ("in=512", "out=128", "rank=8", "tokens=128", "tile=16")
    ways = {
        unit: cli.json("cost", ARCH, "cluster", "lora_stream", *shape, f"unit={unit}")["cycles"]
        for unit in ("cores", "matrix_engine", "both")
    }
    assert ways["both"] < min(ways["cores"], ways["matrix_engine"])


TABLES: dict[tuple[str, str], dict[str, list[int]]] = {
    ("matrix_engine", "gemm"): {"m": [128, 8, 12], "n": [512, 64, 4], "k": [8, 8, 8]},
    ("cores", "gemm"): {"m": [128, 8, 1], "n": [512, 64, 4], "k": [8, 8, 9]},
    ("cores", "vector_add"): {"elements": [1, 100, 4096]},
    ("cores", "gelu"): {"elements": [1, 100, 4096]},
    ("cores", "relu"): {"elements": [1, 100, 4096]},
    ("cores", "layernorm"): {"rows": [1, 8, 9], "features": [128, 512, 64]},
    ("cores", "rmsnorm"): {"rows": [1, 8, 9], "features": [128, 512, 64]},
    ("cores", "softmax"): {"rows": [1, 8, 9], "columns": [128, 512, 64]},
    ("dma", "transfer"): {"bytes": [1, 4096, 8192], "rows": [1, 1, 32]},
    ("tcdm", "lora"): {
        "in": [128, 512, 768], "out": [128, 128, 768], "rank": [8, 8, 16], "tokens": [8, 128, 1]
    },
    ("offload", "program_engine"): {"registers": [1, 10, 16]},
    ("tile", "mvm"): {"in": [128, 513, 768], "out": [128, 512, 3072], "tokens": [1, 2, 128]},
    ("link", "transfer"): {"bytes": [1, 64, 65]},
}  # fmt: skip


def test_every_question_about_tables_is_tried() -> None:
    asked = {(part, name) for part, questions in QUESTIONS.items() for name in questions}
    one_shape_only = {("cluster", "lora"), ("cluster", "lora_stream"), ("energy", "lora")}
    assert asked - set(TABLES) == one_shape_only


@pytest.mark.parametrize("question", sorted(TABLES))
def test_a_table_gets_the_same_answers_as_its_rows(
    cli: Any, tmp_path: Path, question: tuple[str, str]
) -> None:
    columns = TABLES[question]
    rows = list(zip(*columns.values(), strict=True))
    path = tmp_path / "shapes.csv"
    text = [",".join(["what", *columns])]
    text += [",".join(map(str, [f"row {i}", *row])) for i, row in enumerate(rows)]
    path.write_text("\n".join(text) + "\n")
    done = cli("cost", ARCH, *question, "--table", str(path))
    assert done.exit_code == 0, done.stderr
    answered = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["what"] for row in answered] == ["row 0", "row 1", "row 2"]
    for row, answer in zip(rows, answered, strict=True):
        given = [f"{name}={value}" for name, value in zip(columns, row, strict=True)]
        one = flat(cli.json("cost", ARCH, *question, *given))
        for name, value in one.items():
            column = f"answer.{name}" if name in columns else name
            text = str(value).lower() if isinstance(value, bool) else str(value)
            assert answer[column] == text


def flat(tree: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        inner = (
            flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
        )
        found |= inner
    return found


def table(folder: Path, text: str) -> str:
    path = folder / "shapes.csv"
    path.write_text(text)
    return str(path)


def test_texts_and_constants_can_be_mixed(cli: Any, tmp_path: Path) -> None:
    path = table(tmp_path, "m,n,k,source,id\n96,96,96,table,a\n96,96,96,,b\n16,16,16,table,c\n")
    rows = list(csv.DictReader(io.StringIO(cli(*GEMM, "--table", path).stdout)))
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    assert [row["cycles"] for row in rows] == ["27741", "27741", "221"]
    assert ["measured" in row["answer.source"] for row in rows] == [True, False, True]
    assert rows[0]["terms.setup"] == ""
    some = table(tmp_path, "n\n512\n64\n")
    rows = list(csv.DictReader(io.StringIO(cli(*GEMM, "m=8", "k=8", "--table", some).stdout)))
    assert int(rows[0]["cycles"]) == cli.json(*GEMM, "m=8", "k=8", "n=512")["cycles"]


def test_sizes_beyond_64_bits_stay_exact(cli: Any, tmp_path: Path) -> None:
    big = 999_999_999
    path = table(tmp_path, f"m,n,k\n8,8,8\n{big},{big},{big}\n")
    done = cli("cost", ARCH, "cores", "gemm", "--table", path)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    alone = cli.json("cost", ARCH, "cores", "gemm", f"m={big}", f"n={big}", f"k={big}")
    assert int(rows[1]["time_ps"]) == alone["time_ps"] > 2**63


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("m,n,k\n", "no rows"),
        ("m,n\n8,8\n", "column k is missing"),
        ("m,n,k\n8,8,8\n8,8,0\n", "line 3: k: found '0'"),
        ("m,n,k\n8,8,eight\n", "line 2: k: found 'eight'"),
        ("m,n,k\n8,8,\n", "line 2: k: found ''"),
        ("m,n,k\n8,8,1e3\n", "line 2: k: found '1e3'"),
        ("m,n,k\n8,8," + "9" * 30 + "\n", "line 2: k: found '999"),
        ("m,n,k\n8,8,8\n70000,8,8\n", "line 3: matrix engine: m"),
        ("m,n,k,source\n8,8,8,model\n97,96,96,table\n", "line 3: "),
        ("m,n,k,source\n8,8,8,guess\n", "line 2: gemm: source 'guess' is not known"),
        ("m,m,k\n8,8,8\n", "stands there twice"),
        ("m,n,k\n8,8\n", "line 2: has 2 cells"),
    ],
)
def test_broken_tables_are_refused(cli: Any, tmp_path: Path, text: str, message: str) -> None:
    path = table(tmp_path, text)
    refused = cli.refused(*GEMM, "--table", path)
    assert message in refused
    assert path in refused


def test_wrong_requests_with_tables_are_refused(cli: Any, tmp_path: Path) -> None:
    path = table(tmp_path, "m,n,k\n8,8,8\n")
    assert "--json" in cli.refused(*GEMM, "--table", path, "--json")
    assert "same argument" in cli.refused(*GEMM, "m=8", "--table", path)
    assert "does not exist" in cli.refused(*GEMM, "--table", path + "x")


def test_adapters_are_answered_one_by_one(cli: Any, tmp_path: Path) -> None:
    """These questions take one shape at a time; a table asks them once for every row."""
    path = table(tmp_path, "in,out,rank,tokens,tile\n128,128,8,8,8\n512,128,8,128,16\n")
    for question in ("lora", "lora_stream"):
        done = cli("cost", ARCH, "cluster", question, "--table", path)
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        shape = ["in=512", "out=128", "rank=8", "tokens=128"]
        shape += ["tile=16"] * (question == "lora_stream")
        one = cli.json("cost", ARCH, "cluster", question, *shape)
        assert int(rows[1]["cycles"]) == one["cycles"] > int(rows[0]["cycles"])
