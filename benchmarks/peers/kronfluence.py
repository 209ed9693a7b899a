"""kronfluence: EK-FAC with sampled labels.

Its losses are sums over the batch and its Fisher a mean over rows, so that scores divided by N are predicted changes. A
slice is one query whose M rows lie along a sequence axis: one pass over the training rows then serves all slices, where
its own `aggregate_query_gradients` would need one pass for each.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from benchmarks.contest import Case, Found, Peer, summed_query_loss, way

BATCH = 512
QUERIES = 160
OWN_DEFAULT = 1e-8
GRID = (1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1)


class Classification(Task):
    """Cross-entropy; labels are drawn from the model where the true Fisher is asked for."""

    def compute_train_loss(self, batch: Any, model: nn.Module, sample: bool = False) -> Tensor:
        """Sum over the batch."""
        x, y = batch
        outputs = model(x)
        if sample:
            y = torch.multinomial(outputs.detach().softmax(-1), num_samples=1)[:, 0]
        return functional.cross_entropy(outputs, y, reduction="sum")

    def compute_measurement(self, batch: Any, model: nn.Module) -> Tensor:
        """Sum over the slices of each one's mean loss."""
        x, y = batch
        return summed_query_loss(model(x), y)


def analyzer_of(module: nn.Module, scratch: Path) -> Analyzer:
    """An analyzer on a copy of the module, quiet and on the CPU; it cannot wrap a module that is itself a layer."""
    task = Classification()
    model = prepare_model(nn.Sequential(copy.deepcopy(module)), task)
    return Analyzer("benchmark", model, task, cpu=True, disable_tqdm=True, output_dir=str(scratch))


def factor_arguments(dtype: torch.dtype) -> FactorArguments:
    """EK-FAC on all rows, in the model's precision."""
    names = ("activation_covariance", "gradient_covariance", "per_sample_gradient", "lambda")
    return FactorArguments(
        strategy="ekfac",
        covariance_max_examples=None,
        lambda_max_examples=None,
        **{f"{name}_dtype": dtype for name in names},
    )


def score_arguments(dtype: torch.dtype, damping: float | None) -> ScoreArguments:
    """None is kronfluence's heuristic, a tenth of the mean eigenvalue of each layer."""
    names = ("query_gradient_svd", "per_sample_gradient", "precondition", "score")
    return ScoreArguments(damping_factor=damping, **{f"{name}_dtype": dtype for name in names})


def score(
    analyzer: Analyzer, rows: TensorDataset, queries: TensorDataset, arguments: ScoreArguments
) -> tuple[Tensor, Tensor]:
    """Pairwise scores [S, N] and self-influences [N] as kronfluence gives them, from factors fitted before."""
    given = {"factors_name": "factors", "score_args": arguments, "overwrite_output_dir": True}
    analyzer.compute_pairwise_scores(
        scores_name="slices",
        query_dataset=queries,
        train_dataset=rows,
        per_device_query_batch_size=min(QUERIES, len(queries)),
        per_device_train_batch_size=BATCH,
        **given,
    )
    analyzer.compute_self_scores(scores_name="own", train_dataset=rows, per_device_train_batch_size=BATCH, **given)
    pairwise = analyzer.load_pairwise_scores("slices")["all_modules"]
    return pairwise, analyzer.load_self_scores("own")["all_modules"]


def ekfac(case: Case, scratch: Path, damping: float | None) -> Found:
    """Factors, slice scores and self-influence; damping NaN stands for kronfluence's default."""
    torch.manual_seed(0)
    analyzer, dtype = analyzer_of(case.module, scratch), case.x.dtype
    rows = TensorDataset(case.x, case.y)
    analyzer.fit_all_factors(
        factors_name="factors",
        dataset=rows,
        per_device_batch_size=BATCH,
        factor_args=factor_arguments(dtype),
        overwrite_output_dir=True,
    )
    damping = OWN_DEFAULT if damping is not None and math.isnan(damping) else damping
    scores, own = score(analyzer, rows, TensorDataset(*case.queries), score_arguments(dtype, damping))
    return Found(scores.T.double() / case.n, own.double() / case.n)


def by_default(case: Case, scratch: Path, _: float | None) -> Found:
    """The same with the damping that kronfluence takes when none is given."""
    return ekfac(case, scratch, math.nan)


PEER = Peer(
    "kronfluence",
    "kronfluence",
    (
        way("heuristic", "EK-FAC, heuristic damping (recommended)", ekfac, "loo", "digits", "compas", "speed"),
        way("default", "EK-FAC, default damping 1e-8", by_default, "loo", "digits", "compas"),
        way("tuned", "EK-FAC, damping picked by hand", ekfac, "digits", "compas", grid=GRID),
    ),
)
