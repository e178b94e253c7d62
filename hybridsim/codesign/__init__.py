"""Accuracy after years, latency and energy in one table, and the adapter to ship.

Results of ``hybridsim adapt`` are crossed with the simulator; torch is not needed.
"""

from hybridsim.codesign.answer import CodesignResult, run_codesign
from hybridsim.codesign.results import Candidate, read_candidates
from hybridsim.codesign.study import CodesignStudy, IntegrationNoise, read_codesign_study

__all__ = [
    "Candidate",
    "CodesignResult",
    "CodesignStudy",
    "IntegrationNoise",
    "read_candidates",
    "read_codesign_study",
    "run_codesign",
]
