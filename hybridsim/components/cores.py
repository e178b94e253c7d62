"""Processor cores of a cluster: what a kernel costs on them, in cycles."""

from collections.abc import Mapping
from functools import lru_cache, reduce
from typing import Annotated, Literal, Self, TypeVar

import numpy as np
from pydantic import Field, model_validator

from hybridsim.compiling import over_columns
from hybridsim.components.core_cycles import (
    CoresAtWork,
    ElementFigures,
    GemmFigures,
    fastest_gemm,
    fastest_pass,
    fill_gemms,
    fill_passes,
    gemm_blocks,
    gemm_conflicts,
    gemm_stream,
    share_of,
)
from hybridsim.components.core_kernels import (
    ELEMENT_BITS,
    GELUS,
    GEMMS,
    LAYERNORMS,
    RELUS,
    RMSNORMS,
    ROTARIES,
    SOFTMAXES,
    TRANSPOSES,
    VECTOR_ADDS,
    ElementProgram,
    Exponential,
    GemmProgram,
    Precision,
    RowProgram,
    SoftmaxProgram,
    larger,
    rows_per_core,
    smaller,
)
from hybridsim.errors import UnknownNameError, UnsupportedError
from hybridsim.units import Cycles, IntLike, Lines, Parts, Spec, Width, ceil_div

Percent = Annotated[int, Field(strict=True, ge=100)]
"""A time in percent of the undisturbed one, at least 100."""
Level = Literal["least", "typical", "most"]
"""Which bank conflicts to charge: none, those usually measured, or the worst of the range."""
AnyProgram = TypeVar("AnyProgram", GemmProgram, ElementProgram, RowProgram, SoftmaxProgram)
AnyExponential = TypeVar("AnyExponential", ElementProgram, SoftmaxProgram)


class Contention(Spec):
    """How much bank conflicts stretch a streaming loop, as a range and its usual value.

    The true value depends on the phase in which the cores start, which no closed form knows.
    """

    typical: Percent
    """What is usually measured."""
    least: Percent
    """The lower end of the range."""
    most: Percent
    """The upper end of the range."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.least <= self.typical <= self.most:
            raise ValueError(
                f"least {self.least}, typical {self.typical}, most {self.most}: "
                "write them in rising order"
            )
        return self

    def extra(self, cycles: IntLike, level: Level) -> IntLike:
        """Return the cycles that conflicts add to ``cycles`` of streaming, rounded up."""
        return ceil_div(cycles * (self.percent(level) - 100), 100)

    def percent(self, level: Level) -> int:
        """Return the time in percent of the undisturbed one."""
        return {"least": self.least, "typical": self.typical, "most": self.most}[level]


class CoresContention(Spec):
    """Bank conflicts between the cores' streams, by access pattern.

    All values are fitted to measured rows, unless they say derived; see ``docs/cluster.md``.
    """

    train_fp32: Contention
    """Padded rows, cores in a train that meets itself (:func:`train_collides`), fp32."""
    train_fp16: Contention
    """The same with fp16: one access of eight is lost (derived), so 113 percent."""
    broadcast: Contention
    """Broadcast kernel on padded rows, after its cores have drifted apart."""
    element_wise: Contention
    """Two streams read and one written per core, as in a vector addition."""
    start_fp32: Cycles
    """What each further core that starts in the same bank costs once, until the cores have
    spread over the banks, fp32."""
    start_fp16: Cycles
    """The same with fp16."""

    def train(self, precision: Precision) -> Contention:
        """Return the range for padded rows; 8-bit integers are taken like fp16 (assumed)."""
        return self.train_fp32 if precision == "fp32" else self.train_fp16

    def start(self, precision: Precision) -> int:
        """Return the cost of an aligned start per further core."""
        return self.start_fp32 if precision == "fp32" else self.start_fp16


class Cores(Spec):
    """The compute cores of one cluster, with their instruction-set extensions.

    A kernel's cost is the time of the slowest core, from a barrier to the exit of the next one,
    with the operands in TCDM and a warm instruction cache. The equations are those of Snitch
    cores, measured in RTL (pulp-platform/snitch_cluster at 2fa38482, ``snitch_kernels.csv``);
    ``docs/cluster.md`` gives them with their errors.

    Valid for problems of one element and more, and for TCDM banks in a power of two. Every cost
    takes integers or int64 arrays and returns the same.
    """

    count: Parts
    """Compute cores, without the one that drives the DMA."""
    ssr: bool
    """Stream semantic registers: operands arrive from TCDM without load instructions."""
    frep: bool
    """Hardware loop of floating-point instructions without the integer core."""
    packed_simd: bool
    """Several elements of a 64-bit floating-point register per instruction."""
    exp_instruction: bool
    """An exponential on SIMD words; only simulated in the literature (VEXP, arXiv 2504.11227)."""
    exponential: Exponential | None = None
    """How softmax and GELU compute exponentials: ``scalar``, the measured program; ``ssr_frep``;
    or ``instruction``. Null takes the instruction where there is one, and else scalar ones."""
    word: Width
    """Floating-point register and TCDM access [bit]; elements per SIMD word follow from it."""
    tcdm_banks: Lines
    """Banks that consecutive words are spread over, a power of two; that of the cluster's TCDM."""
    fp_latency: Cycles
    """A dependent floating-point operation, whatever its format."""
    load_latency: Cycles
    """A dependent load from TCDM without a conflict."""
    multiply_latency: Cycles
    """A dependent integer multiplication; one unit serves all cores, one after the other."""
    loop_iteration: Cycles
    """Counting and branching of a loop in software."""
    ssr_config: Cycles
    """Configuration of one stream in four dimensions."""
    ssr_switch: Cycles
    """Streams on and off again."""
    frep_overhead: Cycles
    """A hardware loop and the wait for its end, beyond its instructions."""
    fpu_fence: Cycles
    """Wait until the floating-point unit has finished."""
    barrier: Cycles
    """Last arrival at the hardware barrier to the release of all cores; that of the offload."""
    contention: CoresContention
    """Bank conflicts between the cores' streams."""

    @model_validator(mode="after")
    def _known_geometry(self) -> Self:
        if self.tcdm_banks & (self.tcdm_banks - 1):
            raise ValueError(f"tcdm_banks: found {self.tcdm_banks}; write a power of two")
        if self.word % max(ELEMENT_BITS.values()):
            raise ValueError(f"word: found {self.word} bit; write a multiple of 32 bit")
        for program in SOFTMAXES.values():
            missing = self._missing(program)
            if program.exponential == self.exponential and missing:
                raise ValueError(
                    f"exponential: {self.exponential} needs {', '.join(missing)}: true"
                )
        return self

    @property
    def exponentials(self) -> Exponential:
        """How exponentials are computed."""
        wanted = self._missing(SOFTMAXES["softmax_exp_instruction"])
        return self.exponential or ("scalar" if wanted else "instruction")

    def lanes(self, precision: Precision) -> int:
        """Return how many elements a SIMD word holds."""
        return self.word // ELEMENT_BITS[precision]

    def gemm_cycles(
        self,
        m: IntLike,
        n: IntLike,
        k: IntLike,
        precision: Precision,
        kernel: str | None = None,
        *,
        cores: int | None = None,
        level: Level = "typical",
        aligned: bool = True,
    ) -> IntLike:
        """Return the cycles of Z (m x k) = X (m x n) W (n x k) in one kernel.

        Without ``kernel``, that of the fastest one that the extensions allow, shape by shape.
        See :meth:`gemm_terms` for the other arguments.

        Raises:
            UnknownNameError: There is no such kernel.
            UnsupportedError: The kernel needs an extension that these cores do not have.
        """
        if kernel is None:
            costs = self.gemm_kernels(
                m, n, k, precision, cores=cores, level=level, aligned=aligned
            )
            return reduce(smaller, costs.values())
        terms = self.gemm_terms(
            m, n, k, precision, kernel, cores=cores, level=level, aligned=aligned
        )
        return _total(terms)

    def gemm_kernels(
        self,
        m: IntLike,
        n: IntLike,
        k: IntLike,
        precision: Precision,
        *,
        cores: int | None = None,
        level: Level = "typical",
        aligned: bool = True,
    ) -> dict[str, IntLike]:
        """Return the cycles of every kernel that the extensions allow, by name."""
        return {
            name: self.gemm_cycles(
                m, n, k, precision, name, cores=cores, level=level, aligned=aligned
            )
            for name, program in GEMMS.items()
            if not self._missing(program)
        }

    def unpadded_gemm_cycles(
        self, m: IntLike, n: IntLike, k: IntLike, precision: Precision, aligned: bool
    ) -> IntLike:
        """Return the cycles of the fastest GEMM kernel for rows that lie without padding.

        That is how they arrive in one contiguous transfer; see :meth:`gemm_terms`.
        """
        if isinstance(m, int) and isinstance(n, int) and isinstance(k, int):
            return _known_unpadded(self, m, n, k, precision, aligned)
        work, kernels = self._at_work(precision, None), _unpadded(self, precision, aligned)
        found: IntLike = over_columns(fill_gemms, (kernels, work), m, n, k)
        return found

    def gemm_terms(
        self,
        m: IntLike,
        n: IntLike,
        k: IntLike,
        precision: Precision,
        kernel: str,
        *,
        cores: int | None = None,
        level: Level = "typical",
        aligned: bool = True,
    ) -> dict[str, IntLike]:
        """Return what the cycles of a GEMM kernel consist of; they add up to its cost.

        With r rows and c columns on the busiest core, b = r ceil(c / outputs) blocks take
        b step ceil(n / lanes) cycles of ``stream`` and b epilogues. Rows go round the cores;
        fewer rows than cores share a row between floor(cores / m) cores. A last block, a last
        SIMD word and a last round of rows that are not full cost as much as full ones.

        Args:
            m: Rows of X and Z.
            n: The reduction: columns of X.
            k: Columns of Z.
            precision: Element type.
            kernel: A name from :data:`~hybridsim.components.core_kernels.GEMMS`.
            cores: How many cores work, at most ``count``; all if not given.
            level: Which bank conflicts to charge.
            aligned: Whether the cores start together, as after a barrier; a kernel that follows
                another one without a pause finds them spread over the banks already.
        """
        program = self._program(GEMMS, kernel, "GEMM kernel")
        work = self._at_work(precision, cores)
        own = self._gemm_figures(program, precision, work.used, level, aligned)
        rows, columns = share_of(work, m, k)
        blocks = gemm_blocks(own, rows, columns)
        stream = gemm_stream(own, work, blocks, n)
        start, conflicts = gemm_conflicts(own, work, m, n, k, stream)
        nothing, fixed = 0 * blocks, self._fixed(program.streams, work.used)
        return {
            **{name: nothing + term for name, term in fixed.items()},
            "prologue": nothing + program.prologue.at(precision),
            "stream": stream,
            "epilogue": blocks * own.epilogue,
            "aligned_start": start,
            "bank_conflicts": conflicts,
        }

    def _gemm_figures(
        self, program: GemmProgram, precision: Precision, used: int, level: Level, aligned: bool
    ) -> GemmFigures:
        """Return a GEMM kernel in numbers, as its equation takes them."""
        limits, lanes = self.contention, self.lanes(precision)
        spread = limits.broadcast if program.packs_outputs else limits.train(precision)
        fixed = sum(self._fixed(program.streams, used).values())
        return GemmFigures(
            once=fixed + program.prologue.at(precision),
            outputs=program.outputs * (lanes if program.packs_outputs else 1),
            packs_outputs=int(program.packs_outputs),
            packs_reduction=int(program.packs_reduction),
            step=program.step,
            epilogue=program.epilogue.at(precision) + (self.fp_latency if program.drains else 0),
            conflicts=int(program.padded is not None and used > 1 and level != "least"),
            padded=int(program.padded or False),
            typical=int(level == "typical"),
            start=limits.start(precision) * aligned,
            spread=spread.percent(level) - 100,
        )

    def _at_work(self, precision: Precision, cores: int | None) -> CoresAtWork:
        return CoresAtWork(self._used(cores), self.lanes(precision), self.tcdm_banks)

    def vector_add_cycles(
        self,
        elements: IntLike,
        precision: Precision,
        kernel: str | None = None,
        *,
        cores: int | None = None,
        level: Level = "typical",
    ) -> IntLike:
        """Return the cycles of adding two vectors of ``elements`` into a third.

        A product of two vectors costs the same. Kernels: :data:`VECTOR_ADDS`.
        """
        return self._elements(VECTOR_ADDS, elements, precision, kernel, cores, level)

    def relu_cycles(
        self,
        elements: IntLike,
        precision: Precision,
        kernel: str | None = None,
        *,
        cores: int | None = None,
        level: Level = "typical",
    ) -> IntLike:
        """Return the cycles of max(x, 0); instruction counts, not measured (assumed)."""
        return self._elements(RELUS, elements, precision, kernel, cores, level)

    def rotary_cycles(
        self,
        elements: IntLike,
        precision: Precision,
        kernel: str | None = None,
        *,
        cores: int | None = None,
        level: Level = "typical",
    ) -> IntLike:
        """Return the cycles of a rotary embedding; instruction counts, not measured (assumed)."""
        return self._elements(ROTARIES, elements, precision, kernel, cores, level)

    def transpose_cycles(
        self,
        elements: IntLike,
        precision: Precision,
        kernel: str | None = None,
        *,
        cores: int | None = None,
        level: Level = "typical",
    ) -> IntLike:
        """Return the cycles of transposing a matrix; counts, not measured (assumed)."""
        return self._elements(TRANSPOSES, elements, precision, kernel, cores, level)

    def gelu_cycles(
        self,
        elements: IntLike,
        precision: Precision,
        kernel: str | None = None,
        *,
        cores: int | None = None,
        level: Level = "typical",
    ) -> IntLike:
        """Return the cycles of x sigmoid(1.702 x); counts around an exponential (assumed)."""
        return self._elements(GELUS, elements, precision, kernel, cores, level)

    def softmax_cycles(
        self,
        rows: IntLike,
        columns: IntLike,
        precision: Precision,
        kernel: str | None = None,
        *,
        cores: int | None = None,
        level: Level = "typical",
    ) -> IntLike:
        """Return the cycles of the softmax of each of ``rows`` vectors of ``columns``.

        Each core takes ceil(rows / cores) whole rows (assumed); only scalar fp32 is measured.
        The cores begin in the same bank, and with their scalar loads and stores they meet on.
        """
        used = self._used(cores)
        others, each = smaller(rows, used) - 1, rows_per_core(rows, used)
        costs = []
        for program in self._exponential(SOFTMAXES, kernel, "softmax kernel"):
            elements, (cycles, per) = each * columns, program.element
            cost = each * program.row + ceil_div(elements * cycles, per) + program.prologue
            cost = cost + sum(self._fixed(program.streams, used).values())
            cost = cost + program.word * each * ceil_div(columns, self.lanes(precision))
            crowd, per = program.crowd
            if crowd and level != "least":
                cost = cost + others * self.contention.start(precision)
                cost = cost + ceil_div(elements * others * crowd, per)
            costs.append(cost)
        return reduce(smaller, costs)

    def layernorm_cycles(
        self,
        rows: IntLike,
        features: IntLike,
        precision: Precision,
        kernel: str | None = None,
        *,
        cores: int | None = None,
        level: Level = "typical",
    ) -> IntLike:
        """Return the cycles of the layer normalisation of each of ``rows`` vectors.

        Only fp32 is measured; other widths take as many instructions per SIMD word (assumed).
        """
        return self._rows(LAYERNORMS, rows, features, precision, kernel, cores, level)

    def rmsnorm_cycles(
        self,
        rows: IntLike,
        features: IntLike,
        precision: Precision,
        kernel: str | None = None,
        *,
        cores: int | None = None,
        level: Level = "typical",
    ) -> IntLike:
        """Return the cycles of an RMS normalisation; counts, not measured (assumed)."""
        return self._rows(RMSNORMS, rows, features, precision, kernel, cores, level)

    def _elements(
        self,
        programs: Mapping[str, ElementProgram],
        elements: IntLike,
        precision: Precision,
        kernel: str | None,
        cores: int | None,
        level: Level,
    ) -> IntLike:
        """Return the cost of the fastest program: ceil(elements / cores), in words if packed."""
        work = self._at_work(precision, cores)
        passes = [
            self._element_figures(program, work, level)
            for program in self._exponential(programs, kernel, "element-wise kernel")
        ]
        if isinstance(elements, np.ndarray):
            return over_columns(fill_passes, (passes, work), elements)
        return fastest_pass(passes, work, elements)

    def _element_figures(
        self, program: ElementProgram, work: CoresAtWork, level: Level
    ) -> ElementFigures:
        """Return a pass over elements in numbers, as its equation takes them."""
        # one operation a cycle keeps the banks busy; slower loops leave them time to recover
        busy = program.streams and program.step == (1, 1) and work.used > 1
        cycles, per = program.step
        return ElementFigures(
            sum(self._fixed(program.streams, work.used).values()) + program.prologue,
            int(program.packed),
            cycles + program.each * work.lanes * per,
            per,
            self.contention.element_wise.percent(level) - 100 if busy else 0,
            self.fp_latency + self.ssr_switch if busy else 0,
        )

    def _rows(
        self,
        programs: Mapping[str, RowProgram],
        rows: IntLike,
        features: IntLike,
        precision: Precision,
        kernel: str | None,
        cores: int | None,
        level: Level,
    ) -> IntLike:
        """Return the cost of the fastest program that normalises whole rows on each core.

        Streams of several rows that begin in one bank share its one access a cycle, for the read
        and the write of a word: 2 x rows side by side cycles a word, if that is more. Measured
        so for rows of 8 and 12 turns round the banks, not for 2 turns; the limit of 4 is
        assumed. Shorter rows meet the conflicts of element-wise streams.
        """
        used = self._used(cores)
        side_by_side = smaller(rows, used)
        each = rows_per_core(rows, used)
        costs = []
        for program in self._candidates(programs, kernel, "normalisation kernel"):
            steps = ceil_div(features, self.lanes(precision)) if program.packed else features
            free = each * steps * program.step
            cost = each * program.row + free + program.prologue
            cost = cost + sum(self._fixed(program.streams, used).values())
            if program.streams and level != "least":
                loose = self.contention.element_wise.extra(free, level) * (side_by_side > 1)
                queued = larger(each * steps * 2 * side_by_side - free, 0)
                queued = queued + self.contention.start(precision) * (side_by_side - 1)
                long = (steps % self.tcdm_banks == 0) & (steps >= 4 * self.tcdm_banks)
                cost = cost + larger(loose, queued * long)
            costs.append(cost)
        return reduce(smaller, costs)

    def _fixed(self, streams: int, used: int) -> dict[str, int]:
        """Return what a kernel pays once, whatever its size.

        Each core multiplies once to find its share of the work; the shared multiplier serves
        the cores one after the other (inferred: 8 cores start 30 cycles later than one).
        """
        return {
            "ssr_setup": (streams * self.ssr_config + self.ssr_switch) if streams else 0,
            "shared_multiplier": (used - 1) * self.multiply_latency,
            "fpu_fence": self.fpu_fence,
            "barrier": self.barrier,
        }

    def _used(self, cores: int | None) -> int:
        if cores is None:
            return self.count
        if not 1 <= cores <= self.count:
            raise UnsupportedError(f"{cores} cores: this cluster has 1 to {self.count}")
        return cores

    def _missing(
        self, program: GemmProgram | ElementProgram | RowProgram | SoftmaxProgram
    ) -> list[str]:
        return [name for name in program.needs if not getattr(self, name)]

    def _program(self, programs: Mapping[str, AnyProgram], kernel: str, what: str) -> AnyProgram:
        if kernel not in programs:
            raise UnknownNameError(what, kernel, programs)
        missing = self._missing(programs[kernel])
        if missing:
            there = [name for name, one in programs.items() if not self._missing(one)]
            raise UnsupportedError(
                f"{kernel}: needs {', '.join(missing)}, which these cores do not have; "
                f"they can run: {', '.join(there)}"
            )
        return programs[kernel]

    def _candidates(
        self, programs: Mapping[str, AnyProgram], kernel: str | None, what: str
    ) -> list[AnyProgram]:
        if kernel is not None:
            return [self._program(programs, kernel, what)]
        return [program for program in programs.values() if not self._missing(program)]

    def _exponential(
        self, programs: Mapping[str, AnyExponential], kernel: str | None, what: str
    ) -> list[AnyExponential]:
        """Return a program by its name, or those with the exponentials of the machine."""
        found = self._candidates(programs, kernel, what)
        if kernel is not None:
            return found
        return [one for one in found if one.exponential in (None, self.exponentials)]


def _total(terms: Mapping[str, IntLike]) -> IntLike:
    """Return the sum of the terms, of the type of the terms."""
    return reduce(lambda a, b: a + b, terms.values())


@lru_cache(maxsize=65536)
def _known_unpadded(
    cores: Cores, m: int, n: int, k: int, precision: Precision, aligned: bool
) -> int:
    """Return the cycles of one shape; plans ask for few shapes, and often."""
    work, kernels = cores._at_work(precision, None), _unpadded(cores, precision, aligned)
    return fastest_gemm(kernels, work, m, n, k)


def _unpadded(cores: Cores, precision: Precision, aligned: bool) -> list[GemmFigures]:
    """Return the GEMM kernels that take rows without padding, in numbers."""
    return [
        cores._gemm_figures(program, precision, cores.count, "typical", aligned)
        for name, program in GEMMS.items()
        if name != "gemm_ssr_frep" and not cores._missing(program)
    ]
