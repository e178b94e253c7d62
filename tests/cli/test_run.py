"""``hybridsim run``: what it prints, what it writes, what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from hybridsim import Result
from hybridsim.library import MACHINES, network_names

pytestmark = pytest.mark.usefixtures("explained_once")


def test_the_main_job_ends_in_a_table_and_the_overhead(cli) -> None:
    done = cli("run", "mobilebert", "ahwa_lora_2026")
    assert done.exit_code == 0
    assert done.stderr == ""
    assert "512x128" in done.stdout
    assert "overhead" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_network_without_adapters_is_told_how_to_have_some(cli, tmp_path) -> None:
    config = {
        "model_type": "bert", "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 128, "hidden_act": "gelu", "vocab_size": 100, "type_vocab_size": 2,
        "max_position_embeddings": 32,
    }  # fmt: skip
    own = tmp_path / "mine" / "config.json"
    own.parent.mkdir()
    own.write_text(json.dumps(config))
    ask = ("run", str(own), "ahwa_lora_2026", "--tokens", "4", "--layers-only")
    done = cli(*ask)
    assert "mine has no adapters; --set adapters.rank=8 would" in done.stderr
    told = cli(*ask, "--set", "adapters.rank=8")
    assert told.stderr == ""
    assert "adapters of rank 8" in told.stdout
    assert cli(*ask, "--no-adapters").stderr == ""  # it was meant


def test_every_layer_can_have_its_row(cli) -> None:
    done = cli("run", "mobilebert", "ahwa_lora_2026", "--every-layer")
    assert sum("128x512" in line for line in done.stdout.splitlines()) == 120


def test_json_is_one_document_and_reads_back_as_a_result(cli) -> None:
    document = cli.json("run", "minilm_l6", "ahwa_lora_2026", "--tokens", "64", "--batch", "8")
    result = Result.model_validate(document)
    assert result.tokens == 64
    assert len(result.layers) == 36
    assert {layer.batch for layer in result.layers} == {8}
    assert result.latency_ps == sum(layer.latency_ps for layer in result.layers)
    assert document["inputs"]["machine"]["tile"]["integration_time"] == "256 ns"


def test_a_setting_reaches_machine_adapters_and_scheduler(cli) -> None:
    document = cli.json(
        "run", "layer_512x128", "ahwa_lora_2026",
        "--set", "tile.integration_time=512 ns",
        "--set", "adapters.rank=16",
        "--set", "strategy.unit=cores",
    )  # fmt: skip
    layer = document["layers"][0]
    assert layer["yardstick_ps"] == document["tokens"] * 512_000
    assert layer["rank"] == 16
    assert layer["unit"] == "cores"


def test_both_engines_say_the_same(cli) -> None:
    documents = [
        cli.json("run", "layer_512x128", "ahwa_lora_2026", "--engine", engine)
        for engine in ("reference", "compiled")
    ]
    for document in documents:
        del document["engine"]
    assert documents[0] == documents[1]


def test_without_adapters_nothing_is_added(cli) -> None:
    document = cli.json("run", "mobilebert", "ahwa_lora_2026", "--no-adapters")
    assert document["overhead_percent"] == 0
    assert document["latency_ps"] == document["yardstick_ps"]


def test_a_folder_holds_the_whole_answer(cli, tmp_path: Path) -> None:
    out = str(tmp_path / "new" / "run")
    done = cli("run", "minilm_l6", "ahwa_lora_2026", "--tokens", "8", "--out", out)
    assert done.exit_code == 0
    folder = tmp_path / "new" / "run"
    names = [
        "SHA256SUMS",
        "layers.csv",
        "page.html",
        "resources.csv",
        "result.json",
        "timeline.npz",
    ]
    assert sorted(os.listdir(folder)) == names
    result = Result.from_json((folder / "result.json").read_text())
    layers = pd.read_csv(folder / "layers.csv")
    assert layers["latency_ps"].sum() == result.latency_ps


def test_quiet_prints_nothing_but_the_answer_asked_for(cli, tmp_path: Path) -> None:
    done = cli("run", "layer_128x128", "ahwa_lora_2026", "--quiet", "--out", str(tmp_path))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")


def test_the_kernels_can_be_checked_on_the_way(cli) -> None:
    document = cli.json("run", "minilm_l6", "ahwa_lora_2026", "--check-numerics")
    assert document["numerics"]["within_bound"] is True
    assert 0 < document["numerics"]["worst_relative_error"] < 0.05


RUN = ("run", "mobilebert", "ahwa_lora_2026")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "mobilbert", "ahwa_lora_2026"), "did you mean 'mobilebert'"),
        (("run", "mobilebert", "ahwa"), "machine 'ahwa' is not known"),
        (("run", "no/such/net.yaml", "ahwa_lora_2026"), "no such file"),
        ((*RUN, "--strategy", "token_paralel"), "did you mean 'token_parallel'"),
        ((*RUN, "--engine", "slow"), "there is: compiled, reference"),
        ((*RUN, "--tokens", "0"), "tokens: found 0"),
        ((*RUN, "--tokens", "-5"), "tokens: found -5"),
        ((*RUN, "--batch", "0"), "batch: found 0"),
        ((*RUN, "--set", "adapters.rank=0"), "rank"),
        ((*RUN, "--set", "adapters.rnk=4"), "did you mean 'rank'"),
        ((*RUN, "--set", "tile.integration_time=128"), "tile.integration_time: found 128"),
        ((*RUN, "--set", "tile.integration_time=128 nF"), "ns"),
        ((*RUN, "--set", "tile.colums=128"), "did you mean 'columns'"),
        ((*RUN, "--set", "cluster.tcdm.size=-1 KiB"), "cluster.tcdm.size"),
        ((*RUN, "--set", "cluster=null"), "has no cluster"),
        ((*RUN, "--set", "cluster.tcdm.size=4 KiB"), "not even one token fits"),
        ((*RUN, "--set", "cluster.matrix_engine=null"), "no matrix engine"),
        (
            (*RUN, "--set", "tile.count=100", "--set", "mapping.overflow=refuse"),
            "261 are missing",
        ),
        ((*RUN, "--batch", "128"), "a batch of 64 fits"),
        ((*RUN, "--set", "nonsense"), "path=value"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_sentence(
    cli, arguments: tuple[str, ...], says: str
) -> None:
    assert says in cli.refused(*arguments)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("just words", "a mapping"),
        ("- a\n- list\n", "a mapping"),
        ("name: [", "broken YAML"),
        ("name: x\nname: y\n", "given twice"),
    ],
)
@pytest.mark.parametrize("kind", ["network", "machine"])
def test_a_broken_file_is_refused(cli, tmp_path: Path, text: str, says: str, kind: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    what = (str(path), "ahwa_lora_2026") if kind == "network" else ("mobilebert", str(path))
    message = cli.refused("run", *what)
    assert says in message
    assert str(path) in message


@pytest.mark.parametrize("kind", ["network", "machine"])
def test_a_huge_file_is_refused_before_it_is_read(cli, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "huge.yaml"
    path.write_text("# padding\n" * 1_000_000)
    what = (str(path), "ahwa_lora_2026") if kind == "network" else ("mobilebert", str(path))
    assert "larger than 1 MiB" in cli.refused("run", *what)


def test_a_refused_run_leaves_nothing_behind(cli, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    cli.refused(*RUN, "--tokens", "0", "--out", str(folder))
    assert not folder.exists()


def test_an_output_place_that_is_a_file_is_refused_before_any_work(cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert "is a file" in cli.refused(*RUN, "--out", str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


def test_an_error_in_another_shell_has_exit_code_2_and_an_empty_stdout() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hybridsim", "run", "mobilebert", "nothing", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hybridsim: machine 'nothing' is not known")


def test_every_bundled_network_is_listed(cli) -> None:
    document = cli.json("list")
    assert document["networks"] == network_names()
    assert set(document["machines"]) == {path.name for path in MACHINES.iterdir()}
    assert {"layer_serial", "token_parallel", "all_analog"} <= set(document["strategies"])


def test_show_counts_a_network(cli) -> None:
    """Published counts: 361 static linear layers, 20,250,624 weights without the head."""
    document = cli.json("show", "mobilebert")
    assert document["static_linear_layers"] == 361
    assert document["weights"] == 20_250_624
    assert cli.json("show", "mobilebert_squad")["adapter_parameters"] == 1_633_296


def test_show_counts_a_config_with_adapters_and_a_head(cli, tmp_path: Path) -> None:
    """Mixtral-8x7B in 2 blocks: what PEFT makes of attention, routers and experts at rank 8."""
    config = {
        "model_type": "mixtral", "vocab_size": 32000, "hidden_size": 4096,
        "intermediate_size": 14336, "num_hidden_layers": 2, "num_attention_heads": 32,
        "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2,
        "max_position_embeddings": 4096,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    document = cli.json("show", str(tmp_path / "config.json"), "--set", "adapters.rank=8")
    keys = ("static_linear_layers", "weights", "adapter_parameters", "expert_weights")
    assert [document[key] for key in keys] == [
        8, 1_342_177_280 // 16, 179_832_832 // 16, 45_097_156_608 // 16,
    ]  # fmt: skip
    headed = cli.json("show", str(tmp_path), "--head", "lm_head")
    assert headed["weights"] - document["weights"] == 4096 * 32000
    assert "expert weights" in cli("show", str(tmp_path)).stdout


def test_check_wants_a_config_without_a_head(cli) -> None:
    assert "--check: give a config.json, and no --head" in cli.refused("show", "gpt2", "--check")


def test_show_gives_the_source_of_a_number(cli) -> None:
    document = cli.json("show", "ahwa_lora_2026")
    assert "512x512" in document["sources"]["tile.rows"]
    assert json.dumps(document["machine"])
    assert "512x512" in cli("show", "ahwa_lora_2026").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--tokens", "010"), "--tokens: found '010'; a whole number would do"),
        (("--tokens", "9" * 5000), "--tokens: found '9999"),
        (("--tokens", "\u0663"), "--tokens: found"),
        (("--past", "1e3"), "--past: found '1e3'; a whole number would do"),
        (("--out", ""), "--out: found nothing; a path would do"),
        (("--out", "x" * 300), "--out: found a name of 300 bytes; at most 255 would do"),
        (("--out", "\x1b[31m"), "--out: found a control character in '\\x1b[31m'"),
        (("--set", "tile.rows=010"), "--set: tile.rows: '010' is not read as a value"),
        (("--set", "tile.rows=1:30"), "--set: tile.rows: '1:30' is not read as a value"),
        (("--set", "tile.rows=2024-13-45"), "found '2024-13-45'; a whole number would do"),
        (("--strategy", "x" * 5000), "--strategy: found 5,000 characters; at most 4,096 would do"),
    ],
)
def test_values_are_read_strictly(cli, arguments: tuple[str, ...], says: str) -> None:
    assert says in cli.refused("run", "layer_128x128", "ahwa_lora_2026", *arguments)
