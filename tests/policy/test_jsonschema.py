from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from auditkit.policy.jsonschema import schema
from auditkit.policy.schema import Policy

ROOT = Path(__file__).parents[2]
POLICIES = [ROOT / "policies" / "loans.yaml", *sorted((ROOT / "tests" / "policies" / "good").glob("*.yaml"))]


def read(path: Path) -> Any:
    """The file as a YAML editor hands it to JSON Schema; dates are texts there."""
    data = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return json.loads(json.dumps(data, default=str))


def problems(data: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(schema()).iter_errors(data)]


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    json.dumps(schema(), allow_nan=False)


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_it_accepts_policies_as_they_are_written(path: Path) -> None:
    assert problems(read(path)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rule": []}, "'rule' was unexpected"),
        ({"name": 7}, "7 is not of type 'string'"),
        ({"intersections": [["sex", "age"]]}, "'intersections' was unexpected"),
        ({"protected": {"intersections": [["sex"]]}}, "['sex'] is too short"),
        ({"protected": {"s ex": {"column": "sex"}}}, "'s ex' does not match any of the regexes"),
        ({"protected": {"sex": {"colum": "sex"}}}, "'colum' was unexpected"),
        ({"privacy": {"risk_threshold": 0.8}}, "'risk_threshold' was unexpected"),
        ({"seed": -1}, "-1 is less than the minimum of 0"),
    ],
)
def test_it_refuses_what_load_refuses(change: dict[str, Any], said: str) -> None:
    assert any(said in problem for problem in problems(read(POLICIES[0]) | change))


def test_a_file_that_extends_another_may_leave_things_out() -> None:
    assert problems({"extends": "lender.yaml"}) == []
    assert any("'rules' is a required property" in problem for problem in problems({"auditkit": 1, "name": "x"}))


def test_every_key_is_kebab_and_described() -> None:
    document = schema()
    sections = [document, *document["$defs"].values()]
    for section in sections:
        for key, value in section.get("properties", {}).items():
            assert "_" not in key
            described = document["$defs"][value["$ref"].split("/")[-1]] if "$ref" in value else value
            assert value.get("description") or described["description"], (section.get("title"), key)
    written = set(document["properties"]) - {"extends"} | {"intersections"}
    assert written == {field.alias for field in Policy.model_fields.values()}
