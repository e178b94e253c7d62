"""Parts from outside of the package: what a cluster asks them, and what they may answer.

A part is a class in a file of one's own, or an entry point of ``hybridsim.parts``, and a section
of a machine: ``{part: file.py:Class, ...}`` with its own keys beside ``part``. It prices kernels
in cycles of its cluster, one kernel of plain integers at a time; what it answers is checked.
"""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from pydantic import GetJsonSchemaHandler, SerializerFunctionWrapHandler, model_serializer
from pydantic_core import CoreSchema

from hybridsim.errors import HybridsimError, SpecError
from hybridsim.outside import failed_at, from_outside, origin_of
from hybridsim.specs import shown, validate
from hybridsim.units import Ints, Power, Spec
from hybridsim.work import MOST_PS

ROW_KERNELS = (
    "softmax", "layer_norm", "rms_norm", "no_norm", "gelu", "relu", "silu", "tanh",
    "swiglu", "geglu", "add", "rotary",
)  # fmt: skip
"""What a :class:`RowUnit` may take from the cores: kernels of so many rows of so many elements."""
MOST_CYCLES = MOST_PS // 10**6
"""No kernel takes so many cycles: at 1 MHz they last 2^62 ps, the most that works may."""
AnyPart = TypeVar("AnyPart", bound="OutsidePart")


class OutsidePart(Spec):
    """Base of parts from outside: :class:`GemmUnit` and :class:`RowUnit`."""

    @property
    def part(self) -> str:
        """How the part is named in a machine's file; the class where it was made in Python."""
        origin = origin_of(type(self))
        return origin.name if origin else type(self).__name__

    @model_serializer(mode="wrap")
    def _with_its_origin(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        origin, fields = origin_of(type(self)), handler(self)
        if origin is None:
            return {"part": type(self).__name__, **fields}
        return {"part": origin.name, "code": origin.code, **fields}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema of a section that names a part; its other keys are the part's own."""
        return {
            "title": cls.__name__,
            "type": "object",
            "properties": {
                "part": {
                    "type": "string",
                    "description": "The part: file.py:Class, looked for from the folder of the "
                    "machine's file, or an entry point of hybridsim.parts.",
                },
                "code": {
                    "type": "string",
                    "description": "The hash that its code must have.",
                    "default": "any",
                },
            },
            "required": ["part"],
            "additionalProperties": True,
        }

    def _priced(self, kernel: str, ask: Callable[..., object], *question: object) -> int:
        """Return what the part answers, if that is a number of cycles.

        Raises:
            SpecError: It is no whole number, below 1, or so many that no run may last; or the
                part fails at it.
        """
        try:
            cycles = ask(*question)
        except HybridsimError:
            raise
        except Exception as error:  # whatever the code of others raises
            reason = f"{type(error).__name__}: {error}"[:200]
            reason += f", at {at[1]}" if (at := failed_at(error)) else ""
            problem = f"fails at {kernel} ({reason}); a part that prices it would do"
            raise SpecError(self.part, "", problem) from error
        whole = isinstance(cycles, int | np.integer) and not isinstance(cycles, bool)
        if not whole or not 1 <= cycles < MOST_CYCLES:  # type: ignore[operator]
            raise SpecError(
                self.part,
                "",
                f"prices {kernel} at {shown(cycles)} cycles; a whole number from 1 to below "
                f"{MOST_CYCLES} would do",
            )
        return int(cycles)  # type: ignore[call-overload, no-any-return]


class GemmUnit(OutsidePart):
    """What multiplies in a cluster in place of its matrix engine: Z += X W, in the number format
    of the engine (fp16)."""

    @abstractmethod
    def product_cycles(self, m: int, n: int, k: int) -> int:
        """Return the cycles of Z (m x k) += X (m x n) W (n x k), from trigger to done."""

    @property
    @abstractmethod
    def macs_per_cycle(self) -> int:
        """Multiply-accumulates per cycle when all of the unit is busy."""

    @property
    def peak(self) -> int:
        """Another name for :attr:`macs_per_cycle`."""
        return self.macs_per_cycle

    def buffer_rows(self, m: Any) -> Any:
        """Return the rows that buffers of m rows take; as many, unless the unit says otherwise."""
        return m

    def gemm_cycles(self, m: Any, n: Any, k: Any, with_y: bool = True) -> Any:
        """Return the cycles of one product, or of columns of them.

        Raises:
            SpecError: The unit answers with no number of cycles.
        """
        if not any(isinstance(size, np.ndarray) for size in (m, n, k)):
            return _product(self, int(m), int(n), int(k))
        sizes = np.broadcast_arrays(m, n, k)
        rows, which = np.unique(np.stack([s.ravel() for s in sizes]), axis=1, return_inverse=True)
        each = [_product(self, *row) for row in rows.T.tolist()]
        found: Ints = np.array(each, np.int64)[which.reshape(-1)].reshape(sizes[0].shape)
        return found


class RowUnit(OutsidePart):
    """What computes softmax, norms or activations beside the cores of a cluster."""

    takes: ClassVar[tuple[str, ...]] = ()
    """The kernels that it takes from the cores, of :data:`ROW_KERNELS`."""
    power: Power | None = None
    """The unit while it works [uW], beside what its cluster draws; null where it is unknown."""

    @abstractmethod
    def kernel_cycles(self, kernel: str, rows: int, columns: int) -> int:
        """Return the cycles of a kernel on so many rows of so many elements, in TCDM."""

    def cycles(self, kernel: str, rows: int, columns: int) -> int:
        """Return the cycles of a kernel.

        Raises:
            SpecError: The unit answers with no number of cycles.
        """
        return _kernel(self, kernel, int(rows), int(columns))


@lru_cache(maxsize=65536)
def _product(unit: GemmUnit, m: int, n: int, k: int) -> int:
    return unit._priced(f"a product of {m} x {n} x {k}", unit.product_cycles, m, n, k)


@lru_cache(maxsize=65536)
def _kernel(unit: RowUnit, kernel: str, rows: int, columns: int) -> int:
    about = f"{kernel} of {rows} x {columns}"
    return unit._priced(about, unit.kernel_cycles, kernel, rows, columns)


# --- from a machine's file ----------------------------------------------------------------------


def names_a_part(data: object) -> bool:
    """Return whether a section of a machine names a part from outside."""
    return isinstance(data, Mapping) and "part" in data


def part_of(data: object, base: type[AnyPart]) -> AnyPart:
    """Return the part that a section of a machine describes.

    Raises:
        SpecError: The part is not there, fails to import, or its keys do not describe it.
    """
    if isinstance(data, base):
        return data
    assert isinstance(data, Mapping)
    name, code = data["part"], data.get("code")
    if not isinstance(name, str) or not isinstance(code, str | None):
        raise SpecError(
            "", "part", f"found {shown(name)}; file.py:Class or an entry point would do"
        )
    kind = part_class(name, base, code=code)
    fields = {key: value for key, value in data.items() if key not in ("part", "code")}
    part = validate(kind, fields, f"part {name}")
    try:
        hash(part)
    except TypeError as error:
        raise SpecError(name, "", f"has keys of no use ({error}); tuples would do") from None
    return part


def part_class(
    name: str, base: type[AnyPart], folder: Path | None = None, code: str | None = None
) -> type[AnyPart]:
    """Return the class of a part.

    Raises:
        SpecError: It is not there, fails to import, is no such part, or leaves something open.
    """
    kind = from_outside(name, "part", folder, code)
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise SpecError(name, "", f"is no {base.__name__}; a class that extends it would do")
    if inspect.isabstract(kind):
        open_ = ", ".join(sorted(kind.__abstractmethods__))
        raise SpecError(name, "", f"leaves {open_} open; a part that says it would do")
    if issubclass(kind, RowUnit) and (not kind.takes or set(kind.takes) - set(ROW_KERNELS)):
        problem = f"takes {', '.join(kind.takes) or 'nothing'}; some of {', '.join(ROW_KERNELS)}"
        raise SpecError(name, "", f"{problem} would do")
    return kind
