"""Flows over a mesh of routers in RTL: PyOCN's MeshNetworkRTL, cycle by cycle.

    pip install pymtl3==3.1.17 pymtl3-net==0.9.0 'pytest<9'
    python tests/components/mesh_rtl.py tests/components/mesh_rtl.csv

PyOCN (Tan et al., ICCD 2019) has routers with one flit a cycle and port, queues of two flits at
their inputs, and one port in and out for what is attached. Its packets are flits of their own; it
routes along columns first, so rows and columns are exchanged here. All flits of all flows wait at
their sources in cycle 0, those of one source in turn; what is written is the cycle after that in
which the last one has left.
"""

import csv
import random
import sys
from collections import deque

Flows = list[tuple[int, int, int]]
"""Source, target, flits."""


def kinds(side: int, draw: random.Random) -> dict[str, Flows]:
    """Return flows of each kind that transfers of the simulator take, and of published curves."""
    nodes, flits = range(side * side), draw.choice([8, 16, 32])
    one, *others = draw.sample(nodes, 7)
    pairs = draw.sample(nodes, 8)
    found: dict[str, Flows] = {
        "one": [(one, others[0], flits)],
        "gather": [(each, one, flits) for each in others],
        "scatter": [(one, each, flits) for each in others],
        "pairs": list(zip(pairs[:4], pairs[4:], [flits] * 4, strict=True)),
        "transpose": [
            (row * side + column, column * side + row, flits)
            for row in range(side)
            for column in range(side)
            if row != column
        ],
    }
    uniform: dict[tuple[int, int], int] = {}
    for source in nodes:
        for _ in range(flits):
            target = draw.choice([node for node in nodes if node != source])
            uniform[source, target] = uniform.get((source, target), 0) + 1
    found["uniform"] = [(*ends, size) for ends, size in uniform.items()]
    return found


class Rtl:
    """A mesh of side x side routers."""

    def __init__(self, side: int) -> None:
        from pymtl3.passes.PassGroups import DefaultPassGroup
        from pymtl3_net.meshnet.MeshNetworkRTL import MeshNetworkRTL
        from pymtl3_net.ocnlib.ifcs.packets import mk_mesh_pkt
        from pymtl3_net.ocnlib.ifcs.positions import mk_mesh_pos

        self.side, self.packet = side, mk_mesh_pkt(side, side)
        self.net = MeshNetworkRTL(self.packet, mk_mesh_pos(side, side), side, side, 0)
        self.net.elaborate()
        self.net.apply(DefaultPassGroup())
        self.net.sim_reset()

    def cycles(self, flows: Flows) -> int:
        """Return the cycles until the last flit has left."""
        net, nodes = self.net, range(self.side**2)
        waiting: list[deque[int]] = [deque() for _ in nodes]
        for source in nodes:
            own = [[to, size] for start, to, size in flows if self._there(start) == source]
            while any(size for _, size in own):
                for flow in own:
                    if flow[1]:
                        waiting[source].append(self._there(flow[0]))
                        flow[1] -= 1
        left, now = sum(map(len, waiting)), 0
        for node in nodes:
            net.send[node].rdy @= 1
        while left:
            for node in nodes:
                net.recv[node].val @= bool(waiting[node])
                if waiting[node]:
                    net.recv[node].msg @= self._flit(node, waiting[node][0])
            net.sim_eval_combinational()
            taken = [node for node in nodes if waiting[node] and int(net.recv[node].rdy)]
            left -= sum(int(net.send[node].val) for node in nodes)
            net.sim_tick()
            now += 1
            for node in taken:
                waiting[node].popleft()
        for node in nodes:
            net.recv[node].val @= 0
        return now - 1

    def _there(self, node: int) -> int:
        """Return the router of a node, rows and columns exchanged."""
        row, column = divmod(node, self.side)
        return column * self.side + row

    def _flit(self, source: int, target: int) -> object:
        (y, x), (to_y, to_x) = (divmod(router, self.side) for router in (source, target))
        return self.packet(x, y, to_x, to_y, 0, 0)


def main(file: str) -> None:
    """Write a row for each set of flows."""
    with open(file, "w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(["side", "seed", "kind", "cycles"])
        for side, seeds in ((4, range(8)), (8, range(2))):
            rtl = Rtl(side)
            for seed in seeds:
                for kind, flows in kinds(side, random.Random(seed)).items():
                    rows.writerow([side, seed, kind, rtl.cycles(flows)])
                    out.flush()


if __name__ == "__main__":
    main(sys.argv[1])
