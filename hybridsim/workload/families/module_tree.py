"""What transformers and PEFT make of a config.json: the truth beside the families.

A model on torch's meta device has modules and shapes, but no weights, so that one of 700 billion
weights takes a second. Needs the extra ``hf``.
"""

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from hybridsim.errors import InputError, SpecError
from hybridsim.specs import shown
from hybridsim.workload.families.builder import Body, OpList
from hybridsim.workload.graph import Network
from hybridsim.workload.ops import MOST, Linear

EXTRA = "pip install 'hybridsim[hf]'"
"""How to get what this file needs."""


@dataclass(frozen=True, slots=True)
class Module:
    """A linear layer of a model of transformers."""

    name: str
    in_features: int
    out_features: int
    bias: bool


@dataclass(frozen=True)
class ModuleTree:
    """A model of transformers on the meta device, without pooler and heads."""

    model: Any
    linear: tuple[Module, ...]
    expert_weights: int
    """Elements of the weights of experts, which are tensors of three dimensions."""

    @property
    def weights(self) -> int:
        """Elements of the matrices of all linear layers."""
        return sum(each.in_features * each.out_features for each in self.linear)

    def adapter_parameters(self, rank: int) -> int | None:
        """Return the trained numbers of PEFT's adapters on all linear layers; None if it refuses.

        The model has them afterwards.
        """
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(r=rank, target_modules="all-linear")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                adapted = get_peft_model(self.model, lora)
        except ValueError:
            return None
        return sum(int(p.numel()) for name, p in adapted.named_parameters() if "lora_" in name)


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
        kind = MODEL_MAPPING[type(described)]
        kind = kind[0] if isinstance(kind, list | tuple) else kind
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what transformers will rename one day
            model = kind(described)
    except Exception as error:
        reason = " ".join(str(error).split()).split(". ")[0][:200]
        raise SpecError(
            file, "model_type", f"transformers refuses {shown(found)}: {reason}"
        ) from None
    if hasattr(model, "pooler"):
        model.pooler = None
    linear = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            sizes = (module.in_features, module.out_features)
        elif isinstance(module, Conv1D):
            sizes = tuple(module.weight.shape)
        else:
            continue
        linear.append(Module(name, *sizes, module.bias is not None))
    experts = sum(
        p.numel() for name, p in model.named_parameters() if p.dim() == 3 and "expert" in name
    )
    return ModuleTree(model, tuple(linear), experts)


@dataclass(frozen=True, slots=True)
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
    """Return the linear layers of a model without a family, one behind the other.

    How they follow each other, and all between them, is not known: each reads what enters.

    Raises:
        InputError, SpecError: As :func:`read_modules`.
    """
    tree, ops = read_modules(config, file), OpList(file)
    for each in tree.linear:
        if max(each.in_features, each.out_features) <= MOST:
            sizes = {"in_features": each.in_features, "out_features": each.out_features}
            ops.put(Linear, each.name, [], **sizes, bias=each.bias)
    if not tree.linear:
        raise SpecError(file, "model_type", "transformers' model of it has no linear layer")
    notes = [
        f"family {config.get('model_type')!r} is not described: linear layers alone, each by "
        "itself, from the modules of transformers; attention, norms, activations and sums are "
        "left out"
    ]
    if tree.expert_weights:
        notes.append(f"{tree.expert_weights:,} weights of experts")
    return Body(ops.ops, None, None, tuple(notes))
