"""AHWA-LoRA: adapters trained against the noise of analog tiles (extra ``adapt``).

Only the description of studies is imported here; what needs torch is in :mod:`.run`.
"""

from hybridsim.training.decoder_study import DecoderStudy, is_decoder_study, read_decoder_study
from hybridsim.training.extra import require_extra
from hybridsim.training.study import AdaptStudy, read_adapt_study

__all__ = [
    "AdaptStudy",
    "DecoderStudy",
    "is_decoder_study",
    "read_adapt_study",
    "read_decoder_study",
    "require_extra",
]
