"""What a teacher adds to the loss, against closed forms and finite differences."""

import pytest

from tests.training.conftest import changed

torch = pytest.importorskip("torch", reason="needs the extra adapt")

from hybridsim.training.run import StudyRun  # noqa: E402
from hybridsim.training.study import Arm  # noqa: E402
from hybridsim.training.training import distance_of_blocks, distilled  # noqa: E402

FOLLOWER = {
    "train": "lora", "learning_rate": 0.02, "steps": 30, "noise": {"kind": "chips", "refresh": 2},
    "start_from": "digital_lora", "distill_from": "digital_lora", "distill_weight": 0.0,
}  # fmt: skip


def values(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def run(study_file, model_folder, tmp_path):
    (study_file.parent / "model").symlink_to(model_folder)
    changed(study_file, arms__follower=FOLLOWER | {"distill_blocks": 1.0})
    changed(study_file, arms__alone=FOLLOWER)
    return StudyRun(study_file, tmp_path / "out")


def test_the_distance_is_none_from_itself_and_one_from_the_mean():
    y = values(40, 6)
    assert distance_of_blocks([y], [y]) == 0
    mean = y.mean(dim=0).expand_as(y)
    assert distance_of_blocks([mean], [y]).item() == pytest.approx(1)
    assert distance_of_blocks([y, mean], [y, y]).item() == pytest.approx(0.5)


def test_the_distance_does_not_depend_on_units_or_on_a_shift_of_both():
    x, y = values(40, 6), values(40, 6, seed=1)
    apart = distance_of_blocks([x], [y]).item()
    assert distance_of_blocks([3 * x + 2], [3 * y + 2]).item() == pytest.approx(apart)


def test_the_gradient_of_the_distance_agrees_with_finite_differences():
    y = values(5, 3, seed=1)
    assert torch.autograd.gradcheck(
        lambda x: distance_of_blocks([x], [y]), values(5, 3).requires_grad_()
    )


@pytest.mark.parametrize(("weight", "blocks"), [(0.0, 0.0), (0.5, 1.0), (1.0, 3.0)])
def test_a_student_that_is_its_teacher_keeps_only_its_share_of_the_loss(run, weight, blocks):
    model, batch = run.new_model("digital_lora", 1), run.train.text.batch([0, 1, 2], "cpu")
    torch.nn.init.normal_(model.head.weight)
    outputs = model.encoder.outputs(batch)
    logits = model.logits(outputs[-1], batch)
    arm = Arm.model_validate(FOLLOWER | {"distill_weight": weight, "distill_blocks": blocks})
    total = distilled(torch.tensor(2.0), outputs, logits, model, batch, arm)
    assert total.item() == pytest.approx(2 * (1 - weight), abs=1e-6)


def test_an_arm_that_follows_the_blocks_ends_nearer_to_its_teacher(run):
    """Both on the same chips, for as long: what differs is that one looks at the blocks."""
    batch = run.test.text.batch(list(range(len(run.test.labels))), "cpu")
    outputs = {}
    for arm in ("digital_lora", "follower", "alone"):
        model = run.trained_model(arm, 1)
        model.compute_digitally()
        outputs[arm] = [y.detach() for y in model.encoder.outputs(batch)]
    apart = {arm: distance_of_blocks(y, outputs["digital_lora"]) for arm, y in outputs.items()}
    assert 0 < apart["follower"] < 0.7 * apart["alone"]
