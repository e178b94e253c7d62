"""AHWA-LoRA: adapters trained against the noise of analog tiles (extra ``adapt``).

Only the description of studies is imported here; what needs torch is in :mod:`.run`.
"""

from hybridsim.adapt.extra import require_extra
from hybridsim.adapt.study import AdaptStudy, read_adapt_study

__all__ = ["AdaptStudy", "read_adapt_study", "require_extra"]
