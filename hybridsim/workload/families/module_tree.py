"""What transformers and PEFT make of a config.json: the truth beside the families.

A model on torch's meta device has modules and shapes, but no weights, so that one of 700 billion
weights takes a second. Needs the extra ``hf``.
"""

import re
import warnings
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from hybridsim.errors import InputError, SpecError, installing
from hybridsim.records import record
from hybridsim.specs import shown
from hybridsim.workload.families.builder import Body, OpList
from hybridsim.workload.graph import Network
from hybridsim.workload.ops import MOST, Experts, Linear, Router

EXTRA = installing("hf")
"""How to get what this file needs."""
_CLASS = re.compile(r"<class '(?:\w+\.)*(\w+)'>")
"""A class as Python shows it in an error."""


@record(frozen=True, slots=True)
class Module:
    """A matrix of a model of transformers, or one for each of several experts."""

    path: str
    """The module that holds it."""
    in_features: int
    out_features: int
    bias: bool
    parameter: str = ""
    """Which one of the module it is, where that has several."""
    experts: int = 1

    @property
    def weights(self) -> int:
        """Elements of all its matrices."""
        return self.experts * self.in_features * self.out_features


@record(frozen=True)
class ModuleTree:
    """A model of transformers on the meta device, without pooler and heads."""

    model: Any
    linear: tuple[Module, ...]
    routers: tuple[Module, ...]
    """Scores of experts that are no linear layer."""
    experts: tuple[Module, ...]
    """Tensors of three dimensions."""

    @property
    def weights(self) -> int:
        """Elements of the matrices of all linear layers."""
        return sum(each.weights for each in self.linear)

    @property
    def expert_weights(self) -> int:
        """Elements of the weights of experts."""
        return sum(each.weights for each in self.experts)

    def adapter_parameters(self, rank: int) -> int | None:
        """Return the trained numbers of PEFT's adapters on all linear layers; None if it refuses.

        The model has them afterwards.
        """
        found = self._adapted(rank)
        return None if found is None else sum(int(p.numel()) for p in found.values())

    def ranks(self) -> Mapping[tuple[str, int, int], int] | None:
        """Return what PEFT's all-linear gives each matrix, in ranks, by its path and its sizes.

        None if PEFT refuses. The model has adapters afterwards.
        """
        found = self._adapted(rank=1)
        if found is None:
            return None
        ranks = {}
        for name, a in found.items():
            path, is_a, rest = name.partition(".lora_A.")
            if is_a:  # PEFT wraps a module once for each of its parameters
                out = found[f"{path}.lora_B.{rest}"].shape[0]
                ranks[path.replace(".base_layer", ""), int(a.shape[1]), int(out)] = int(a.shape[0])
        return ranks

    def _adapted(self, rank: int) -> dict[str, Any] | None:
        """Return PEFT's adapters on all linear layers, by the name of each matrix."""
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(r=rank, target_modules="all-linear")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                get_peft_model(self.model, lora)
        except ValueError:
            return None
        return {name: p for name, p in self.model.named_parameters() if "lora_" in name}


def why_not() -> str:
    """Return what would make module trees available; "" if they are."""
    missing = [name for name in ("torch", "transformers", "peft") if find_spec(name) is None]
    return EXTRA if missing else ""


def read_modules(config: Mapping[str, Any], file: str) -> ModuleTree:
    """Return the modules of the model that a config.json describes.

    Raises:
        InputError: transformers, torch or PEFT is not installed, or cannot be imported.
        SpecError: transformers does not know the model type, or refuses the config.
    """
    if reason := why_not():
        raise InputError(f"{file}: needs transformers, torch and PEFT; {reason} would do")
    try:
        import torch
        from transformers import AutoConfig
        from transformers.models.auto.modeling_auto import MODEL_MAPPING
        from transformers.pytorch_utils import Conv1D
    except (ImportError, RuntimeError) as error:
        raise InputError(f"transformers cannot be imported: {error}"[:300]) from None
    found = config.get("model_type")
    try:
        described = AutoConfig.for_model(**config)
        if type(described) not in MODEL_MAPPING:
            raise ValueError("it has no model of that type alone")
        kind = MODEL_MAPPING[type(described)]
        kind = kind[0] if isinstance(kind, list | tuple) else kind
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what transformers will rename one day
            model = kind(described)
    except Exception as error:
        reason = _CLASS.sub(r"\1", " ".join(str(error).split())).split(". ")[0][:200]
        raise SpecError(
            file, "model_type", f"transformers refuses {shown(found)}: {reason}"
        ) from None
    if hasattr(model, "pooler"):
        model.pooler = None
    size = getattr(described.get_text_config(), "hidden_size", 0)
    linear, routers, experts = [], [], []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            sizes = (module.in_features, module.out_features)
        elif isinstance(module, Conv1D):
            sizes = tuple(module.weight.shape)
        else:
            experts += _experts(name, module, size)
            if "Router" in type(module).__name__ and getattr(module, "weight", None) is not None:
                count, inner = module.weight.shape
                routers.append(Module(name, inner, count, bias=False))
            continue
        linear.append(Module(name, *sizes, module.bias is not None))
    return ModuleTree(model, tuple(linear), tuple(routers), tuple(experts))


def _experts(path: str, module: Any, size: int) -> list[Module]:
    """Return the matrices of experts that a module holds itself.

    Their tensors are (experts, out, in), or (experts, in, out) where the module says that they
    are turned, or where one in front has not the model's ``size`` last and one behind not second.
    """
    found = []
    for name, tensor in module.named_parameters(recurse=False):
        if tensor.dim() != 3 or "expert" not in f"{path}.{name}":
            continue
        count, out, inner = tensor.shape
        turned = getattr(module, "is_transposed", None)
        if turned is None:
            turned = size in (out, inner) and size != (out if "down" in name else inner)
        sizes = (out, inner) if turned else (inner, out)
        bias = hasattr(module, f"{name}_bias")
        found.append(Module(path, *sizes, bias, parameter=name, experts=count))
    return found


@record(frozen=True, slots=True)
class Counts:
    """What two readers of a config.json can agree on."""

    static_linear_layers: int
    weights: int
    """Elements of the matrices of the linear layers."""
    expert_weights: int
    adapter_parameters: int | None
    """Trained numbers of adapters on all linear layers; None where PEFT makes none."""
    shapes: Mapping[tuple[int, int], int]
    """(in, out) features -> linear layers of that shape."""


def counts_of_modules(config: Mapping[str, Any], file: str, rank: int) -> Counts:
    """Return what transformers and PEFT count, without pooler and heads.

    Raises:
        InputError, SpecError: As :func:`read_modules`.
    """
    tree = read_modules(config, file)
    shapes = Counter((each.in_features, each.out_features) for each in tree.linear)
    adapters = tree.adapter_parameters(rank)
    return Counts(len(tree.linear), tree.weights, tree.expert_weights, adapters, shapes)


def counts_of(network: Network, rank: int) -> Counts:
    """Return what a network counts, with adapters of a rank on all its linear layers.

    Raises:
        SpecError: The rank does not fit a layer.
    """
    layers = network.static_linear_layers
    adapted = network.with_adapters(rank=rank, targets=["*"], exclude=[])
    return Counts(
        len(layers),
        network.weights,
        network.expert_weights,
        adapted.adapter_parameters,
        Counter((op.in_features, op.out_features) for op in layers),
    )


def body(config: Mapping[str, Any], file: str) -> Body:
    """Return the matrices of a model without a family, one behind the other.

    How they follow each other, and all between them, is not known: each reads what enters.

    Raises:
        InputError, SpecError: As :func:`read_modules`.
    """
    tree, ops = read_modules(config, file), OpList(file)
    if not tree.linear:
        raise SpecError(file, "model_type", "transformers' model of it has no linear layer")
    what = "linear layers and experts" if tree.experts else "linear layers"
    notes = [
        f"family {config.get('model_type')!r} is not described: {what} alone, each by "
        "itself, from the modules of transformers; attention, norms, activations and sums are "
        "left out"
    ]
    active = _active(tree.model.config.get_text_config()) if tree.experts else None
    if tree.experts and active is None:
        notes.append("how many experts a token passes through is not known: all, assumed")
    ranks = tree.ranks() if tree.experts else None
    for each in (*tree.linear, *tree.routers, *tree.experts):
        if max(each.in_features, each.out_features) > MOST:
            continue
        name = f"{each.path}.{each.parameter}" if each.parameter else each.path
        inner, out = each.in_features, each.out_features
        sizes: dict[str, Any] = {"in_features": inner, "out_features": out}
        if ranks is not None:
            sizes["all_linear"] = ranks.get((each.path, inner, out), 0) // each.experts
        if each.parameter:
            count = each.experts
            sizes |= {"experts": count, "active": min(count, active or count)}
        kind = Experts if each.parameter else Router if each in tree.routers else Linear
        ops.put(kind, name, [], **sizes, bias=each.bias)
    return Body(ops.ops, None, None, tuple(notes))


def _active(config: Any) -> int | None:
    """Return the experts that a token passes through, by the keys that configs have for them."""
    for key in ("num_experts_per_tok", "moe_topk", "moe_top_k", "moe_k", "top_k_experts"):
        found = getattr(config, key, None)
        if isinstance(found, int) and found > 0:
            return found
    return None
