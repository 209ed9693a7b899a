"""The policy's JSON Schema, for editors: kebab keys, the fields' docstrings as descriptions.

It describes the file as its author writes it: `extends` is a key, `intersections` stands under `protected`, and a file
that extends another may leave out what the other has. It is a help while writing; `load` is what decides.
"""

from __future__ import annotations

from typing import Any, Final

from auditkit.policy.schema import Policy

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a policy file."""
    document: dict[str, Any] = Policy.model_json_schema(by_alias=True, mode="validation")
    properties = document["properties"]
    protected = properties["protected"]
    _only_names(protected, but="intersections")
    _only_names(properties["slices"])
    _only_names(properties["memberships"])
    _only_names(properties["outcomes"])
    protected["properties"] = {"intersections": _intersections(properties.pop("intersections"))}
    extends = {"type": "string", "minLength": 1, "description": "Another policy file; keys stated here replace its."}
    document["properties"] = {"auditkit": properties.pop("auditkit"), "extends": extends, **properties}
    required = document.pop("required")
    document["if"] = {"required": ["extends"]}
    document["else"] = {"required": required}
    document["title"] = "auditkit policy"
    document["description"] = "One audit's rules. `auditkit check FILE` says what an editor cannot."
    return {"$schema": DIALECT, **document}


def _intersections(found: dict[str, Any]) -> dict[str, Any]:
    names = {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True}
    description = "Combinations of protected attributes, as in [[sex, age]]; rules name one as `sex x age`."
    return {**found, "items": names, "description": description}


def _only_names(mapping: dict[str, Any], *, but: str = "") -> None:
    """Refuse keys that are no names, and keep the pattern from the one key that is something else."""
    ((pattern, value),) = mapping["patternProperties"].items()
    mapping["patternProperties"] = {f"^(?!{but}$){pattern.removeprefix('^')}" if but else pattern: value}
    mapping["additionalProperties"] = False
