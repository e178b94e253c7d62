"""On which part of the machine each kind of op is computed, where there is a choice."""

from typing import Literal

from hybridsim.units import Spec


class OpUnits(Spec):
    """A part for each kind of op; ``best`` takes the one whose work on a chunk is shorter.

    A kind with one part alone is listed, so that asking for another says what would do. Linear
    layers are where their weights are; adapters have the options ``unit`` and ``order``.
    """

    attention: Literal["matrix_engine", "cores", "best"] = "matrix_engine"
    """The products of an attention; on the cores where a cluster has no engine.
    Source of the default: HARP."""
    softmax: Literal["cores"] = "cores"
    """The softmax of an attention; nothing else has a cost for it."""
    add: Literal["periphery", "cores", "best"] = "periphery"
    """A sum of vectors; on the cores where a tile's periphery does no sums.
    Source of the default: HARP."""
    norm: Literal["cores"] = "cores"
    """A normalization; ``free_ops`` of a machine hides those of a periphery."""
    activation: Literal["cores"] = "cores"
    """An element-wise function; as for norms."""
    embedding: Literal["dram"] = "dram"
    """The rows of a table."""
