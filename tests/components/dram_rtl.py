"""Reads of a memory behind a controller in RTL: LiteDRAM's, in Migen's simulator.

    pip install litedram==2024.12 migen litex
    python tests/components/dram_rtl.py sequential 1000     # or 4096, 1024, 256, 64: bytes a piece

Controller and crossbar for a DDR3-1600 of 16 bits, refresh included; words of 16 bytes are read at
the native port by one reader, in order. What is printed is the share of the peak, a word a cycle.
docs/trust.md has what came out: 1000 words in order, 800 in pieces at random addresses.
"""

import random
import sys
from collections.abc import Iterator
from typing import Any

WORD = 16
"""Bytes of a word at the port."""


def addresses(pattern: str, words: int, most: int) -> Iterator[int]:
    """Yield addresses of words: in order, or in pieces of so many bytes at random places."""
    if pattern == "sequential":
        yield from range(words)
        return
    draw, piece = random.Random(1), int(pattern) // WORD
    for _ in range(-(-words // piece)):
        first = draw.randrange(most // piece) * piece
        yield from range(first, first + piece)


def share_of_peak(pattern: str, words: int) -> float:
    """Return words over cycles, from the first word that comes to the last."""
    from litedram.core.controller import LiteDRAMController
    from litedram.core.crossbar import LiteDRAMCrossbar
    from litedram.modules import MT41K128M16
    from litedram.phy.model import get_sdram_phy_settings
    from migen import Module, run_simulation

    clock = 200e6
    module = MT41K128M16(clock, "1:4", speedgrade="1600")
    geometry, came = module.geom_settings, []
    top = Module()
    top.submodules.controller = controller = LiteDRAMController(
        phy_settings=get_sdram_phy_settings("DDR3", 16, clock),
        geom_settings=geometry,
        timing_settings=module.timing_settings,
        clk_freq=clock,
    )
    top.submodules.crossbar = crossbar = LiteDRAMCrossbar(controller.interface)
    port = crossbar.get_port()
    most = 1 << (geometry.rowbits + geometry.colbits + geometry.bankbits - 3)

    def ask() -> Iterator[Any]:
        yield port.rdata.ready.eq(1)
        for address in addresses(pattern, words, most):
            yield port.cmd.addr.eq(address)
            yield port.cmd.valid.eq(1)
            yield
            while not (yield port.cmd.ready):
                yield
        yield port.cmd.valid.eq(0)

    def watch() -> Iterator[Any]:
        now = 0
        while len(came) < words:
            if (yield port.rdata.valid):
                came.append(now)
            yield
            now += 1

    run_simulation(top, [ask(), watch()])
    return words / (came[-1] - came[0] + 1)


if __name__ == "__main__":
    print(f"{share_of_peak(sys.argv[1], int(sys.argv[2])):.1%}")
