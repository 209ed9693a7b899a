"""Every row of METRICS gives the number that fairlearn gives for the rows themselves, and says what it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.fairness.cells import cell_of, count
from auditkit.fairness.metrics import METRICS, mask, rate_counts, values
from auditkit.fairness.notes import METRIC_NOTES

ROWS = st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), min_size=1, max_size=60)


@settings(max_examples=25)
@given(ROWS)
def test_point_values_equal_fairlearns_on_the_rows(rows: list[tuple[int, bool, bool]]) -> None:
    codes, truth, decision = (np.array(column) for column in zip(*rows, strict=True))
    cells = count(codes=codes, groups=4, cell=cell_of(truth=truth * 1.0, decision=decision * 1.0), persons=None)
    mine = values(cells.records[:-1])
    theirs = MetricFrame(
        metrics={name: metric.function for name, metric in METRICS.items()},
        y_true=truth * 1,
        y_pred=decision * 1,
        sensitive_features=pd.Series(codes),
    ).by_group.reindex(range(4))
    for name, metric in METRICS.items():
        events, trials = rate_counts(metric, cells.records[:-1])
        assert np.isnan(mine[name][trials == 0]).all()
        measured = trials > 0
        fairlearns = theirs[name].to_numpy(dtype=float)[measured]
        assert mine[name][measured] == pytest.approx(fairlearns, abs=1e-12)
        assert mine[name][measured] == pytest.approx(events[measured] / trials[measured], abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_a_row_is_complete(name: str) -> None:
    metric = METRICS[name]
    assert set(metric.events) < set(metric.trials)
    assert (mask(metric.events) <= mask(metric.trials)).all()
    for text in (metric.title, metric.formula, metric.source, metric.zero, metric.one, metric.trials_are):
        assert text
    told = {note.measure for note in METRIC_NOTES}
    assert {f"fairness.{name}", f"fairness.{name}_difference", f"fairness.{name}_ratio"} <= told


def test_records_without_a_label_count_for_selection_only() -> None:
    truth = np.array([1.0, 0.0, np.nan, np.nan])
    decision = np.array([1.0, 0.0, 1.0, 1.0])
    cells = count(
        codes=np.zeros(4, dtype=np.int64), groups=1, cell=cell_of(truth=truth, decision=decision), persons=None
    )
    found = {name: value[0] for name, value in values(cells.records[:-1]).items()}
    assert found["selection_rate"] == 0.75
    assert (found["tpr"], found["fpr"], found["accuracy"], found["ppv"]) == (1.0, 0.0, 1.0, 1.0)
    assert pd.isna(values(np.array([[0, 0, 0, 0, 2, 3]]))["accuracy"][0])
