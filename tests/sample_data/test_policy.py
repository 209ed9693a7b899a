"""The worked policy fits the sample: its columns, groups, cases and slices exist in the files it names."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from auditkit.policy.document import read_document

FILE = Path(__file__).parents[2] / "policies" / "loans.yaml"
POLICY = read_document(FILE).data
DATA = POLICY["data"]
ATTRIBUTES = {name: rule for name, rule in POLICY["protected"].items() if name != "intersections"}


def read(split: str) -> pd.DataFrame:
    return pd.read_csv((FILE.parent / DATA[split]).resolve())


@pytest.mark.parametrize("split", ["train", "reserve", "evaluation"])
def test_named_columns_exist(split: str):
    frame = read(split)
    named = {DATA["id"], DATA["person"], DATA["label"]["column"], *DATA["numeric"], *DATA["categorical"]}
    assert named | {rule["column"] for rule in ATTRIBUTES.values()} <= set(frame.columns)
    assert all(pd.api.types.is_numeric_dtype(frame[column]) for column in DATA["numeric"])


def test_the_model_reads_no_protected_column_and_nothing_it_could_not_know():
    features = {*DATA["numeric"], *DATA["categorical"]}
    assert not features & {rule["column"] for rule in ATTRIBUTES.values()}
    assert not features & {"repaid", "application_id", "applicant_id", "application_date"}


@pytest.mark.parametrize("split", ["train", "reserve", "evaluation"])
@pytest.mark.parametrize("name", ["sex", "ethnicity"])
def test_groups_and_unknowns_cover_every_value(split: str, name: str):
    rule = ATTRIBUTES[name]
    assert set(read(split)[rule["column"]]) == {*rule["groups"], *rule["unknown"]}
    assert rule["reference"] in rule["groups"]


def test_the_cases_are_declined_women_who_repaid_at_the_two_branches():
    frame = read("evaluation").set_index(DATA["id"])
    cases = frame.loc[list(POLICY["cases"])]
    assert (cases["sex"] == "female").all()
    assert (cases["repaid"] == 1).all()
    assert set(cases["branch"]) == {"Harbour Street", "Mill Lane"}


def test_slices_are_large_enough_to_speak_of():
    frame = read("evaluation")
    women_who_repaid = (frame["sex"] == "female") & (frame["repaid"] == 1)
    assert women_who_repaid.sum() > 500
    # One ethnicity is too small to judge: the sample shows every verdict, insufficient evidence among them.
    assert (frame["ethnicity"] == "other").sum() < 30


def test_every_rule_says_why():
    ids = [rule["id"] for rule in POLICY["rules"]]
    assert len(ids) == len(set(ids)) == 8
    assert all(len(rule["because"]) > 20 for rule in POLICY["rules"])
