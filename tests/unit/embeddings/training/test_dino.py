"""Self-distillation: loss, gradients, teacher, center."""

import numpy as np
import pytest
import torch

from objective_steps import TINY, images
from skylike.embeddings.recipe import replace_fields
from skylike.embeddings.training.objectives.dino import SelfDistillation

RECIPE = replace_fields(
    TINY,
    {
        "objective": "dino",
        "normalization_groups": 1,
        "temperature": 0.1,
        "teacher_temperature": 0.05,
        "center_momentum": 0.75,
        "encoder_momentum": 0.75,
    },
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_model() -> SelfDistillation:
    torch.manual_seed(0)
    model = SelfDistillation(RECIPE, generator()).double()
    with torch.no_grad():  # a teacher that differs from the student
        model.center.copy_(torch.randn(RECIPE.prototypes, generator=generator(7)) * 0.1)
        model.key_prototypes.weight.add_(torch.randn(24, 8, generator=generator(8)))
    return model


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("views", [2, 3])
def test_loss_and_gradient_equal_a_float64_reference(views: int):
    model = make_model()
    student: list[torch.Tensor] = []
    teacher: list[torch.Tensor] = []
    model.query_encoder.register_forward_hook(lambda _m, _i, out: student.append(out))
    model.key_encoder.register_forward_hook(lambda _m, _i, out: teacher.append(out))

    step = model(images(1, views), generator())
    (by_projection, by_prototype) = torch.autograd.grad(
        step.loss, [student[0], model.prototypes.weight]
    )

    x, t = student[0].detach().numpy(), teacher[0].numpy()
    w = model.prototypes.weight.detach().numpy()
    outputs = unit(t) @ unit(model.key_prototypes.weight.numpy()).T
    wanted = softmax((outputs - model.center.numpy()) / 0.05).reshape(2, 16, 24)
    p = softmax(unit(x) @ unit(w).T / 0.1).reshape(views, 16, 24)
    pairs = [(i, j) for i in range(2) for j in range(views) if i != j]
    loss = np.mean([-(wanted[i] * np.log(p[j])).sum(axis=1).mean() for i, j in pairs])
    assert float(step.loss.detach()) == pytest.approx(loss, abs=1e-12)

    by_logits = np.zeros_like(p)
    for i, j in pairs:
        by_logits[j] += (p[j] - wanted[i]) / (16 * len(pairs))
    by_cosine = by_logits.reshape(-1, 24) / 0.1
    by_z, by_u = by_cosine @ unit(w), by_cosine.T @ unit(x)
    for found, raw, by_unit in ((by_projection, x, by_z), (by_prototype, w, by_u)):
        length = np.linalg.norm(raw, axis=1, keepdims=True)
        along = (by_unit * unit(raw)).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(
            found.numpy(), (by_unit - unit(raw) * along) / length, atol=1e-13
        )


def test_the_center_is_a_moving_mean_of_the_teachers_outputs():
    model = make_model()
    teacher: list[torch.Tensor] = []
    model.key_prototypes.register_forward_hook(lambda _m, _i, out: teacher.append(out))
    before = model.center.clone()

    step = model(images(1), generator())
    assert torch.equal(model.center, before)
    model.after_step(step)

    torch.testing.assert_close(model.center, 0.75 * before + 0.25 * teacher[0].mean(dim=0))


def test_the_teacher_follows_the_student_and_gets_no_gradient():
    model = make_model()
    encoder, prototypes = (
        model.key_encoder.conv1.weight.clone(),
        model.key_prototypes.weight.clone(),
    )
    with torch.no_grad():
        model.query_encoder.conv1.weight.add_(1.0)

    model.before_step()
    model(images(1), generator()).loss.backward()

    torch.testing.assert_close(model.key_encoder.conv1.weight, encoder + 0.25)
    moved = 0.75 * prototypes + 0.25 * model.prototypes.weight.detach()
    torch.testing.assert_close(model.key_prototypes.weight, moved)
    assert all(p.grad is not None for p in model.trained_parameters().values())
    assert not any(name.startswith("key_") for name in model.trained_parameters())


def test_a_teacher_without_preference_has_entropy_one():
    model = make_model()
    with torch.no_grad():
        model.key_prototypes.weight.fill_(1.0)
        model.center.zero_()

    figures = model(images(1), generator()).figures

    assert float(figures["teacher_entropy"]) == pytest.approx(1.0)
    assert float(make_model()(images(1), generator()).figures["teacher_entropy"]) < 0.95


def test_centering_takes_away_what_all_images_have_in_common():
    # Without the center one prototype wins for all images; a few steps of it even that out.
    model = make_model()
    with torch.no_grad():
        model.center.zero_()
        winner = model.key_prototypes(
            torch.nn.functional.normalize(model.key_encoder(images(1)[0]), dim=1)
        )
    common = winner.mean(dim=0)
    assert winner.argmax(dim=1).unique().numel() < 5
    for _ in range(40):
        model.after_step(model(images(1), generator()))

    assert (winner - model.center).argmax(dim=1).unique().numel() > 6
    torch.testing.assert_close(model.center, common, atol=0.1, rtol=0.0)
