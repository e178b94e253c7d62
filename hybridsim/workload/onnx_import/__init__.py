"""What turns the nodes of an ONNX graph into ops of a network.

Nodes are read in their order (:mod:`.tracer`). Every tensor is one of a few kinds of value
(:mod:`.values`): data that is known without running the network, a vector per token, a statistic
of such vectors, or scores of an attention. Moving elements about (:mod:`.plumbing`) and
element-wise arithmetic (:mod:`.arithmetic`) only change how a value is seen; an op is written
down when something reads the value. So it does not matter in which of many ways an exporter
spells a layer.
"""

from hybridsim.workload.onnx_import.tracer import network_from_onnx

__all__ = ["network_from_onnx"]
