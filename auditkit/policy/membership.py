"""The policy's `memberships:` section: attributes of which a record may have several groups, or only probabilities.

One of three forms says where the memberships stand in the evaluation file: one column that holds the labels of all
groups of a record, one yes/no column per group, or one column of probabilities per group (as from BISG).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, StringConstraints

from auditkit.errors import Complaint
from auditkit.policy.bins import group_label
from auditkit.policy.document import KeyPath
from auditkit.policy.settings import Section

LARGEST: Final = "largest"
OTHERS: Final = "others"
FORMS: Final = ("column", "columns", "probabilities")
Label = Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)]


def _named(value: object) -> object:
    """A reference that is written as a number or a truth value, as text; labels of memberships stay as declared."""
    return group_label(value) if isinstance(value, (bool, int, float)) else value


class Membership(Section):
    """One attribute of which a record may have several groups, or a probability of each; exactly one of three forms."""

    column: str | None = None
    """Column that holds the labels of all groups of a record, parted by `separator`; needs `groups`."""
    separator: Annotated[str, StringConstraints(min_length=1, max_length=5)] = "|"
    """What parts the labels in `column`."""
    groups: tuple[Label, ...] = ()
    """Labels that are assessed, in order; a record that holds no one of them is counted as unknown."""
    columns: dict[Label, str] = Field(default_factory=dict)
    """Group -> column that says whether the record belongs to it."""
    yes: tuple[bool | int | float | str, ...] = (True, 1, "yes", "Yes", "y", "Y")
    """Values of `columns` that mean yes."""
    no: tuple[bool | int | float | str, ...] = (False, 0, "no", "No", "n", "N")
    """Values of `columns` that mean no; any other value, and a missing one, makes the record unknown."""
    probabilities: dict[Label, str] = Field(default_factory=dict)
    """Group -> column of the probability that the record belongs to it; at most 1 together. Missing is unknown."""
    reference: Annotated[
        str | None, BeforeValidator(_named, json_schema_input_type=bool | int | float | str | None)
    ] = None
    """Group the others are compared with; `largest` (the default), or `others`: each with everybody outside it. A group
    that is called so is meant before the word."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The groups, in the policy's order."""
        return self.groups if self.column is not None else tuple(self.columns or self.probabilities)

    @property
    def stands_in(self) -> tuple[str, ...]:
        """The columns of the evaluation file that it reads."""
        return (self.column,) if self.column is not None else tuple((self.columns or self.probabilities).values())


def check_memberships(
    raw: Mapping[str, Any], taken: tuple[str, ...], locate: Callable[[KeyPath], str]
) -> Iterator[Complaint]:
    """What no single key can say: one form, two groups, a reference that is one of them, a name of its own.

    Args:
        raw: the policy as written. taken: names of protected attributes. locate: key path -> place.
    """
    section = raw.get("memberships")
    for name, part in section.items() if isinstance(section, dict) else ():
        if not isinstance(part, dict):
            continue
        here: KeyPath = ("memberships", name)
        if name in taken:
            message = f"'{name}' is a protected attribute and a membership"
            yield Complaint(message, where=locate(here), hint="give one of them another name")
        stated = [form for form in FORMS if part.get(form)]
        if len(stated) != 1:
            what = " and ".join(stated) if stated else "none of column, columns and probabilities"
            message = f"the membership '{name}' states {what}"
            yield Complaint(message, where=locate(here), hint="state exactly one of the three")
            continue
        yield from _labels(name, part, stated[0], locate)
        if stated[0] == "probabilities":
            yield from _points(name, raw, locate)


def _points(name: str, raw: Mapping[str, Any], locate: Callable[[KeyPath], str]) -> Iterator[Complaint]:
    """Rules that would judge a weighted estimate by itself."""
    rules = raw.get("rules")
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, dict) and rule.get("on") == name and rule.get("proof") == "point":
            message = f"'{name}' is known by probability alone, and a point value of it has a bias that no sample shows"
            yield Complaint(message, where=locate(("rules", index, "proof")), hint="write interval: bounds are judged")


def _labels(name: str, part: Mapping[str, Any], form: str, locate: Callable[[KeyPath], str]) -> Iterator[Complaint]:
    here: KeyPath = ("memberships", name)
    listed = part.get("groups") if form == "column" else part.get(form)
    labels = [label for label in listed or () if isinstance(label, str)]
    if form != "column" and part.get("groups"):
        message = f"'groups' of '{name}' is read with 'column' alone"
        yield Complaint(message, where=locate((*here, "groups")), hint=f"the groups are the keys of '{form}'")
    if len(set(labels)) < len(labels):
        yield Complaint(f"'{name}' declares a group twice", where=locate((*here, "groups")), hint="keep one")
    reference = _named(part.get("reference"))
    if len(labels) < 2 and not (labels and reference == OTHERS):
        message = f"the membership '{name}' declares {len(labels)} group{'' if len(labels) == 1 else 's'}"
        hint = "declare at least two, or one with reference: others"
        yield Complaint(message, where=locate(here), hint=hint)
    separator = part.get("separator", "|")
    if form == "column" and isinstance(separator, str) and any(separator and separator in label for label in labels):
        message = f"a group of '{name}' holds the separator {separator!r}"
        yield Complaint(message, where=locate((*here, "groups")), hint="name another separator or group")
    if isinstance(reference, str) and reference not in (*labels, LARGEST, OTHERS):
        message = f"the reference '{reference}' of '{name}' is none of its groups"
        yield Complaint(message, where=locate((*here, "reference")), hint="name a group, or write largest or others")
