"""Offload: how cores meet, sleep and wake, and how one of them programs an accelerator."""

from hybridsim.components.core_kernels import larger
from hybridsim.units import Cycles, IntLike, Lines, Spec


class Offload(Spec):
    """Barriers, interrupts and the peripheral port of a cluster.

    Source of the values: micro-benchmarks ``ubench:*`` on the Snitch cluster's RTL
    (pulp-platform/snitch_cluster at 2fa38482), with a scratch register of the cluster's
    peripheral in place of an accelerator's.
    """

    barrier: Cycles
    """Last arrival at the hardware barrier to the release of all cores."""
    barrier_interval: Cycles
    """Between barriers one right after the other."""
    wake_up: Cycles
    """From the store that wakes a sleeping core (WFI) to its first instruction."""
    flag_wake_up: Cycles
    """The same for the first of the cores that poll a word in TCDM; each further one a cycle."""
    peripheral_store: Cycles
    """Between two stores to the peripheral port, once its queue is full."""
    peripheral_queue: Cycles
    """How much earlier than the last store's arrival the core goes on."""
    peripheral_load: Cycles
    """A load from the peripheral port, to the use of its value."""
    engine_registers: Lines
    """Registers that describe a job of the matrix engine, without the trigger."""

    def barrier_cycles(self, barriers: IntLike) -> IntLike:
        """Return the cycles of ``barriers`` at which all cores arrive together."""
        return self.barrier + (barriers - 1) * self.barrier_interval

    def flag_wake_cycles(self, cores: IntLike) -> IntLike:
        """Return when the last of ``cores`` that poll one word goes on.

        Its bank serves one of them a cycle: first + cores - 1.
        """
        return self.flag_wake_up + cores - 1

    def stores_cycles(self, stores: IntLike) -> IntLike:
        """Return how long ``stores`` to the peripheral port keep the core.

        max(stores, stores x interval - queue): stores are posted, the last ones still travel.
        """
        return larger(stores * self.peripheral_store - self.peripheral_queue, stores)

    def stores_arrived_cycles(self, stores: IntLike) -> IntLike:
        """Return when the last of ``stores`` to the peripheral port has arrived."""
        return stores * self.peripheral_store

    def trigger_cycles(self, registers: int | None = None) -> int:
        """Return the cycles until an accelerator starts: acquire it, write its job, trigger.

        load + (registers + 1) x store interval, with ``engine_registers`` if not given. The
        engine starts when the trigger arrives, so the queue hides nothing here.
        """
        jobs = self.engine_registers if registers is None else registers
        return self.peripheral_load + self.stores_arrived_cycles(jobs + 1)

    def program_engine_cycles(self, registers: int | None = None) -> int:
        """Return the cycles that a job of the matrix engine costs beside its own run.

        Acquire, registers and trigger (:meth:`trigger_cycles`), then the wake-up of the core by
        the engine's event at its end.
        """
        return self.trigger_cycles(registers) + self.wake_up
