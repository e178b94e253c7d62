"""Hostile versions of good documents: structure kept, some places changed for the worst."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import yaml
from hypothesis import strategies as st

DEEP: Any = 0
for _ in range(40):
    DEEP = [DEEP]

WORST: tuple[Any, ...] = (
    0, -1, 1, 2, 7, 2**20, 2**31, 2**63, 10**17, 10**40, -(10**18), 0.5, 1e308, 5e-324,
    float("inf"), float("nan"), True, False, None, "", " ", "x", "x" * 5000, "\x1b[31m", "a\0b",
    "\u202e", "010", "1:30", "0x10", "2024-13-45", [], {}, [[]], [1, 2], {"a": 1}, {"kind": "x"},
    DEEP, "0 ns", "1 ps", "1000 s", "999999999999 s", "0.0001 ns", "1 Hz", "1000 GHz", "1 B",
    "262144 GiB", "0 cycles", "1000000 cycles", f"{10**17} cycles", "1 mJ", f"{10**14} nJ",
    "1000 W", "1 bit", "65536 bit", "65536 B/cycle", "1 kB/s", "as_needed", "packed", "none",
    "block0", "../../etc/passwd", "/dev/zero", "gpt2", "fp32", "int8",
)  # fmt: skip
"""Values that some reader or equation is not ready for; some are right in some places."""


def places(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places in a document but its root."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from places(value, (*above, key))


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """A document with one to three changes: a value, a place gone, one more, one twice."""
    found = deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        known = list(places(found))
        if not known:
            break
        *way, last = draw(st.sampled_from(known))
        holder = found
        for key in way:
            holder = holder[key]
        match draw(st.sampled_from(("value", "value", "value", "gone", "more", "swap"))):
            case "value":
                holder[last] = deepcopy(draw(st.sampled_from(WORST)))
            case "gone":
                del holder[last]
            case "more" if isinstance(holder, dict):
                holder[draw(st.sampled_from(("kind", "count", "x.y", "name", "~", "1")))] = 1
            case "more":
                holder.append(deepcopy(holder[last]))
            case "swap":
                holder[last] = deepcopy(_at(found, draw(st.sampled_from(known))))
    return found


def _at(tree: Any, way: tuple[Any, ...]) -> Any:
    for key in way:
        tree = tree[key] if isinstance(tree, list | dict) and _has(tree, key) else None
    return tree


def _has(tree: Any, key: Any) -> bool:
    return key in tree if isinstance(tree, dict) else isinstance(key, int) and key < len(tree)


@st.composite
def scratched(draw: st.DrawFn, raw: bytes) -> bytes:
    """A file with some bytes flipped, cut, doubled, or put in."""
    found = bytearray(raw)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(found) - 1, 0)))
        match draw(st.sampled_from(("flip", "cut", "twice", "in"))):
            case "flip" if found:
                found[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del found[at : at + draw(st.integers(1, 50))]
            case "twice":
                found[at:at] = found[at : at + draw(st.integers(1, 200))]
            case "in":
                found[at:at] = draw(st.sampled_from(_BYTES))
    return bytes(found)


_BYTES = (b"[" * 200, b"{" * 200, b"9" * 400, b"\xff", b"\0", b"\x1b[31m", b"- " * 100, b"\n",
          b'"', b"&a ", b"*a", b"!!x ", b": ", b"\xef\xbb\xbf", b"1e999", b"NaN")  # fmt: skip


@st.composite
def yaml_files(draw: st.DrawFn, document: Any) -> bytes:
    """A YAML file of a hostile version of a document, maybe scratched as well."""
    text = yaml.safe_dump(draw(changed(document)), allow_unicode=True, sort_keys=False)
    raw = text.encode("utf-8", "surrogatepass")
    return draw(scratched(raw)) if draw(st.integers(0, 3)) == 0 else raw


@st.composite
def json_files(draw: st.DrawFn, document: Any) -> bytes:
    """A JSON file of a hostile version of a document, maybe scratched as well."""
    raw = json.dumps(draw(changed(document))).encode("utf-8", "surrogatepass")
    return draw(scratched(raw)) if draw(st.integers(0, 3)) == 0 else raw
