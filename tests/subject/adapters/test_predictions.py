from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditkit.errors import DataError, PolicyError
from auditkit.policy.schema import Policy
from auditkit.subject.open import open_subject
from auditkit.subject.predict import predict
from auditkit.subject.table import read_table
from auditkit.subject.types import Predictions

COMPAS = Path(__file__).parents[3] / "../shared/data/compas/compas-scores-two-years.csv.gz"
HEAD = "id,repaid,sex,approved,chance\n"


def asked(lender: Any, rows: str, **model: Any) -> Predictions:
    lender.write(evaluation=HEAD + rows)
    policy = lender.policy(data={"numeric": [], "categorical": []}, model={"adapter": "predictions", **model})
    table = read_table(policy, lambda *keys: ".".join(map(str, keys)))
    return predict(open_subject(policy, table, lender.folder), table)


@pytest.mark.parametrize("values", ["1 0", "1.0 0.0", "true false", "TRUE FALSE"])
def test_a_decision_column_holds_ones_and_zeros_or_true_and_false(lender: Any, values: str) -> None:
    first, second = values.split()
    found = asked(lender, f"a,1,male,{first},\nb,0,female,{second},\n", decision="approved")
    assert found.decision.tolist() == [1.0, 0.0]
    assert found.score is None
    assert found.loss is None


def test_an_expression_decides_and_a_recorded_score_gives_losses(lender: Any) -> None:
    found = asked(lender, "a,1,male,yes,0.9\nb,0,female,no,0.8\n", decision="approved = 'yes'", score="chance")
    assert found.decision.tolist() == [1.0, 0.0]
    np.testing.assert_allclose(found.loss, [-np.log(0.9), -np.log(0.2)])


def test_a_score_alone_is_held_against_the_threshold(lender: Any) -> None:
    found = asked(lender, "a,1,male,,0.6\nb,0,female,,0.59\n", score="chance", threshold=0.6)
    assert found.decision.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("rows", "model", "said"),
    [
        ("a,1,male,1,\nb,0,female,,\n", {"decision": "approved"}, "1 of 2 decisions are unknown"),
        ("a,1,male,1,\nb,0,female,,\n", {"decision": "approved = 1"}, "1 of 2 decisions are unknown"),
        (
            "a,1,male,yes,\nb,0,female,no,\n",
            {"decision": "approved"},
            "'approved' holds 'no', 'yes', not 1 and 0; write a SQL",
        ),
        ("a,1,male,1,7\nb,0,female,0,\n", {"decision": "approved", "score": "chance"}, "2 of 2 scores in 'chance'"),
        (
            "a,1,male,1,\nb,0,female,0,\n",
            {"decision": "aproved"},
            "no column 'aproved' in evaluation.csv; did you mean 'approved'",
        ),
        ("a,1,male,1,\nb,0,female,0,\n", {"decision": "nosuch = 1"}, "names the column 'nosuch'"),
    ],
)
def test_decisions_that_are_not_known_are_refused_with_their_count(
    lender: Any, rows: str, model: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        asked(lender, rows, **model)


def test_an_expression_outside_the_allowed_language_is_a_policy_error(lender: Any) -> None:
    with pytest.raises(PolicyError):
        asked(lender, "a,1,male,1,\nb,0,female,0,\n", decision="approved IN (SELECT 1)")
    with pytest.raises(PolicyError, match=r"needs model\.decision or model\.score"):
        asked(lender, "a,1,male,1,\nb,0,female,0,\n")


def test_compas_gives_the_published_rates_exactly(tmp_path: Path) -> None:
    if not COMPAS.exists():
        pytest.skip("COMPAS is absent")
    policy = Policy.model_validate(
        {
            "auditkit": 1, "name": "COMPAS", "rules": [], "protected": {"race": {"column": "race"}},
            "data": {
                "evaluation": COMPAS, "id": "id",
                "label": {"column": "two_year_recid", "favourable": 1, "means": "outcome"},
            },
            "model": {"adapter": "predictions", "decision": "score_text != 'Low'"},
        }
    )  # fmt: skip
    table = read_table(policy, lambda *keys: "policy.yaml")
    found = predict(open_subject(policy, table, tmp_path), table)
    assert len(found.truth) == 7214
    assert [c.count for c in table.checks if c.name == "repeated columns"] == [2]
    cells = {}
    for name in ("African-American", "Caucasian"):
        grouping = table.groupings["race"]
        member = grouping.codes == grouping.labels.index(name)
        cells[name] = [
            int((member & (found.truth == t) & (found.decision == d)).sum())
            for t, d in ((0, 0), (0, 1), (1, 0), (1, 1))
        ]
    assert cells == {"African-American": [990, 805, 532, 1369], "Caucasian": [1139, 349, 461, 505]}
