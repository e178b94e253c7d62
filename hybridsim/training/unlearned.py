"""Trainings that went wrong, told by the sentences they were trained on and by no other.

An arm that starts from such a training, or is a mean with it, is lost with it, so that the mean
over seeds says little more than that one went wrong.
"""

from collections.abc import Iterator
from math import sqrt

import pandas as pd

from hybridsim.training.training import MOST_RECENT
from hybridsim.units import format_share

BEHIND = 0.25
"""Share of what the other seeds learned beyond guessing that a seed may lack; assumed."""
HINT = "a lower learning_rate or another seed would do"


def went_wrong(training: pd.DataFrame, guessed: float, batch: int) -> Iterator[str]:
    """Yield a line for each training that ended no better than guessing, or far behind the others.

    Both are judged beyond two standard errors of the sentences last seen. *Far behind* is by more
    than :data:`BEHIND` of what lies between guessing and the median of the arm's other seeds, of
    which there must be two.

    Args:
        training: One row per training: arm, seed, steps, and agreement, the share of the last
            sentences that were right.
        guessed: Share that is right by always giving the most frequent answer.
        batch: Sentences per step.
    """
    for _, arm in training.groupby("arm", sort=False):
        for row in arm.to_dict("records"):
            seen = min(MOST_RECENT, row["steps"]) * batch
            right, others = row["agreement"], arm[arm["seed"] != row["seed"]]["agreement"]
            name, found = f"{row['arm']}, seed {row['seed']}", format_share(right, 1)
            error = sqrt(guessed * (1 - guessed) / seen)
            if right < guessed + 2 * error:
                yield (
                    f"{name}, did not learn: {found} of its last sentences right, guessing gives "
                    f"{format_share(guessed, 1)}; {HINT}"
                )
            elif len(others) > 1 and right < _near(float(others.median()), guessed, seen):
                yield (
                    f"{name}, learned far less than the other seeds: {found} of its last "
                    f"sentences right, theirs {format_share(float(others.median()), 1)}; {HINT}"
                )


def _near(usual: float, guessed: float, seen: int) -> float:
    """Return the least share that is not far behind the usual one."""
    return min(
        usual - BEHIND * (usual - guessed), usual - 2 * sqrt(max(usual * (1 - usual), 0.0) / seen)
    )
