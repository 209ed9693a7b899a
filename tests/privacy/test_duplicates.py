from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auditkit.errors import DataError
from auditkit.privacy import duplicates
from auditkit.privacy.distance import distinct, median_nearest
from auditkit.subject.types import Ints

LOANS = Path(__file__).parents[2] / "sample_data/loans"
LOAN_NUMBERS = ("amount", "term_months", "income", "existing_debt", "months_employed", "prior_defaults")
LOAN_CATEGORIES = ("branch", "region", "channel", "purpose", "employment", "sector", "housing")


def _find(
    features: dict[str, pd.DataFrame],
    *,
    minimum: int = 1,
    share: float = 0.05,
    persons: dict[str, Ints] | None = None,
    numeric: tuple[str, ...] | None = None,
) -> duplicates.Found:
    found = duplicates.find(
        features,
        numeric=numeric,
        persons=persons or {},
        share=share,
        minimum=minimum,
        generator=np.random.default_rng(0),
    )
    assert found is not None
    return found


def _frame(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "income": rng.lognormal(10, 0.5, n),
            "age": rng.integers(18, 80, n).astype(float),
            "branch": rng.choice(["a", "b", "c"], n),
        }
    )


def test_the_planted_pairs_of_the_sample_are_found_and_nothing_else() -> None:
    frames = {split: pd.read_csv(LOANS / f"{split}.csv") for split in ("train", "reserve", "evaluation")}
    key = pd.read_csv(LOANS / "answer_key.csv")
    columns = [*LOAN_NUMBERS, *LOAN_CATEGORIES]
    found = _find({name: frame[columns] for name, frame in frames.items()}, minimum=10, numeric=LOAN_NUMBERS)
    assert found.public.near_in_train == 15
    assert found.public.exact_in_train == found.public.exact_across == found.public.near_across == 0
    planted = key[key["kind"] == "near-duplicate"].set_index("application_id")["pair"]
    clusters = pd.Series(found.cluster, index=frames["train"]["application_id"])
    assert set(clusters.index[clusters >= 0]) == set(planted.index)
    assert (clusters[planted.index].groupby(planted).nunique() == 1).all()


def test_exact_copies_are_counted_as_pairs_in_train_and_across_every_two_splits() -> None:
    train, reserve, evaluation = _frame(200, 0), _frame(150, 1), _frame(100, 2)
    train = pd.concat([train, train.iloc[[0, 0, 5]]], ignore_index=True)
    reserve.iloc[:2] = train.iloc[[0, 9]].to_numpy()
    evaluation.iloc[:2] = pd.concat([reserve.iloc[[1]], reserve.iloc[[50]]]).to_numpy()
    found = _find({"train": train, "reserve": reserve, "evaluation": evaluation})
    # Record 0 three times and record 5 twice: 3 + 1 pairs.
    assert found.public.exact_in_train == 4
    # Record 0: 3 x 1; record 9: train-reserve, train-evaluation, reserve-evaluation; reserve 50: 1.
    assert found.public.exact_across == 3 + 3 + 1
    assert found.cluster[[0, 200, 201]].tolist() == [found.cluster[0]] * 3
    assert found.cluster[5] == found.cluster[202] != found.cluster[0]
    assert (found.cluster >= 0).sum() == 5


def test_near_copies_are_counted_once_for_each_copy_of_either() -> None:
    train, reserve = _frame(60, 3), _frame(50, 4)
    for row in (0, 0, 0, 1):
        copy = train.iloc[[row]].copy()
        copy["income"] *= 1.0005
        train = pd.concat([train, copy], ignore_index=True)
    reserve.iloc[0] = train.iloc[1]
    reserve.loc[0, "income"] *= 0.9995
    found = _find({"train": train, "reserve": reserve}, share=0.02)
    # Record 0 and three like copies of it: 3 near pairs (the copies among themselves are exact: 3); record 1: 1.
    assert found.public.near_in_train == 4
    assert found.public.exact_in_train == 3
    # The reserve's copy is near record 1 and near its copy.
    assert found.public.near_across == 2


@pytest.mark.parametrize(("column", "value"), [("branch", "z"), ("age", np.nan)])
def test_a_changed_category_or_gap_makes_another_record(column: str, value: object) -> None:
    train = _frame(300, 5)
    train = pd.concat([train, train.iloc[[0]]], ignore_index=True)
    train.loc[300, column] = value
    found = _find({"train": train}, share=0.99)
    assert found.cluster[300] == -1
    assert any("category" in note for note in found.public.notes)


def test_two_gaps_agree() -> None:
    train = _frame(300, 6)
    train.loc[0, "age"] = np.nan
    train.loc[0, "branch"] = None
    train = pd.concat([train, train.iloc[[0]]], ignore_index=True)
    assert _find({"train": train}).public.exact_in_train == 1
    train.loc[300, "income"] *= 1.0001
    found = _find({"train": train}, share=0.02)
    assert (found.public.exact_in_train, found.public.near_in_train) == (0, 1)


def test_counts_agree_with_a_brute_force_over_all_pairs() -> None:
    rng = np.random.default_rng(7)
    train = pd.DataFrame(
        {
            "x": rng.integers(0, 40, 150).astype(float),
            "y": rng.normal(0, 1, 150).round(1),
            "c": rng.choice(["a", "b"], 150),
        }
    )
    other = train.sample(60, random_state=1).reset_index(drop=True)
    other["y"] += 0.1 * rng.integers(0, 2, 60)
    found = _find({"train": train, "evaluation": other}, share=0.9)
    both = pd.concat([train, other], ignore_index=True)
    z = np.zeros((210, 2))
    for at, column in enumerate(("x", "y")):
        low, high = np.quantile(both[column], [0.25, 0.75])
        z[:, at] = both[column] / ((high - low) / 1.349)
    square = ((z[:, None] - z[None]) ** 2).sum(-1) + (both["c"].to_numpy()[:, None] != both["c"].to_numpy()[None])
    away = np.sqrt(square)
    unique = train.drop_duplicates().index
    nearest = away[np.ix_(unique, unique)] + np.where(np.eye(len(unique)) > 0, np.inf, 0.0)
    threshold = min(0.9 * float(np.median(nearest.min(axis=1))), 0.999)
    upper = np.triu(np.ones((210, 210), dtype=bool), 1)
    exact, near = upper & (away < 1e-12), upper & (away >= 1e-12) & (away <= threshold)
    assert found.public.exact_in_train == exact[:150, :150].sum() > 0
    assert found.public.exact_across == exact[:150, 150:].sum() > 0
    assert found.public.near_in_train == near[:150, :150].sum() > 0
    assert found.public.near_across == near[:150, 150:].sum() > 0


@pytest.mark.parametrize("copies", [1, 8])
def test_small_counts_are_withheld_and_said_to_be(copies: int) -> None:
    train = _frame(300, 8)
    train = pd.concat([train, train.iloc[:copies]], ignore_index=True)
    public = _find({"train": train}, minimum=10).public
    assert public.exact_in_train is None
    assert any("fewer than 10" in note for note in public.notes)


def test_many_pairs_of_a_few_persons_are_withheld() -> None:
    train = _frame(300, 9)
    train = pd.concat([train, *[train.iloc[[0]]] * 5], ignore_index=True)
    # Six like records make 15 pairs; they are six records, or one person.
    assert _find({"train": train}, minimum=10).public.exact_in_train is None
    assert _find({"train": train}, minimum=5).public.exact_in_train == 15
    persons = {"train": np.where(np.arange(305) < 300, np.arange(305), 0)}
    assert _find({"train": train}, minimum=5, persons=persons).public.exact_in_train is None


def test_without_numbers_only_exact_copies_are_told_apart() -> None:
    train = pd.DataFrame({"a": list("xyzxyz"), "b": list("pqrpqs")})
    public = _find({"train": train}).public
    assert public.exact_in_train == 2
    assert public.near_in_train == 0
    assert any("No numeric feature" in note for note in public.notes)


def test_dates_and_flags_are_read_by_type_and_identical_columns_do_no_harm() -> None:
    train = pd.DataFrame(
        {
            "day": pd.date_range("2024-01-01", periods=50),
            "flag": np.arange(50) % 2 == 0,
            "same": 3.0,
            "mostly": np.where(np.arange(50) < 3, 5, 0),
        }
    )
    table = distinct({"train": train}, None)
    assert table.numbers.shape == (50, 3)
    assert table.codes.shape == (50, 1)
    assert np.isfinite(table.numbers).all()


def test_the_median_of_a_sample_stays_near_the_median_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    table = distinct({"train": _frame(3000, 10)}, None)
    rng = np.random.default_rng(0)
    whole = median_nearest(table, "train", rng)
    monkeypatch.setattr("auditkit.privacy.distance.PAIRS_FOR_MEDIAN", 1_500_000)
    sampled = median_nearest(table, "train", rng)
    assert whole != sampled
    assert sampled == pytest.approx(whole, rel=0.15)


def test_one_record_has_no_neighbour() -> None:
    public = _find({"train": _frame(1, 11)}).public
    assert (public.exact_in_train, public.near_in_train) == (0, 0)


def test_too_many_near_pairs_are_not_counted_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 3)
    found = _find({"train": _frame(300, 12)}, share=0.99)
    assert found.public.near_in_train is None
    assert any("more than 3 pairs" in note for note in found.public.notes)


def test_nothing_to_compare_is_no_answer() -> None:
    rng = np.random.default_rng(0)
    for features in (
        {},
        {"evaluation": _frame(5, 0)},
        {"train": _frame(0, 0)},
        {"train": pd.DataFrame(index=range(4))},
    ):
        assert duplicates.find(features, numeric=None, persons={}, share=0.05, minimum=2, generator=rng) is None


def test_tables_that_do_not_fit_are_refused() -> None:
    one, other = _frame(20, 0), _frame(20, 1)
    with pytest.raises(DataError, match="differ from those"):
        distinct({"train": one, "reserve": other.drop(columns="age")}, None)
    with pytest.raises(DataError, match="'branch' is declared numeric"):
        distinct({"train": one}, ("branch",))
    one.loc[3, "age"] = np.inf
    with pytest.raises(DataError, match="infinite"):
        distinct({"train": one}, None)
