"""Numbers that a machine lacks, estimated once and written down with their source.

Nothing is estimated while something runs: :func:`estimate` asks what a machine has parts for but
no numbers of, by models of a kept library (extra ``estimators``) where they run and by published
figures elsewhere, and :func:`as_yaml` writes a machine that extends the other one by the answers.
From there on they are numbers like all others, whose sources say that they are estimates.
"""

from hybridsim.estimates.asked import Answer, Settings, Untold, estimate
from hybridsim.estimates.written import as_yaml

__all__ = ["Answer", "Settings", "Untold", "as_yaml", "estimate"]
