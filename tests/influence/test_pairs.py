"""Many questions of few rows: pairs of vectors in place of gradients, columns a part at a time, nothing per record."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from auditkit.influence import Attribution, attribute
from tests.influence.test_bounds import L2, World, world
from tests.influence.test_fast_path import away, said
from tests.worlds import cross_entropy


def questions(columns: int, sizes: list[int], seed: int = 4) -> dict[str, tuple[Tensor, Tensor]]:
    """Slices of so many rows each."""
    g = torch.Generator().manual_seed(seed)
    return {
        f"question {k}": (torch.randn(size, columns, generator=g), torch.randint(0, 2, (size,), generator=g))
        for k, size in enumerate(sizes)
    }


def favourable(outputs: Tensor) -> Tensor:
    return outputs.softmax(1)[:, 1]


@pytest.fixture(scope="module")
def small() -> World:
    """3,000 records, a network of width 48."""
    return world(3000, 48, 0, columns=20)


@pytest.fixture(autouse=True)
def _pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditkit.influence.row_rehearsal._WORTHWHILE", 0)


def ask(small: World, slices: dict[str, tuple[Tensor, Tensor]], **more: Any) -> Attribution:
    module, rows, _ = small
    settings = {"estimator": "ekfac", "damping": 1e-2, "weight_decay": L2, **more}
    return attribute(module, cross_entropy, rows, slices, **settings)


@pytest.mark.parametrize(
    ("sizes", "more"),
    [
        ([1] * 12, {}),
        ([1] * 12, {"estimator": "kfac"}),
        ([1] * 12, {"damping": 3e-3}),
        ([1] * 12, {"damping": "auto"}),
        ([1] * 12, {"removal": "renormalised"}),
        ([1] * 12, {"measure": favourable}),
        ([1] * 12, {"self_influence": False}),
        ([1] * 12, {"weight_decay": {"0.weight": 1e-3, "2.weight": 1e-3, "4.weight": 1e-3}}),
        ([1] * 12, {"weight_decay": {"0.weight": 1e-3, "0.bias": 1e-2, "4.weight": 1e-3}}),
        ([1, 2, 1, 3, 2, 1], {}),
        ([1], {}),
        ([2] * 40, {}),
    ],
)
def test_pairs_give_the_scores_of_gradients(small: World, sizes: list[int], more: dict[str, Any]) -> None:
    slices = questions(20, sizes)
    whole, got = ask(small, slices, tolerance=0.0, **more), ask(small, slices, tolerance=0.02, **more)
    assert f"{sum(sizes):,} evaluation rows as pairs" in said(got, "compression").text
    assert away(got.scores, whole.scores) <= 0.02 and not said(got, "compression").warns
    if more.get("self_influence", True):
        assert got.self_influence is not None and whole.self_influence is not None
        torch.testing.assert_close(got.self_influence, whole.self_influence, rtol=0.02, atol=0)


def test_measures_of_two_quantities_share_no_row(small: World) -> None:
    slices = questions(20, [1] * 8)
    names = list(slices)
    mixed = {name: ("loss" if k % 2 else favourable) for k, name in enumerate(names)}
    whole, got = (ask(small, slices, measure=mixed, tolerance=t) for t in (0.0, 0.02))
    assert "as pairs" in said(got, "compression").text and away(got.scores, whole.scores) <= 0.02


@pytest.mark.parametrize(("sizes", "tolerance"), [([400, 400], 0.02), ([1] * 12, 0.0), ([200] * 5, 0.02)])
def test_where_pairs_are_more_work_they_are_not_taken(small: World, sizes: list[int], tolerance: float) -> None:
    assert "as pairs" not in said(ask(small, questions(20, sizes), tolerance=tolerance), "compression").text


@pytest.mark.parametrize("layer", ["embedding", "norm"])
def test_a_model_with_other_layers_is_scored_by_gradients(layer: str) -> None:
    torch.manual_seed(0)
    parts: list[nn.Module] = [nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 2)]
    x = torch.randn(300, 6)
    if layer == "embedding":
        parts, x = [nn.Embedding(9, 4), nn.Flatten(), nn.Linear(24, 2)], torch.randint(0, 9, (300, 6))
    module, y = nn.Sequential(*parts).eval(), torch.randint(0, 2, (300,))
    slices = {f"q {k}": (x[k : k + 1], y[k : k + 1]) for k in range(5)}
    one, two = (
        attribute(module, cross_entropy, (x, y), slices, estimator="ekfac", damping=1e-2, tolerance=t)
        for t in (0.0, 0.02)
    )
    assert away(two.scores, one.scores) <= 0.02 and "as pairs" not in said(two, "compression").text


def test_no_gradient_of_a_measure_is_formed(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> Tensor:
        raise AssertionError("a gradient [D, S] was formed")

    monkeypatch.setattr("auditkit.influence.scoring.measure_gradients", never)
    assert ask(small, questions(20, [1] * 12)).scores.shape == (3000, 12)


@pytest.mark.parametrize("estimator", ["kfac", "ekfac"])
@pytest.mark.parametrize("removal", ["fixed", "renormalised"])
@pytest.mark.parametrize("own", [True, False])
def test_columns_a_part_at_a_time_are_the_same(
    small: World, estimator: str, removal: str, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = questions(20, [3] * 7)
    more = {"estimator": estimator, "removal": removal, "self_influence": own, "tolerance": 0.0}
    whole = ask(small, slices, **more)
    monkeypatch.setattr("auditkit.influence.scoring._NUMBERS", 1)
    monkeypatch.setattr("auditkit.influence.scoring._FEWEST", 3)
    got = ask(small, slices, **more)
    torch.testing.assert_close(got.scores, whole.scores, rtol=1e-5, atol=1e-9)
    if own:
        assert got.self_influence is not None and whole.self_influence is not None
        torch.testing.assert_close(got.self_influence, whole.self_influence, rtol=1e-6, atol=0)
    assert [row.name for row in got.quality] == [row.name for row in whole.quality]


@pytest.mark.parametrize("estimator", ["cg", "lissa"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_without_self_influence_only_the_measures_are_solved_for(
    estimator: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    solved = []
    from auditkit.influence.iterative import IterativeCurvature

    solve = IterativeCurvature.solve

    def counted(self: IterativeCurvature, vectors: Tensor) -> Tensor:
        solved.append(vectors.shape[1])
        return solve(self, vectors)

    monkeypatch.setattr(IterativeCurvature, "solve", counted)
    module, (x, y), _ = world(200, 6, 1, columns=5)
    got = attribute(
        module, cross_entropy, (x, y), questions(5, [1] * count), estimator=estimator, damping=1e-2,
        weight_decay=L2, self_influence=False,
    )  # fmt: skip
    # The measures, the gradient of F, and eight mixed columns for the typical step; none for a record or a parameter.
    assert sum(solved) == count + 1 + 8 and got.self_influence is None
    assert "self-influence was not asked for" in said(got, "form").text
    exact = attribute(
        module, cross_entropy, (x, y), questions(5, [1] * count), estimator="exact", damping=1e-2, weight_decay=L2
    )
    correlation = float(torch.corrcoef(torch.stack([got.scores[:, 0], exact.scores[:, 0]]))[0, 1])
    assert correlation > 0.98


MANY = """
import resource, sys, time, torch
from tests.influence.test_bounds import on, world
from tests.influence.test_fast_path import epoch, network
from tests.influence.test_pairs import questions
torch.set_num_threads(1)
records, width, count = (int(word) for word in sys.argv[1:])
module, rows, _ = world(records, width, 0, epochs=1)
other = network(100, width, width, 2)
times = []
for _ in range(3):
    start = time.process_time()
    epoch(other, rows, batch=4096)
    times.append(time.process_time() - start)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
on((module, rows, questions(100, [1] * count)))
spent = time.process_time() - start
print(spent / min(times), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20)
"""


@pytest.mark.prove
@pytest.mark.parametrize(
    ("size", "limits"),
    [
        ((10_000, 512, 100), (35, 0.5)),
        ((10_000, 512, 1000), (160, 1.0)),
        ((40_000, 512, 100), (20, 0.6)),
        ((10_000, 256, 100), (50, 0.4)),
    ],
)
def test_what_many_questions_cost(
    record_property: Callable[[str, object], None], size: tuple[int, int, int], limits: tuple[float, float]
) -> None:
    command = [sys.executable, "-c", MANY, *map(str, size)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
    spent, memory = (float(word) for word in found.stdout.split())
    record_property("plain epochs", round(spent, 1))
    record_property("GiB above the table and the model", round(memory, 2))
    assert spent <= limits[0] and memory <= limits[1]
