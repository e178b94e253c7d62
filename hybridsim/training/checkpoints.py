"""Where training goes on after it was cut off: what is learned, and the state of its optimiser."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from hybridsim.boundary.reading import verify
from hybridsim.errors import InputError
from hybridsim.training.files import write_file

Learned = Mapping[str, torch.nn.Parameter]
"""Name -> what is learned."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


def keep(
    file: Path,
    learned: Learned,
    optimizer: torch.optim.AdamW,
    about: Mapping[str, str],
    more: Mapping[str, torch.Tensor],
) -> None:
    """Write all that the next steps depend on.

    Args:
        file: Where to.
        learned: As it is now.
        optimizer: Has taken at least one step with it.
        about: What the run is, and how far it is.
        more: Name -> other tensors that it depends on; of other names than ``learned``.

    Raises:
        InputError: The disk refuses.
    """
    tensors = {f"more/{name}": tensor.cpu() for name, tensor in more.items()}
    for name, parameter in learned.items():
        state = optimizer.state[parameter]
        tensors[f"value/{name}"] = parameter.detach().cpu().contiguous()
        tensors |= {f"{key}/{name}": state[key].cpu().contiguous() for key in _MOMENTS}
        steps = int(state["step"])
    write_file(file, save(tensors, {**about, "steps": str(steps)}))


def take_up(
    file: Path, learned: Learned, optimizer: torch.optim.AdamW, device: str
) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Give what is learned the values of a checkpoint; return what :func:`keep` was given.

    Returns:
        ``about``, and ``more``.

    Raises:
        InputError: It is broken, or of another model.
    """
    verify(file)
    try:
        with safe_open(str(file), "pt", device=device) as stored:
            about = dict(stored.metadata())
            steps = torch.tensor(float(about.pop("steps")))
            for name, parameter in learned.items():
                with torch.no_grad():
                    parameter.copy_(stored.get_tensor(f"value/{name}"))
                moments = {key: stored.get_tensor(f"{key}/{name}") for key in _MOMENTS}
                optimizer.state[parameter] = {"step": steps.clone(), **moments}
            others = [key for key in stored.keys() if key.startswith("more/")]  # noqa: SIM118
            more = {key.removeprefix("more/"): stored.get_tensor(key) for key in others}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        problem = f"cannot be read as a checkpoint: {error}; deleting it would do"
        raise InputError(f"{file}: {problem}") from None
    return about, more
