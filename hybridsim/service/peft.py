"""Adapters in the format of Hugging Face PEFT, read for what they adapt and how large they are.

A folder holds ``adapter_config.json`` and ``adapter_model.safetensors``; of the latter only the
names, shapes and types of the tensors are read. Every tensor is used, refused, or told as what a
task has besides A and B (:class:`hybridsim.workload.Besides`). Source of the format: PEFT 0.17 to
0.21, ``save_pretrained``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

from hybridsim.errors import SpecError, did_you_mean
from hybridsim.service.module_paths import PREFIX, Found, ModulePaths, short
from hybridsim.service.tensors import Tensor, cut, tensors_of
from hybridsim.specs import read_json_mapping, shown
from hybridsim.workload import Besides, Network, OwnSize

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_LORA = re.compile(
    r"(?P<module>.+)\.lora_(?P<part>[AB])(?:\.(?P<adapter>[^.]+))?\.(?P<what>weight|bias)"
)
_BESIDES = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (r"\.lora_magnitude_vector(\.|$)",
         "magnitudes of DoRA; the time of their norms and products is not modelled"),
        (r"\.lora_B\.([^.]+\.)?bias$", "biases of B; the time of their sum is not modelled"),
        (r"\.lora_embedding_[AB](\.|$)",
         "adapters of an embedding; the time of their sum is not modelled"),
        (r"\.token_adapter\.|\.trainable_tokens_", "rows of an embedding, looked up instead"),
        (r"\.(base_layer|original_module)\.", "weights of the base model, stored once more"),
        (r"(^|\.)bias$", "biases, added instead of those of the base model"),
        (r"(^|\.)weight$",
         "weights trained as a whole; the time of writing them to a tile is not modelled"),
    )
)  # fmt: skip
_CLASSIFIERS = ("classifier", "score")
"""Heads of transformers that no network here has, but those of images."""
_UNKNOWN = "tensors of a kind that is not known here, of which no time is modelled"
_OTHER_NETWORKS = {
    "layer_replication": "repeats layers of the base network",
    "use_qalora": "pools the inputs of A in groups",
    "use_bdlora": "cuts A or B into blocks on a diagonal",
    "alora_invocation_tokens": "acts on some tokens of a sequence alone",
    "arrow_config": "chooses among other adapters for each token",
    "megatron_config": "adapts layers that are spread over devices",
}
"""Settings that change the products of an adapter; none of them is modelled."""
_KNOWN = frozenset([
    "alora_invocation_tokens", "alpha_pattern", "arrow_config", "auto_mapping",
    "base_model_name_or_path", "bias", "corda_config", "ensure_weight_tying", "eva_config",
    "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights", "kasa_config",
    "layer_replication", "layers_pattern", "layers_to_transform", "loftq_config", "lora_alpha",
    "lora_bias", "lora_dropout", "lora_ga_config", "megatron_config", "megatron_core",
    "modules_to_save", "monteclora_config", "peft_type", "peft_version", "qalora_group_size",
    "r", "rank_pattern", "revision", "runtime_config", "target_modules", "target_parameters",
    "task_type", "trainable_token_indices", "use_bdlora", "use_dora", "use_qalora",
    "use_rslora", "velora_config",
])  # fmt: skip
"""All settings of a LoRA. Source: ``LoraConfig`` of PEFT 0.17 to 0.21.2."""


@dataclass(frozen=True, slots=True)
class PeftAdapter:
    """What a folder says of one task's adapters."""

    folder: str
    rank: int
    """The rank of modules that no pattern gives another one."""
    alpha: int | float
    """The alpha of modules that no pattern gives another one."""
    modules: Mapping[str, tuple[int, int]]
    """Module path -> (in, out) features of the layer that it adapts."""
    sizes: Mapping[str, tuple[int, int | float]]
    """Module path -> rank and alpha of its adapter; alpha / rank is what scales the output."""
    others: tuple[Tensor, ...]
    """The tensors besides A and B."""
    stored_bytes: int
    """Bytes of all tensors as stored."""
    unknown: tuple[str, ...] = ()
    """Settings that no release known here has, and that are set to something."""

    @property
    def parameters(self) -> int:
        """Trained numbers of A and B: the sum of rank * (in + out)."""
        return sum(self.sizes[m][0] * (i + o) for m, (i, o) in self.modules.items())

    def on(self, network: Network) -> Network:
        """Return the network with exactly these adapters, and what the task has besides.

        Raises:
            SpecError: A module is no static linear layer of the network, or has other sizes, or
                two modules are the same layer.
        """
        paths = ModulePaths(network, list(self.modules))
        layers = {}
        exact = False  # what the rank of all would give a layer several times
        own: dict[tuple[int, int | float], list[str]] = {}
        for module, found in self._found(network, paths):
            layers[module] = found.layer.name
            rank, alpha = self.sizes[module]
            each = rank // found.layer.matrices[0]
            exact |= found.layer.all_linear > 1
            own.setdefault((each, alpha), []).append(found.layer.name)
        most = max(own, key=lambda size: len(own[size]))
        rest = [
            OwnSize(targets=tuple(names), rank=size[0], alpha=size[1])
            for size, names in own.items()
            if size != most or exact
        ]
        return network.with_adapters(
            rank=most[0], alpha=most[1], targets=list(layers.values()), exclude=(), own=rest,
            besides=[_besides(tensor, layers, paths) for tensor in self.others],
        )  # fmt: skip

    def renamed(self, network: Network) -> Mapping[str, str]:
        """Return module -> layer where a layer has another name here.

        Raises:
            SpecError: As :meth:`on` does.
        """
        found = self._found(network, ModulePaths(network, list(self.modules)))
        return {module: each.layer.name for module, each in found if each.renamed}

    def _found(self, network: Network, paths: ModulePaths) -> list[tuple[str, Found]]:
        """Return the layer of each module."""
        taken: dict[str, str] = {}
        found = []
        for module, sizes in self.modules.items():
            each = paths.find(module, sizes)
            if each is None:
                raise self._no_layer(module, paths, network)
            layer = each.layer
            if (layer.in_features, layer.out_features) != sizes:
                problem = (
                    f"adapts {sizes[0]} x {sizes[1]} features, but {layer.name} of network "
                    f"{network.name!r} has {layer.in_features} x {layer.out_features}; an adapter "
                    "trained for this network would do"
                )
                raise SpecError(self._weights, cut(module), problem)
            rank, count = self.sizes[module][0], layer.matrices[0]
            if rank % count:
                problem = (
                    f"has rank {rank} for {count} matrices of {layer.name}; a multiple would do"
                )
                raise SpecError(self._weights, cut(module), problem)
            if layer.name in taken:
                problem = (
                    f"falls on layer {layer.name}, as {cut(taken[layer.name])} does; an adapter "
                    f"trained for network {network.name!r} has one module for each layer"
                )
                raise SpecError(self._weights, cut(module), problem)
            taken[layer.name] = module
            found.append((module, each))
        return found

    @property
    def _weights(self) -> str:
        return str(Path(self.folder) / WEIGHTS)

    def _no_layer(self, module: str, paths: ModulePaths, network: Network) -> SpecError:
        other = paths.other_stack(module)
        if other is not None:
            problem = (
                f"is of the {other}, which network {network.name!r} does not have; the "
                "config.json of both stacks, or an adapter of this one alone, would do"
            )
            return SpecError(self._weights, cut(module), problem)
        if module.removeprefix(PREFIX).partition(".")[0] in _CLASSIFIERS:
            problem = (
                f"is a classifier, which network {network.name!r} does not have; PEFT trains it "
                "as a whole, without an adapter, where it is told the task_type; that would do"
            )
            return SpecError(self._weights, cut(module), problem)
        near = did_you_mean(short(module)[:200], (op.name for op in network.matrices))
        problem = (
            f"is no static linear layer of network {network.name!r}{near}; an adapter trained "
            "for this network would do, or the network with the head that has this module"
        )
        return SpecError(self._weights, cut(module), problem)


def read_peft(folder: Path) -> PeftAdapter:
    """Return the adapters that a PEFT folder holds.

    Raises:
        SpecError: A file is missing or is not what it should be; the adapter is no LoRA or one
            whose products are not modelled; a layer has only one of A and B, or they have another
            rank than the config says; or the config tells of other adapters than lie there.
        InputError: The package ``safetensors`` is not installed.
    """
    if not folder.is_dir():
        raise SpecError(str(folder), "", "no such folder; give a folder that PEFT has written")
    _check_folder(folder)
    config = read_json_mapping(folder / CONFIG)
    file = str(folder / CONFIG)
    if config.get("peft_type") != "LORA":
        problem = f"found {shown(config.get('peft_type'))}; only 'LORA' is known here"
        raise SpecError(file, "peft_type", problem)
    for key, problem in _OTHER_NETWORKS.items():
        if config.get(key):
            raise SpecError(file, key, f"{problem}, which is not modelled; a plain LoRA would do")
    rank, alpha = _rank(config.get("r"), "r", file), _alpha(config, file)
    stored = tensors_of(folder / WEIGHTS)
    pairs, others = _sorted_out(stored, str(folder / WEIGHTS))
    ranks = {rank, *_pattern(config, "rank_pattern", file).values()}
    alphas = _pattern(config, "alpha_pattern", file)
    several = bool(config.get("target_parameters"))
    modules, sizes = {}, {}
    for module, parts in pairs.items():
        features, out, own = _sizes(module, parts, ranks, several, str(folder / WEIGHTS))
        of_rank = sqrt(own) if config.get("use_rslora") is True else 1
        modules[module] = (features, out)
        sizes[module] = (own, _of_pattern(alphas, module, alpha) * of_rank)
    _check_agreement(config, modules, others, folder)
    total = sum(tensor.stored_bytes for tensor in stored)
    unknown = tuple(cut(key) for key, value in config.items() if value and key not in _KNOWN)
    return PeftAdapter(str(folder), rank, alpha, modules, sizes, tuple(others), total, unknown)


def _check_agreement(
    config: Mapping[str, Any], modules: Iterable[str], others: Sequence[Tensor], folder: Path
) -> None:
    """Refuse a config that tells of other adapters than lie beside it.

    Patterns of modules are not run, see :func:`_of_pattern`.

    Raises:
        SpecError: No module with an adapter is a target, or DoRA lacks its magnitudes.
    """
    file, targets = str(folder / CONFIG), config.get("target_modules")
    if isinstance(targets, list) and targets and not config.get("target_parameters"):
        ends = tuple(f".{target}" for target in targets)
        if not any(f".{module}".endswith(ends) for module in modules):
            other = cut(next(iter(modules)))
            problem = f"names no module that {WEIGHTS} adapts, such as {other}"
            raise SpecError(file, "target_modules", f"{problem}; both of one adapter would do")
    if config.get("use_dora") and not any("lora_magnitude_vector" in t.name for t in others):
        problem = f"found {shown(config['use_dora'])}, but {WEIGHTS} holds no magnitudes of DoRA"
        raise SpecError(file, "use_dora", f"{problem}; both of one adapter would do")


def _check_folder(folder: Path) -> None:
    """Say where adapters are, if not in this folder in this format.

    Raises:
        SpecError: They are in a folder below it, in several files, or pickled.
    """
    if not (folder / CONFIG).exists():
        below = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}"))
        if below:
            problem = f"is in the folder {shown(below[0])} below; give that one"
            raise SpecError(str(folder), CONFIG, problem)
    elif (folder / WEIGHTS).exists():
        return
    elif (folder / f"{WEIGHTS}.index.json").exists():
        problem = f"spreads the adapter over several files; all of it in one {WEIGHTS} would do"
        raise SpecError(str(folder), f"{WEIGHTS}.index.json", problem)
    elif (folder / "adapter_model.bin").exists():
        problem = "is a pickle, which is not read; PEFT writes safetensors if told so"
        raise SpecError(str(folder), "adapter_model.bin", problem)


def _sorted_out(
    stored: Sequence[Tensor], file: str
) -> tuple[dict[str, dict[str, Tensor]], list[Tensor]]:
    """Return module -> part -> A or B, sorted by module, and all other tensors.

    Raises:
        SpecError: There is neither A nor B, or those of several adapters.
    """
    pairs: dict[str, dict[str, Tensor]] = {}
    others, adapters = [], set()
    for tensor in stored:
        match = _LORA.fullmatch(tensor.name)
        if match is None or match["what"] == "bias":
            others.append(tensor)
            continue
        adapters.add(match["adapter"])
        if len(adapters) > 1:
            names = " and ".join(sorted(cut(name or "without a name") for name in adapters))
            raise SpecError(file, "", f"holds several adapters ({names}); one would do")
        pairs.setdefault(match["module"], {})[match["part"]] = tensor
    if not pairs and any(".lora_embedding_" in tensor.name for tensor in others):
        problem = "adapts embeddings alone, of which no time is modelled; linear layers would do"
        raise SpecError(file, "", problem)
    if not pairs:
        raise SpecError(file, "", "holds no tensor named *.lora_A.weight or *.lora_B.weight")
    return dict(sorted(pairs.items())), others


def _sizes(
    module: str, parts: Mapping[str, Tensor], ranks: set[int], several: bool, file: str
) -> tuple[int, int, int]:
    """Return in and out features and the rank of a module's adapter.

    A convolution has the elements of its kernel behind the channels, and is a linear layer of
    patches. ``several`` says that a pair may adapt several matrices, their ranks in a row.

    Raises:
        SpecError: A or B is missing, or they do not fit together or the config.
    """
    if set(parts) != {"A", "B"}:
        there = next(iter(parts))
        raise SpecError(file, cut(module), f"has only lora_{there}; A and B would do")
    a, b = parts["A"].shape, parts["B"].shape
    if min(len(a), len(b)) < 2 or b[1:] != (b[1],) + (1,) * (len(b) - 2):
        problem = f"has A of shape {shown_shape(a)} and B of {shown_shape(b)}; matrices would do"
        raise SpecError(file, cut(module), problem)
    known = a[0] in ranks or (several and any(a[0] % rank == 0 for rank in ranks))
    if a[0] != b[1] or not known:
        allowed = " or ".join(map(str, sorted(ranks)[:5]))
        problem = (
            f"has rank {a[0]}{'' if a[0] == b[1] else f' in A and {b[1]} in B'}, but {CONFIG} "
            f"says r = {allowed}; a rank that it names would do"
        )
        raise SpecError(file, cut(module), problem)
    features = 1
    for size in a[1:]:
        features *= size
    return features, b[0], a[0]


def shown_shape(shape: tuple[int, ...]) -> str:
    """Return a shape for a message."""
    return " x ".join(map(str, shape[:8])) or "no axis"


def _besides(tensor: Tensor, layer_of: Mapping[str, str], paths: ModulePaths) -> Besides:
    """Return a tensor as what a task has besides A and B."""
    what = next((text for pattern, text in _BESIDES if pattern.search(tensor.name)), _UNKNOWN)
    module = re.split(r"\.(?:lora_|base_layer\.|modules_to_save\.|weight$|bias$)", tensor.name)[0]
    layer = layer_of.get(module)
    if layer is None:
        matrix = (*tensor.shape, 0, 0)[:2]
        found = paths.find(module, (matrix[1], matrix[0]))
        layer = found.layer.name if found else None
    return Besides(
        tensor=cut(tensor.name), what=what, numbers=tensor.numbers,
        stored_bytes=tensor.stored_bytes, layer=layer,
    )  # fmt: skip


# --- the config -----------------------------------------------------------------------------


def _rank(value: Any, key: str, file: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
        raise SpecError(file, key, f"found {shown(value)}; write a whole number of 1 or more")
    return value


def _alpha(config: Mapping[str, Any], file: str) -> int | float:
    return _number(config.get("lora_alpha"), "lora_alpha", file)


def _number(value: Any, key: str, file: str) -> int | float:
    """Return a number above 0; PEFT writes the alpha that it was given, 16.0 as well as 16."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**31:
        raise SpecError(file, key, f"found {shown(value)}; write a number above 0")
    return int(value) if value == int(value) else value


def _pattern(config: Mapping[str, Any], key: str, file: str) -> dict[str, Any]:
    """Return a mapping of names or patterns of modules to ranks or alphas."""
    given = config.get(key) or {}
    if not isinstance(given, dict):
        raise SpecError(file, key, f"found {shown(given)}; names of modules with numbers would do")
    check = _rank if key == "rank_pattern" else _number
    return {name: check(value, f"{key}.{cut(name)}", file) for name, value in given.items()}


def _of_pattern(alphas: Mapping[str, Any], module: str, alpha: int | float) -> int | float:
    """Return the alpha of a module: that of the first name that its path ends with.

    A key with other characters is a regular expression. None is run: the file is a stranger's,
    and alpha changes no time.
    """
    path = f".{module}"
    for name, value in alphas.items():
        if path.endswith("." + name.removeprefix("^").removesuffix("$").replace("\\.", ".")):
            own: int | float = value
            return own
    return alpha
