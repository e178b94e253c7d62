"""Any strategy for whole networks, composed from its options."""

from typing import Literal

from hybridsim.strategies._network_strategy import NetworkStrategy


class Composed(NetworkStrategy):
    """Every option as the user sets it; by default chunks that flow without any barrier."""

    kind: Literal["network"] = "network"
