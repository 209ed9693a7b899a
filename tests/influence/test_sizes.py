"""Sizes of effects against real retraining: the slope with its interval, and "order, not size" where there is none."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditkit.bank.types import Bank
from auditkit.influence import attribute
from auditkit.influence.estimators.ekfac import Ekfac
from auditkit.influence.estimators.exact import Exact
from auditkit.influence.estimators.kfac import Kfac
from auditkit.influence.fidelity import enter, measure
from auditkit.influence.problem import Loss, pose
from auditkit.influence.registry import ESTIMATORS
from auditkit.influence.request import evaluation_of
from auditkit.influence.scoring import score
from auditkit.influence.sizes import BY_MEMBERS, NAME, size_row, slope_estimates, slopes
from auditkit.influence.targets import Target
from auditkit.report.book import Book
from auditkit.report.views.influence import _overview
from auditkit.result import Estimate, InfluencePart, SliceInfluence
from tests.influence.test_fidelity import synthetic
from tests.report.example import full
from tests.worlds import cross_entropy

L2 = 1e-2
ESTIMATED = {"kfac": Kfac, "ekfac": Ekfac, "exact": Exact}


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * (outputs.reshape(-1) - targets).square()


def world(kind: str, records: int) -> tuple[nn.Sequential, Loss, Tensor, Tensor]:
    """An untrained model, its loss, and rows; kinds by their widths, `-1` for a number to be predicted."""
    widths = [int(word) for word in kind.split("-")]
    g = torch.Generator().manual_seed(sum(widths))
    x = torch.randn(records, widths[0], generator=g, dtype=torch.float64)
    signal = x[:, 0] * x[:, 1] + x[:, 2]
    if widths[-1] == 1:
        y, loss = signal + 0.3 * torch.randn(records, generator=g, dtype=torch.float64), squared
    else:
        turn = torch.randn(3, widths[-1], generator=g, dtype=torch.float64)
        z = torch.stack([signal, x[:, 0], x[:, 3]], 1) @ turn
        y, loss = (z + 0.5 * torch.randn(z.shape, generator=g, dtype=torch.float64)).argmax(1), cross_entropy
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for given, out in pairwise(widths):
            layers += [nn.Linear(given, out), nn.Tanh()]
    return nn.Sequential(*layers[:-1]).double(), loss, x, y


def fitted(module: nn.Sequential, loss: Loss, x: Tensor, y: Tensor, weights: Tensor | None = None) -> nn.Sequential:
    """The minimum of F from these parameters, by L-BFGS."""
    own = copy.deepcopy(module)
    shares = torch.ones(len(y), dtype=torch.float64) if weights is None else weights
    step = torch.optim.LBFGS(own.parameters(), max_iter=200, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        step.zero_grad()
        total = (shares * loss(own(x), y)).mean() + L2 / 2 * sum(p.square().sum() for p in own.parameters())
        total.backward()  # type: ignore[no-untyped-call]
        return total

    step.step(closure)  # type: ignore[arg-type]
    return own.eval()


def halves(
    kind: str, models: int, records: int = 120
) -> tuple[nn.Sequential, Loss, tuple[Tensor, Tensor], Bank, tuple[Target, ...]]:
    """A trained model, its training rows, and models retrained from other starts on random halves of them."""
    module, loss, x, y = world(kind, records + 90)
    rows = (x[:records], y[:records])
    asked = x[records:], y[records:]
    trained = fitted(module, loss, *rows)
    rng, masks, answers = np.random.default_rng(0), [], []
    for k in range(models):
        mask = np.zeros(records, dtype=bool)
        mask[rng.permutation(records)[: records // 2]] = True
        start = copy.deepcopy(module)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(100 + k)
            for layer in start:
                if isinstance(layer, nn.Linear):
                    layer.reset_parameters()
        again = fitted(start, loss, rows[0][mask], rows[1][mask])
        masks.append(mask)
        answers.append(loss(again(asked[0]), asked[1]).detach().numpy())
    made, _ = synthetic(np.stack(answers), loss=True)
    bank = replace(made, plan=replace(made.plan, rows=np.arange(records), masks=np.stack(masks)))
    targets = tuple(
        Target(f"t{s}", "slice", "", "", 30, "mean loss", "loss", np.where(np.arange(90) // 30 == s, 1 / 30, 0.0))
        for s in range(3)
    )
    return trained, loss, rows, bank, targets


NETWORKS = ("6-8-2", "6-6-5-2", "6-8-3", "6-6-1")


@pytest.fixture(scope="module", params=NETWORKS)
def retrained(
    request: pytest.FixtureRequest,
) -> tuple[str, tuple[nn.Sequential, Loss, tuple[Tensor, Tensor], Bank, tuple[Target, ...]]]:
    """Eight halves of each network."""
    return request.param, halves(request.param, 8)


def effects(estimator: str, trained: nn.Sequential, loss: Loss, rows: tuple[Tensor, Tensor], kind: str) -> np.ndarray:
    """First-order effects [N, 3] on the mean losses of the rows behind the training rows."""
    _, _, x, y = world(kind, len(rows[1]) + 90)
    n = len(rows[1])
    slices = {f"t{s}": (x[n + 30 * s :][:30], y[n + 30 * s :][:30]) for s in range(3)}
    problem = pose(trained, loss, (rows[0],), rows[1], weight_decay=L2)
    curvature = ESTIMATED[estimator](damping=1e-6).fit(problem)
    return score(problem, curvature, evaluation_of(problem, slices, "loss"), form="first-order").effects.numpy()


@pytest.mark.parametrize("estimator", ["kfac", "ekfac"])
def test_the_slope_says_how_large_changes_of_small_networks_are(retrained: tuple[str, tuple], estimator: str) -> None:  # type: ignore[type-arg]
    kind, (trained, loss, rows, bank, targets) = retrained
    found = measure(effects(estimator, trained, loss, rows, kind), np.arange(len(rows[1])), targets, bank, level=0.95)
    size = found.size
    assert size.value is not None and size.low is not None and size.high is not None and size.n == 8
    assert size.low < size.value < size.high and len(found.sizes) == 3
    row = size_row(size, applied="")
    assert f"{size.low:.3f} to {size.high:.3f}" in row.text and row.value == size.value
    # Effects of block estimators are larger than what halves change; the slope says so.
    assert size.value < 1.1


@pytest.mark.parametrize(
    ("true", "noise", "models"),
    [
        (1.0, 0.0, 8),
        (0.5, 0.0, 8),
        (0.5, 0.3, 24),
        (2.0, 0.5, 24),
        (-0.3, 0.1, 16),
        (0.0, 1.0, 32),
        (1.0, 1.0, 32),
        (0.7, 0.2, 12),
    ],
)
def test_a_known_slope_is_found(true: float, noise: float, models: int) -> None:
    rng = np.random.default_rng(3)
    predicted = rng.normal(size=(models, 4)) * [1, 10, 0.1, 3]
    actual = 5 + true * predicted + noise * predicted.std(0) * rng.normal(size=predicted.shape)
    size, each = slope_estimates(predicted, actual, level=0.95)
    assert size.value is not None and size.low is not None and size.high is not None
    assert size.low - 1e-9 <= true <= size.high + 1e-9
    np.testing.assert_allclose(
        [e.value for e in each], [np.polyfit(x, y, 1)[0] for x, y in zip(predicted.T, actual.T, strict=True)]
    )
    assert size_row(size, applied="").warns is (size.low <= 0)


@pytest.mark.parametrize("models", [8, 16, 32])
def test_the_interval_covers(models: int) -> None:
    rng, inside = np.random.default_rng(models), []
    for _ in range(400):
        predicted = rng.normal(size=(models, 3))
        shared = rng.normal(size=(models, 1))  # measures of one model err together
        actual = 0.6 * predicted + 0.5 * shared + 0.5 * rng.normal(size=predicted.shape)
        size, _ = slope_estimates(predicted, actual, level=0.95)
        assert size.low is not None and size.high is not None
        inside.append(size.low <= 0.6 <= size.high)
    assert np.mean(inside) >= 0.92


def test_measures_that_tie_have_no_slope() -> None:
    predicted = np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 5.0], [1.0, 6.0]])
    actual = predicted[:, ::-1].copy()
    assert np.isnan(slopes(predicted, actual)[0])
    size, each = slope_estimates(predicted, actual, level=0.95)
    assert each[0].value is None and "tie" in each[0].withheld and size.value == each[1].value
    none, _ = slope_estimates(predicted[:, :1], actual[:, :1], level=0.95)
    assert none.value is None and "Order, not size" in size_row(none, applied="").text


@pytest.mark.parametrize("estimator", ["auto", *sorted(ESTIMATORS)])
def test_without_retrained_models_the_word_is_order(estimator: str) -> None:
    module, loss, x, y = world("4-3-2", 40)
    rows = (x[:30], y[:30])
    trained = fitted(module, loss, *rows)
    got = attribute(trained, loss, rows, {"rest": (x[30:], y[30:])}, estimator=estimator, weight_decay=L2)
    (row,) = (row for row in got.quality if row.name == NAME)
    assert "Order, not size" in row.text and row.value is None


def test_members_of_an_ensemble_give_the_slope() -> None:
    module, loss, x, y = world("4-3", 70)
    rows, members = (x[:40], y[:40]), []
    g = torch.Generator().manual_seed(0)
    for _ in range(18):
        mask = torch.zeros(40, dtype=torch.bool)
        mask[torch.randperm(40, generator=g)[:20]] = True
        members.append((fitted(module, loss, rows[0][mask], rows[1][mask]).state_dict(), mask))
    got = attribute(module.eval(), loss, rows, {"rest": (x[40:], y[40:])}, members=members, weight_decay=L2)
    (row,) = (row for row in got.quality if row.name == BY_MEMBERS)
    assert row.value is not None and 0.2 < row.value < 2 and "18 models" in row.text
    assert not any(row.name == NAME for row in got.quality)


def _part(size: Estimate | None) -> InfluencePart:
    item = SliceInfluence(
        name="women", kind="group", why="", n=50, measure="mean loss", unit="nats", value=0.4, p99_raises=0.01,
        p99_lowers=-0.02, share_in_top_1pct=0.1, size=size,
    )  # fmt: skip
    return InfluencePart(status="assessed", estimator="ekfac", slices=(item,))


def test_the_report_says_order_or_gives_the_interval() -> None:
    def told(part: InfluencePart) -> str:
        return repr(_overview(Book(full(), "html"), part))

    assert "Order, not size" in told(_part(None))
    known = told(_part(Estimate(value=0.512, low=0.413, high=0.614, n=24)))
    assert "Order, not size" not in known and "random halves" in known
    assert all(figure in known for figure in ("0.512", "0.413", "0.614", "24"))
    unmeasured = enter(_part(None), None, (), floor=0.0, absent="no models were retrained")
    assert [row.name for row in unmeasured.quality] == ["fidelity to retraining", NAME]
    assert "Order, not size" in unmeasured.quality[1].text


@pytest.mark.prove
@pytest.mark.parametrize("kind", ["6-2", "6-4", *NETWORKS])
def test_leverage_by_blocks_does_not_pay(record_property: Callable[[str, object], None], kind: str) -> None:
    module, loss, x, y = world(kind, 290)
    rows, n = (x[:200], y[:200]), 200
    trained = fitted(module, loss, *rows)
    slices = {f"t{s}": (x[n + 30 * s :][:30], y[n + 30 * s :][:30]) for s in range(3)}
    problem = pose(trained, loss, (rows[0],), rows[1], weight_decay=L2)
    evaluation = evaluation_of(problem, slices, "loss")
    before = torch.stack([loss(trained(a), b).mean() for a, b in slices.values()]).detach()
    picked, actual = torch.arange(0, n, 10), []
    for k in picked.tolist():
        weights = torch.ones(n, dtype=torch.float64)
        weights[k] = 0
        again = fitted(trained, loss, *rows, weights)
        actual.append(torch.stack([loss(again(a), b).mean() for a, b in slices.values()]).detach() - before)
    truth = torch.stack(actual)
    found = {}
    for estimator, kind_of in ESTIMATED.items():
        for form in ("first-order", "newton"):
            curvature = kind_of(damping=1e-6).fit(problem)
            predicted = score(problem, curvature, evaluation, form=form).effects[picked]  # type: ignore[arg-type]
            found[estimator, form] = float((predicted * truth).sum() / predicted.square().sum())
            record_property(f"slope, {estimator}, {form}", round(found[estimator, form], 2))
    if kind in NETWORKS:
        for estimator in ("kfac", "ekfac"):
            away = {form: abs(np.log(max(found[estimator, form], 1e-3))) for form in ("first-order", "newton")}
            assert away["first-order"] < away["newton"]
