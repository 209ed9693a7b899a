"""An Aequitas configuration as a policy: what it asks for, key by key, and what has no counterpart, told by name.

Written against the keys and the arithmetic of Aequitas 1.0 (`Configs`, `Group.get_crosstabs`, `Fairness`). Nothing is
dropped silently: every key of the configuration is taken over, or stands in `told` with what it would have done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import pandas as pd

from auditkit.errors import Complaint, PolicyError
from auditkit.fairness.importers.aequitas_columns import (
    LABEL,
    SCORE,
    Cut,
    attributes,
    cuts,
    identity,
    require_one_model,
)
from auditkit.fairness.importers.aequitas_rules import rules
from auditkit.policy.explain import FILL_IN, did_you_mean

LONGEST: Final = 30
"""Characters of a column's name that stay in its key."""
Positive = Literal["favourable", "unfavourable"]

TAKEN: Final = (
    "score_thresholds", "ref_groups_method", "ref_groups", "fairness_threshold", "fairness_measures", "attr_cols",
    "project_description", "check_significance", "alpha",
)  # fmt: skip
LEFT: Final[Mapping[str, str]] = {
    "db": "the database is not asked: export the query to a file; credentials do not belong into a policy",
    "report": "a report is always written",
    "plot_bias_metrics": "figures follow from the rules",
    "plot_bias_disparities": "figures follow from the rules",
    "plot_disparity_attributes": "figures follow from the rules",
    "selected_significance": "every measure has its interval and, where groups are compared, its tests",
    "mask_significance": "p-values are printed as they are",
}
"""Keys of Aequitas that need no counterpart, and why."""
@dataclass
class Imported:
    """A policy as a mapping, in the form that YAML has, and what its author has to know."""

    policy: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


def from_aequitas(
    config: Mapping[str, Any],
    frame: pd.DataFrame,
    *,
    evaluation: str,
    positive: Positive,
    label_means: Literal["outcome", "past-decision"] | None = None,
) -> Imported:
    """The policy that asks of auditkit what the configuration asks of Aequitas.

    Args:
        config: the configuration's keys. frame: the file that Aequitas was given, with columns score and label_value.
        evaluation: path of that file, as the policy will state it.
        positive: whether score 1 (and label 1) is good for the person or bad; Aequitas does not say, and auditkit
            speaks of favourable decisions. Where it is bad, measures change their names: the false-positive rate of
            Aequitas is then the false-negative rate, unfavourable decisions among favourable labels.
        label_means: what label_value stands for; None leaves it to be filled in.

    Raises:
        PolicyError: a value of the configuration is none that Aequitas knows. DataError: columns lack, or the file
            holds several models.
    """
    out = Imported()
    out.told += _unknown(config)
    require_one_model(frame)
    asked = config.get("attr_cols")
    found = attributes(frame, None if asked is None else [str(name) for name in asked], told=out.told)
    keys = _keys(tuple(found))
    good = positive == "favourable"
    chosen = cuts(frame, config.get("score_thresholds"), favourable=good, told=out.told)
    project = config.get("project_description") or {}
    out.policy = {
        "auditkit": 1,
        "name": str(project.get("title") or "Audit taken over from an Aequitas configuration"),
        **({"purpose": str(project["goal"])} if project.get("goal") else {}),
        "data": {
            "evaluation": evaluation,
            **identity(frame, out.told),
            "label": {
                "column": LABEL, "favourable": 1 if good else 0,
                "means": label_means or f"{FILL_IN} outcome or past-decision",
            },
        },
        "model": {"adapter": "predictions", "decision": chosen[0].decision},
        **_compare(chosen),
        "protected": {keys[name]: {"column": name, **rest} for name, rest in found.items()},
        **_level(config, out.told),
        "rules": list(rules(config, tuple(keys.values()), good=good, told=out.told)),
    }  # fmt: skip
    _score(frame, out, good=good)
    _references(config, out)
    out.told.append(
        "Aequitas judges the ratio itself; the rules ask that its whole interval lies within the limits (write proof: "
        "point for the ratio alone), groups below fairness.minimum-group are insufficient evidence, and records "
        "without a group are counted as unknown"
    )
    return out


def _keys(columns: tuple[str, ...]) -> dict[str, str]:
    """Column -> its name as a key of the policy, each another."""
    found: dict[str, str] = {}
    for column in columns:
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", column).strip("-")[:LONGEST]
        key = plain if re.match(r"[A-Za-z]", plain) and plain != "intersections" else f"a-{plain}"
        while key in found.values():
            key += "-2"
        found[column] = key
    return found


def _unknown(config: Mapping[str, Any]) -> Iterator[str]:
    for key in config:
        if key in LEFT:
            yield f"{key}: not taken over; {LEFT[key]}"
        elif key not in TAKEN:
            near = did_you_mean(str(key), [*TAKEN, *LEFT])
            yield f"{key}: not taken over; no key of Aequitas that is known here" + (f" (like {near})" if near else "")


def _compare(chosen: tuple[Cut, ...]) -> dict[str, Any]:
    """Further thresholds as further models on the same records."""
    others = {cut.name: {"decision": cut.decision} for cut in chosen[1:]}
    return {"compare": others} if others else {}


def _score(frame: pd.DataFrame, out: Imported, *, good: bool) -> None:
    """The scores beside the decisions, where they can be read as those of the favourable outcome."""
    values = pd.to_numeric(frame[SCORE], errors="coerce")
    if values.isin((0, 1)).all():
        return
    if good and values.between(0, 1).all():
        out.policy["model"]["score"] = SCORE
    else:
        why = "not all within 0 to 1" if good else "of the unfavourable outcome"
        out.told.append(f"score: the scores are {why}, so that they decide and are not assessed by themselves")


def _level(config: Mapping[str, Any], told: list[str]) -> dict[str, Any]:
    alpha, checked = config.get("alpha"), config.get("check_significance")
    if alpha is None:
        if checked:
            told.append("check_significance: intervals and tests are always given, at the level 0.95")
        return {}
    if not isinstance(alpha, int | float) or not 0 < alpha < 0.5:
        raise PolicyError(Complaint(f"alpha is {alpha!r}; a share between 0 and 0.5 is needed", "alpha"))
    told.append(f"alpha: {alpha:g} became the level {1 - alpha:g} of all intervals, simultaneous over groups")
    return {"fairness": {"level": round(1 - alpha, 12)}}


def _references(config: Mapping[str, Any], out: Imported) -> None:
    """The reference group of every attribute; the largest where none is stated."""
    method = config.get("ref_groups_method", "majority")
    stated = {str(name): value for name, value in (config.get("ref_groups") or {}).items()}
    if method not in ("predefined", "majority", "min_metric"):
        message = f"ref_groups_method is {method!r}; Aequitas knows predefined, majority and min_metric"
        raise PolicyError(Complaint(message, "ref_groups_method"))
    if method == "min_metric":
        out.told.append(
            "ref_groups_method: min_metric compares, for every measure, with the group in which it is lowest, so that "
            "the reference is another for every measure; the largest group stands in"
        )
    if stated and method != "predefined":
        out.told.append(f"ref_groups: not read, because ref_groups_method is {method}")
    for rule in out.policy["protected"].values():
        name, labels = rule["column"], rule.pop("as-aequitas")
        wanted = None if method != "predefined" or name not in stated else labels.get(str(stated[name]))
        if wanted is not None:
            rule["reference"] = wanted
        elif method == "predefined" and name in stated:
            known = ", ".join(labels) or "none"
            message = f"the reference '{stated[name]}' of '{name}' is none of its groups"
            raise PolicyError(Complaint(message, "ref_groups", f"its groups are {known}"))
        elif method == "predefined":
            out.told.append(f"ref_groups: none is stated for {name}; its largest group stands in")
    taken = {rule["column"] for rule in out.policy["protected"].values()}
    for name in stated if method == "predefined" else ():
        if name not in taken:
            out.told.append(f"ref_groups: {name} is no attribute that is taken over")
