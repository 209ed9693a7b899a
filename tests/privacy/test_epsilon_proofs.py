"""Lower limits of epsilon on networks overfit on digits, and on one trained with differential privacy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from torch.func import functional_call

from auditkit.policy.remedies import DpSgd
from auditkit.preflight import Prepared, prepare
from auditkit.privacy.attacks.lira import log_ratio
from auditkit.privacy.canaries import plant
from auditkit.privacy.epsilon import Asked, audited, recipe
from auditkit.privacy.membership import Retrained, Scores
from auditkit.privacy.one_run import bounded
from auditkit.privacy.strength import Sides, halve
from auditkit.privacy.trial import Tried
from auditkit.remedies.private import descend, schedule
from auditkit.run import train
from auditkit.subject.adapters.tabular import TabularSubject
from auditkit.subject.fitting import Batch
from auditkit.subject.model import build, loss
from auditkit.subject.types import Floats, Subject
from tests.privacy.retraining import Recipe, halves

ASKED = Asked(fpr=0.01, delta=1e-5, level=0.95, minimum=10)
TARGETS, MODELS = 8, 64
POLICY = """
auditkit: 1
name: Digits of five and above
data:
  train: train.csv
  evaluation: evaluation.csv
  label: {{column: high, favourable: 1, means: outcome}}
  numeric: [{columns}]
model: {{adapter: tabular, path: model, training: {training}}}
rules:
  - {{id: M1, measure: model.accuracy, op: ">=", threshold: 0.5, severity: low, because: A test}}
"""
OVERFIT = "{module: mlp, hidden: [128, 128], epochs: 150, l2: 0.0001}"


@cache
def _halves() -> Retrained:
    """Networks on halves of digits, 898 members each, a tenth of the labels drawn anew."""
    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(len(labels)) < 0.1, rng.integers(0, 10, len(labels)), labels)
    inputs = torch.tensor(images / 16, dtype=torch.float32)
    shape = Recipe((64, 128, 128, 10), epochs=60, l2=0.0)
    return halves(inputs, torch.tensor(noisy), TARGETS + MODELS, shape, seed=0)


def _digits(folder: Path) -> Prepared:
    """898 training records and 899 others, whether the digit is five or above; an overfit network."""
    images, labels = load_digits(return_X_y=True)
    frame = pd.DataFrame(images, columns=[f"pixel{k}" for k in range(64)]).assign(high=(labels >= 5).astype(int))
    frame = frame.sample(frac=1.0, random_state=0)
    frame.iloc[:898].to_csv(folder / "train.csv", index=False)
    frame.iloc[898:].to_csv(folder / "evaluation.csv", index=False)
    columns = ", ".join(name for name in frame.columns if name != "high")
    path = folder / "digits.yaml"
    path.write_text(POLICY.format(columns=columns, training=OVERFIT), encoding="utf-8")
    train(path)
    return prepare(path)


@pytest.mark.prove
@pytest.mark.slow
def test_overfit_networks_have_limits_above_zero_at_one_threshold(
    record_property: Callable[[str, Any], None],
) -> None:
    known = _halves()
    bank = Retrained(known.margin[TARGETS:], known.inside[TARGETS:])
    found = []
    for margin, inside in zip(known.margin[:TARGETS], known.inside[:TARGETS], strict=True):
        score = log_ratio(margin, bank)
        half = halve(int((~inside).sum()), None, np.random.default_rng(len(found)))
        tried = Tried((), scores={"lira": Scores(score[inside], score[~inside])}, setting=half)
        found.append(audited(tried, Sides(None, None), ASKED).public.bound.value or 0.0)
    again = recipe(bank, None, ASKED, absent="").public.bound.value or 0.0
    record_property("digits: epsilon of the audited model at 1 % FPR, mean of 8", round(float(np.mean(found)), 2))
    record_property("digits: epsilon of the audited model, least and most", f"{min(found):.2f} to {max(found):.2f}")
    record_property("digits: epsilon of the recipe, 16 held-out models", round(again, 2))
    assert min(found) > 0 and np.mean(found) > 0.4
    assert again > 1.0


@pytest.mark.prove
@pytest.mark.slow
def test_canaries_in_one_run_of_an_overfit_network_show_epsilon_and_of_coins_dealt_anew_none(
    tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    prepared = _digits(tmp_path)
    found, why = plant(prepared.subject, prepared.table, 400, label="high", generator=np.random.default_rng(1))
    assert found is not None, why
    bound, part = bounded(found, share=0.2, delta=1e-5, level=0.95, absent="")
    assert bound.bound.value is not None and part.right is not None
    record_property("digits: one-run epsilon, 400 canaries, 80 guesses", round(bound.bound.value, 2))
    record_property("digits: right guesses of 80", part.right)
    assert bound.bound.value > 1.0
    several = bounded(found, share="auto", delta=1e-5, level=0.95, absent="")[0]
    assert several.bound.value is not None and several.most is not None and bound.most is not None
    record_property("digits: one-run epsilon, 400 canaries, several numbers of guesses", round(several.bound.value, 2))
    record_property("digits: most that 80 guesses and several numbers could show", [
        round(bound.most, 2), round(several.most, 2)])
    assert several.most > bound.most
    rng = np.random.default_rng(2)
    dealt = [replace(found, inserted=rng.permutation(found.inserted)) for _ in range(100)]
    none = [bounded(one, share=0.2, delta=1e-5, level=0.95, absent="")[0].bound.value == 0 for one in dealt]
    record_property("digits: share of 100 dealings of coins with a bound of 0", np.mean(none))
    assert np.mean(none) >= 0.9


@pytest.mark.prove
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Opacus: random numbers that are not for production, orders of its accountant
@pytest.mark.parametrize("epsilon", [1.0, 4.0])
def test_a_network_trained_by_dp_sgd_stays_below_its_epsilon(
    epsilon: float, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    prepared = _digits(tmp_path)
    subject, table = _private(prepared.subject, epsilon), prepared.table
    frame, label = table.frame.iloc[table.rows("train")], table.label[table.rows("train")]
    assert subject.train is not None
    learned = subject.train(frame, label, torch.Generator().manual_seed(0))
    assert learned.loss is not None and learned.loss(frame, label).mean() < np.log(2)  # it does learn something
    bounds = []
    for seed in range(3):
        found, why = plant(subject, prepared.table, 400, label="high", generator=np.random.default_rng(seed))
        assert found is not None, why
        bounds += [
            bounded(found, share=share, delta=1e-5, level=0.95, absent="")[0].bound.value or 0.0
            for share in (0.2, "auto")
        ]
    record_property(f"digits: one-run epsilon under DP-SGD at epsilon {epsilon:g}", bounds)
    assert max(bounds) < epsilon


def _private(subject: Subject, epsilon: float) -> Subject:
    """The subject trained by the remedy's own DP-SGD: one record's gradient clipped, noise for the epsilon."""
    pytest.importorskip("opacus")
    assert isinstance(subject, TabularSubject)
    fitted = subject.fitted
    plan = schedule(DpSgd(epsilon=epsilon, delta=1e-5, epochs=20), 898)  # as if the canaries were not there

    def again(frame: pd.DataFrame, label: Floats, generator: torch.Generator) -> Subject:
        inputs, targets = fitted.tensors(frame, label)
        module = build(fitted.encoding, fitted.recipe.training)
        batch = Batch(inputs, targets, torch.ones(len(targets), dtype=torch.float64))
        found = descend(module, batch, plan, l2=fitted.recipe.training.l2, generator=generator)

        def losses(rows: pd.DataFrame, truth: Floats) -> Floats:
            asked, known = fitted.tensors(rows, truth)
            with torch.no_grad():
                return np.asarray(loss(functional_call(module, found, asked), known).numpy(), dtype=np.float64)

        return replace(plain, loss=losses)

    plain = Subject(**{field.name: getattr(subject, field.name) for field in fields(Subject)})
    return replace(plain, train=again)
