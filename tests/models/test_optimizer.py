"""Groups before and after steps, schedules and a resume, against mup's own."""

import io
import math
from fractions import Fraction
from itertools import chain
from typing import Any

import pytest
import torch

from datascaler.errors import ConfigError
from datascaler.models.build import BuiltClip, build_clip
from datascaler.models.optimizer import (
    build_optimizer,
    check_groups,
    load_optimizer_state,
    set_learning_rate,
    summarise_groups,
)
from tests.models.clips import ARCH, contrastive_loss

LR, WEIGHT_DECAY, EPS = 1e-3, 0.2, 1e-8


def mup_clip(width: Fraction = Fraction(1, 2), base: Fraction = Fraction(1, 8)) -> BuiltClip:
    return build_clip(ARCH, width_mult=width, min_width_mult=base, use_mup=True)


def optimizer_of(built: BuiltClip) -> torch.optim.AdamW:
    return build_optimizer(built.model, built.table, lr=LR, weight_decay=WEIGHT_DECAY, eps=EPS)


def groups_by_name(optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
    return {group["name"]: group for group in optimizer.param_groups}


def assert_mup_rule(optimizer: torch.optim.Optimizer, r: float, lr: float) -> None:
    """lr_matrix * r == lr_vector, and lr * wd equal over the groups that decay."""
    groups = groups_by_name(optimizer)
    assert list(groups) == ["input/decay", "scalar/no_decay", "input+vector/no_decay", "hidden/decay"]
    embeddings, scalars, vectors, hidden = groups.values()
    assert embeddings["lr"] == vectors["lr"] == scalars["lr"] == pytest.approx(lr)
    assert hidden["lr"] * r == pytest.approx(lr)
    assert hidden["lr"] * hidden["weight_decay"] == pytest.approx(lr * WEIGHT_DECAY)
    assert [each["weight_decay"] for each in (embeddings, vectors, scalars)] == [WEIGHT_DECAY, 0.0, 0.0]
    assert [each["eps"] * r for each in (hidden, embeddings, vectors)] == pytest.approx([EPS] * 3)
    assert scalars["eps"] == EPS


def test_groups_hold_every_parameter_once_in_its_role() -> None:
    built = mup_clip()
    groups = groups_by_name(optimizer_of(built))
    names = {id(parameter): name for name, parameter in built.model.named_parameters()}
    placed = {name: [names[id(parameter)] for parameter in group["params"]] for name, group in groups.items()}
    assert sorted(chain.from_iterable(placed.values())) == sorted(built.table)
    assert all(built.table[name].role == "hidden" for name in placed["hidden/decay"])
    assert sorted(placed["input/decay"]) == [
        "positional_embedding",
        "token_embedding.weight",
        "visual.conv1.weight",
        "visual.positional_embedding",
    ]


def test_rule_holds_through_schedule_accumulation_and_steps() -> None:
    built = mup_clip()
    optimizer = optimizer_of(built)
    assert_mup_rule(optimizer, 4, LR)
    for step in range(3):
        lr = LR * 0.5 * (1 + math.cos(math.pi * step / 10))
        set_learning_rate(optimizer, lr)
        assert_mup_rule(optimizer, 4, lr)
        for _ in range(2):
            torch.autograd.backward(contrastive_loss(built.model) / 2)
        assert_mup_rule(optimizer, 4, lr)
        optimizer.step()
        optimizer.zero_grad()
        assert_mup_rule(optimizer, 4, lr)


def test_first_step_moves_weights_by_lr_over_r() -> None:
    """Adam's first step is +-lr for each weight, so the groups show in the weights themselves."""
    built = mup_clip()
    optimizer = build_optimizer(built.model, built.table, lr=LR, weight_decay=0.0, eps=1e-20)
    before = {name: value.clone() for name, value in built.model.state_dict().items()}
    torch.autograd.backward(contrastive_loss(built.model))
    optimizer.step()
    for name, after in built.model.state_dict().items():
        moved = float((after - before[name]).abs().median() if name != "token_embedding.weight" else LR)
        expected = LR / 4 if built.table[name].role == "hidden" else LR
        assert moved == pytest.approx(expected, rel=0.02), name


def train(built: BuiltClip, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        set_learning_rate(optimizer, LR * (1 - step / 10))
        optimizer.zero_grad()
        torch.autograd.backward(contrastive_loss(built.model))
        optimizer.step()


def test_resume_goes_on_bit_for_bit() -> None:
    built = mup_clip()
    optimizer = optimizer_of(built)
    train(built, optimizer, range(2))
    file = io.BytesIO()
    torch.save({"model": built.model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    train(built, optimizer, range(2, 4))

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again = mup_clip()
    resumed = optimizer_of(again)
    again.model.load_state_dict(saved["model"])
    load_optimizer_state(resumed, saved["optimizer"])
    assert_mup_rule(resumed, 4, LR * 0.9)
    train(again, resumed, range(2, 4))
    assert_mup_rule(resumed, 4, LR * 0.7)
    for name, value in built.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: build_clip(ARCH, width_mult=Fraction(1, 2)), "don't fit this model"),
        (lambda: mup_clip(base=Fraction(1, 4)), "eps 5e-09 where this run has 2.5e-09"),
        (lambda: mup_clip(width=Fraction(1), base=Fraction(1, 4)), "optimizer state has shape"),
    ],
    ids=["standard", "other base", "other width"],
)
def test_state_of_another_parametrisation_is_refused(other: Any, message: str) -> None:
    source = other()
    written = optimizer_of(source)
    train(source, written, range(1))
    with pytest.raises(ConfigError, match=message):
        load_optimizer_state(optimizer_of(mup_clip()), written.state_dict())


def test_check_groups_names_what_differs() -> None:
    optimizer = optimizer_of(mup_clip())
    expected = summarise_groups(optimizer)
    check_groups(optimizer, expected)
    optimizer.param_groups[3]["weight_decay"] = 0.1
    with pytest.raises(ConfigError, match=r"group hidden/decay has weight_decay 0\.1 where this run has 0\.8"):
        check_groups(optimizer, expected)
    with pytest.raises(ConfigError, match="4 groups where this run has 2"):
        check_groups(optimizer, expected[:2])


def test_standard_parametrisation_has_open_clips_two_groups() -> None:
    built = build_clip(ARCH)
    optimizer = optimizer_of(built)
    assert [(group["weight_decay"], group["lr_scale"], group["eps"]) for group in optimizer.param_groups] == [
        (WEIGHT_DECAY, 1.0, EPS),
        (0.0, 1.0, EPS),
    ]


def test_frozen_parameters_leave_no_empty_group() -> None:
    built = mup_clip()
    for name, parameter in built.model.named_parameters():
        parameter.requires_grad_(built.table[name].role == "hidden")
    assert [group["name"] for group in optimizer_of(built).param_groups] == ["hidden/decay"]
