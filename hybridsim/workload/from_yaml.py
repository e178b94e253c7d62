"""Networks written by hand, or by reference to a config.json, in YAML."""

import re
from collections.abc import Mapping, Sequence
from os.path import isdir  # Path.is_dir raises on a name that is too long
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hybridsim.described import bare_fields
from hybridsim.errors import SpecError, did_you_mean
from hybridsim.specs import PlacedError, read_json_mapping, read_yaml_mapping, shown, validate
from hybridsim.units import Count, Spec
from hybridsim.workload.adapters import AdapterSpec
from hybridsim.workload.families import Part, body_from_config, network_from_config
from hybridsim.workload.families.builder import Head
from hybridsim.workload.graph import MOST_OPS, Network, PlainText
from hybridsim.workload.ops import AnyOp, Name, Op, Tokens

BLOCK_INPUT = "block_input"
"""In a repeated block: the op that the block's first op reads by default."""


class Blocks(Spec):
    """Ops that repeat, written once; in block ``i`` their names get the prefix ``block<i>.``."""

    kind: Literal["blocks"] = "blocks"
    count: Count
    """How often they repeat."""
    ops: Annotated[tuple[Op, ...], Field(min_length=1, max_length=MOST_OPS)]
    """The ops of one block, in the order in which they run."""

    @model_validator(mode="after")
    def _own_names(self) -> "Blocks":
        seen: set[str] = set()
        for i, op in enumerate(self.ops):
            place = f"ops[{i}] ({op.name})"
            if op.block is not None:
                raise PlacedError(f"{place}.block", "is numbered by the repetition; leave it out")
            if op.name == BLOCK_INPUT:
                raise PlacedError(
                    f"{place}.name", "is what blocks call their input; another would do"
                )
            if op.name in seen:
                raise PlacedError(
                    f"{place}.name", "is given to two ops; a name of its own would do"
                )
            seen.add(op.name)
        return self


Entry = Annotated[AnyOp | Blocks, Field(discriminator="kind")]


class NetworkFile(Spec):
    """A network file: either its ops, or the config.json that describes them."""

    name: Name | None = None
    """The name of the network; the file's name by default."""
    source: PlainText
    """Where the shapes come from."""
    reference: PlainText | None = None
    """The publication that describes the network or reports its figures."""
    sequence_length: Tokens | None = None
    """Tokens per sequence where a run names none."""
    max_sequence_length: Tokens | None = None
    """The most tokens per sequence; read from the config.json where there is one."""
    source_length: Tokens | None = None
    """Tokens of the source sequence that an encoder reads; as many as the sequence if left out."""
    not_modelled: Annotated[tuple[PlainText, ...], Field(max_length=32)] = ()
    """What the model computes beside its ops, a line each."""
    adapters: AdapterSpec | None = None
    """The adapters its linear layers carry; none if left out."""
    ops: Annotated[tuple[Entry, ...], Field(min_length=1, max_length=MOST_OPS)] | None = None
    """Ops, and blocks of ops that repeat."""
    huggingface: str | None = Field(default=None, min_length=1, max_length=500)
    """Path of a config.json, from the folder of this file."""
    head: Head | None = None
    """What follows the last block of the config.json's model; nothing by default."""

    expert_load: Annotated[tuple[float, ...], Field(min_length=1, max_length=100_000)] | None = (
        None
    )
    """The share of the tokens of each expert, in every block; uniform by default."""
    stack: Part | None = None
    """One stack of an encoder-decoder alone; both by default."""

    @model_validator(mode="after")
    def _one_way(self) -> "NetworkFile":
        if (self.ops is None) == (self.huggingface is None):
            found = "neither" if self.ops is None else "both"
            raise PlacedError("", f"found {found} of 'ops' and 'huggingface'; one would do")
        for key in ("head", "stack"):
            if self.huggingface is None and getattr(self, key) is not None:
                raise PlacedError(key, f"goes with 'huggingface' only; write the {key} as ops")
        if self.huggingface is not None and self.max_sequence_length is not None:
            raise PlacedError("max_sequence_length", "is read from the config.json; leave it out")
        return self


class _OfConfig(NetworkFile):
    """A file without ops: their kinds take most of the time until it is checked."""

    ops: None = None


def load_network(path: Path, head: Head | None = None) -> Network:
    """Return the network of a YAML file, of an ONNX file, or of a config.json or its folder.

    ``head`` is what follows a config.json; a YAML file may name one itself, and no other then.

    Raises:
        SpecError: The file cannot be read or does not describe a network; the message names the
            file, the place in it, what was found there and what would do.
    """
    if isdir(path):
        path = path / "config.json"
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _from_config(path, head or "none")
    if suffix in (".yaml", ".yml"):
        return _from_yaml(path, head)
    if suffix == ".onnx":
        # only here, as most networks come from no such file
        from hybridsim.workload.onnx_import import network_from_onnx

        _check_head(head, None, path, "an ONNX file")
        return network_from_onnx(path)
    problem = "is no network; a .yaml or .onnx file, a config.json or its folder would do"
    raise SpecError(str(path), "", problem)


def _from_config(path: Path, head: Head) -> Network:
    config = read_json_mapping(path)
    named = path.resolve().parent.name if path.stem == "config" else path.stem
    source = "a Hugging Face config.json"
    name = _as_name(named)
    return network_from_config(config, name=name, source=source, file=str(path), head=head)


def _check_head(asked: Head | None, own: Head | None, path: Path, what: str) -> None:
    """Refuse a head that would change nothing, as the file says itself what follows.

    Raises:
        SpecError: One is asked for that is not the file's own.
    """
    if asked not in (None, own or "none"):
        problem = f"found {shown(asked)}, but {what} says itself what follows the last block"
        raise SpecError(str(path), "head", f"{problem}; leaving it out would do")


def _from_yaml(path: Path, head: Head | None) -> Network:
    file = str(path)
    given = read_yaml_mapping(path)
    spec = validate(NetworkFile if "ops" in given else _OfConfig, given, file)
    fields = {key: getattr(spec, key) for key in bare_fields(Network) if hasattr(spec, key)}
    fields["name"] = spec.name or _as_name(path.stem)
    if spec.huggingface is None or spec.head is not None:
        own = f"head: {spec.head}" if spec.head else "a list of ops"
        _check_head(head, spec.head, path, f"a file with {own}")
    if spec.huggingface is not None:
        config = _config_path(path, spec.huggingface)
        read = read_json_mapping(config)
        body = body_from_config(read, spec.head or head or "none", str(config), spec.stack)
        fields |= {
            "ops": body.ops,
            "max_sequence_length": body.max_sequence_length,
            "sequence_length": spec.sequence_length or body.sequence_length,
            "not_modelled": (*body.not_modelled, *spec.not_modelled),
        }
    else:
        fields["ops"] = _Wiring(file).expand(spec.ops or ())
    network = validate(Network, fields, file)
    if spec.expert_load is None:
        return network
    try:
        return network.with_expert_load(spec.expert_load)
    except SpecError as error:
        raise SpecError(file, "expert_load", error.problem) from None


def _as_name(text: str) -> str:
    """Return the name of a file or folder as the name of a network."""
    return re.sub(r"[^A-Za-z0-9_.\-]+", "_", text)[:100].lstrip(".-") or "network"


def _config_path(path: Path, named: str) -> Path:
    if Path(named).is_absolute():
        problem = f"found {shown(named)}; a path from the folder of this file would do"
        raise SpecError(str(path), "huggingface", problem)
    config = path.parent / named
    return config / "config.json" if isdir(config) else config


class _Wiring:
    """Lays the entries of a file out as single ops and resolves what they read."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._ops: list[Op] = []
        self._names: set[str] = set()
        self._next_block = 0

    def expand(self, entries: Sequence[Op | Blocks]) -> tuple[Op, ...]:
        """Return the ops of all entries, those of blocks once per repetition."""
        size = sum(len(e.ops) * e.count if isinstance(e, Blocks) else 1 for e in entries)
        if size > MOST_OPS:
            problem = f"describes {size} ops; at most {MOST_OPS} would do"
            raise SpecError(self._file, "ops", problem)
        for i, entry in enumerate(entries):
            place = f"ops[{i}]"
            if isinstance(entry, Blocks):
                for _ in range(entry.count):
                    self._add_block(entry.ops, place)
            else:
                self._add(entry, f"{place} ({entry.name})", entry.name, entry.block, {})
                if entry.block is not None:
                    self._next_block = max(self._next_block, entry.block + 1)
        return tuple(self._ops)

    def _add_block(self, ops: Sequence[Op], place: str) -> None:
        index, local = self._next_block, {}
        if self._ops:
            local[BLOCK_INPUT] = self._ops[-1].name
        for j, op in enumerate(ops):
            full = f"block{index}.{op.name}"
            self._add(op, f"{place}.ops[{j}] ({op.name})", full, index, local)
            local[op.name] = full
        self._next_block += 1

    def _add(
        self, op: Op, place: str, name: str, block: int | None, local: Mapping[str, str]
    ) -> None:
        """Append ``op`` under its full name; ``local`` holds the names known in its block."""
        if "inputs" in op.model_fields_set:
            inputs = [self._resolve(given, place, local) for given in op.inputs]
        else:
            inputs = [self._ops[-1].name] if self._ops and op.takes else []
        fields = {key: getattr(op, key) for key in bare_fields(type(op))}
        fields |= {"name": name, "block": block, "inputs": tuple(inputs)}
        self._ops.append(validate(type(op), fields, self._file, place))
        self._names.add(name)

    def _resolve(self, given: str, place: str, local: Mapping[str, str]) -> str:
        if given in local:
            return local[given]
        if given in self._names:
            return given
        known = [*local, *self._names]
        problem = (
            f"found {given!r}, which is no op before this one{did_you_mean(given, known)}; "
            "ops can only read what is computed before them, without cycles"
        )
        raise SpecError(self._file, f"{place}.inputs", problem)
