"""Traces as they are published: small made files in each format, and what is refused."""

import gzip
import os
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hybridsim.cli.app import app
from hybridsim.errors import InputError, SpecError, UnknownNameError
from hybridsim.service import Request, Requests, fitted, read_requests
from hybridsim.service.arrivals import read_ps
from hybridsim.service.requests import LATEST_PS
from hybridsim.workload import network_from_config

MS, SECOND = 10**9, 10**12

PUBLISHED = {
    "azure": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:46.6805900,374,44\n"
        "2023-11-16 18:15:50.9951690,396,109\n"
        "2023-11-16 18:16:46,91,16\n",  # 2024 has full seconds
        [
            Request(0, "requests", 374, 44),
            Request(4_314_579 * 10**6, "requests", 396, 109),
            Request(59_319_410 * 10**6, "requests", 91, 16),
        ],
    ),
    "burstgpt": (
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n"
        "45.5,GPT-4,1087,230,1317,API log\n"
        "10454399.0,ChatGPT,300,0,300,Conversation log\n",  # the last second of 121 days
        [
            Request(5 * SECOND, "ChatGPT", 472, 18),
            Request(45_500 * MS, "GPT-4", 1087, 230),
            Request(10_454_399 * SECOND, "ChatGPT", 300, 0),
        ],
    ),
    "vidur": (
        ",arrived_at,num_prefill_tokens,num_decode_tokens\n"
        "0,0.0,374,44\n1,5.8926549999999995,91,16\n2,6e0,2,93\n",
        [
            Request(0, "requests", 374, 44),
            Request(5_892_655 * 10**6, "requests", 91, 16),
            Request(6 * SECOND, "requests", 2, 93),
        ],
    ),
    "mooncake": (
        '{"timestamp": 0, "input_length": 1100, "output_length": 52, "hash_ids": [46, 47, 48]}\n'
        '{"timestamp": 27482, "input_length": 600, "output_length": 26, "hash_ids": [46, 49]}\n',
        [Request(0, "requests", 1100, 52), Request(27_482 * MS, "requests", 600, 26)],
    ),
    "bailian": (
        '{"chat_id": 1, "parent_chat_id": -1, "timestamp": 0.5, "input_length": 20, '
        '"output_length": 3, "type": "text", "turn": 1, "hash_ids": [1, 2]}\n',
        [Request(500 * MS, "requests", 20, 3)],
    ),
}  # fmt: skip


def _write(tmp_path: Path, text: str, name: str = "trace.csv") -> Path:
    file = tmp_path / name
    file.write_text(text)
    return file


@pytest.mark.parametrize("format", PUBLISHED)
def test_a_published_layout_is_told_by_its_columns(tmp_path: Path, format: str) -> None:
    text, expected = PUBLISHED[format]
    found = read_requests(_write(tmp_path, text))
    assert list(found) == expected
    assert found.origin is not None
    assert found.origin.format == format
    first = 1 if text.startswith("{") else 2
    assert found.origin.lines.tolist() == list(range(first, first + len(expected)))
    assert read_requests(_write(tmp_path, text), format) == found


def test_blocks_of_prompts_are_read_where_they_are_told(tmp_path: Path) -> None:
    found = read_requests(_write(tmp_path, PUBLISHED["mooncake"][0]))
    assert (found.blocks, found.block) == ([*map(_array, ([46, 47, 48], [46, 49]))], 512)
    assert read_requests(_write(tmp_path, PUBLISHED["bailian"][0])).block == 16
    assert read_requests(_write(tmp_path, PUBLISHED["azure"][0])).blocks is None


def _array(numbers: list[int]) -> object:
    from array import array

    return array("q", numbers)


def test_lines_without_a_prompt_are_left_out_of_published_traces(tmp_path: Path) -> None:
    text = PUBLISHED["azure"][0] + "2023-11-16 18:16:47,0,7\n"
    found = read_requests(_write(tmp_path, text))
    assert len(found) == 3
    assert found.origin is not None
    assert found.origin.left_out == 1


@given(
    st.integers(0, LATEST_PS // SECOND),
    st.text("0123456789", max_size=60),
    st.integers(-30, 3),
)
def test_a_time_of_any_number_of_digits_is_right_to_half_a_picosecond(
    whole: int, decimals: str, exponent: int
) -> None:
    text = f"{whole}.{decimals}e{exponent}"
    found = read_ps(text)
    exact = Fraction(f"{whole}.{decimals or 0}") * Fraction(10) ** exponent * SECOND
    assert found is not None
    assert abs(found - exact) <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("text", "ps"),
    [
        ("5.8926549999999995", 5_892_655_000_000),
        ("5e-05", 50_000_000),
        ("12.5 ms", 125 * 10**8),
        (".5", SECOND // 2),
        ("1970-01-01T00:00:01Z", SECOND),
        ("1970-01-02", 86_400 * SECOND),
        ("1970-01-01 02:00:00.0000000000015+01:30", 1800 * SECOND + 2),
        ("1970-01-01 00:30", 1800 * SECOND),
    ],
)
def test_times_that_files_have(text: str, ps: int) -> None:
    assert read_ps(text) == ps


@pytest.mark.parametrize(
    "text",
    ["-1", "1 h", "", "nan", "inf", "1e", "1e999999", "1e99999999", "9" * 5000, "2023-13-01",
     "2023-11-16 25:00:00", "1969-12-31 23:59:59", "0x10", "1_000", "1:30", "५"],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    assert read_ps(text) is None


def test_times_since_1970_are_counted_from_the_first_request(tmp_path: Path) -> None:
    text = "arrival,task,prompt\n1700000000.25,a,1\n1700000001,a,1\n"
    found = read_requests(_write(tmp_path, text))
    assert [each.arrival_ps for each in found] == [0, 750 * MS]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "has a, b, the columns of no known trace; known: hybridsim (arrival"),
        ("request_id,prefill_e2e_time\n0,0.5\n", "the columns of no known trace"),
        ("TIMESTAMP,ContextTokens\n2023-11-16 18:15:46,1\n", "column GeneratedTokens is missing"),
        ("arrived_at,num_prefill_tokens,num_decode_token\n0,1,1\n", "did you mean"),
        ("arrived_at,num_prefill_tokens,num_decode_tokens\n0,1\n", "line 2: has 2 cells"),
        ("arrived_at,num_prefill_tokens,num_decode_tokens\n0,x,1\n",
         "line 2: num_prefill_tokens: found 'x'; write a whole number from 0"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1,1\n"
         "2023-11-16 18:15:45,1,1\n", "line 3: TIMESTAMP: found '2023-11-16 18:15:45'; the line"),
        ('{"timestamp": 0, "input_length": 5}\n', "column output_length is missing"),
        ('{"timestamp": 0, "input_length": 5, "output_length": 1}\n{"timestamp"\n',
         "line 2: broken JSON"),
        ('{"timestamp": 0, "input_length": 5, "output_length": 1}\n[1]\n',
         "line 2: found a list; an object would do"),
        ('{"timestamp": true, "input_length": 5, "output_length": 1}\n', "found true; write a t"),
        ('{"timestamp": 0, "input_length": 5, "output_length": 1, "hash_ids": ["a"]}\n',
         "line 1: hash_ids: found a list; write a list of at most"),
        ("arrival,task,prompt\n99999999,a,1\n", "write a time of at most 173 days"),
        ("arrival,task,prompt\n", "has no requests below arrival, task, prompt"),
        ("", "is empty"),
        ("arrival,,task,prompt\n0,,a,1\n", "line 1: column 2 has no name"),
        ("arrival,task,task,prompt\n0,a,a,1\n", "column 'task' stands there twice"),
        ('arrival,task,prompt\n0,"a,1\n', "line 2: is no CSV"),
        ("x" * 2**20, "line 1: is longer than"),
    ],
)  # fmt: skip
def test_a_trace_that_is_none_is_refused_with_its_place(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(SpecError) as refused:
        read_requests(_write(tmp_path, text))
    assert message in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / "trace.csv"))


def test_a_layout_may_be_asked_for(tmp_path: Path) -> None:
    file = _write(tmp_path, PUBLISHED["vidur"][0])
    with pytest.raises(SpecError, match=r"column TIMESTAMP, ContextTokens, .* is missing"):
        read_requests(file, "azure")
    with pytest.raises(UnknownNameError, match="--format 'azur' is not known"):
        read_requests(file, "azur")


def test_what_never_ends_or_never_begins_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (Path("/dev/zero"), pipe):
        with pytest.raises(SpecError, match="is a device or a pipe"):
            read_requests(path)
    with pytest.raises(SpecError, match="is a folder"):
        read_requests(tmp_path)
    with pytest.raises(SpecError, match="cannot be read: not a text file"):
        read_requests(_write_bytes(tmp_path, b"arrival,task,prompt\n\xff\xfe,a,1\n"))
    with pytest.raises(SpecError, match="cannot be read"):
        read_requests(Path("a" * 300))


def _write_bytes(tmp_path: Path, raw: bytes) -> Path:
    file = tmp_path / "raw.csv"
    file.write_bytes(raw)
    return file


# --- requests that are longer than the model ---------------------------------------------------

SHORT = network_from_config(
    {
        "model_type": "llama", "vocab_size": 10, "hidden_size": 8, "intermediate_size": 8,
        "num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 1024,
    },
    name="short", source="test",
)  # fmt: skip
LENGTHS = st.lists(st.tuples(st.integers(1, 2000), st.integers(0, 2000)), min_size=1, max_size=9)


def _of(lengths: list[tuple[int, int]]) -> Requests:
    return Requests.of(Request(i, "a", *both) for i, both in enumerate(lengths))


@given(LENGTHS)
def test_what_is_cut_or_skipped_fits_and_what_fits_stays(lengths: list[tuple[int, int]]) -> None:
    given_ = _of(lengths)
    fits = [sum(both) <= 1024 for both in lengths]
    cut = fitted(given_, SHORT, "cut")
    assert cut.cut == fits.count(False)
    for before, after, good in zip(given_, cut.requests, fits, strict=True):
        assert (before == after) == good
        assert after.prompt >= 1
        if not good:
            assert after.prompt + after.output == 1024
            assert after.output == min(before.output, 1023)
    if any(fits):
        kept = fitted(given_, SHORT, "skip")
        assert kept.left_out == fits.count(False)
        assert list(kept.requests) == [r for r, good in zip(given_, fits, strict=True) if good]
    else:
        with pytest.raises(InputError, match="none would be left"):
            fitted(given_, SHORT, "skip")


TOO_LONG = "arrival,task,prompt,output\n0,a,20,4\n1,a,1313,142\n2,a,20,4\n"


def test_a_request_that_is_too_long_is_refused_with_file_and_line(tmp_path: Path) -> None:
    file = _write(tmp_path, TOO_LONG)
    call = ["serve", "gpt2", "harp_2026:gpt2", "--requests", str(file)]
    run = CliRunner().invoke(app, call)
    assert run.exit_code == 2
    assert f"{file}: line 3: 1313 tokens of prompt and 142 to generate are 1455" in run.stderr
    assert "gpt2 allows 1024" in run.stderr
    assert run.stderr.count("\n") == 1
    run = CliRunner().invoke(app, [*call, "--too-long", "skip"])
    assert run.exit_code == 0, run.output
    assert "left out, too long" in run.stdout


def test_cutting_takes_blocks_that_are_not_whole_any_more(tmp_path: Path) -> None:
    file = _write(tmp_path, PUBLISHED["mooncake"][0], "trace.jsonl")
    found = fitted(read_requests(file), SHORT, "cut").requests
    assert found[0] == Request(0, "requests", 972, 52)
    assert found.blocks == [_array([46]), _array([46, 49])]


AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
BURST = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"


def test_columns_are_told_whatever_their_case(tmp_path: Path) -> None:
    for text, expected in PUBLISHED.values():
        if text.startswith("{"):
            continue
        header, _, rows = text.partition("\n")
        file = tmp_path / "trace.csv"
        for other in (header.lower(), header.upper()):
            file.write_text(f"{other}\n{rows}")
            assert [*read_requests(file)] == expected


def test_dates_with_a_zone_are_read(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(
        AZURE + "2024-05-10 00:00:00+00:00,200,30\n2024-05-10 02:00:01.5+02:00,100,5\n"
    )
    assert [request.arrival_ps for request in read_requests(file)] == [0, 1_500 * MS]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (AZURE + "2024-05-10 00:00:00+00:00,200,30\n2024-05-10 00:00:01,100,5\n",
         "line 3: TIMESTAMP: .*lines before it have a time zone, it has none"),
        (AZURE + "2024-05-10 00:00:00,200,30\n2024-05-10 00:00:01Z,100,5\n",
         "line 3: TIMESTAMP: .*lines before it have no time zone, it has one"),
        (BURST + "5,ChatGPT,472,18,490,API log\n6,ChatGPT,472,10,999,API log\n",
         "line 3: Total tokens: found '999'; Request tokens and Response tokens are 482 together"),
        ('{"timestamp": 0, "input_length": 6, "input_length": 1, "output_length": 5}\n',
         "line 1: key .*input_length.* is given twice"),
        ("timestamp,Timestamp,ContextTokens,GeneratedTokens\n1,1,1,1\n",
         "column TIMESTAMP stands there twice"),
    ],
)  # fmt: skip
def test_rows_that_contradict_themselves_are_refused_with_their_line(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "trace"
    file.write_text(text)
    with pytest.raises(SpecError, match=said):
        read_requests(file)


def test_a_compressed_trace_is_named(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv.gz"
    file.write_bytes(gzip.compress(AZURE.encode()))
    with pytest.raises(SpecError, match="is compressed by gzip; gunzip it first"):
        read_requests(file)
