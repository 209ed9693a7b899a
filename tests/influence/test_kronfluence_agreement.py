"""EK-FAC scores at equal factors: kronfluence's eigenvectors and eigenvalues put into auditkit's blocks.

kronfluence's conventions, as read from its source and mapped here: losses are sums; the bias is the last input of a
layer; eigenvalues are sums over rows, divided by their number when they are used; damping is added after that; a score
is g_queryᵀ H⁻¹ g_row of a query's summed measurement, positive where the row lowers the measurement; nothing is divided
by N. auditkit's scores are changes on removal under a mean over N rows: kronfluence's divided by N, with the same sign.

Needs kronfluence, which auditkit does not depend on: `make benchmark` runs this in an environment that has it.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from auditkit.influence import attribute
from auditkit.influence.blocks import BlockCurvature
from auditkit.influence.estimators.ekfac import Ekfac
from auditkit.influence.kronecker import Basis, Block
from auditkit.influence.problem import Problem, pose
from auditkit.influence.request import evaluation_of
from auditkit.influence.scoring import Scores, score
from tests.worlds import cross_entropy

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("kronfluence", reason="kronfluence is not installed here; make benchmark runs this test")
    from benchmarks.peers import kronfluence as theirs

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

Record = Callable[[str, object], None]
Slices = Mapping[str, tuple[Tensor, Tensor]]
DAMPING = 1e-3


@pytest.fixture
def made() -> tuple[nn.Module, Tensor, Tensor, Slices]:
    """A small network in float64, hardly trained, with 300 rows in three classes and four slices of 20."""
    return world(300, widths=(12, 16, 10, 3), slices=4, members=20, dtype=torch.float64)


def world(
    n: int, *, widths: tuple[int, ...], slices: int, members: int, dtype: torch.dtype
) -> tuple[nn.Module, Tensor, Tensor, Slices]:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        layers: list[nn.Module] = []
        for given, wide in pairwise(widths[:-1]):
            layers += [nn.Linear(given, wide), nn.ReLU()]
        module = nn.Sequential(*layers, nn.Linear(*widths[-2:])).to(dtype)
    rule = torch.randn(widths[0], widths[-1], generator=generator, dtype=dtype)

    def rows(count: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(count, widths[0], generator=generator, dtype=dtype)
        noise = torch.randn(count, widths[-1], generator=generator, dtype=dtype)
        return x, (x @ rule + 2 * noise).argmax(1)

    x, y = rows(n)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(30):
        optimizer.zero_grad()
        cross_entropy(module(x[:2000]), y[:2000]).mean().backward()
        optimizer.step()
    return module.eval(), x, y, {f"slice {s}": rows(members) for s in range(slices)}


def stacked(slices: Slices) -> TensorDataset:
    return TensorDataset(torch.stack([x for x, _ in slices.values()]), torch.stack([y for _, y in slices.values()]))


def fitted(analyzer: Any, x: Tensor, y: Tensor) -> None:
    torch.manual_seed(0)
    analyzer.fit_all_factors(
        factors_name="factors",
        dataset=TensorDataset(x, y),
        per_device_batch_size=theirs.BATCH,
        factor_args=theirs.factor_arguments(x.dtype),
        overwrite_output_dir=True,
    )


def injected(analyzer: Any, problem: Problem, damping: float) -> BlockCurvature:
    """auditkit's curvature with every Kronecker block from kronfluence's factors; eigenvalues [o, i] sums over rows."""
    vectors, spectra = analyzer.load_eigendecomposition("factors"), analyzer.load_lambda_matrices("factors")
    own = Ekfac(damping=damping).fit(problem)
    assert {site.name for site in own.sites} == {name.removeprefix("0.") for name in spectra["lambda_matrix"]}
    assert not own.dense and len(own.blocks) == len(own.sites)
    blocks = {}
    for site in own.sites:
        name = f"0.{site.name}"
        left, right = (vectors[f"{kind}_eigenvectors"][name].double() for kind in ("gradient", "activation"))
        eigenvalues = spectra["lambda_matrix"][name].double() / int(spectra["num_lambda_processed"][name])
        # The blocks really are replaced: labels are sampled there, so the eigenvalues cannot be auditkit's own.
        assert not torch.allclose(eigenvalues, own.blocks[site.name].eigenvalues, rtol=1e-3)
        blocks[site.name] = Block(Basis(left, right), eigenvalues, damping, 0.0, damping)
    return replace(own, blocks=blocks, quarter=None)


def both(
    made: tuple[nn.Module, Tensor, Tensor, Slices], folder: Path, *, damping: float, tolerance: float
) -> tuple[Scores, Tensor, Tensor, float]:
    """auditkit's scores; kronfluence's [N, S] and [N] in auditkit's unit, and the processor seconds they took."""
    module, x, y, slices = made
    start = time.process_time()
    analyzer = theirs.analyzer_of(module, folder)
    fitted(analyzer, x, y)
    arguments = theirs.score_arguments(x.dtype, damping)
    pairwise, own = theirs.score(analyzer, TensorDataset(x, y), stacked(slices), arguments)
    seconds = time.process_time() - start
    problem = pose(module, cross_entropy, (x,), y, dtype=x.dtype)
    curvature = injected(analyzer, problem, damping)
    got = score(problem, curvature, evaluation_of(problem, slices, "loss"), form="first-order", tolerance=tolerance)
    return got, pairwise.T.double() / len(y), own.double() / len(y), seconds


def pearson(a: Tensor, b: Tensor) -> float:
    return float(np.corrcoef(a.numpy(), b.numpy())[0, 1])


def error(a: Tensor, b: Tensor) -> float:
    """Largest over columns of |a − b| / |b|."""
    return float(((a - b).norm(dim=0) / b.norm(dim=0)).max())


@pytest.mark.parametrize("damping", [1e-5, DAMPING, 1e-1])
def test_equal_factors_give_equal_scores(
    made: tuple[nn.Module, Tensor, Tensor, Slices], damping: float, tmp_path: Path, record_property: Record
) -> None:
    got, pairwise, own, _ = both(made, tmp_path, damping=damping, tolerance=0.0)
    record_property("slices: largest error", error(got.effects, pairwise))
    record_property("self-influence: error", error(got.self_influence, own))
    # Element by element: the same value, unit and sign for every record and slice.
    torch.testing.assert_close(got.effects, pairwise, rtol=1e-9, atol=1e-12 * float(pairwise.abs().max()))
    torch.testing.assert_close(got.self_influence, own, rtol=1e-9, atol=1e-12 * float(own.abs().max()))


@pytest.mark.prove
@pytest.mark.timeout(7200)
def test_ten_thousand_records_agree_and_how_much_faster(tmp_path: Path, record_property: Record) -> None:
    torch.set_num_threads(1)
    made = world(10_000, widths=(100, 256, 256, 2), slices=10, members=500, dtype=torch.float32)
    module, x, y, slices = made
    got, pairwise, own, theirs_took = both(made, tmp_path, damping=DAMPING, tolerance=0.01)
    columns = [pearson(got.effects[:, s], pairwise[:, s]) for s in range(pairwise.shape[1])]
    record_property("slices: least Pearson", min(columns))
    record_property("slices: largest error", error(got.effects, pairwise))
    record_property("self-influence: Pearson", pearson(got.self_influence, own))
    record_property("self-influence: error", error(got.self_influence, own))
    start = time.process_time()
    attribute(module, cross_entropy, (x, y), slices, estimator="ekfac", damping=DAMPING)
    ours = time.process_time() - start
    record_property("kronfluence, processor seconds", theirs_took)
    record_property("auditkit, processor seconds", ours)
    record_property("times faster", theirs_took / ours)
    assert min(columns) >= 0.999 and pearson(got.self_influence, own) >= 0.999
