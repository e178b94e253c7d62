"""The fields of the ops that were found: names, sizes, and which of them share their weights."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hybridsim.workload.onnx_import.drafts import Naming, is_anonymous
from hybridsim.workload.onnx_import.stored import StoredWeights
from hybridsim.workload.onnx_import.values import Draft

_OWN_FIELDS: Mapping[str, tuple[str, ...]] = {
    "attention": ("heads", "kv_heads", "head_dim", "causal", "window"),
    "concat": ("features",),
    "convolution": ("in_features", "bias", "groups"),
    "depthwise": ("kernel",),
    "embedding": ("rows",),
    "linear": ("in_features", "bias", "all_linear"),
    "norm": ("function", "parts"),
    "activation": ("function",),
    "input": ("tokens",),
    "pool": ("kernel", "positions"),
    "rotary": ("heads", "head_dim"),
    "slice": ("in_features", "start"),
    "window": ("features", "kernel", "stride", "padding", "positions"),
}
"""The fields of each kind of op, beside the size of its output."""


def fields_of(drafts: Sequence[Draft], weights: StoredWeights) -> list[dict[str, Any]]:
    """Return the fields of all ops, in their order."""
    naming, names, sharing = Naming(), dict[Draft, str](), _Sharing(drafts, weights)
    made = []
    for draft in drafts:
        names[draft], block = naming.name(draft)
        fields = {
            key: draft.fields[key]
            for key in _OWN_FIELDS.get(draft.kind, ())
            if key in draft.fields
        }
        inputs = tuple(names[source] for source in draft.inputs)
        fields |= {"kind": draft.kind, "name": names[draft], "block": block, "inputs": inputs}
        if draft.kind in ("linear", "convolution", "slice"):
            fields["out_features"] = draft.out_features
        elif draft.kind == "trigram":
            fields["features"] = draft.out_features // 3
        elif draft.kind not in ("attention", "concat", "rotary", "window"):
            fields["features"] = draft.out_features
        if draft.kind in ("linear", "convolution", "norm"):
            other = sharing.earlier(draft)
            fields["shared"] = names[other] if other is not None else None
            if other is not None and draft.kind == "linear":
                fields["turned"] = draft.fields.get("turned") != other.fields.get("turned")
        if draft.kind == "linear" and fields["shared"] is None:
            fields["tied"] = sharing.with_table(draft)
        made.append(fields)
    return made


class _Sharing:
    """Which ops have the weights of another one.

    A weight that has a name in the model is that of its module alone, whatever equal tensors an
    exporter stores for it; a matrix without is told by its numbers. Those of norms are not: before
    training they are all ones.
    """

    def __init__(self, drafts: Sequence[Draft], weights: StoredWeights) -> None:
        self._weights = weights
        self._tables = [draft for draft in drafts if draft.kind == "embedding"]
        self._by_name: dict[tuple[object, ...], list[Draft]] = {}
        self._by_start: dict[tuple[object, ...], list[Draft]] = {}

    def earlier(self, draft: Draft) -> Draft | None:
        """Return the first op with the same weights, or None if this one is the first."""
        name = draft.fields.get("weight", draft.parameter)
        if not name or (draft.kind == "norm" and is_anonymous(name)):
            return None
        stored = [draft.fields.get("in_features"), draft.out_features]
        sizes = (draft.kind, *(stored[::-1] if draft.fields.get("turned") else stored))
        alike = self._by_name.setdefault((name, *sizes), [])
        found = next((d for d in alike if _one_module(name, d, draft)), None)
        if found is None:
            alike.append(draft)
            found = self._equal(name, sizes, draft) if is_anonymous(name) else None
        return found

    def _equal(self, name: str, sizes: tuple[object, ...], draft: Draft) -> Draft | None:
        """Return the first op whose weights have no name and the same numbers, or None."""
        start = self._weights.start(name)
        if start is None:
            return None
        alike = self._by_start.setdefault((start, *sizes), [])
        for other in alike:
            if self._weights.same(other.fields.get("weight", other.parameter), name):
                return other
        alike.append(draft)
        return None

    def with_table(self, draft: Draft) -> bool:
        """Return whether a linear layer has the weights of an embedding."""
        name, sizes = draft.fields["weight"], (draft.out_features, draft.fields["in_features"])
        tables = [t for t in self._tables if (t.fields["rows"], t.out_features) == sizes]
        return any(
            name == table.parameter
            or (is_anonymous(name) and self._weights.same(table.parameter, name, transposed=True))
            for table in tables
        )


def _one_module(name: str, first: Draft, second: Draft) -> bool:
    """Return whether two ops with a weight of one name are one module that runs twice."""
    if is_anonymous(name) or first.scope == second.scope:
        return True
    return _is_of_its_module(name, first) and _is_of_its_module(name, second)


def _is_of_its_module(name: str, draft: Draft) -> bool:
    """Return whether a weight belongs to the module that uses it, as far as the file tells.

    TorchScript numbers the runs of a module: ``norm_1`` is ``norm`` again.
    """
    if draft.scope is None:
        return True
    words, modules = name.split("."), draft.scope.split(".")
    return len(words) > len(modules) and all(
        module == word or re.fullmatch(rf"{re.escape(word)}_\d+", module)
        for word, module in zip(words, modules, strict=False)
    )
