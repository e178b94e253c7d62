"""How sure an answer is: what the models missed on RTL, carried through a run.

A model of a kernel was compared with RTL row by row (:mod:`hybridsim.validation.rtl`). What it
missed there says what it may miss on a shape that nobody measured. :mod:`.regimes` sorts kernels
by the way in which their model can be wrong, :mod:`.residuals` keeps what was missed in each
regime, :mod:`.doubts` says what of it a work of a plan carries, and :mod:`.intervals` runs the
same plan with many draws of it. What no row measured is named, and is not in the interval.
"""

from hybridsim.certainty.intervals import MOST_SAMPLES, interval_of, span_interval, with_interval

__all__ = ["MOST_SAMPLES", "interval_of", "span_interval", "with_interval"]
