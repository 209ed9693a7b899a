"""COMPAS through the `predictions` adapter and a policy file: ProPublica's published table, cell by cell."""

from __future__ import annotations

import pytest

from tests.policies.real.acceptance import hold_counts, hold_html, hold_result
from tests.policies.real.recompute import Audited, audit

# Larson, Mattu, Kirchner and Angwin (ProPublica, 2016): n, TN, FP, FN, TP, then FPR and FNR in percent.
PUBLISHED = {
    "": (7214, 2681, 1282, 1216, 2035, "32.35", "37.40"),
    "African-American": (3696, 990, 805, 532, 1369, "44.85", "27.99"),
    "Caucasian": (2454, 1139, 349, 461, 505, "23.45", "47.72"),
}


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    return audit("compas", tmp_path_factory.mktemp("compas"))


@pytest.mark.parametrize("group", list(PUBLISHED))
def test_published_rates_and_cells(audited: Audited, group: str) -> None:
    rows = {
        row["measure"].removeprefix("fairness."): row["estimate"]
        for row in audited.document["fairness"]["measurements"]
        if row["group"] == group and row["on"] == ("race" if group else "")
    }
    n, tn, fp, fn, tp, fpr, fnr = PUBLISHED[group]
    assert rows["selection_rate"]["n"] == rows["accuracy"]["n"] == n
    assert [rows[name]["events"] for name in ("tnr", "fpr", "fnr", "tpr")] == [tn, fp, fn, tp]
    assert (rows["fpr"]["n"], rows["fnr"]["n"]) == (tn + fp, fn + tp)
    assert [f"{100 * rows[name]['value']:.2f}" for name in ("fpr", "fnr")] == [fpr, fnr]


def test_every_figure_is_recomputed(audited: Audited) -> None:
    assert hold_result(audited) > 700


def test_every_printed_figure_is_in_the_result(audited: Audited) -> None:
    assert hold_html(audited) > 500


def test_what_is_left_out_is_counted(audited: Audited) -> None:
    hold_counts(audited)
