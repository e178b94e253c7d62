"""Li et al. 2026, Fig. 4b: scratchpad of an adapter and one batch of its tokens.

The four published figures are 8.2 and 21 KiB at 8 tokens, 70 and 172 KiB at 128 tokens, for
layers of 128x128 and 512x128 at rank 8. The formula gives the larger two exactly and the smaller
two to the digits that are printed, if those were rounded up.
"""

import pytest

from hybridsim.arch import load_machine


@pytest.mark.parametrize(
    ("inner", "tokens", "size", "published_kib"),
    [
        (128, 8, 8_320, 8.2),
        (128, 128, 71_680, 70.0),
        (512, 8, 20_608, 21.0),
        (512, 128, 176_128, 172.0),
    ],
)
def test_scratchpad_of_a_batch(inner: int, tokens: int, size: int, published_kib: float) -> None:
    cluster = load_machine("ahwa_lora_2026").cluster
    assert cluster is not None
    assert cluster.tcdm.lora_bytes(inner, 128, 8, tokens) == size
    assert 0 <= published_kib - size / 1024 < 1


def test_the_largest_case_does_not_fit_128_kib() -> None:
    """172 KiB at 128 tokens; the largest batch of a 512x128 layer is 93 tokens."""
    cluster = load_machine("ahwa_lora_2026").cluster
    assert cluster is not None
    assert cluster.tcdm.size == 128 * 1024
    assert not cluster.tcdm.fits(cluster.tcdm.lora_bytes(512, 128, 8, 128))
    assert cluster.tcdm.most_tokens(512, 128, 8) == 93
