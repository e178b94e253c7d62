"""A training that went wrong is named by what it was trained on, and no other one is."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the extra adapt")

from hybridsim.training.unlearned import went_wrong


def table(*agreements, arm="digital_lora"):
    rows = [
        {"arm": arm, "seed": seed, "steps": 150, "agreement": agreement}
        for seed, agreement in enumerate(agreements, 1)
    ]
    return pd.DataFrame(rows)


def named(training, guessed=0.55):
    return [line.split(":")[0] for line in went_wrong(training, guessed, 32)]


def test_a_seed_far_behind_two_others_is_named_though_it_beats_guessing():
    # the digital adapters of news at a rate of 2e-3, after 150 steps
    said = ["digital_lora, seed 3, learned far less than the other seeds"]
    assert named(table(0.883, 0.852, 0.689)) == said


def test_where_guessing_would_be_is_not_learned_however_few_the_seeds():
    assert named(table(0.56)) == ["digital_lora, seed 1, did not learn"]
    assert named(table(0.9, 0.9, 0.56)) == ["digital_lora, seed 3, did not learn"]


def test_of_two_seeds_neither_is_the_usual_one():
    assert named(table(0.9, 0.7)) == []


@given(st.lists(st.floats(0.86, 0.94), min_size=3, max_size=8))
def test_seeds_that_scatter_as_trainings_do_are_not_named(agreements):
    assert named(table(*agreements)) == []


@given(st.permutations([0.9, 0.88, 0.66, 0.91]))
def test_the_order_of_seeds_and_other_arms_change_nothing(agreements):
    alone = named(table(*agreements))
    beside = pd.concat([table(0.7, 0.72, 0.71, arm="hard"), table(*agreements)])
    assert alone == named(beside)
    assert [line.split(",")[1] for line in alone] == [f" seed {agreements.index(0.66) + 1}"]
