"""Reading a table of HARP's results: what a row means, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from hybridsim.cli._commands import Command
from hybridsim.cli.validate import harp
from hybridsim.errors import SpecError, UnsupportedError
from hybridsim.validation.harp import (
    COLUMNS,
    Case,
    compare,
    read_case,
    simulated_ms,
    summary,
)

ROW = {
    "figure": "8",
    "model": "MobileBERT",
    "seq_len": "128",
    "config": "XB-pipe",
    "chunk": "8",
    "other_params": "digital_mJ=2.7;avg_W=0.8",
    "latency_ms": "3.861117",
}


def row(**changes: str) -> dict[str, str]:
    return ROW | changes


def table(folder: Path, *rows: dict[str, str]) -> Path:
    file = folder / "results.csv"
    lines = [",".join(COLUMNS), *(",".join(each[name] for name in COLUMNS) for each in rows)]
    file.write_text("# a comment\n" + "\n".join(lines) + "\n")
    return file


def test_a_row_is_a_run() -> None:
    sharing = (("tile.sharing", "latency"),)
    assert read_case(row()) == Case("mobilebert", "mobilebert", sharing, "xb_pipe", 8, 128)


@pytest.mark.parametrize(
    ("changes", "overrides"),
    [
        (
            {"other_params": "opt_level=area;pmca_red_used=1"},
            {"tile.sharing": "area", "cluster.count": 1},
        ),
        (
            {"other_params": "opt_level=area_latency_balance"},
            {"tile.sharing": "balance", "cluster.count": 2},
        ),
        (
            {"model": "BERT_B", "other_params": "opt_level=area;pmca_red_used=1;pmca_used=2"},
            {"tile.sharing": "area", "cluster.count": 1, "cluster.plain_count": 2},
        ),
        ({"other_params": "n_pmca=2;n_tiles=32"}, {"cluster.count": 2, "tile.count": 32}),
        ({"config": "XB-pipe mapping:area"}, {"tile.sharing": "area", "cluster.count": 1}),
        (
            {"other_params": "t_int=128 ns;dma=16"},
            {
                "tile.integration_time": "128 ns",
                "cluster.dma.bytes_per_cycle": "16 B/cycle",
            },
        ),
        (
            {"other_params": "tcdm_kib=256;ddr_bw=1600"},
            {
                "cluster.tcdm.size": "262144 B",
                "memory.dram.bandwidth": "1600 MiB/s",
            },
        ),
        ({"other_params": "chunk sweep; link sweep; avg_W=2; tops=1; area_mm2=3"}, {}),
    ],
)
def test_parameters_change_the_machine(changes: dict[str, str], overrides: dict[str, Any]) -> None:
    case = read_case(row(**changes))
    assert dict(case.overrides) == {"tile.sharing": "latency"} | overrides
    assert case.notes == ()


@pytest.mark.parametrize(
    "text",
    [
        "link_width=256b", "link_bits=256", "link=256", "link_bits_per_cycle=256",
        "bits_per_cycle=256", "link_width=32B/cycle", "link_bytes=32", "comm_bw=256 b/cycle",
        "256-bit link", "Link width: 256 bit", "noc_width=256",
    ],
)  # fmt: skip
def test_spellings_of_the_link(text: str) -> None:
    assert ("link.width", "256 b/cycle") in read_case(row(other_params=text)).overrides


@pytest.mark.parametrize(
    "text",
    [
        "sram_mib=4", "sram=4", "sram_tiles=4", "n_sram=4", "SRAM=4MB", "sram_kib=4096",
        "sram_size=4 MiB", "sram_bytes=4194304", "SRAM 4 MB", "num_srams=4",
    ],
)  # fmt: skip
def test_spellings_of_the_memory(text: str) -> None:
    found = dict(read_case(row(other_params=text)).overrides)
    assert found["memory.sram.size"] == f"{4 * 2**20} B"


@pytest.mark.parametrize(
    ("seq_len", "text"),
    [
        ("1", "prefill=128"), ("1", "prefill_len=128"), ("1", "kv_len=128"), ("1", "past: 128"),
        ("1", "context_length=128"), ("1", "kv_cache=128"), ("128", "decode;prefill=128"),
        ("128", "mode=decode;kv=128"), ("128", "prefill=128"), ("1", "prefill 128"),
        ("128", "phase=decode;prefill=128"), ("1.0", "prefill=128.0"),
        ("1", "prefill=127(+1)"), ("1", "prefill=127 (+1)"), ("1", "prefill=127+1"),
        ("127", "prefill=127(+1)"), ("1", "prefill 127(+1)"), ("127+1", ""), ("127 (+1)", ""),
    ],
)  # fmt: skip
def test_spellings_of_a_generated_token(seq_len: str, text: str) -> None:
    """Of 128 keys one is the token's own."""
    case = read_case(row(model="GPT2", seq_len=seq_len, other_params=text))
    assert (case.network, case.tokens, case.past) == ("gpt2", 1, 127)


def test_more_tokens_than_one_go_on_from_a_cache() -> None:
    case = read_case(row(model="GPT2", seq_len="16", other_params="prefill=128"))
    assert (case.tokens, case.past) == (16, 128)


def test_a_name_says_the_keys_too() -> None:
    case = read_case(row(model="GPT2", seq_len="1", config="XB-pipe (prefill=127(+1))"))
    assert (case.tokens, case.past) == (1, 127)


@pytest.mark.parametrize(
    ("model", "seq_len", "text"),
    [
        ("T5_decoder", "1", ""), ("T5_decoder", "128", ""), ("T5", "1", "decode"),
        ("GPT2", "1", "sram_tiles=8"), ("GPT2", "128", "decode"), ("GPT2", "128", "mode=decode"),
    ],
)  # fmt: skip
def test_a_token_without_its_prefill_is_refused(model: str, seq_len: str, text: str) -> None:
    """None is assumed: the row says neither what is kept nor that nothing is."""
    with pytest.raises(UnsupportedError, match=r"names no prefill.*write prefill=512\(\+1\)"):
        read_case(row(model=model, seq_len=seq_len, other_params=text))


@pytest.mark.parametrize("text", ["prefill=1", "prefill=0", "prefill=0(+1)"])
def test_a_first_token_has_no_past(text: str) -> None:
    case = read_case(row(model="T5_decoder", seq_len="1", other_params=text))
    assert (case.network, case.tokens, case.past) == ("t5_small_decoder", 1, 0)


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"other_params": "flash=1"}, {"flash": "always"}),
        ({"other_params": "FlashAttention"}, {"flash": "always"}),
        ({"other_params": "attention=flash; warp=64"}, {"flash": "always", "warp": 64}),
        ({"config": "XB-pipe + FlashAttention"}, {"flash": "always"}),
        ({"other_params": "flash_attention=no"}, {}),
        ({"config": "IL-Pipe", "chunk": "48"}, {"queries": 48}),
        ({"config": "IL-Pipe", "chunk": "auto(32)"}, {"queries": 32}),
        ({"config": "IL-Pipe", "chunk": "auto(attention)"}, {}),
        (
            {"config": "IL-Pipe", "chunk": "", "other_params": "attention_chunk=16"},
            {"queries": 16},
        ),
        ({"config": "Serial", "chunk": "128"}, {}),
        ({"config": "IL-Pipe", "chunk": "", "other_params": "attention chunk"}, {}),
    ],
)
def test_parameters_change_the_attention(changes: dict[str, str], options: dict[str, Any]) -> None:
    assert dict(read_case(row(**changes)).options) == options


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"other_params": "pingpong=1"}, "'pingpong=1' is not known, and changes nothing"),
        ({"other_params": "something else"}, "is not known"),
        ({"chunk": ""}, "the best is taken"),
        ({"config": "mapping:area"}, "XB-pipe is taken"),
        ({"model": "BERT_B", "other_params": "opt_level=area"}, "1 PMCA.MACE are taken"),
        ({"model": "GPT2", "seq_len": "256", "other_params": "kv=256"}, "one token with 256"),
        ({"model": "T5", "seq_len": "1", "other_params": "prefill=9"}, "its decoder is taken"),
    ],
)
def test_what_a_row_leaves_open_is_told(changes: dict[str, str], says: str) -> None:
    assert any(says.replace(".", "+") in note for note in read_case(row(**changes)).notes)


PLAUSIBLE = [
    ("MobileBERT", "384", "IL-Pipe", "auto(attention)", ""),
    ("BERT_L", "128", "XB-pipe", "8", ""),
    ("GPT2", "128", "IL+XL-Pipe", "16", ""),
    ("T5_decoder", "1", "Serial", "", "prefill=128(+1)"),
    ("T5_decoder", "1", "XB-pipe", "1", "prefill=512;sram_tiles=1"),
    ("GPT2", "1", "IL-Par", "", "prefill=2048;sram_mib=4"),
    ("MobileBERT", "600", "XB-pipe", "32", "link_bits=64"),
    ("BERT_B", "128", "XB-pipe", "32", "opt_level=area_latency_balance"),
]


@pytest.mark.parametrize("values", PLAUSIBLE, ids=lambda values: "-".join(values[:3]))
def test_rows_of_every_kind_run(values: tuple[str, ...]) -> None:
    names = ("model", "seq_len", "config", "chunk", "other_params")
    case = read_case(row(**dict(zip(names, values, strict=True))))
    assert 0.1 < simulated_ms(case) < 200


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("prefill", ("2", "128", "512", "1024")),
        ("sram_mib", ("16", "8", "4", "2")),
        ("link_bits", ("1024", "512", "128", "32")),
    ],
)
def test_sweeps_of_a_decoder_go_one_way(name: str, values: tuple[str, ...]) -> None:
    fixed = "" if name == "prefill" else ";prefill=512"
    found = [
        simulated_ms(
            read_case(row(model="GPT2", seq_len="1", other_params=f"{name}={value}{fixed}"))
        )
        for value in values
    ]
    assert found == sorted(found)
    assert found[-1] > found[0]


@pytest.mark.parametrize(
    ("model", "network", "variant"),
    [
        ("BERT_B", "bert_base", "bert_base"),
        ("BERT_L", "bert_large", "bert_large"),
        ("GPT-2", "gpt2", "gpt2"),
        ("T5_encoder", "t5_small_encoder", "t5"),
        ("T5 decoder", "t5_small_decoder", "t5"),
        ("BERT-large", "bert_large", "bert_large"),
        ("BERT-base", "bert_base", "bert_base"),
        ("BERT", "bert_base", "bert_base"),
        ("MobileBERT", "mobilebert", "mobilebert"),
        ("NanoGPT", "gpt2", "gpt2"),
    ],
)
def test_names_of_networks(model: str, network: str, variant: str) -> None:
    case = read_case(row(model=model, other_params="prefill=9" if "decoder" in model else ""))
    assert (case.network, case.variant) == (network, variant)


@pytest.mark.parametrize(
    ("config", "chunk", "found"),
    [
        ("Serial", "", "all"),
        ("IL-Pipe", "auto(attention)", "all"),
        ("XL-Pipe", "best", "best"),
        ("IL+XL-Pipe", "16", 16),
        ("XB-pipe", "auto(16)", 16),
    ],
)
def test_chunks(config: str, chunk: str, found: int | str) -> None:
    assert read_case(row(config=config, chunk=chunk)).batch == found


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "ALBERT_B"}, "no bundled network"),
        ({"model": "RoBERTa"}, "no bundled network"),
        ({"model": "TinyBERT"}, "no bundled network"),
        ({"seq_len": "long"}, "no number of tokens"),
        ({"seq_len": "0"}, "no number of tokens"),
        ({"chunk": "0"}, "no number of tokens"),
        ({"chunk": "-8"}, "no number of tokens"),
        ({"other_params": "sram_mib=0"}, "no number of 1 or more"),
        ({"other_params": "sram=many"}, "no size"),
        ({"other_params": "opt_level=power"}, "none of latency"),
        ({"other_params": "link_bits=100"}, "no whole number of bytes"),
        ({"other_params": "pmca_red_used=none"}, "no whole number"),
        ({"other_params": "pmca_red_used=0"}, "no number of 1 or more"),
    ],
)
def test_what_has_no_sense_is_not_guessed(changes: dict[str, str], says: str) -> None:
    with pytest.raises(UnsupportedError, match=says):
        read_case(row(**changes))


def test_a_table_of_any_rows(tmp_path: Path) -> None:
    cached = row(other_params="prefill=8;seen")
    file = table(tmp_path, row(), row(model="nothing"), row(latency_ms=""), cached)
    compared = compare(file)
    added = ["simulated_ms", "error_percent", "reason", "notes"]
    assert list(compared.columns) == [*COLUMNS, *added]
    assert abs(compared["error_percent"][0]) < 0.03
    assert compared["simulated_ms"].notna().tolist() == [True, False, False, False]
    assert "mobilebert keeps no keys and values" in compared["reason"][3]
    assert "parameter 'seen' is not known" in compared["notes"][3]
    told = summary(compared)
    assert (told["rows"], told["simulated"], told["unsupported"]) == (4, 1, 3)
    assert told["worst_row"] == "figure 8: MobileBERT XB-pipe 8"


def test_a_table_with_nothing_to_run(tmp_path: Path) -> None:
    told = summary(compare(table(tmp_path, row(model="nothing"))))
    assert told["simulated"] == 0
    assert told["worst_row"] is None


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    file.write_text("model,latency\nMobileBERT,1\n")
    with pytest.raises(SpecError, match="figure, seq_len"):
        compare(file)


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command(cls=Command)(harp)
    return app


def test_the_command_prints_rows_and_a_summary(command: typer.Typer, tmp_path: Path) -> None:
    file = table(tmp_path, row(), row(model="nothing"))
    run = CliRunner().invoke
    shown = run(command, ["--table", str(file)])
    assert shown.exit_code == 0
    assert "1 of 2 rows simulated" in shown.stdout
    document = json.loads(run(command, ["--table", str(file), "--json"]).stdout)
    assert document["summary"]["simulated"] == 1
    assert document["rows"][1]["simulated_ms"] is None
    lines = run(command, ["--table", str(file), "--csv"]).stdout.splitlines()
    assert lines[0].startswith("figure,model")
    assert len(lines) == 3


@pytest.mark.parametrize("arguments", [["--table", "no/such.csv"], ["--csv", "--json"]])
def test_the_command_refuses(command: typer.Typer, arguments: list[str]) -> None:
    done = CliRunner().invoke(command, arguments)
    assert (done.exit_code, done.stdout) == (2, "")
