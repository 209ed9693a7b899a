"""The sample lender's book: its splits, columns and answer key; the files are what the maker makes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

FOLDER = Path(__file__).parents[2] / "sample_data" / "loans"
FILES = ("train", "reserve", "evaluation", "answer_key", "reserve_key")
SEEDS = (1, 2, 3, 4, 5, 7)
MONEY = ["income", "amount", "existing_debt", "months_employed", "term_months", "prior_defaults", "age"]


def load_maker() -> ModuleType:
    specification = importlib.util.spec_from_file_location("make_loans", FOLDER / "make_loans.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


MAKER = load_maker()
make = lru_cache(MAKER.make)


@pytest.fixture
def maker() -> ModuleType:
    return MAKER


@pytest.fixture(params=SEEDS)
def book(request: pytest.FixtureRequest):
    return make(request.param)


def planted(frame: pd.DataFrame, key: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The records of one kind, with the key's columns beside them."""
    return frame.merge(key[key["kind"] == kind], on="application_id", validate="one_to_one")


def test_the_committed_files_are_what_the_maker_writes(tmp_path: Path):
    command = [sys.executable, str(FOLDER / "make_loans.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True, env={"PYTHONHASHSEED": "31"})
    for name in FILES:
        assert (tmp_path / f"{name}.csv").read_bytes() == (FOLDER / f"{name}.csv").read_bytes(), name


def test_another_seed_makes_another_book(maker: ModuleType, book):
    other = maker.make(1_000_003)
    assert not other.train["income"].equals(book.train["income"])
    assert list(other.train.columns) == list(book.train.columns) == maker.COLUMNS


def test_the_committed_files_are_modest():
    assert sum((FOLDER / f"{name}.csv").stat().st_size for name in FILES) < 2_000_000


def test_sizes_and_keys(book):
    assert [len(part) for part in book[:3]] == [4000, 4000, 2000]
    everyone = pd.concat(book[:3])
    assert everyone["application_id"].is_unique
    assert everyone["application_date"].between("2024-01-01", "2025-12-31").all()
    in_order = everyone.sort_values("application_id")["application_date"]
    assert in_order.is_monotonic_increasing


def test_no_person_is_in_two_splits_and_some_come_back(book):
    persons = [set(part["applicant_id"]) for part in book[:3]]
    assert not persons[0] & persons[1]
    assert not persons[0] & persons[2]
    assert not persons[1] & persons[2]
    for part in book[:3]:
        returning = part.groupby("applicant_id").size()
        assert 0.05 < (returning > 1).mean() < 0.25
        # A person has one branch and one ethnicity; sex may be left blank on one form, and never changes.
        again = part[part["applicant_id"].duplicated(keep=False)]
        assert (again.groupby("applicant_id")[["branch", "ethnicity"]].nunique() == 1).all(axis=None)
        assert (again[again["sex"] != "U"].groupby("applicant_id")["sex"].nunique() == 1).all()


def test_columns_are_plausible(book):
    everyone = pd.concat(book[:3])
    assert set(everyone["sex"]) == {"female", "male", "U"}
    assert everyone["age"].between(18, 92).all()
    assert 0.05 < (everyone["age"] >= 62).mean() < 0.25
    assert 0.02 < (everyone["age"] < 25).mean() < 0.15
    assert 0.03 < (everyone["ethnicity"] == "unknown").mean() < 0.12
    assert 5 < (book.evaluation["ethnicity"] == "other").sum() < 30
    assert set(everyone["repaid"]) == {0, 1}
    assert (everyone["income"].dropna() > 0).all()
    for column in ("income", "existing_debt", "months_employed", "sector"):
        assert 0.005 < everyone[column].isna().mean() < 0.3, column
    regions = everyone.groupby("branch")["region"].nunique()
    assert (regions == 1).all()
    assert len(regions) == 12


def test_columns_are_correlated_as_in_life(book):
    everyone = pd.concat(book[:3]).astype(dict.fromkeys(MONEY, float))
    assert everyone["income"].corr(everyone["amount"], method="spearman") > 0.1
    assert everyone["amount"].corr(everyone["term_months"], method="spearman") > 0.5
    at_work = everyone[everyone["age"].lt(60) & everyone["employment"].isin(["full-time", "part-time"])]
    assert at_work["age"].corr(at_work["months_employed"], method="spearman") > 0.1
    typical = everyone.groupby("employment")["income"].median()
    assert typical["unemployed"] < typical["part-time"] < typical["full-time"]
    repaid = everyone["repaid"].astype(float)
    assert everyone["income"].corr(repaid, method="spearman") > 0.2
    assert everyone["prior_defaults"].corr(repaid, method="spearman") < -0.1
    assert len(pd.concat(book[:3])[MONEY].drop_duplicates()) > 9_900


def test_the_key_is_complete_and_true(book):
    key, train = book.answer_key, book.train
    assert key["kind"].value_counts().to_dict() == {
        "falsified": 150, "near-duplicate": 30, "mislabelled": 30, "rare": 20,
    }  # fmt: skip
    assert key["application_id"].is_unique
    joined = train.merge(key, on="application_id", validate="one_to_one")
    assert len(joined) == len(key)
    assert (joined["repaid"] == joined["recorded_repaid"]).all()
    altered = key["kind"].isin(["falsified", "mislabelled"])
    assert (altered == (key["true_repaid"] != key["recorded_repaid"])).all()


def test_the_reserve_went_through_the_same_recording(book):
    key = book.reserve_key
    assert key["kind"].value_counts().to_dict() == {"falsified": 150, "mislabelled": 30}
    assert key["application_id"].isin(book.reserve["application_id"]).all()
    assert not key["application_id"].isin(book.answer_key["application_id"]).any()


def test_falsified_are_women_of_two_branches_who_repaid(book, maker: ModuleType):
    for part, key in ((book.train, book.answer_key), (book.reserve, book.reserve_key)):
        falsified = planted(part, key, "falsified")
        assert set(falsified["sex"]) == {"female"}
        assert set(falsified["branch"]) == set(maker.FALSIFIED_BRANCHES)
        assert (falsified["true_repaid"] == 1).all()
        assert (falsified["repaid"] == 0).all()


def test_the_evaluation_outcomes_show_what_the_history_hides(book, maker: ModuleType):
    def share_repaid(frame: pd.DataFrame) -> float:
        desk = frame["branch"].isin(maker.FALSIFIED_BRANCHES) & (frame["channel"] == maker.DESK)
        return float(frame.loc[desk & (frame["sex"] == "female"), "repaid"].mean())

    assert share_repaid(book.evaluation) > 0.6
    assert share_repaid(book.train) < 0.4


def test_mislabels_are_spread(book, maker: ModuleType):
    flipped = planted(book.train, book.answer_key, "mislabelled")
    assert flipped["branch"].nunique() >= 6
    assert set(flipped["repaid"]) == {0, 1}
    assert not flipped["branch"].isin(maker.FALSIFIED_BRANCHES).any()


def test_rare_records_have_a_purpose_of_their_own(book):
    rare = planted(book.train, book.answer_key, "rare")
    count = pd.concat(book[:3])["purpose"].value_counts()
    assert (count[rare["purpose"]] == 1).all()
    assert (count.drop(rare["purpose"]) > 300).all()
    # The outcome runs against the money: the poorer of them repaid.
    assert rare.loc[rare["repaid"] == 1, "income"].max() < rare.loc[rare["repaid"] == 0, "income"].min()
    assert rare["repaid"].sum() == len(rare) // 2


def test_pairs_are_near_and_are_two_applicants(book):
    both = planted(book.train, book.answer_key, "near-duplicate").sort_values(["pair", "application_id"])
    assert (both.groupby("pair").size() == 2).all()
    assert both["applicant_id"].is_unique
    first, second = both.iloc[::2].reset_index(drop=True), both.iloc[1::2].reset_index(drop=True)
    same = ["branch", "channel", "purpose", "employment", "sector", "housing", "sex", "ethnicity", "repaid"]
    pd.testing.assert_frame_equal(first[same], second[same])
    scale = book.train[MONEY].astype(float).std()
    distance = np.sqrt((((first[MONEY] - second[MONEY]).astype(float) / scale) ** 2).sum(axis=1))
    assert (distance > 0).all()
    assert (distance < 0.02).all()
    # Nothing else in the book comes so near: the same check over all records finds these pairs alone.
    rest = book.train[~book.train["application_id"].isin(both["application_id"])].dropna(subset=MONEY)
    looks = rest.groupby(same[:-1], dropna=False).ngroup()
    places = np.column_stack([rest[MONEY].astype(float) / scale, looks])
    assert not cKDTree(places).query_pairs(0.02)
