"""A bank's own module, as the `estimator` adapter meets it: functions that return what has fit and predict_proba."""

from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBClassifier

NUMERIC = ["duration", "credit-amount", "installment-rate", "existing-credits"]
CATEGORICAL = ["checking-account", "credit-history", "purpose", "savings-account", "employment-since"]


def _features(*, scaled: bool) -> object:
    numbers = StandardScaler() if scaled else "passthrough"
    return make_column_transformer(
        (numbers, NUMERIC), (OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORICAL)
    )


def sklearn_model() -> Pipeline:
    """An unfitted logistic regression pipeline: auditkit fits it on the training rows and says so."""
    return make_pipeline(_features(scaled=True), LogisticRegression(C=1.0, max_iter=2000))


def xgboost_model() -> Pipeline:
    """An unfitted gradient-boosted pipeline."""
    trees = XGBClassifier(n_estimators=60, max_depth=3, learning_rate=0.2, n_jobs=1, random_state=7)
    return make_pipeline(_features(scaled=False), trees)
