"""The doors for Python: `audit_file` runs a policy file, `audit` audits a model and frames held in memory.

Both return the AuditResult, which shows its verdicts in a notebook, and write nothing unless asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from auditkit import run as shell
from auditkit.policy.load import digest_of, from_mapping
from auditkit.preflight import Prepared, prepare, require_enough
from auditkit.result import AuditResult

if TYPE_CHECKING:
    import pandas as pd

Scalar = bool | int | float | str


def audit_file(policy: str | Path, *, out: str | Path | None = None, as_of: date | None = None) -> AuditResult:
    """Audit under a policy file.

    Args:
        policy: the policy file.
        out: folder for the run, as `auditkit run --out`; None writes nothing.
        as_of: the audit's date; None is SOURCE_DATE_EPOCH or today.

    Raises:
        AuditError: with every complaint at once.
    """
    path = Path(policy)
    if out is not None:
        return shell.run(path, out=Path(out), as_of=as_of).result
    prepared = prepare(path)
    return shell.audit_prepared(prepared, as_of=as_of, command=f"auditkit run {path.name}").result


def audit(
    model: object,
    *,
    train: pd.DataFrame | None = None,
    evaluation: pd.DataFrame,
    reserve: pd.DataFrame | None = None,
    label: str,
    protected: Sequence[str] | Mapping[str, Scalar | Mapping[str, Any]],
    favourable: Scalar = 1,
    label_means: Literal["outcome", "past-decision"] = "outcome",
    threshold: float | None = None,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    id: str | None = None,
    person: str | None = None,
    weight: str | None = None,
    intersections: Sequence[Sequence[str]] = (),
    slices: Mapping[str, Mapping[str, str]] | None = None,
    rules: Sequence[Mapping[str, Any]] = (),
    name: str = "Audit from Python",
    seed: int = 0,
    minimum_cell: int = 10,
    as_of: date | None = None,
) -> AuditResult:
    """Audit a model and frames held in memory; nothing is written.

    Args:
        model: an object with `predict_proba` (fitted, or fitted here on `train`), an object of the `python`
            adapter's protocol, or a `Subject`. It is given the frames untouched.
        train: records the model learned from; influence and privacy need them.
        evaluation: records the audit judges the model on.
        reserve: records of the same population that the model never saw; the membership attack needs them.
        label: column of the label; `favourable` is its favourable value and `label_means` what it stands for.
        protected: columns (`["sex"]`), columns with their reference groups (`{"sex": "male"}`), or columns with what a
            policy may state of them (`{"age": {"bins": [18, 40, 62, inf], "reference": "18-39"}}`).
        threshold: a score of at least this is the favourable decision. None lets the model's own `predict` decide, or
            0.5 where it has none.
        numeric: feature columns that are numbers; with `categorical`, the features that duplicates are compared by.
        categorical: feature columns that are levels.
        id: column of the record's id. person: column of the person. weight: column of sample weights.
        intersections: attributes to cross, as in `[["sex", "age"]]`.
        slices: name -> `{"where": SQL, "why": text}`.
        rules: as in a policy; without rules nothing is judged and the conclusion is insufficient evidence.
        name: title of the audit.
        seed: of the bootstrap and of the attack's split.
        minimum_cell: smallest number of persons that the result tells of.
        as_of: the audit's date; None is SOURCE_DATE_EPOCH or today.

    Raises:
        AuditError: with every complaint at once, placed by argument.
    """
    from auditkit.privacy.reserve_overlap import require_strangers
    from auditkit.subject.open import bring
    from auditkit.subject.reading import hold
    from auditkit.subject.table import table_of
    from auditkit.subject.types import Split

    given: dict[Split, pd.DataFrame | None] = {"train": train, "reserve": reserve, "evaluation": evaluation}
    frames = {split: frame for split, frame in given.items() if frame is not None}
    keys = {"id": id, "person": person, "weight": weight}
    stated: dict[str, Any] = {
        "auditkit": 1,
        "name": name,
        "data": {
            **{split: f"{split} frame" for split in frames},
            **{key: column for key, column in keys.items() if column is not None},
            "label": {"column": label, "favourable": favourable, "means": label_means},
            "numeric": list(numeric),
            "categorical": list(categorical),
        },
        "model": {
            "adapter": "estimator", "subject": "notebook:model",
            **({} if threshold is None else {"threshold": threshold}),
        },
        "protected": {**_protected(protected), "intersections": [list(pair) for pair in intersections]},
        "slices": {key: dict(value) for key, value in (slices or {}).items()},
        "rules": [dict(rule) for rule in rules],
        "report": {"minimum-cell": minimum_cell},
        "seed": seed,
    }
    policy = from_mapping(stated)
    files = {split: hold(f"{split} frame", frame) for split, frame in frames.items()}
    table = table_of(policy, files, _place)
    require_enough(policy, table)
    subject = bring(model, policy, table)
    require_strangers(policy, table, subject.features, _place)
    prepared = Prepared(
        policy=policy, resolved=stated, digest=digest_of(stated), frameworks=(), table=table, subject=subject,
        locate=_place,
    )  # fmt: skip
    return shell.audit_prepared(prepared, as_of=as_of, command="auditkit.audit(...)").result


def _protected(given: Sequence[str] | Mapping[str, Scalar | Mapping[str, Any]]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        return {column: {"column": column} for column in ([given] if isinstance(given, str) else given)}
    return {
        column: {"column": column, **(dict(said) if isinstance(said, Mapping) else {"reference": said})}
        for column, said in given.items()
    }


def _place(*keys: str | int) -> str:
    return ".".join(str(key) for key in keys)
