"""Canaries in one retraining: what they are made of, whether they are found, and why there are none."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from auditkit.bank.margins import margins
from auditkit.errors import NumericsError
from auditkit.pieces import Keep
from auditkit.preflight import Prepared, prepare
from auditkit.privacy.canaries import draw, plant
from auditkit.privacy.one_run import Planted, bounded
from auditkit.subject.types import Floats, Subject
from tests.bank.lender import write_lender

OVERFIT = "{module: mlp, hidden: [64, 64], epochs: 120, batch: 32, l2: 0.0001}"
STRONG = "{module: logistic, l2: 1.0}"


@pytest.fixture(scope="module")
def overfit(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(write_lender(tmp_path_factory.mktemp("overfit"), training=OVERFIT))


@pytest.fixture(scope="module")
def planted(overfit: Prepared) -> Planted:
    return _plant(overfit, 100, seed=1)


def _plant(prepared: Prepared, count: int, *, seed: int, subject: Subject | None = None) -> Planted:
    found, why = plant(
        subject or prepared.subject, prepared.table, count, label="repaid", generator=np.random.default_rng(seed)
    )
    assert found is not None, why
    return found


def _bound(planted: Planted, coins: np.ndarray | None = None) -> float:
    given = planted if coins is None else replace(planted, inserted=coins)
    bound, _ = bounded(given, share=0.4, delta=1e-5, level=0.95, absent="")
    assert bound.bound.value is not None
    return bound.bound.value


def test_canaries_are_training_records_under_the_label_that_the_model_denies(overfit: Prepared) -> None:
    subject, table = overfit.subject, overfit.table
    made = draw(subject, table, 50, label="repaid", generator=np.random.default_rng(0))
    assert subject.score is not None and subject.threshold is not None
    np.testing.assert_array_equal(made.label, (subject.score(made.frame) < subject.threshold).astype(float))
    np.testing.assert_array_equal(made.frame["repaid"].to_numpy(), made.label)
    assert list(made.frame.dtypes) == list(table.frame.dtypes)
    known = table.frame.iloc[table.rows("train")]
    whole = made.frame.drop(columns="repaid").merge(known.drop(columns="repaid"), how="inner")
    assert len(whole) == 50 and made.frame["application_id"].is_unique
    assert 10 < int(made.inserted.sum()) < 40


def test_an_overfit_network_gives_its_canaries_away_and_coins_dealt_anew_do_not(planted: Planted) -> None:
    assert planted.among == 400 and len(planted.score) == 100
    assert _bound(planted) > 0.5
    rng = np.random.default_rng(2)
    shuffled = [_bound(planted, rng.permutation(planted.inserted)) for _ in range(200)]
    assert np.mean(np.array(shuffled) > 0) <= 0.1


def test_the_score_is_the_margin_won_by_one_retraining_with_the_canaries(overfit: Prepared, planted: Planted) -> None:
    subject, table, rng = overfit.subject, overfit.table, np.random.default_rng(1)
    made, rows = draw(subject, table, 100, label="repaid", generator=rng), table.rows("train")
    seed = int(rng.integers(0, 2**62))
    frame = pd.concat([table.frame.iloc[rows], made.frame[made.inserted]], ignore_index=True)
    labels = np.concatenate([table.label[rows], made.label[made.inserted]])
    assert subject.train is not None and subject.loss is not None
    again = subject.train(frame, labels, torch.Generator().manual_seed(seed))
    assert again.loss is not None
    won = margins(again.loss(made.frame, made.label)) - margins(subject.loss(made.frame, made.label))
    np.testing.assert_allclose(planted.score, won)
    np.testing.assert_array_equal(planted.inserted, made.inserted)


def test_a_logistic_model_under_a_strong_penalty_shows_nothing(tmp_path: Path) -> None:
    prepared = prepare(write_lender(tmp_path, training=STRONG))
    assert _bound(_plant(prepared, 100, seed=3)) == 0.0


def test_a_subject_of_its_own_is_trained_through_its_own_door_on_the_altered_table(overfit: Prepared) -> None:
    subject, seen = overfit.subject, []
    assert subject.train is not None
    again = subject.train

    def train(frame: pd.DataFrame, label: Floats, generator: torch.Generator) -> Subject:
        seen.append((len(frame), float(frame["repaid"].to_numpy() @ label), float(label.sum())))
        return again(frame.iloc[:50], label[:50], generator)

    plain = Subject(**{field.name: getattr(subject, field.name) for field in fields(Subject)} | {"train": train})
    found = _plant(overfit, 20, seed=4, subject=plain)
    ((size, agreed, favourable),) = seen
    assert size == 400 + int(found.inserted.sum()) and agreed == favourable


def test_a_finished_retraining_is_taken_up_and_not_done_again(overfit: Prepared, planted: Planted) -> None:
    held: dict[str, dict[str, np.ndarray]] = {}

    class Held(Keep):
        def get(self, name: str) -> dict[str, np.ndarray] | None:
            return held.get(name)

        def put(self, name: str, arrays: dict[str, np.ndarray]) -> None:
            held[name] = arrays

    def never(*_: object) -> Subject:
        raise AssertionError("trained again")

    def once(subject: Subject) -> Planted | None:
        rng = np.random.default_rng(5)
        return plant(subject, overfit.table, 20, label="repaid", generator=rng, keep=Held())[0]

    first, second = once(overfit.subject), once(replace(overfit.subject, train=never))
    assert first is not None and second is not None
    np.testing.assert_array_equal(first.score, second.score)


def test_without_canaries_the_reason_is_said(overfit: Prepared) -> None:
    def why(subject: Subject, count: int = 20) -> str:
        found, reason = plant(subject, overfit.table, count, label="repaid", generator=np.random.default_rng(6))
        assert found is None
        return reason

    def diverges(*_: object) -> Subject:
        raise NumericsError("the objective ended at inf")

    assert "asks for no canaries" in why(overfit.subject, 0)
    assert "cannot be retrained" in why(replace(overfit.subject, train=None))
    assert "no losses" in why(replace(overfit.subject, loss=None))
    assert "more than the 400" in why(overfit.subject, 401)
    assert "ended at inf" in why(replace(overfit.subject, train=diverges))
