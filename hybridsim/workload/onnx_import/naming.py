"""Names and blocks of ops, from what an exporter left of the modules."""

import re
from collections import Counter

from hybridsim.workload.onnx_import.values import Draft

_BLOCK = re.compile(r"(.*?(?:^|\.)(?:layers?|blocks?|h))\.(\d+)(?:\.(.*))?$")
"""A module in a list of blocks, as in ``encoder.layer.3.output``; the outermost list counts."""
_WEIGHTED = frozenset({"linear", "embedding", "norm", "class_token"})
_SUFFIX = re.compile(r"[._](weight|bias)$")
_ANONYMOUS = re.compile(r"onnx::\w+|val_\d+|\w*_output_\d+|_?\d+")


class Naming:
    """Gives every op a name of its own, and the block it belongs to."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, str], int] = {}
        self._block_of: dict[Draft, int | None] = {}
        self._taken: Counter[str] = Counter()

    def name(self, draft: Draft) -> tuple[str, int | None]:
        """Return the name and the block of the next op; what it reads must be named before."""
        path = _path(draft)
        found = _BLOCK.match(path)
        if found:
            block: int | None = self._blocks.setdefault((found[1], found[2]), len(self._blocks))
            path = found[3] or ""
        elif path or draft.scope is not None:
            block = None
        else:
            block = self._inherited(draft)
        self._block_of[draft] = block
        if draft.kind not in _WEIGHTED or not path:
            path = f"{path}.{draft.kind}" if path else draft.kind
        plain = re.sub(r"[^A-Za-z0-9_.\-]+", "_", path).lstrip(".-")[:150] or draft.kind
        full = plain if block is None else f"block{block}.{plain}"
        self._taken[full] += 1
        if self._taken[full] > 1:
            full = f"{full}_{self._taken[full]}"
            self._taken[full] += 1
        return full, block

    def _inherited(self, draft: Draft) -> int | None:
        """Return the latest block that an op without a module of its own reads from."""
        found = [self._block_of.get(source) for source in draft.inputs]
        return max((block for block in found if block is not None), default=None)


def _path(draft: Draft) -> str:
    """Return the module of an op; the name of its weight says more than its node, if they agree.

    Exporters let equal weights share one name, which may then be that of another module.
    """
    named = "" if _ANONYMOUS.fullmatch(draft.parameter) else _SUFFIX.sub("", draft.parameter)
    if named and (not draft.scope or named.startswith(f"{draft.scope}.")):
        return named
    return draft.scope or ""
