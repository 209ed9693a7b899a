"""Banks of the `estimator` adapter: one after another by its own fit, with its encoding, weights and seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from auditkit.bank.fit import carry_out, intend, make, train
from auditkit.bank.plan import plan
from auditkit.bank.types import Size
from auditkit.preflight import Prepared, prepare
from auditkit.run import audit_prepared
from auditkit.subject.effort import PASSES, PER_CELL, PER_FIT, operations
from tests.bank.lender import LOANS, POLICY, SIZES

MODULE = '''
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

NUMBERS, LEVELS = ["income", "amount", "term_months"], ["employment", "branch"]

def encoded(unknown="ignore"):
    return make_column_transformer((StandardScaler(), NUMBERS), (OneHotEncoder(handle_unknown=unknown), LEVELS))

def linear():
    return make_pipeline(encoded(), LogisticRegression(max_iter=500))

def trees():
    return make_pipeline(encoded(), RandomForestClassifier(n_estimators=8, max_depth=4))

def strict():
    return make_pipeline(encoded("error"), LogisticRegression(max_iter=500))
'''
MODEL = "{{adapter: tabular, path: model, training: {training}}}"


def lender(folder: Path, function: str, *, weight: bool = False, privacy: str = "{bank: 16}") -> Prepared:
    for split, count in SIZES.items():
        frame = pd.read_csv(LOANS / f"{split}.csv").head(count)
        for name in ("income", "amount", "term_months"):
            frame[name] = frame[name].fillna(frame[name].median())
        frame[["employment", "branch"]] = frame[["employment", "branch"]].fillna("none")
        if weight:
            frame["weight"] = np.where(np.arange(len(frame)) % 3 == 0, 4.0, 1.0)
        if function == "strict" and split == "train":
            frame.loc[0, "branch"] = "the only one"
        frame.to_csv(folder / f"{split}.csv", index=False)
    (folder / "brought.py").write_text(MODULE)
    text = POLICY.replace(MODEL, f'{{{{adapter: estimator, subject: "brought:{function}"}}}}')
    if weight:
        text = text.replace("  numeric:", "  weight: weight\n  numeric:")
    path = folder / "small.yaml"
    path.write_text(text.format(influence="{}", privacy=privacy))
    return prepare(path)


@pytest.mark.parametrize("weight", [False, True])
def test_a_model_of_the_bank_is_a_clone_fitted_on_its_rows(tmp_path: Path, weight: bool) -> None:
    prepared = lender(tmp_path, "linear", weight=weight)
    table = prepared.table
    drawn = plan(table, "pool-halves", Size(0, 3, 0), np.random.default_rng(0))
    found = train(prepared.subject, table, drawn)
    space: dict[str, object] = {}
    exec(MODULE, space)  # noqa: S102
    frame, label = table.frame.iloc[drawn.rows], table.label[drawn.rows].astype(int)
    features = ["income", "amount", "term_months", "employment", "branch"]
    for k in range(3):
        rows = drawn.masks[k]
        weights = {"logisticregression__sample_weight": frame["weight"][rows]} if weight else {}
        own = space["linear"]().fit(frame[features][rows], label[rows], **weights)  # type: ignore[operator]
        p = own.predict_proba(frame[features])[np.arange(len(label)), label]
        np.testing.assert_allclose(found.loss_pool[k], -np.log(p), rtol=1e-6)
    assert found.parameters is None and "one after another" in found.recipe


def test_every_model_has_the_seed_of_its_plan(tmp_path: Path) -> None:
    prepared = lender(tmp_path, "trees")
    table, rng = prepared.table, np.random.default_rng
    drawn = plan(table, "pool-halves", Size(0, 3, 2), rng(0))
    one, two = (train(prepared.subject, table, drawn) for _ in range(2))
    np.testing.assert_array_equal(one.loss_pool, two.loss_pool)
    assert (one.loss_pool[0] != one.loss_pool[3]).any(), "the same half with another seed is another forest"
    before = torch.get_rng_state()
    make(prepared.subject, table, kind="pool-halves", wanted=2, generator=rng(0))
    assert torch.equal(before, torch.get_rng_state())


def test_membership_of_an_estimator_is_measured_and_its_influence_is_not(tmp_path: Path) -> None:
    audit = audit_prepared(lender(tmp_path, "trees"), as_of=None, command="")
    part = audit.result.privacy
    assert audit.result.influence.status == "not-applicable"
    assert part.exposure is not None and part.exposure.status == "assessed" and part.exposure.models == 16
    assert "by the subject's own training" in part.exposure.retraining
    assert {"pool_bank_masks", "pool_bank_margin", "pool_bank_loss", "pool_bank_seeds"} <= set(audit.arrays)
    assert "bank_masks" not in audit.arrays
    lira = next(row for row in part.measurements if row.measure == "privacy.lira_auc")
    assert lira.estimate.value is not None


def test_a_half_that_cannot_be_fitted_leaves_no_bank_and_says_why(tmp_path: Path) -> None:
    """A level that one record alone has: models without it cannot answer about it."""
    prepared = lender(tmp_path, "strict")
    found, why = make(
        prepared.subject, prepared.table, kind="pool-halves", wanted=16, generator=np.random.default_rng(0)
    )
    assert found is None and why.startswith("retraining failed") and "predict_proba" in why


def test_the_work_is_a_stated_figure_and_the_clock_plays_no_part(tmp_path: Path) -> None:
    prepared = lender(tmp_path, "trees", privacy="{bank: auto}")
    assert prepared.subject.work is not None
    columns = prepared.subject.work(2.0) - prepared.subject.work(1.0)
    encoded = columns / (PER_CELL * 8)
    assert encoded > 5 and encoded == int(encoded), "columns after the encoding, times eight trees"
    intended = intend(prepared.subject, prepared.table, kind="pool-halves", wanted="auto")
    assert intended.size is not None
    assert intended.work == intended.size.models * prepared.subject.work(len(prepared.table.frame[:520]) / 2)
    fewer = replace(intended, size=Size(0, 2, 0))
    assert carry_out(fewer, prepared.subject, prepared.table, generator=np.random.default_rng(0))[0]


@pytest.mark.parametrize(
    ("settings", "rounds"),
    [({"n_estimators": 30}, 30), ({"n_estimators": None}, 100), ({"max_iter": 2000}, PASSES), ({"max_iter": 7}, 7),
     ({}, PASSES)],
)  # fmt: skip
def test_rounds_are_trees_or_passes(settings: dict[str, object], rounds: int) -> None:
    class Last:
        n_features_in_ = 11

        def get_params(self, deep: bool) -> dict[str, object]:
            return settings

    assert operations(Last(), 3, 50.0) == PER_FIT + PER_CELL * 50 * 11 * rounds
