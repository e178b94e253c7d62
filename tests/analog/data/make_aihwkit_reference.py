"""Write aihwkit_reference.json: what aihwkit's own inference tiles give, for the tests beside it.

Run by hand where aihwkit 1.1.0 and torch are installed; the tests only read what it wrote::

    python tests/analog/data/make_aihwkit_reference.py > tests/analog/data/aihwkit_reference.json
"""

import json
import sys
from importlib.metadata import version

import numpy as np
import torch
from aihwkit.inference import GlobalDriftCompensation, PCMLikeNoiseModel
from aihwkit.nn import AnalogLinear, AnalogLinearMapped
from aihwkit.simulator.configs import (
    BoundManagementType,
    NoiseManagementType,
    TorchInferenceRPUConfig,
)

TIMES_S = [0.0, 3600.0, 86400.0, 2592000.0, 31536000.0, 315360000.0]
DEFAULTS = {"bound": 12.0, "tokens": 256, "chips": 16, "cut": 3.0}
CASES = {
    "384x384": {"inputs": 384, "outputs": 384, "bits": 8},
    "384x384, 6 bit": {"inputs": 384, "outputs": 384, "bits": 6},
    "512x128": {"inputs": 512, "outputs": 128, "bits": 8},
    "1536x384": {"inputs": 1536, "outputs": 384, "bits": 8},
    "384x384, unclipped": {"inputs": 384, "outputs": 384, "bits": 8, "cut": 10.0},
    "384x384, iterative": {
        "inputs": 384,
        "outputs": 384,
        "bits": 8,
        "bound": 3.0,
        "tokens": 1,
        "chips": 128,
    },
}


def weights(inputs, outputs, cut=3.0):
    """The weights of a case: normal, cut at three standard deviations (also in the tests)."""
    rng = np.random.default_rng([2026, inputs, outputs])
    return np.clip(rng.standard_normal((outputs, inputs)), -cut, cut) * 0.05


def vectors(inputs, tokens):
    """The input vectors of a case (also in the tests)."""
    return np.random.default_rng([7, inputs]).standard_normal((tokens, inputs))


def config(bits, bound, iterative):
    made = TorchInferenceRPUConfig()
    made.forward.inp_res = made.forward.out_res = 1 / (2**bits - 2)
    made.forward.out_bound = bound
    made.forward.out_noise = 0.04
    made.forward.noise_management = NoiseManagementType.ABS_MAX
    kind = BoundManagementType.ITERATIVE if iterative else BoundManagementType.NONE
    made.forward.bound_management = kind
    made.mapping.weight_scaling_omega = 1.0
    made.mapping.weight_scaling_columnwise = True
    made.mapping.max_input_size = made.mapping.max_output_size = 512
    made.noise_model = PCMLikeNoiseModel(g_max=25.0)
    made.drift_compensation = GlobalDriftCompensation()
    return made


def measure(inputs, outputs, bits, bound, tokens, chips, cut):
    """Relative MVM error and mean compensation factor, per chip and time."""
    w = torch.tensor(weights(inputs, outputs, cut), dtype=torch.float32)
    x = torch.tensor(vectors(inputs, tokens), dtype=torch.float32)
    exact = x @ w.T
    kind = AnalogLinearMapped if inputs > 512 else AnalogLinear
    layer = kind(inputs, outputs, bias=False, rpu_config=config(bits, bound, tokens == 1))
    layer.set_weights(w)
    layer.eval()
    errors, alphas = [], []
    for chip in range(chips):
        torch.manual_seed(90_000 + chip)
        layer.set_weights(w)
        for tile in layer.analog_tiles():
            tile.program_weights()
        row = []
        for t in TIMES_S:
            for tile in layer.analog_tiles():
                tile.drift_weights(t)
            with torch.no_grad():
                y = layer(x)
            row.append(float((y - exact).norm() / exact.norm()))
            alphas.append([float(tile.alpha) for tile in layer.analog_tiles()])
        errors.append(row)
    errors = np.array(errors)
    alphas = np.array(alphas).reshape(chips, len(TIMES_S), -1).mean(axis=2)
    return {
        "relative_error": np.round(errors.mean(axis=0), 6).tolist(),
        "relative_error_sd": np.round(errors.std(axis=0, ddof=1), 6).tolist(),
        "alpha": np.round(alphas.mean(axis=0), 6).tolist(),
        "alpha_sd": np.round(alphas.std(axis=0, ddof=1), 6).tolist(),
    }


if __name__ == "__main__":
    document = {
        "made_with": {name: version(name) for name in ("aihwkit", "torch", "numpy")},
        "times_s": TIMES_S,
        "cases": {
            name: DEFAULTS | case | measure(**(DEFAULTS | case)) for name, case in CASES.items()
        },
    }
    json.dump(document, sys.stdout, indent=1)
    print()
