from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from auditkit.errors import ModelError
from auditkit.subject.open import open_subject
from auditkit.subject.predict import predict
from auditkit.subject.table import read_table
from auditkit.subject.types import Subject

GERMAN = Path(__file__).parents[3] / "../shared/data/german_credit/german_credit_decoded.csv"
PIPELINE = """
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
import pandas as pd

def unfitted(**settings):
    transform = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["income", "amount"]),
        (OneHotEncoder(handle_unknown="ignore"), ["purpose", "branch"]),
    )
    return make_pipeline(transform, LogisticRegression(max_iter=500))

def fitted():
    frame = pd.read_csv("TRAIN", dtype={"branch": str})
    return unfitted().fit(frame.drop(columns="repaid"), frame["repaid"])

def flipped():
    frame = pd.read_csv("TRAIN", dtype={"branch": str})
    return unfitted().fit(frame, frame["repaid"].map({1: "good", 0: "bad"}))

def flipped_and_said():
    found = flipped()
    found.favourable_class = "good"
    return found
"""


def write(book: Any, text: str) -> None:
    (book.folder / "credit.py").write_text(text.replace("TRAIN", str(book.path("train"))))


def opened(book: Any, text: str, name: str, **changes: Any) -> Subject:
    write(book, text)
    policy = book.policy(model={"adapter": "estimator", "subject": f"credit:{name}"}, **changes)
    return open_subject(policy, read_table(policy, lambda *keys: "policy.yaml"), book.folder)


def test_a_fitted_pipeline_is_taken_as_it_is_and_an_unfitted_one_is_fitted_and_said(book: Any) -> None:
    taken, made = opened(book, PIPELINE, "fitted"), opened(book, PIPELINE, "unfitted")
    assert dict(taken.recipe)["Fitted"] == "before the audit"
    assert dict(made.recipe)["Fitted"] == "by auditkit on the training records"
    assert taken.kind == "Pipeline ending in LogisticRegression (sklearn)"
    table = book.table()
    assert taken.score is not None
    assert made.score is not None
    np.testing.assert_allclose(taken.score(table.frame), made.score(table.frame), rtol=1e-9)
    assert taken.gradient is None


def test_the_class_named_favourable_decides_the_direction(book: Any) -> None:
    label = {"column": "repaid", "favourable": 0, "means": "outcome"}
    for name in ("fitted", "unfitted"):
        towards = opened(book, PIPELINE, name)
        against = opened(book, PIPELINE, name, data={"label": label})
        frame = book.table().frame
        assert towards.score is not None
        assert against.score is not None
        np.testing.assert_allclose(towards.score(frame), 1 - against.score(frame), atol=1e-4)


def test_classes_that_are_not_the_labels_are_refused_until_the_object_says_which(book: Any) -> None:
    with pytest.raises(
        ModelError, match=r"its classes are 'bad', 'good', the label's values are '0', '1'; .*favourable_class"
    ):
        opened(book, PIPELINE, "flipped")
    said = opened(book, PIPELINE, "flipped_and_said")
    table = book.table()
    np.testing.assert_allclose(predict(said, table).score, predict(opened(book, PIPELINE, "fitted"), table).score)


def test_weights_reach_the_last_step_or_are_refused(book: Any, make_applications: Any) -> None:
    for seed, split in enumerate(("train", "reserve", "evaluation")):
        frame = make_applications(200, seed, split[0])
        book.write(**{split: frame.assign(w=np.where(frame["sex"] == "female", 5.0, 0.1))})
    plain, weighted = (opened(book, PIPELINE, "unfitted", data={"weight": w}) for w in (None, "w"))
    assert plain.digest != weighted.digest


def test_an_estimator_that_takes_no_weights_is_refused_where_the_policy_states_some(book: Any) -> None:
    knn = "from sklearn.neighbors import KNeighborsClassifier\ndef f(): return KNeighborsClassifier()\n"
    with pytest.raises(ModelError, match=r"KNeighborsClassifier .* takes no sample weights"):
        opened(book, knn, "f", data={"weight": "age", "numeric": ["amount"], "categorical": []})


def test_an_unset_random_state_comes_from_the_seed_of_the_policy(book: Any) -> None:
    text = (
        "from sklearn.ensemble import RandomForestClassifier\ndef f(): return RandomForestClassifier(n_estimators=5)\n"
    )
    data = {"numeric": ["amount"], "categorical": []}
    one, two, other = (opened(book, text, "f", data=data, seed=seed) for seed in (1, 1, 2))
    assert one.digest == two.digest != other.digest
    table = book.table(data=data)
    assert one.train is not None
    rows = table.rows("train")
    again = [
        one.train(table.frame.iloc[rows], table.label[rows], torch.Generator().manual_seed(s)).digest for s in (1, 1, 2)
    ]
    assert again[0] == again[1] != again[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("f = 3", r"credit:f gave int, without predict_proba"),
        ("def f(): raise KeyError('x')", r"calling credit:f failed: KeyError: 'x'"),
        ("def ff(): pass", r"'credit' has no 'f'"),
        ("import nosuchlibrary", r"the module 'credit' needs 'nosuchlibrary'; install nosuchlibrary"),
        ("1/0", r"importing 'credit' failed: ZeroDivisionError"),
        (
            "class f:\n def predict_proba(self, x): return [0.5] * len(x)\n classes_ = [0, 1]",
            r"float64 of shape \(200,\) for 200",
        ),
        (
            "class f:\n def predict_proba(self, x): return 1/0\n classes_ = [0, 1]",
            r"predict_proba failed: ZeroDivision",
        ),
        ("class f:\n def predict_proba(self, x): pass", r"its classes are not stated"),
        (
            "from sklearn.linear_model import LogisticRegression as L\nf = L().fit([[1], [2]], [0, 1])",
            r"was fitted on 1 features, the data give 4",
        ),
        (
            "from sklearn.linear_model import LogisticRegression as L\nimport pandas as pd\n"
            "f = L().fit(pd.DataFrame({'incom': [1, 2]}), [0, 1])",
            r"columns that the data do not have: 'incom'",
        ),
        ("from sklearn.linear_model import LogisticRegression as f", r"fit failed: ValueError: could not convert"),
    ],
)  # fmt: skip
def test_every_way_to_break_the_protocol_is_said(book: Any, text: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        opened(book, text + "\n", "f")


def test_two_policies_may_have_modules_of_one_name(book: Any, tmp_path: Path) -> None:
    first = opened(book, PIPELINE, "unfitted")
    other = tmp_path / "other"
    other.mkdir()
    (other / "credit.py").write_text("class unfitted:\n    classes_ = [0, 1]\n"
                                     "    def predict_proba(self, x):\n        import numpy as np\n"
                                     "        return np.full((len(x), 2), 0.5)\n")  # fmt: skip
    policy = book.policy(model={"adapter": "estimator", "subject": "credit:unfitted"})
    second = open_subject(policy, book.table(), other)
    assert second.kind == "unfitted (credit)"
    assert second.train is None
    assert opened(book, PIPELINE, "unfitted").digest == first.digest


def german(folder: Path) -> Any:
    if not GERMAN.exists():
        pytest.skip("German credit is absent")
    frame = pd.read_csv(GERMAN)
    frame.insert(0, "id", np.arange(len(frame)))
    order = np.random.default_rng(0).permutation(len(frame))
    for name, rows in (("train", order[:600]), ("evaluation", order[600:])):
        frame.iloc[rows].to_csv(folder / f"{name}.csv", index=False)
    return frame


@pytest.mark.parametrize("kind", ["pipeline", "xgboost"])
def test_german_credit_through_real_libraries(lender: Any, kind: str) -> None:
    frame = german(lender.folder)
    features = [name for name in frame.columns if name not in ("id", "class-label")]
    words = [name for name in features if not pd.api.types.is_numeric_dtype(frame[name])]
    last = {
        "pipeline": "from sklearn.linear_model import LogisticRegression as Last\nsettings = {'max_iter': 2000}",
        "xgboost": "from xgboost import XGBClassifier as Last\nsettings = {'n_estimators': 30, 'n_jobs': 1}",
    }[kind]
    text = f"""
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
{last}
def f():
    words = {words!r}
    transform = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), words), remainder=StandardScaler())
    return make_pipeline(transform, Last(**settings))
"""
    sex = next(name for name in features if "sex" in name)
    changes: dict[str, Any] = {
        "data": {
            "label": {"column": "class-label", "favourable": 1, "means": "outcome"},
            "numeric": [name for name in features if name not in words], "categorical": words,
        },
        "protected": {"sex": {"column": sex}},
    }  # fmt: skip
    subject = opened(lender, text, "f", **changes)
    answers = predict(subject, lender.table(**changes))
    assert (answers.decision == answers.truth).mean() > 0.68
    assert answers.loss_train is not None
    assert answers.loss is not None
    assert answers.loss_train.mean() < answers.loss.mean()


def test_an_xgboost_model_that_was_fitted_on_numbers_alone_is_asked_with_an_array(book: Any) -> None:
    text = """
import numpy as np
from xgboost import XGBClassifier
def f():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 1))
    return XGBClassifier(n_estimators=3, n_jobs=1).fit(x, (x[:, 0] > 0).astype(int))
"""
    subject = opened(book, text, "f", data={"numeric": ["amount"], "categorical": []})
    answers = predict(subject, book.table())
    assert answers.loss is not None
    assert np.isfinite(answers.loss).all()
    assert subject.features == ("amount",)
