"""A setting is a strategy by name and options, as it would be given to a command."""

import pytest

import hybridsim
from hybridsim.strategies.freedom import Setting

GIVEN = [
    ("token_parallel", {}),
    ("token_parallel", {"batch": 8, "unit": "cores", "early_xa": True}),
    ("network", {"batch": 4, "where": {"attention": "cores"}}),
]


@pytest.mark.parametrize(("kind", "options"), GIVEN)
def test_a_setting_makes_the_strategy_that_it_is(kind: str, options: dict[str, object]) -> None:
    strategy = hybridsim.make_strategy(kind, options)
    setting = Setting.of(strategy)
    assert (setting.kind, {*setting.options}) == (kind, {*options})
    assert hybridsim.make_strategy(setting.kind, setting.options) == strategy
    words = setting.as_arguments().split()
    assert words[:2] == ["--strategy", kind]
    assert len(words) == 2 + 2 * len(options)


def test_changed_options_are_told_in_the_order_in_which_they_were_changed() -> None:
    setting = (
        Setting("network").with_options({"batch": 4}, "batches").with_options({"early_xa": True})
    )
    assert setting.with_options({"batch": 8}, "larger batches").name == "batches + larger batches"
    assert dict(setting.options) == {"batch": 4, "early_xa": True}
