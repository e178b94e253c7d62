"""AHWA-LoRA: adapters trained against the noise of analog tiles (extra ``adapt``).

Only the description of studies is imported here; what needs torch is in :mod:`.run`.
"""

from importlib.util import find_spec

from hybridsim.errors import InputError, installing
from hybridsim.training.decoder_study import DecoderStudy, is_decoder_study, read_decoder_study
from hybridsim.training.language_study import (
    LanguageStudy,
    is_language_study,
    read_language_study,
)
from hybridsim.training.reward_study import RewardStudy, is_reward_study, read_reward_study
from hybridsim.training.study import AdaptStudy, read_adapt_study

__all__ = [
    "AdaptStudy",
    "DecoderStudy",
    "LanguageStudy",
    "RewardStudy",
    "is_decoder_study",
    "is_language_study",
    "is_reward_study",
    "read_adapt_study",
    "read_decoder_study",
    "read_language_study",
    "read_reward_study",
    "require_extra",
]

_NEEDED = ("torch", "safetensors", "scipy", "tokenizers")
"""The packages of the extra ``adapt``."""


def require_extra() -> None:
    """Refuse to go on without the extra.

    Raises:
        InputError: A package is missing; the message names it and what installs it.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(
            f"adapt: {', '.join(missing)} not installed; {installing('adapt')} would do"
        )
