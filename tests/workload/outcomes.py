"""What comes of files that may hold anything: a network that reads back, or one clear line."""

from pathlib import Path

from hybridsim.errors import InputError
from hybridsim.workload import Network, load_network


def check_outcome(path: Path, refusal: type[InputError] = InputError) -> None:
    """What loads is whole and reads back; what does not is one line that names the file."""
    problem = None
    try:
        network = load_network(path)
    except refusal as error:
        problem = str(error)
    if problem is None:
        assert Network.model_validate(network.to_text()) == network
    else:
        assert problem.startswith(f"{path}: ")
        assert "\n" not in problem
