"""What can go wrong, as a tree; every message names the place, what was found, what would do.

::

    HybridsimError
    ├── InputError            the user's text or request: the command line ends with code 2
    │   ├── SpecError         a file or value that does not describe what it should
    │   ├── UnknownNameError  a name that nothing carries
    │   ├── CapacityError     a network or a batch that does not fit the machine
    │   └── UnsupportedError  a shape or operation that the modelled hardware cannot do
    └── PlanError             a plan that no engine can execute (a fault of a strategy)
        └── TooLongError      one whose times do not fit 64 bits; an InputError as well
"""

from collections.abc import Iterable
from difflib import get_close_matches


class HybridsimError(Exception):
    """Base of all errors that hybridsim raises on purpose."""


class InputError(HybridsimError):
    """The request cannot be served as it stands; nothing has been written."""

    @property
    def in_few_words(self) -> str:
        """What is wrong, without what would help."""
        return " ".join(str(self).split()).partition(";")[0]


class SpecError(InputError):
    """A file, or a value in it, is not what it should be."""

    def __init__(self, file: str, place: str, problem: str) -> None:
        self.file, self.place, self.problem = file, place, problem
        super().__init__(": ".join(part for part in (file, place, problem) if part))


class UnknownNameError(InputError):
    """A name that nothing carries; the message lists what there is."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        self.what, self.name, self.known = what, name, tuple(names)
        super().__init__(
            f"{what} {name!r} is not known{did_you_mean(name, names)}; "
            f"there is: {', '.join(names) or 'nothing'}"
        )


class CapacityError(InputError):
    """A network, a layer or a batch does not fit where it should go."""


class UnsupportedError(InputError):
    """The modelled hardware cannot do this; the message says why and what would do."""


class PlanError(HybridsimError):
    """A plan breaks the contract of :mod:`hybridsim.plan`."""


class TooLongError(InputError, PlanError):
    """A work, or a plan, of 2^62 ps (53 days) or more: its end might not fit 64 bits."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the closest known name, or an empty text."""
    folded = {own.lower(): own for own in known}
    close = get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def installing(extra: str) -> str:
    """Return how an extra is installed, in words: from an index, or in a clone."""
    return f"pip install 'hybridsim[{extra}]' ('.[{extra}]' in a clone)"
