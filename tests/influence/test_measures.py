"""Measures, their unit and their sign, against models that were really trained without the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from auditkit.errors import DataError, PolicyError
from auditkit.influence import Attribution, attribute, losses
from auditkit.influence.measures import Measure, measure_values, state_evaluation
from tests.influence.conftest import posed, random
from tests.influence.glm import World, world
from tests.influence.test_leave_one_out import figures

Function = Callable[[Tensor], Tensor]


def probability(outputs: Tensor) -> Tensor:
    return torch.sigmoid(outputs[:, 0])


def expected(outputs: Tensor) -> Tensor:
    return outputs[:, 0].exp()


def masks(made: World) -> dict[str, np.ndarray]:
    return {"low": made.x[:, 0] <= 0, "high": made.x[:, 0] > 0, "all": np.ones(len(made.x), dtype=bool)}


def attributed(made: World, **given: Any) -> Attribution:
    x, y = torch.from_numpy(made.x), made.family.targets(made.y)
    slices = {name: (x[mask], y[mask]) for name, mask in masks(made).items()}
    weights = torch.from_numpy(made.weights)
    return attribute(
        made.module(),
        made.family.loss,
        (x, y),
        slices,
        weight_decay={"weight": made.l2},
        sample_weight=weights,
        **given,
    )


def retrained(made: World, function: Function) -> tuple[np.ndarray, np.ndarray]:
    """Slice means of a function of the outputs: now [3], and after training without each record [N, 3]."""
    chosen = np.stack(list(masks(made).values()), axis=1).astype(float)
    chosen /= chosen.sum(0)

    def means(theta: np.ndarray) -> np.ndarray:
        return function(torch.from_numpy(made.outputs(theta, made.x))).numpy() @ chosen

    n = len(made.x)
    return means(made.theta), np.stack([means(made.without(i, divisor=n)) for i in range(n)])


@pytest.mark.parametrize(("family", "function"), [("binary", probability), ("poisson", expected)])
def test_a_mean_score_its_gap_and_its_ratio_move_as_retraining_moves_them(family: str, function: Function) -> None:
    made = world(family, n=70)
    before, after = retrained(made, function)
    got = attributed(made, measure=function)
    np.testing.assert_allclose(got.values.numpy(), before, rtol=1e-10)
    changes = {
        "mean": (got.scores[:, 0], after[:, 0] - before[0]),
        "gap": (got.combined({"low": 1, "high": -1}), (after[:, 0] - after[:, 1]) - (before[0] - before[1])),
        "mixture": (got.combined({"low": 0.2, "all": 0.8}), (after - before) @ [0.2, 0, 0.8]),
        "ratio": (got.effect_on(lambda m: m[0] / m[1]), after[:, 0] / after[:, 1] - before[0] / before[1]),
    }
    for name, (predicted, actual) in changes.items():
        found = figures(predicted.numpy(), actual)
        assert found["pearson"] >= 0.99 and 0.93 <= found["scale"] <= 1.07 and found["sign"] >= 0.95, name


def test_removing_the_record_that_pulls_a_slices_mean_score_up_lowers_it() -> None:
    made = world("binary", n=70, weighted=False)
    before, after = retrained(made, probability)
    got = attributed(made, measure=probability)
    pulls_up, pulls_down = int(got.scores[:, 0].argmin()), int(got.scores[:, 0].argmax())
    # The record whose removal lowers the mean score most: a favourable label; and the other way round.
    assert made.y[pulls_up, 0] == 1 and made.y[pulls_down, 0] == 0
    assert after[pulls_up, 0] < before[0] < after[pulls_down, 0]
    assert got.scores[pulls_up, 0].item() == pytest.approx(after[pulls_up, 0] - before[0], rel=0.1)
    # In nats: a record that its own slice is fitted by; without it, the slice's loss rises.
    in_nats = attributed(made)
    own = in_nats.self_influence
    assert own is not None and float(own.min()) >= 0 and "nats" in in_nats.unit


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=4), st.floats(-5, 5))
def test_combinations_are_linear_to_rounding(numbers: list[float], factor: float) -> None:
    scores = random(20, 4, seed=2)
    names = ("a", "b", "c", "d")
    made = Attribution(scores, None, names, "", (), torch.ones(4, dtype=torch.float64))
    weights = dict(zip(names, numbers, strict=True))
    whole = made.combined(weights)
    parts = sum(c * made.combined({name: 1.0}) for name, c in weights.items())
    torch.testing.assert_close(whole, parts, rtol=1e-12, atol=1e-9)
    torch.testing.assert_close(made.combined({k: factor * c for k, c in weights.items()}), factor * whole)
    at = torch.tensor(numbers, dtype=torch.float64)
    torch.testing.assert_close(made.effect_on(lambda m: m @ at), whole, rtol=1e-12, atol=1e-9)
    assert torch.equal(made.combined({"b": 1.0}), scores[:, 1])


@pytest.mark.parametrize(
    ("weights", "words"), [({}, "there are a"), ({"z": 1.0}, "and not z"), ({"a": float("inf")}, "finite weights")]
)
def test_combinations_that_mean_nothing_are_refused(weights: dict[str, float], words: str) -> None:
    made = Attribution(random(5, 1), None, ("a",), "", (), torch.ones(1))
    with pytest.raises(PolicyError, match=words):
        made.combined(weights)


@pytest.mark.parametrize("estimator", ["exact", "ekfac", "arnoldi"])
def test_each_slice_may_have_its_own_measure(estimator: str) -> None:
    made = world("binary", n=50)
    given = {"low": "loss", "high": probability, "all": lambda outputs: -3 * probability(outputs)}
    mixed = attributed(made, measure=given, estimator=estimator)
    in_nats, scores = (attributed(made, measure=m, estimator=estimator) for m in ("loss", probability))
    wanted = torch.stack([in_nats.scores[:, 0], scores.scores[:, 1], -3 * scores.scores[:, 2]], dim=1)
    torch.testing.assert_close(mixed.scores, wanted, rtol=1e-9, atol=1e-14)
    values = torch.stack([in_nats.values[0], scores.values[1], -3 * scores.values[2]])
    torch.testing.assert_close(mixed.values, values)
    assert (
        "low: change of the slice's mean loss" in mixed.unit
        and "high: change of the slice's mean measure" in mixed.unit
    )


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        ({"low": "loss"}, "must name every slice"),
        ({"low": "loss", "high": "score", "all": "loss"}, "wrong for high"),
        ({"low": "loss", "high": probability, "all": lambda outputs: outputs}, "one value per record"),
    ],
)
def test_measures_by_slice_that_do_not_fit_are_refused(measure: dict[str, Any], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        attributed(world("binary", n=20), measure=measure)


def test_a_quantity_without_a_function_is_refused_and_one_with_it_is_averaged() -> None:
    problem = posed(torch.nn.Linear(2, 1).double(), random(6, 2), random(6, 1), loss=losses.gaussian())
    measure = Measure("m", "doubled", torch.full((6,), 1 / 6, dtype=torch.float64))
    with pytest.raises(DataError, match="no function for measures of 'doubled'"):
        state_evaluation(problem, problem.inputs, problem.targets, [measure])
    others = {"doubled": lambda outputs: 2 * outputs[:, 0]}
    evaluation = state_evaluation(problem, problem.inputs, problem.targets, [measure], others=others)
    outputs = problem.outputs(problem.inputs).detach()
    torch.testing.assert_close(measure_values(problem, evaluation), 2 * outputs[:, 0].mean().reshape(1))
