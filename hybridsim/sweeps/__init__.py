"""Design-space sweeps: a study file in, every point evaluated, recorded and compared."""

from hybridsim.sweeps.run import SweepInterrupted, SweepResult, run_study, sweep
from hybridsim.sweeps.study import Study, read_study

__all__ = ["Study", "SweepInterrupted", "SweepResult", "read_study", "run_study", "sweep"]
