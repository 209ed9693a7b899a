"""What is planted in the sample lender is found: the audit's rankings against the answer key, on five maker seeds.

The maker was tuned on seeds 101 to 106; the seeds below served no choice.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from auditkit.influence.estimators.exact import Exact
from auditkit.influence.measures import Measure, state_evaluation
from auditkit.influence.problem import pose
from auditkit.influence.scoring import score
from auditkit.policy.load import load
from auditkit.subject.adapters.tabular import as_subject
from auditkit.subject.fitted import Recipe, fit_rows

ROOT = Path(__file__).parents[2]
SEEDS = (1, 2, 3, 4, 5)
# Every seed is held in the plain suite too; the marked twin is the one whose figures `make prove` records.
HELD = [*SEEDS, *(pytest.param(seed, marks=pytest.mark.prove, id=f"proof-{seed}") for seed in SEEDS)]
SHOWN = 150
"""As many records as were falsified."""
SCREENED = 0.05
POLICY = load(ROOT / "policies" / "loans.yaml").policy

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


def maker() -> ModuleType:
    specification = importlib.util.spec_from_file_location("make_loans", ROOT / "sample_data/loans/make_loans.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Audited:
    """One seed's book under the sample policy: training records with what the engine says of each."""

    train: pd.DataFrame
    evaluation: pd.DataFrame
    kind: NDArray[np.object_]
    """[N] kind in the answer key, or None."""
    approved: Flags
    """[M] the model's decisions on the evaluation rows."""
    declined_in_training: Flags
    loss: Floats
    effect: Floats
    """[N] predicted change of the slice's mean loss if the record were removed."""
    self_influence: Floats

    @property
    def accuracy(self) -> float:
        return float((self.approved == (self.evaluation["repaid"] == 1)).mean())

    @property
    def impact_ratio(self) -> float:
        rate = pd.Series(self.approved).groupby(self.evaluation["sex"].to_numpy()).mean()
        return float(rate["female"] / rate["male"])

    def share_falsified(self, order: Floats, among: Flags | None = None) -> float:
        """Share of the falsified records among the first `SHOWN` in ascending order."""
        rows = np.arange(len(order)) if among is None else np.flatnonzero(among)
        first = rows[np.argsort(order[rows], kind="stable")[:SHOWN]]
        return float((self.kind[first] == "falsified").mean())

    def found_in_screen(self, kind: str) -> int:
        """Records of a kind in the top share of self-influence."""
        first = np.argsort(-self.self_influence, kind="stable")[: int(SCREENED * len(self.train))]
        return int((self.kind[first] == kind).sum())


@lru_cache
def audited(seed: int) -> Audited:
    book = maker().make(seed)
    labels, outcomes = (part["repaid"].to_numpy(dtype=np.float64) for part in (book.train, book.evaluation))
    recipe = Recipe.of(POLICY.data, POLICY.model.training)
    fitted = fit_rows(recipe, book.train, labels, torch.Generator().manual_seed(POLICY.seed))
    subject = as_subject(fitted, threshold=POLICY.model.threshold)
    model = subject.gradient
    assert model is not None
    assert subject.loss is not None
    approved = subject.decide(book.evaluation) == 1
    members = (book.evaluation["sex"] == "female") & (book.evaluation["repaid"] == 1) & ~approved
    weights = torch.from_numpy(members.to_numpy(dtype=np.float64) / members.sum())
    inputs, targets = model.tensors(book.train, labels)
    problem = pose(model.module, model.loss, inputs, targets, weight_decay=model.weight_decay)
    slices = [Measure("declined women who repaid", "loss", weights)]
    evaluation = state_evaluation(problem, *model.tensors(book.evaluation, outcomes), slices)
    scores = score(problem, Exact().fit(problem), evaluation)
    kinds = book.train["application_id"].map(book.answer_key.set_index("application_id")["kind"])
    return Audited(
        train=book.train, evaluation=book.evaluation, kind=kinds.to_numpy(dtype=object), approved=approved,
        declined_in_training=subject.decide(book.train) == 0, loss=subject.loss(book.train, labels),
        effect=scores.effects[:, 0].numpy(), self_influence=scores.self_influence.numpy(),
    )  # fmt: skip


@pytest.mark.parametrize("seed", HELD)
def test_falsified_history_is_what_declined_women_rest_on(seed: int, record_property: Callable[[str, object], None]):
    audit = audited(seed)
    declined_women = audit.declined_in_training & (audit.train["sex"] == "female").to_numpy()
    by_effect = audit.share_falsified(audit.effect)
    by_loss = audit.share_falsified(-audit.loss)
    by_loss_declined = audit.share_falsified(-audit.loss, among=declined_women)
    base = float((audit.kind == "falsified").mean())
    record_property("falsified among the top 150 by effect", by_effect)
    record_property("by loss, all", by_loss)
    record_property("by loss, declined women", by_loss_declined)
    record_property("base rate", base)
    assert base == 0.0375
    assert by_effect >= 0.4
    # The engine must add something to what sorting by loss shows.
    assert by_effect > max(by_loss, by_loss_declined) + 0.2


@pytest.mark.parametrize("seed", HELD)
def test_rare_records_have_outsized_self_influence(seed: int, record_property: Callable[[str, object], None]):
    audit = audited(seed)
    rare, mislabelled = audit.found_in_screen("rare"), audit.found_in_screen("mislabelled")
    record_property("rare in the top 5 % of self-influence, of 20", rare)
    record_property("mislabelled there, of 30", mislabelled)
    assert rare >= 12


@pytest.mark.parametrize("seed", HELD)
def test_the_lender_is_as_described(seed: int, record_property: Callable[[str, object], None]):
    audit = audited(seed)
    record_property("accuracy", audit.accuracy)
    record_property("impact ratio of women", audit.impact_ratio)
    assert 0.70 <= audit.accuracy <= 0.83
    assert audit.impact_ratio < 0.75
