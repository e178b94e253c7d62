"""Programs on clusters whose fields are columns: one entry for each of several machines."""

from collections.abc import Callable
from typing import Any

import numpy as np

from hybridsim.arch import Cluster
from hybridsim.units import Clock

ONE_THZ = Clock.model_construct(frequency=10**12)
"""A clock whose cycles are picoseconds."""


def on_each(cluster: Cluster, value: Callable[[Cluster], int]) -> Any:
    """Return what ``value`` says of a cluster: a column where fields of the cluster are.

    It is asked once for each different entry of these, with single numbers.
    """
    arrays = cluster.arrays()
    if not arrays:
        return value(cluster)
    columns = np.stack(np.broadcast_arrays(*arrays))
    _, first, which = np.unique(columns, axis=1, return_index=True, return_inverse=True)
    found = [value(cluster.taken(at)) for at in first.tolist()]
    return np.array(found, np.int64)[which.reshape(-1)]
