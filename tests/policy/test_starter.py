from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auditkit.errors import DataError, PolicyError
from auditkit.policy.guesses import guess, words
from auditkit.policy.load import LoadedPolicy, load
from auditkit.policy.starter import starter

LOANS = Path(__file__).parents[2] / "sample_data" / "loans" / "evaluation.csv"


def world(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "application_id": [f"A-{i}" for i in range(n)],
            "CustomerKey": [f"C-{i // 2 if i < 40 else i}" for i in range(n)],
            "income": rng.normal(30_000, 5_000, n),
            "loan purpose": rng.choice(["car", "home: new", "#other"], n),
            "notes": [f"note {i}" for i in range(n)],
            "Sex": rng.choice(["f", "m", "U"], n, p=[0.3, 0.6, 0.1]),
            "age": rng.integers(17, 80, n),
            "disability": rng.integers(0, 2, n),
            "repaid": rng.integers(0, 2, n),
        }
    )


def written(folder: Path, frame: pd.DataFrame, name: str = "data/evaluation.csv") -> tuple[str, Path]:
    data = folder / name
    data.parent.mkdir(parents=True, exist_ok=True)
    if data.suffix == ".csv":
        frame.to_csv(data, index=False)
    else:
        frame.to_parquet(data)
    policy = folder / "policies" / "p.yaml"
    policy.parent.mkdir(exist_ok=True)
    text = starter(data, policy_path=policy)
    policy.write_text(text, encoding="utf-8")
    return text, policy


def filled(policy: Path) -> LoadedPolicy:
    text = policy.read_text(encoding="utf-8")
    text = text.replace("means: FILL IN", "means: outcome").replace("decision: FILL IN the", "decision: approved # the")
    policy.write_text(text.replace("FILL IN", "Written"), encoding="utf-8")
    return load(policy)


@pytest.mark.parametrize("name", ["data/evaluation.csv", "evaluation.parquet"])
def test_it_loads_but_for_what_is_marked(tmp_path: Path, name: str) -> None:
    text, policy = written(tmp_path, world(), name)
    with pytest.raises(PolicyError) as caught:
        load(policy)
    marks = [line for line in text.splitlines() if "FILL IN" in line and not line.lstrip().startswith("#")]
    assert len(caught.value.complaints) == len(marks) == 6
    assert all("still to be filled in" in complaint.message for complaint in caught.value.complaints)
    assert filled(policy).policy.data.evaluation == tmp_path / name


def test_the_guesses_are_what_names_and_values_say(tmp_path: Path) -> None:
    _, policy = written(tmp_path, world())
    data, protected = (found := filled(policy).policy).data, found.protected
    assert (data.id, data.person) == ("application_id", "CustomerKey")
    assert (data.label.column, data.label.favourable) == ("repaid", 1)
    assert data.numeric == ("income",) and data.categorical == ("loan purpose",)
    assert protected["Sex"].groups == ("m", "f") and protected["Sex"].unknown == ("U",)
    assert protected["Sex"].reference == "m"
    assert protected["age"].bins == (0, 18, 25, 40, 62, float("inf"))
    assert set(protected["disability"].groups or ()) == {0, 1}
    assert [rule.on for rule in found.rules] == ["Sex", "age", "disability"]


def test_rates_are_those_with_ten_expected_false_positives(tmp_path: Path) -> None:
    for n, rates in ((400, (0.1,)), (1_000, (0.01, 0.1)), (10_000, (0.001, 0.01, 0.1))):
        _, policy = written(tmp_path, world(n))
        assert filled(policy).policy.privacy.false_positive_rates == rates
    text, policy = written(tmp_path, world(60))
    assert "60 records resolve no false-positive rate of 0.001, 0.01, 0.1" in text
    filled(policy)


def test_a_group_that_is_too_small_is_told(tmp_path: Path) -> None:
    frame = world()
    frame["Sex"] = ["x"] * 7 + ["m"] * 393
    text, _ = written(tmp_path, frame)
    assert "the smallest group here has 7 and will be insufficient evidence" in text


def test_odd_names_and_values_survive(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "null": ["a", "b"] * 50,
            "yes: no": ["#x", "- y"] * 50,
            "1st sex": ["true", "no"] * 50,
            "Race / 'origin'": ["[a]", '"b"'] * 50,
            "é \\ ü": range(100),
            "target": ["good", "bad"] * 50,
        }
    )
    _, policy = written(tmp_path, frame)
    found = filled(policy).policy
    assert set(found.data.numeric) == {"é \\ ü"} and set(found.data.categorical) == {"null", "yes: no"}
    assert {part.column: set(part.groups or ()) for part in found.protected.values()} == {
        "1st sex": {"true", "no"},
        "Race / 'origin'": {"[a]", '"b"'},
    }
    assert found.data.label.favourable == "good"


def test_without_protected_columns_the_author_is_told(tmp_path: Path) -> None:
    text, policy = written(tmp_path, world()[["income", "repaid"]])
    assert "No column's name suggests a protected attribute" in text
    assert [rule.measure for rule in filled(policy).policy.rules] == ["model.accuracy"]


def test_the_sample_lender(tmp_path: Path) -> None:
    if not LOANS.exists():
        pytest.skip("the sample is absent")
    columns = guess(pd.read_csv(LOANS))
    assert (columns.id, columns.person, columns.label) == ("application_id", "applicant_id", "repaid")
    assert [part.column for part in columns.protected] == ["sex", "age", "ethnicity"]
    assert columns.left_out == ("application_date",)
    policy = tmp_path / "p.yaml"
    policy.write_text(starter(LOANS, policy_path=policy), encoding="utf-8")
    assert filled(policy).policy.protected["sex"].unknown == ("U",)


@pytest.mark.parametrize(
    ("content", "said"), [("", "cannot be read"), ("a,b\n", "has 0 records"), ("a\n1\n", "1 columns")]
)
def test_files_that_hold_nothing(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        starter(path)
    with pytest.raises(DataError, match="there is no such file"):
        starter(tmp_path / "none.csv")


def test_words_of_a_name() -> None:
    assert words("ApplicantAge_2") == {"applicant", "age", "2"}
    assert "age" not in words("mortgage_amount")
