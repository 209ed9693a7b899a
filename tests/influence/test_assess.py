"""The room's door on a world whose answer is known: one branch's labels of one group are falsified."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from auditkit.errors import DataError, PolicyError
from auditkit.influence.assess import InfluenceArrays, Settings, assess
from auditkit.result import InfluencePart
from auditkit.subject.types import Floats, Gradient, Grouping, Slice, Subject, Table
from tests.worlds import binary_cross_entropy, minimise

N, M, L2 = 1200, 600, 1e-3


def encode(frame: pd.DataFrame, labels: Floats) -> tuple[tuple[Tensor, ...], Tensor]:
    x = torch.from_numpy(frame[["amount", "income", "woman"]].to_numpy(dtype=np.float64).copy())
    return (x,), torch.from_numpy(np.asarray(labels, dtype=np.float64).copy())


def score(outputs: Tensor) -> Tensor:
    return torch.sigmoid(outputs.reshape(-1))


@pytest.fixture(scope="module")
def world() -> tuple[Subject, Table, np.ndarray]:
    rng = np.random.default_rng(7)
    rows = N + M
    frame = pd.DataFrame(
        {
            "amount": rng.normal(size=rows),
            "income": rng.normal(size=rows),
            "woman": rng.integers(0, 2, rows).astype(float),
            "branch": rng.choice(["north", "south", "west"], rows),
        }
    )
    chance = 1 / (1 + np.exp(-(1.5 * frame["income"].to_numpy() - frame["amount"].to_numpy() + 0.5)))
    label = (rng.random(rows) < chance).astype(float)
    falsified = ((frame["branch"] == "north") & (frame["woman"] == 1) & (np.arange(rows) < N) & (label == 1)).to_numpy()
    label[falsified] = 0.0
    split = np.where(np.arange(rows) < N, "train", "evaluation")
    codes = frame["woman"].to_numpy(dtype=np.int64)
    table = Table(
        frame=frame,
        split=split,
        ids=np.arange(rows).astype(str).astype(object),
        persons=None,
        label=label,
        weights=np.ones(rows),
        groupings={"sex": Grouping("sex", ("man", "woman"), codes, "man", True, columns=("woman",))},
        digests={},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Linear(3, 1).double()
    (x,), y = encode(frame.iloc[:N], label[:N])
    minimise(module, binary_cross_entropy, x, y, l2=L2)
    subject = Subject(
        adapter="tabular",
        kind="logistic regression",
        digest="",
        threshold=0.5,
        score=None,
        decide=lambda f: np.zeros(len(f)),
        loss=None,
        features=("amount", "income", "woman", "branch"),
        gradient=Gradient(module.eval(), encode, binary_cross_entropy, score, L2),
    )
    return subject, table, falsified[:N]


def slices(table: Table) -> tuple[Slice, ...]:
    rows = table.rows("evaluation")
    women = (table.frame["woman"].to_numpy()[rows] == 1) & (table.label[rows] == 1)
    one = np.zeros(M, dtype=np.bool_)
    one[17] = True
    few = np.zeros(M, dtype=np.bool_)
    few[:4] = True
    return (
        Slice("women-who-repaid", "slice", women, "woman = 1 AND label = 1", "declined though they repaid"),
        Slice("few", "slice", few, "true", "too few to print", measure="score"),
        Slice("empty", "slice", np.zeros(M, dtype=np.bool_), "false", "nobody"),
        Slice("A-10442", "case", one, "", "a case", measure="score"),
    )


@pytest.fixture(scope="module")
def assessed(world: tuple[Subject, Table, np.ndarray]) -> tuple[InfluencePart, InfluenceArrays]:
    subject, table, _ = world
    part, arrays = assess(subject, table, slices(table), Settings(compare=("branch",)))
    assert arrays is not None
    return part, arrays


def test_arrays_hold_every_measure_in_order(assessed: tuple[InfluencePart, InfluenceArrays]) -> None:
    _, arrays = assessed
    assert arrays.names == ("women-who-repaid", "few", "A-10442", "sex: woman minus man")
    assert arrays.kinds == ("slice", "slice", "case", "gap") and arrays.units == ("nats", "points", "points", "points")
    assert arrays.effects.shape == (N, 4) and arrays.self_influence.shape == (N,)
    assert (arrays.rows == np.arange(N)).all() and arrays.self_influence.min() >= -1e-12


def test_an_effect_is_what_retraining_gives(
    world: tuple[Subject, Table, np.ndarray], assessed: tuple[InfluencePart, InfluenceArrays]
) -> None:
    subject, table, _ = world
    _, arrays = assessed
    assert subject.gradient is not None
    (x,), y = encode(table.frame.iloc[:N], table.label[:N])
    (xe,), ye = encode(table.frame.iloc[N:], table.label[N:])
    members = slices(table)[0].mask
    woman = table.frame["woman"].to_numpy()[N:] == 1

    def measures(module: nn.Module) -> tuple[float, float]:
        with torch.no_grad():
            losses, scores = binary_cross_entropy(module(xe), ye).numpy(), score(module(xe)).numpy()
        return float(losses[members].mean()), float(scores[woman].mean() - scores[~woman].mean())

    base = measures(subject.gradient.module)
    for record in (int(np.argmax(arrays.effects[:, 0])), int(np.argmin(arrays.effects[:, 0])), 5):
        keep = torch.ones(N, dtype=torch.float64)
        keep[record] = 0.0
        module = nn.Linear(3, 1).double()
        module.load_state_dict(subject.gradient.module.state_dict())
        minimise(module, lambda z, t, keep=keep: keep * binary_cross_entropy(z, t), x, y, l2=L2)
        change = np.array(measures(module)) - np.array(base)
        assert arrays.effects[record, [0, 3]] == pytest.approx(change, rel=2e-3, abs=1e-9)


def test_the_falsified_records_lower_the_slice_most_and_their_branch_shows(
    world: tuple[Subject, Table, np.ndarray], assessed: tuple[InfluencePart, InfluenceArrays]
) -> None:
    _, _, falsified = world
    part, arrays = assessed
    top = np.argsort(arrays.effects[:, 0])[: falsified.sum()]
    assert falsified[top].mean() >= 2 * falsified.mean()
    (slice_,) = (s for s in part.slices if s.name == "women-who-repaid")
    (lowers,) = (c for c in slice_.compositions if (c.direction, c.top_share) == ("lowers", 0.05))
    rows = {(r.column, r.level): r for r in lowers.rows}
    north = rows["branch", "north"]
    assert north.base_share < 0.4 and north.share.low is not None and north.share.low > 0.5


def test_the_part_holds_aggregates_only(assessed: tuple[InfluencePart, InfluenceArrays]) -> None:
    part, arrays = assessed
    text = part.model_dump_json()
    assert "A-10442" not in text and [s.kind for s in part.slices] == ["slice", "slice", "gap"]
    few = part.slices[1]
    assert few.withheld and few.n is None and few.value is None and not few.compositions
    for value in (arrays.effects.max(), arrays.effects.min(), arrays.self_influence.max()):
        assert f"{value:.10g}"[:10] not in text
    first = part.slices[0]
    assert first.p99_raises == pytest.approx(np.quantile(arrays.effects[:, 0], 0.99))
    assert first.value is not None and first.n == int(first.n or 0) > 30 and first.unit == "nats"


def test_the_part_says_how_it_was_done(assessed: tuple[InfluencePart, InfluenceArrays]) -> None:
    part, _ = assessed
    assert part.status == "assessed" and part.estimator == "exact" and "4 trainable parameters" in part.why_estimator
    assert part.damping == 0.0 and part.weight_decay == "0.001 on all parameters" and part.covered_share == 1.0
    found = {q.name: q for q in part.quality}
    assert found["distance to optimum"].value is not None and not found["distance to optimum"].warns
    assert found["overlap across a decade of damping"].value is not None
    assert "stepped for each removed record" in found["form"].text and "cases assessed: 1;" in found["cases"].text
    assert part.n_train == N and part.parameters == 4 and part.removal == "fixed"


def test_an_unconverged_model_is_warned_of(world: tuple[Subject, Table, np.ndarray]) -> None:
    subject, table, _ = world
    assert subject.gradient is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        early = nn.Linear(3, 1).double().eval()
    part, _ = assess(
        replace(subject, gradient=replace(subject.gradient, module=early)), table, slices(table), Settings()
    )
    (distance,) = (q for q in part.quality if q.name == "distance to optimum")
    assert distance.warns and distance.value is not None and distance.value > 10


def test_a_subject_without_gradients_is_not_applicable(world: tuple[Subject, Table, np.ndarray]) -> None:
    subject, table, _ = world
    part, arrays = assess(
        replace(subject, gradient=None, no_gradient_reason="a forest has none"), table, (), Settings()
    )
    assert (part.status, part.reason, arrays) == ("not-applicable", "a forest has none", None)


def test_nothing_to_measure_is_not_applicable(world: tuple[Subject, Table, np.ndarray]) -> None:
    subject, table, _ = world
    part, arrays = assess(subject, replace(table, groupings={}), (), Settings())
    assert part.status == "not-applicable" and arrays is None and "no slice" in part.reason


def test_groups_below_the_minimum_get_no_gap(world: tuple[Subject, Table, np.ndarray]) -> None:
    subject, table, _ = world
    _, arrays = assess(subject, table, slices(table)[:1], Settings(minimum_group=400))
    assert arrays is not None and arrays.kinds == ("slice",)


def test_unknown_labels(world: tuple[Subject, Table, np.ndarray]) -> None:
    subject, table, _ = world
    label = table.label.copy()
    label[N:][slices(table)[0].mask] = np.nan
    label[N + 17] = np.nan
    _, arrays = assess(subject, replace(table, label=label), slices(table), Settings())
    # A mean loss needs labels, a mean score does not.
    assert arrays is not None and arrays.names == ("few", "A-10442", "sex: woman minus man")
    label[3] = np.nan
    with pytest.raises(DataError, match="no label"):
        assess(subject, replace(table, label=label), slices(table), Settings())


def test_the_named_estimator_and_damping_are_used(world: tuple[Subject, Table, np.ndarray]) -> None:
    subject, table, _ = world
    part, _ = assess(subject, table, slices(table), Settings(estimator="ekfac", damping=0.01))
    assert (part.estimator, part.damping, part.why_estimator) == ("ekfac", 0.01, "Named by the policy.")
    with pytest.raises(PolicyError, match="'exakt'"):
        assess(subject, table, slices(table), Settings(estimator="exakt"))
