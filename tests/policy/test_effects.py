"""Every key of the policy changes something, or `check` says that it does not."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from pydantic import BaseModel

from auditkit.cli import main
from auditkit.policy.effects import WITHOUT_EFFECT, without_effect
from auditkit.policy.frameworks import available, load_framework
from auditkit.policy.schema import Policy
from auditkit.policy.settings import kebab
from tests.bank.lender import write_lender

ROOT = Path(__file__).parents[2] / "auditkit"
STATES = {"schema.py", "settings.py", "statutory.py", "remedies.py", "membership.py", "outcomes.py", "attributes.py",
          "compare.py", "effects.py"}  # fmt: skip


def keys(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every key of the schema with its attribute, through mappings and lists of sections."""
    for name, field in model.model_fields.items():
        here = (*path, kebab(name))
        sections = list(sections_in(field.annotation))
        if sections:
            for section in sections:
                yield from keys(section, here)
        else:
            yield here, name


def sections_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from sections_in(part)


def read_somewhere() -> set[str]:
    """Attributes and named texts that the program reads outside the files that state the schema."""
    found: set[str] = set()
    for file in ROOT.rglob("*.py"):
        if not (file.parent.name == "policy" and file.name in STATES):
            text = file.read_text("utf-8")
            found |= set(re.findall(r"\.([a-z_0-9]+)\b", text)) | set(re.findall(r"\"([a-z_0-9]+)\"", text))
    return found


def test_every_key_is_read_or_said_to_have_no_effect() -> None:
    read, listed = read_somewhere(), dict(keys(Policy))
    assert len(listed) > 100
    unread = {key for key, attribute in listed.items() if attribute not in read}
    assert unread <= set(WITHOUT_EFFECT)
    assert set(WITHOUT_EFFECT) <= set(listed)


@pytest.mark.parametrize(("section", "key"), list(WITHOUT_EFFECT))
def test_check_warns_of_a_key_that_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], section: str, key: str
) -> None:
    values = {"grace": "15 days", "language": "en", "annex": "none"}
    policy = write_lender(tmp_path)
    text = policy.read_text("utf-8")
    stated = f"{key}: {values[key]}"
    if section == "report":
        text = text.replace("{minimum-cell: 10}", f"{{minimum-cell: 10, {stated}}}")
    else:
        text += f"schedule: {{every: 3 months, {stated}}}\n"
    policy.write_text(text, "utf-8")
    assert main(["check", str(policy)]) == 0
    said = capsys.readouterr().out
    assert f"'{section}.{key}' has no effect: {WITHOUT_EFFECT[section, key]}" in said
    assert "small.yaml:" in said


def test_a_policy_without_such_a_key_is_not_warned_of() -> None:
    assert without_effect({"report": {"minimum-cell": 10}, "schedule": {"every": "1 month"}}) == ()
    assert without_effect({"report": None}) == ()


@pytest.mark.parametrize("name", available())
def test_a_rule_set_is_in_force_from_its_day_on(name: str) -> None:
    found = load_framework(name)
    if found.effective_from is not None and found.status in ("in_force", "enacted"):
        before = date.fromordinal(found.effective_from.toordinal() - 1)
        assert found.status_on(before) == "not yet in force"
        assert found.status_on(found.effective_from) == "in force"
    assert (found.status == "enacted") == (
        found.status in ("in_force", "enacted") and (found.effective_from or date.min) > found.as_of
    )
