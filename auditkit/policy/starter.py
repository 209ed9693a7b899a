"""A commented first policy from the columns of a data file: guesses that say that they are guesses.

What only the author can decide is marked `FILL IN`, and `load` refuses each such mark with its line; there is nothing
else in the text that it refuses. Figures are those that so many records can resolve.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from auditkit.policy.explain import FILL_IN
from auditkit.policy.guesses import Attribute, Columns, guess, read
from auditkit.policy.measures import tpr_at_fpr
from auditkit.policy.schema import FairnessSettings, PrivacySettings

EXPECTED_FALSE_POSITIVES: Final = 10
LENGTH: Final = 40


def starter(frame_path: Path, *, policy_path: Path | None = None) -> str:
    """The text of a starter policy for one CSV or Parquet file.

    Args:
        frame_path: the file with the records on which the model is to be assessed.
        policy_path: where the policy will be written, so that paths in it can be relative to it; a file in the working
            folder if not given.

    Raises:
        DataError: the file is missing, unreadable, empty, or has fewer than two columns.
    """
    columns = guess(read(frame_path))
    folder = Path.cwd() if policy_path is None else policy_path.absolute().parent
    data = Path(os.path.relpath(frame_path.absolute(), folder)).as_posix()
    lines = [*_head(columns), *_data(columns, data), *_model(), *_protected(columns), *_settings(columns)]
    return "\n".join([*lines, *_rules(columns)]) + "\n"


def _head(columns: Columns) -> list[str]:
    return [
        f"# A starter policy, written by `auditkit init` from {columns.n:,} records and the names of their columns.",
        f"# What is marked {FILL_IN} is yours to decide: `auditkit check` names each mark until it is gone.",
        "# Everything else is a guess: read it.",
        "auditkit: 1",
        f"name: {FILL_IN} what this audit is called",
        '# Facts that no computation can find. What stays left out is printed as "not stated".',
        "# owner: who answers for this policy",
        "# purpose: what the model is for",
        "# domain: consumer-credit        what is decided about; legal rule sets (`frameworks`) ask for it",
    ]


def _data(columns: Columns, data: str) -> list[str]:
    found = "guessed from its name" if columns.label_named else "a mere guess, no name says it"
    lines = [
        "data:",
        "  # train: train.csv             what the model learned from; influence and privacy need it",
        "  # reserve: reserve.csv         records it never saw that are not evaluation records; privacy needs them",
        f"  evaluation: {_text(data)}",
        "  # source: where the data are from",
        "  # period: the time that they cover",
        "  # sampling: how the records were chosen",
        f"  id: {_text(columns.id)}  # guessed: differs in every record" if columns.id else "  # id: no column found",
    ]
    if columns.person:
        lines.append(f"  person: {_text(columns.person)}  # guessed: records of one person stay together")
    lines += [
        f"  # The label is {found}; `favourable` is the value that is good for the person. `means` is outcome",
        "  # (what happened) or past-decision (what somebody decided): it shapes the wording of the whole report.",
        f"  label: {{column: {_text(columns.label)}, favourable: {_scalar(columns.favourable)}, means: {FILL_IN}}}",
        "  # Guessed: what the model reads. Take out what it does not.",
        f"  numeric: [{_listed(columns.numeric)}]",
        f"  categorical: [{_listed(columns.categorical)}]",
    ]
    if columns.left_out:
        lines.append(f"  # left out, too many different texts to be categories: {_listed(columns.left_out)}")
    return lines


def _model() -> list[str]:
    return [
        "model:",
        "  # Decisions that stand in the file, for a start. With a model: the adapter tabular and its path, or python",
        "  # or estimator and its subject, in place of decision.",
        "  adapter: predictions",
        f"  decision: {FILL_IN} the column of decisions, or a SQL expression such as score >= 0.5",
    ]


def _protected(columns: Columns) -> list[str]:
    if not columns.protected:
        lines = [
            "# No column's name suggests a protected attribute. Write them as in sex: {column: sex, reference: male}"
        ]
        return [*lines, "protected: {}"]
    lines = ["# Guessed from names; groups by size, the largest is the reference. Other values are counted as unknown."]
    return [*lines, "protected:", *(f"  {_key(part)}: {{{_attribute(part)}}}" for part in columns.protected)]


def _attribute(part: Attribute) -> str:
    text = f"column: {_text(part.column)}"
    if part.edges:
        text += f", bins: [{', '.join(part.edges)}]"
    if part.groups:
        text += f", groups: [{', '.join(map(_scalar, part.groups))}], reference: {_text(part.reference or '')}"
    return text + (f", unknown: [{', '.join(map(_scalar, part.unknown))}]" if part.unknown else "")


def _settings(columns: Columns) -> list[str]:
    """The minimum group, and the false-positive rates with at least ten expected false positives among n outsiders."""
    minimum = FairnessSettings().minimum_group
    sizes = [part.smallest for part in columns.protected if part.smallest is not None]
    below = sum(size < minimum for size in sizes)
    said = f"the smallest group here has {min(sizes):,}" if sizes else "no group was counted"
    said += " and will be insufficient evidence" if below else ""
    lines = ["fairness:", f"  minimum-group: {minimum}  # records a group needs to be assessed; {said}"]
    resolved, others = _rates(columns.n)
    if not resolved:
        return [
            *lines,
            f"# Too few for privacy: {columns.n:,} records resolve no false-positive rate of {_numbers(others)}.",
        ]
    also = f", and not {_numbers(others)}" if others else ""
    return [
        *lines,
        "privacy:",
        f"  # A rate needs {EXPECTED_FALSE_POSITIVES} expected false positives:",
        f"  # {columns.n:,} records that the model never saw resolve {_numbers(resolved)}{also}.",
        f"  false-positive-rates: [{_numbers(resolved)}]",
    ]


def _rates(n: int) -> tuple[list[float], list[float]]:
    rates = PrivacySettings().false_positive_rates
    resolved = [rate for rate in rates if n * rate >= EXPECTED_FALSE_POSITIVES]
    return resolved, [rate for rate in rates if rate not in resolved]


def _rules(columns: Columns) -> list[str]:
    lines = ["# Examples. A threshold is your institution's, and `because` names its source.", "rules:"]
    for number, part in enumerate(columns.protected, start=1):
        lines += _rule(f"F{number}", "fairness.impact_ratio", op=">=", threshold=0.8, on=_key(part))
    if not columns.protected:
        lines += _rule("M1", "model.accuracy", op=">=", threshold=0.5)
    resolved, _ = _rates(columns.n)
    if resolved:
        rate = resolved[0]
        rule = _rule("P1", tpr_at_fpr(rate), op="<=", threshold=min(5 * rate, 0.2))
        lines += ["  # With a model, its training records and a reserve:", *(f"  # {line[2:]}" for line in rule)]
    return lines


def _rule(rule_id: str, measure: str, *, op: str, threshold: float, on: str | None = None) -> list[str]:
    where = f", on: {on}" if on else ""
    first = f'  - {{id: {rule_id}, measure: {measure}{where}, op: "{op}", threshold: {threshold:g}, severity: high,'
    return [first, f"     because: {FILL_IN} the source of this threshold}}"]


def _key(part: Attribute) -> str:
    """The column's name as a name of the policy."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", part.column).strip("-")[:LENGTH]
    return plain if re.match(r"[A-Za-z]", plain) and plain != "intersections" else f"a-{plain}"


def _scalar(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool | int | float) else _text(str(value))


def _text(text: str) -> str:
    """A text for YAML: plain where that is safe, in double quotes (JSON is YAML) elsewhere."""
    plain = re.fullmatch(r"(\.\./)*[A-Za-z_][\w./-]*", text, flags=re.ASCII)
    return text if plain and text.lower() not in ("null", "true", "false") else json.dumps(text)


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(_text(column) for column in columns)


def _numbers(rates: Sequence[float]) -> str:
    return ", ".join(repr(rate) for rate in rates)
