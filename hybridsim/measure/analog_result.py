"""What is reported about the noise of analog tiles."""

from pydantic import BaseModel, ConfigDict


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class AnalogNoiseRow(_Answer):
    """One layer at one time after programming."""

    layer: str
    seconds: float
    """Time since programming [s]."""
    relative_error: float
    """||y - exact|| / ||exact||, mean over chips."""
    relative_error_sd: float
    """Its standard deviation over chips."""
    snr_db: float
    """-20 log10 of the mean relative error [dB]."""
    cosine_error: float
    """1 - cos(y, exact), mean over vectors and chips."""
    alpha: float
    """Mean factor of the drift compensation."""
    clipping_error: float
    """||W - clipped|| / ||W||."""


class AnalogNoiseResult(_Answer):
    """Noise of every static linear layer over time since programming."""

    weights: str
    """What the layers held."""
    chips: int
    """Programmed chips behind every mean."""
    settings: dict[str, object]
    """Device, mapping, converters and compensation, as text with units."""
    rows: tuple[AnalogNoiseRow, ...]
