"""Each way in, given hostile files and values: an answer, or one sentence; nothing else.

In the suite a few examples per way; ``HYBRIDSIM_FUZZ=2000 pytest tests/boundary/test_fuzz.py``
tries that many. What was found is an example here or a test of its own.
"""

import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hybridsim.arch import load_machine, parse_override
from hybridsim.cli import app
from hybridsim.csv_files import read_table
from hybridsim.errors import InputError
from hybridsim.explanation import explain
from hybridsim.library import MACHINES, network_path
from hybridsim.measure.result import read_result
from hybridsim.report.page.recording import read_recording
from hybridsim.report.page.run_page import page_of_folder
from hybridsim.service import read_peft, read_requests
from hybridsim.simulation import simulate
from hybridsim.strategies import make_strategy
from hybridsim.sweeps.inputs import read_inputs
from hybridsim.sweeps.study import read_study
from hybridsim.workload import load_network
from tests.boundary.hostile import WORST, changed, json_files, scratched, yaml_files

EXAMPLES = int(os.environ.get("HYBRIDSIM_FUZZ", "6"))
MOST_OPS = 300
"""Networks of more ops are read, but not run: that takes seconds each."""
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink] if EXAMPLES > 6 else [Phase.generate],
    derandomize=EXAMPLES <= 6,
    database=None,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("hostile")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def written(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


MACHINE = {n: yaml.safe_load((MACHINES / n / "arch.yaml").read_text()) for n in (
    "ahwa_lora_2026", "harp_2026")}  # fmt: skip
NETWORK = {
    "name": "net", "source": "made up", "sequence_length": 4,
    "ops": [
        {"kind": "linear", "name": "a", "inputs": [], "in_features": 16, "out_features": 8},
        {"blocks": {"count": 2, "ops": [
            {"kind": "linear", "name": "b", "inputs": ["a"], "in_features": 8, "out_features": 8},
        ]}},
    ],
    "adapters": {"rank": 2, "alpha": 4},
}  # fmt: skip
CONFIG = {
    "model_type": "bert", "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 32,
    "type_vocab_size": 2, "hidden_act": "gelu",
}  # fmt: skip
GPT = {
    "model_type": "gpt2", "vocab_size": 100, "n_embd": 32, "n_layer": 2, "n_head": 2,
    "n_positions": 32, "n_inner": None, "activation_function": "gelu_new",
}  # fmt: skip
STUDY = {
    "name": "study", "network": "layer_128x128", "machine": "ahwa_lora_2026", "tokens": 4,
    "set": {"link.width": "64 B/cycle"},
    "axes": {
        "strategy.batch": [2, 4],
        "tile.integration_time": {"from": "64 ns", "to": "256 ns", "factor": 2},
        "unit": {"a": {"strategy.unit": "matrix_engine"}, "b": {"strategy.unit": "cores"}},
    },
    "constraints": ["overhead_percent <= 20", "latency_ps <= 1 ms"],
    "objectives": {"latency_ps": "minimise"},
}  # fmt: skip


@fuzz
@given(data=st.data())
@pytest.mark.parametrize("name", sorted(MACHINE))
def test_machines(place: Path, name: str, data: st.DataObject) -> None:
    path = written(place / "machine.yaml", data.draw(yaml_files(MACHINE[name])))
    network = load_network(network_path("layer_128x128"))
    with contextlib.suppress(InputError):
        machine = load_machine(str(path))
        strategy = "token_parallel" if name == "ahwa_lora_2026" else "xb_pipe"
        simulate(network, machine, make_strategy(strategy), tokens=8)


@fuzz
@given(raw=yaml_files(NETWORK))
def test_networks(place: Path, raw: bytes) -> None:
    with contextlib.suppress(InputError):
        network = load_network(written(place / "net.yaml", raw))
        if len(network.ops) <= MOST_OPS:
            simulate(network, load_machine("ahwa_lora_2026"), tokens=4)


@fuzz
@given(raw=json_files(CONFIG) | json_files(GPT))
def test_configs(place: Path, raw: bytes) -> None:
    with contextlib.suppress(InputError):
        network = load_network(written(place / "config.json", raw))
        if len(network.ops) <= MOST_OPS and network.weights < 10**7:
            simulate(network, load_machine("ahwa_lora_2026"), make_strategy("xb_pipe"), tokens=4)


@fuzz
@given(raw=yaml_files(STUDY))
def test_studies(place: Path, raw: bytes) -> None:
    with contextlib.suppress(InputError):
        path = written(place / "study.yaml", raw)
        read_inputs(read_study(path), str(path))


@fuzz
@given(text=st.sampled_from([str(w) for w in WORST if w is not None]) | st.text(max_size=60))
@pytest.mark.parametrize("path", ["tile.rows", "adapters.rank", "strategy.batch", "tile", "name"])
def test_settings(place: Path, path: str, text: str) -> None:
    with contextlib.suppress(InputError):
        _, value = parse_override(f"{path}={text}")
        load_machine("ahwa_lora_2026", {path: value})


TABLE = b"arrival,task,prompt,output\n0 s,a,4,1\n1.5 ms,b,8,2\n2,c,1,0\n"


@fuzz
@given(raw=scratched(TABLE))
def test_traces(place: Path, raw: bytes) -> None:
    path = written(place / "requests.csv", raw)
    for read in (read_requests, read_table):
        with contextlib.suppress(InputError):
            read(path)


@pytest.fixture(scope="module")
def adapter(place: Path) -> tuple[dict[str, object], bytes]:
    tensors = pytest.importorskip("safetensors.numpy")
    module = "base_model.model.bert.encoder.layer.0.attention.self.query"
    held = {f"{module}.lora_A.weight": np.zeros((4, 384), np.float32),
            f"{module}.lora_B.weight": np.zeros((384, 4), np.float32)}  # fmt: skip
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 16, "target_modules": ["query"]}
    return config, tensors.save(held)


@fuzz
@given(data=st.data())
def test_adapters(
    place: Path, adapter: tuple[dict[str, object], bytes], data: st.DataObject
) -> None:
    config, tensors = adapter
    folder = place / "adapter"
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_bytes(data.draw(json_files(config)))
    scratch = data.draw(st.booleans())
    raw = data.draw(scratched(tensors[:400])) + tensors[400:] if scratch else tensors
    (folder / "adapter_model.safetensors").write_bytes(raw)
    with contextlib.suppress(InputError):
        read_peft(folder).on(load_network(network_path("minilm_l6")))


ONNX = Path(__file__).parents[1] / "workload" / "data" / "bert_torchscript.onnx"


@fuzz
@given(data=st.data())
def test_onnx(place: Path, data: st.DataObject) -> None:
    pytest.importorskip("onnx")
    raw = ONNX.read_bytes()
    head = data.draw(scratched(raw[:3000]))
    with contextlib.suppress(InputError):
        load_network(written(place / "net.onnx", head + raw[3000:]))


# --- files of its own, without their checksums -------------------------------------------------


@pytest.fixture(scope="module")
def run_folder(place: Path) -> Path:
    done = CliRunner().invoke(app, ["run", "layer_128x128", "ahwa_lora_2026", "--tokens", "8",
                                    "--out", "run", "--quiet", "--layers-only"])  # fmt: skip
    assert done.exit_code == 0, done.output
    (place / "run" / "SHA256SUMS").unlink()
    return place / "run"


@fuzz
@given(data=st.data())
def test_results(run_folder: Path, data: st.DataObject) -> None:
    document = json.loads((run_folder / "result.json").read_bytes())
    folder = run_folder.parent / "changed"
    folder.mkdir(exist_ok=True)
    (folder / "result.json").write_bytes(data.draw(json_files(document)))
    (folder / "timeline.npz").write_bytes((run_folder / "timeline.npz").read_bytes())
    with contextlib.suppress(InputError):
        page_of_folder(folder)
    with contextlib.suppress(InputError):
        explain(read_result(folder))


@fuzz
@given(data=st.data())
def test_timelines(run_folder: Path, data: st.DataObject) -> None:
    raw = (run_folder / "timeline.npz").read_bytes()
    if data.draw(st.booleans()):
        raw = data.draw(scratched(raw))
    else:
        with np.load(io.BytesIO(raw)) as archive:
            columns = dict(archive)
        head = json.loads(columns["head"].tobytes())
        text = json.dumps(data.draw(changed(head))).encode("utf-8", "surrogatepass")
        columns["head"] = np.frombuffer(text, np.uint8)
        name = data.draw(st.sampled_from(sorted(columns.keys() - {"head"})))
        worst = data.draw(st.sampled_from((-1, 2**40, 0)))
        columns[name] = (
            np.full_like(columns[name], worst) if data.draw(st.booleans()) else columns[name][:-1]
        )
        held = io.BytesIO()
        np.savez(held, **columns)
        raw = held.getvalue()
    folder = run_folder.parent / "timed"
    folder.mkdir(exist_ok=True)
    (folder / "timeline.npz").write_bytes(raw)
    (folder / "result.json").write_bytes((run_folder / "result.json").read_bytes())
    with contextlib.suppress(InputError):
        read_recording(folder / "timeline.npz")
    with contextlib.suppress(InputError):
        page_of_folder(folder)


@pytest.fixture(scope="module")
def comparison_folder(place: Path) -> Path:
    done = CliRunner().invoke(app, ["compare", "layer_128x128", "ahwa_lora_2026", "--tokens", "8",
                                    "--strategies", "layer_serial,token_parallel",
                                    "--out", "both", "--quiet"])  # fmt: skip
    assert done.exit_code == 0, done.output
    (place / "both" / "SHA256SUMS").unlink()
    return place / "both"


@fuzz
@given(data=st.data())
def test_comparisons(comparison_folder: Path, data: st.DataObject) -> None:
    document = json.loads((comparison_folder / "comparison.json").read_bytes())
    folder = comparison_folder.parent / "compared"
    folder.mkdir(exist_ok=True)
    (folder / "comparison.json").write_bytes(data.draw(json_files(document)))
    raw = (comparison_folder / "activity.csv").read_bytes()
    scratch = data.draw(st.booleans())
    (folder / "activity.csv").write_bytes(data.draw(scratched(raw)) if scratch else raw)
    with contextlib.suppress(InputError):
        page_of_folder(folder)


# --- the command line --------------------------------------------------------------------------

WORDS = (
    "layer_128x128", "ahwa_lora_2026", "--tokens", "--batch", "--strategy", "--set", "--past",
    "--engine", "--json", "--quiet", "--analog-noise", "--out", "--trace", "--figures", "--audit",
    "--rate", "--load", "--count", "--tasks", "--seed", "--window", "--plot", "--strategies",
    "--prompt", "--new", "--sequences", "--requests", "--adapter", "--table", "--trials", "--",
    "tile.rows=8", "strategy.batch=4", "t=1y", "token_parallel", "x" * 300, "", " ", "-1", "0",
    "1", "4", "8", "10", "1e9", "nan", "inf", "1e-300", "9" * 40, "\x1b[31m", "a\ud800", "=", "a=",
    "=b", ":", "a:b", "/dev/null", "/dev/zero", "/", ".", "matrix_engine", "gemm", "m=8", "n=8",
    "k=8", "m=\u0663", "rtl", "svg", "1us:2us",
)  # fmt: skip
COMMANDS = ("run", "compare", "explain", "generate", "cost", "show", "serve", "alternatives",
            "report", "sweep", "list", "codesign", "adapt", "search", "")  # fmt: skip
BASE = ("layer_128x128", "ahwa_lora_2026", "--tokens", "4")


@fuzz
@given(
    command=st.sampled_from(COMMANDS),
    given_=st.lists(st.sampled_from(WORDS) | st.text(max_size=12), max_size=6),
    base=st.booleans(),
)
def test_command_lines(place: Path, command: str, given_: list[str], base: bool) -> None:
    words = [word for word in given_ if not word.endswith((".yaml", ".json"))]
    done = CliRunner().invoke(app, [command, *(BASE if base else ()), *words])
    assert done.exception is None or isinstance(done.exception, SystemExit), (command, words)
    assert done.exit_code in (0, 1, 2), (command, words)
    assert "Traceback" not in done.output
    assert "\x1b[31m" not in done.output
