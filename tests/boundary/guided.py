"""Bytes from outside, for a fuzzer that is guided by coverage, and for what it has found so far.

The first byte of an input says which way in it takes; the rest is the file, or the text.
"""

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path

from hybridsim.arch import load_machine, parse_override
from hybridsim.csv_files import read_table
from hybridsim.designs.evidence import read_evidence
from hybridsim.designs.limits import parse_limits
from hybridsim.errors import InputError
from hybridsim.library import network_path
from hybridsim.measure.result import read_result
from hybridsim.service import read_peft, read_requests
from hybridsim.sweeps.inputs import read_inputs
from hybridsim.sweeps.study import read_study
from hybridsim.training.decoder_study import read_decoder_study
from hybridsim.training.language_study import read_language_study
from hybridsim.training.recalibration_study import read_recalibration_study
from hybridsim.training.sensitivity_study import read_sensitivity_study
from hybridsim.training.study import read_adapt_study
from hybridsim.validation.rtl import compare_with_rtl
from hybridsim.workload import load_network


def _read(path: Path, raw: bytes, *readers: Callable[[Path], object]) -> None:
    path.write_bytes(raw)
    for read in readers:
        with contextlib.suppress(InputError):
            read(path)


def _machine(place: Path, raw: bytes) -> None:
    _read(place / "machine.yaml", raw, lambda path: load_machine(str(path)))


def _network(place: Path, raw: bytes) -> None:
    _read(place / "net.yaml", raw, load_network)


def _config(place: Path, raw: bytes) -> None:
    _read(place / "config.json", raw, load_network)


def _study(place: Path, raw: bytes) -> None:
    _read(place / "study.yaml", raw, lambda path: read_inputs(read_study(path), str(path)))


def _trace(place: Path, raw: bytes) -> None:
    _read(place / "requests.csv", raw, read_requests, read_table)


def _setting(_: Path, raw: bytes) -> None:
    with contextlib.suppress(InputError):
        path, value = parse_override(raw.decode("utf-8", "surrogateescape"))
        load_machine("ahwa_lora_2026", {path: value})


def _onnx(place: Path, raw: bytes) -> None:
    _read(place / "net.onnx", raw, load_network)


ADAPTED = "base_model.model.bert.encoder.layer.0.attention.self.query"
HEAD = (
    f'{{"{ADAPTED}.lora_A.weight":{{"dtype":"U8","shape":[4,384],"data_offsets":[0,1536]}},'
    f'"{ADAPTED}.lora_B.weight":{{"dtype":"U8","shape":[384,4],"data_offsets":[1536,3072]}}}}'
).encode()
"""What a file of tensors says of them."""
CONFIG = b'{"peft_type":"LORA","r":4,"lora_alpha":16,"target_modules":["query"]}'


def _adapter(place: Path, config: bytes, head: bytes) -> None:
    (place / "adapter_config.json").write_bytes(config)
    tensors = struct.pack("<Q", len(head)) + head + bytes(3072)
    (place / "adapter_model.safetensors").write_bytes(tensors)
    with contextlib.suppress(InputError):
        read_peft(place).on(load_network(network_path("minilm_l6")))


def _adapter_config(place: Path, raw: bytes) -> None:
    _adapter(place, raw, HEAD)


def _adapter_tensors(place: Path, raw: bytes) -> None:
    _adapter(place, CONFIG, raw)


def _sensitivity(place: Path, raw: bytes) -> None:
    network = load_network(network_path("minilm_l6"))
    _read(place / "sensitivity.json", raw, lambda path: read_evidence([path], 3.15e8, network))


def _result(place: Path, raw: bytes) -> None:
    _read(place / "result.json", raw, read_result)


def _training(place: Path, raw: bytes) -> None:
    _read(place / "study.yaml", raw, read_recalibration_study, read_sensitivity_study,
          read_adapt_study, read_decoder_study, read_language_study)  # fmt: skip


def _limits(_: Path, raw: bytes) -> None:
    with contextlib.suppress(InputError):
        parse_limits(raw.decode("utf-8", "surrogateescape").split("\n"))


def _measured(place: Path, raw: bytes) -> None:
    _read(place / "rows.csv", raw, lambda path: compare_with_rtl([path]))


WAYS = (
    _machine, _network, _config, _study, _trace, _setting, _onnx, _adapter_config,
    _adapter_tensors, _sensitivity, _result, _training, _limits, _measured,
)  # fmt: skip
"""Ways in, in the order of first bytes; they are told as their names here."""


def way_of(raw: bytes) -> Callable[[Path, bytes], None]:
    """Return which way in an input that is not empty takes."""
    return WAYS[raw[0] % len(WAYS)]


def try_one(place: Path, raw: bytes) -> None:
    """Give an input to its way in; whatever is neither an answer nor an InputError gets out."""
    if raw:
        way_of(raw)(place, raw[1:])
