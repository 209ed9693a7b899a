from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditkit.errors import PolicyError
from auditkit.policy.load import LoadedPolicy, digest_of, load

ROOT = Path(__file__).parents[2]
GOOD = ROOT / "tests" / "policies" / "good"
BASE = """auditkit: 1
name: Loans
data:
  train: train.csv
  evaluation: ../data/evaluation.csv
  label: {column: repaid, favourable: 1, means: outcome}
  numeric: [income]
model: {adapter: tabular, path: model}
protected:
  sex: {column: sex, groups: [female, male], reference: male}
  age: {column: age, bins: [18, 40, .inf]}
  intersections: [[sex, age]]
rules:
  - {id: F1, measure: fairness.impact_ratio, on: sex, op: ">=", threshold: 0.8, severity: high, because: Standard}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(text: str, name: str = "p.yaml") -> LoadedPolicy:
    Path(name).write_text(text, encoding="utf-8")
    return load(Path(name))


def refusal(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        loaded(text)
    return [str(complaint) for complaint in caught.value.complaints]


def test_a_policy_as_types_as_written_and_where(here: Path) -> None:
    found = loaded(BASE)
    assert found.policy.intersections == (("sex", "age"),)
    assert found.policy.protected["age"].bins == (18, 40, math.inf)
    assert found.policy.data.evaluation == here.parent / "data" / "evaluation.csv"
    assert found.policy.model.path == here / "model"
    assert found.policy.data.reserve is None
    assert found.base == here and found.path == Path("p.yaml") and found.files == (Path("p.yaml"),)
    assert found.resolved["data"]["evaluation"] == "../data/evaluation.csv"
    assert found.resolved["protected"]["intersections"] == [["sex", "age"]]
    assert found.resolved["protected"]["age"]["bins"] == [18, 40, ".inf"]
    assert found.locate("rules", 0, "threshold") == "p.yaml:14:65"
    assert found.locate("intersections", 0) == found.locate("protected", "intersections", 0) == "p.yaml:12:19"
    assert found.locate("protected", "sex", "unknown") == "p.yaml:10:3"
    assert found.locate("fairness", "minimum_group") == "p.yaml:1:1"


def test_keys_are_found_in_either_spelling(here: Path) -> None:
    found = loaded(BASE + "privacy:\n  risk-threshold: 0.8\n")
    assert found.locate("privacy", "risk_threshold") == found.locate("privacy", "risk-threshold") == "p.yaml:16:3"


def test_the_digest_is_of_what_is_written_and_not_of_how(here: Path) -> None:
    found = loaded(BASE)
    text = json.dumps(found.resolved, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert found.digest == hashlib.sha256(text.encode()).hexdigest() == digest_of(found.resolved)
    assert loaded("# a comment\n" + BASE.replace("name: Loans", "name:   'Loans'")).digest == found.digest
    assert loaded(BASE.replace("0.8", "0.81")).digest != found.digest


def test_a_parents_keys_are_replaced_whole_and_keep_their_file(here: Path) -> None:
    (here / "shared").mkdir()
    Path("shared/grand.yaml").write_text(BASE, encoding="utf-8")
    Path("shared/parent.yaml").write_text("extends: grand.yaml\nowner: Risk\nname: Parent\n", encoding="utf-8")
    found = loaded("extends: shared/parent.yaml\nname: Child\nmodel:\n  adapter: tabular\n  path: model\n")
    assert (found.policy.name, found.policy.owner) == ("Child", "Risk")
    assert found.policy.data.train == here / "shared" / "train.csv"
    assert found.policy.model.path == here / "model"
    assert found.locate("data", "train") == "shared/grand.yaml:4:3"
    assert found.locate("name") == "p.yaml:2:1"
    assert "extends" not in found.resolved
    assert found.files == (Path("p.yaml"), Path("shared/parent.yaml"), Path("shared/grand.yaml"))
    assert found.digest == loaded(BASE.replace("name: Loans", "name: Child\nowner: Risk")).digest


@pytest.mark.parametrize(
    ("child", "line"),
    [
        ("extends: nope.yaml\n", "p.yaml:1:1: 'extends' names the file 'nope.yaml', which does not exist; "
         "the path is relative to this file"),
        ("extends: [a.yaml]\n", "p.yaml:1:1: 'extends' is a list, and has to be the path of one policy file; "
         "write extends: other.yaml"),
        ("extends: p.yaml\n", "p.yaml:1:1: 'extends' leads in a circle, to 'p.yaml'; remove one `extends`"),
        ("extends: ''\n", "p.yaml:1:1: 'extends' is '', and has to be the path of one policy file; "
         "write extends: other.yaml"),
    ],
)  # fmt: skip
def test_extends_that_leads_nowhere(here: Path, child: str, line: str) -> None:
    assert refusal(child) == [line]


def test_a_fault_in_a_parent_is_placed_there_and_the_childs_come_first(here: Path) -> None:
    Path("base.yaml").write_text(BASE.replace("id: F1", "id: 1F"), encoding="utf-8")
    lines = refusal("extends: base.yaml\nseed: -1\n")
    assert [line.split(": ")[0] for line in lines] == ["p.yaml:2:1", "base.yaml:14:6"]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("auditkit: 1", "auditkit: 2", "p.yaml:1:1: 'auditkit' is 2, and has to be 1"),
        ("auditkit: 1", "auditkit: '1'", "p.yaml:1:1: 'auditkit' is '1', and has to be 1"),
        ("name: Loans", "name:", "p.yaml:2:1: 'name' is empty, and has to be text"),
        ("name: Loans", "name: ''", "p.yaml:2:1: 'name' is '', and has to be text that is not empty"),
        ("name: Loans", f"name: {'x' * 401}",
         f"p.yaml:2:1: 'name' is '{'x' * 56}…', and has to be at most 400 characters long"),
        ("name: Loans", "name: Loans\nintersections: [[sex, age]]",
         "p.yaml:3:1: unknown key 'intersections'; write it under 'protected'"),
        ("name: Loans", "name: Loans\nseed: 1.5", "p.yaml:3:1: 'seed' is 1.5, and has to be a whole number"),
        ("name: Loans", "name: Loans\nseed: true", "p.yaml:3:1: 'seed' is true, and has to be a whole number"),
        ("name: Loans", "name: Loans\nfairness: 3",
         "p.yaml:3:1: 'fairness' is 3, and has to be a mapping (`key: value` lines)"),
        ("name: Loans", "name: Loans\nfairness: {minimum_group: 3}",
         "p.yaml:3:12: unknown key 'minimum_group' in 'fairness'; did you mean 'minimum-group'?"),
        ("name: Loans", "name: Loans\nschedule: {every: quarterly}",
         "p.yaml:3:12: 'every' is 'quarterly', and has to be a span such as '3 months'"),
        ("name: Loans", "name: Loans\ninfluence: {damping: none}",
         "p.yaml:3:13: 'damping' is 'none', and has to be 'auto' or a number"),
        ("name: Loans", "name: Loans\nreport: {annex: full}", "p.yaml:3:10: 'annex' is 'full', and has to be 'none'"),
        ("name: Loans", "name: Loans\nweather: dry", "p.yaml:3:1: unknown key 'weather'; known here: auditkit, cases, "
         "compare, data, deployment, domain, extends, fairness, frameworks, influence, memberships, model, …"),
        ("name: Loans", "name: Loans\nextend: other.yaml", "p.yaml:3:1: unknown key 'extend'; did you mean 'extends'?"),
        ("  train: train.csv\n", "  train: 7\n", "p.yaml:4:3: 'train' is 7, and has to be text; put it in quotes"),
        ("favourable: 1", "favourable: [1]",
         "p.yaml:6:27: 'favourable' is a list, and has to be true or false or a whole number or a number or text"),
        ("sex: {column", "s ex: {column",
         "p.yaml:10:3: 's ex' is not a name (a letter, then at most 59 letters, digits, '_', '.' or '-'); "
         "choose another name"),
        ("reference: male", "reference: 1",
         "p.yaml:10:46: the reference '1' of 'sex' is none of its groups; its groups are female, male"),
        ("reference: male", "reference: [male]", "p.yaml:10:46: 'reference' is a list, and has to be text"),
        ("threshold: 0.8", "threshold: .inf", "p.yaml:14:65: 'threshold' is inf, and has to be a finite number"),
        ("threshold: 0.8", "threshold: '0.8'", "p.yaml:14:65: 'threshold' is '0.8', and has to be a number"),
        ("severity: high", "severity: hihg",
         "p.yaml:14:81: 'severity' is 'hihg', and has to be 'high', 'medium' or 'low'; did you mean 'high'?"),
    ],
)  # fmt: skip
def test_single_keys(here: Path, old: str, new: str, line: str) -> None:
    assert old in BASE
    found = refusal(BASE.replace(old, new, 1))
    assert line in found
    assert len(found) == (3 if "s ex" in new else 1)  # the rule and the intersection miss 'sex'


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("on: sex, ", "", "p.yaml:14:5: rule 'F1' does not say which groups 'fairness.impact_ratio' is judged on; "
         "add on: with one of sex, age, sex x age"),
        ("fairness.impact_ratio", "model.accuracy",
         "p.yaml:14:39: rule 'F1' names on: 'sex', and 'model.accuracy' is judged over all records; remove 'on'"),
        ("on: sex", "on: sex × age", "p.yaml:14:46: rule 'F1' is on 'sex × age', which is no protected attribute or "
         "intersection; did you mean 'sex x age'?"),
        ("intersections: [[sex, age]]", "intersections: [[sex, agee]]",
         "p.yaml:12:19: the intersection names 'agee', which is not declared; did you mean 'age'?"),
        ("[[sex, age]]", "[[sex]]", "p.yaml:12:19: the intersection [sex] does not name two different attributes; "
         "write it as [sex, age]"),
        ("[[sex, age]]", "[[sex, age], [age, sex]]",
         "p.yaml:12:31: the intersection of age and sex stands twice; keep one"),
        ("groups: [female, male]", "groups: [female, male, female]",
         "p.yaml:10:22: 'sex' declares the group 'female' twice; keep one"),
        ("groups: [female, male]", "groups: [male]",
         "p.yaml:10:22: 'sex' declares 1 group; declare at least two groups"),
        ("reference: male", "reference: male, unknown: [female]",
         "p.yaml:10:63: 'female' is both a group of 'sex' and a value that means unknown; keep one"),
        ("reference: male", "reference: male, bins: [1, 2]",
         "p.yaml:10:63: 'sex' has both groups and bins; keep groups for texts, bins for numbers"),
        ("bins: [18, 40, .inf]", "bins: [18]", "p.yaml:11:22: the bins of 'age' are [18]; write at least two edges, "
         "each above the one before, as in [18, 25, 40, .inf]"),
        ("bins: [18, 40, .inf]", "bins: [18, 40, .inf], reference: 18-40",
         "p.yaml:11:44: the reference '18-40' of 'age' is none of its groups; did you mean '18-39'?"),
        ("numeric: [income]", "numeric: [income, repaid]", "p.yaml:7:21: the column 'repaid' is the label and stands "
         "among the model's columns; remove it from the list"),
        ("numeric: [income]", "numeric: [income]\n  categorical: [income]",
         "p.yaml:8:17: the column 'income' is listed twice; keep one"),
        ("numeric: [income]", "numeric: [income]\n  id: repaid",
         "p.yaml:8:3: the column 'repaid' is both 'id' and the label; name two columns"),
        ("  train: train.csv\n", "  train: ../data/evaluation.csv\n",
         "p.yaml:5:3: 'evaluation' and 'train' are the same file; name two files"),
        ("{adapter: tabular, path: model}", "{adapter: python, subject: my_bank.credit}",
         "p.yaml:8:26: 'subject' is 'my_bank.credit', and has to be module:object; as in my_bank.credit:subject"),
        ("{adapter: tabular, path: model}", "{adapter: estimator}",
         "p.yaml:8:1: the adapter 'estimator' needs 'subject', and 'model' has none; add subject:"),
        ("{adapter: tabular, path: model}", "{adapter: predictions}", "p.yaml:8:1: the adapter 'predictions' needs "
         "'decision' or 'score', and 'model' has neither; add decision: with a SQL expression or a column"),
        ("{adapter: tabular, path: model}", "{adapter: predictions, decision: d, threshold: 0.5}",
         "p.yaml:8:44: 'decision' is stated, so that 'threshold' decides nothing; remove one of them"),
        ("{adapter: tabular, path: model}", "{adapter: predictions, decision: count(*) > 1}", "p.yaml:8:31: the "
         "decision holds the function count_star at character 1 (`count(*)`); functions allowed: coalesce, abs, ceil, "
         "day, ends_with, floor, greatest, least, length, lower, month, nullif, quarter, round, starts_with, trim, "
         "upper, year"),
        ("{adapter: tabular, path: model}", "{adapter: predictions, score: s}\ninfluence: {estimator: ekfac}",
         "p.yaml:9:13: the estimator 'ekfac' needs gradients, and the adapter 'predictions' has none; write auto, and "
         "influence is left out"),
        ("name: Loans", "name: Loans\nframeworks: [gdpr-article-35, gdpr-article-35]",
         "p.yaml:3:31: the rule set 'gdpr-article-35' stands twice; keep one"),
        ("name: Loans", "name: Loans\nframeworks: [us-ecoa-reg-b]", "p.yaml:3:14: 'us-ecoa-reg-b' is for the domain "
         "'consumer-credit' or 'mortgage-credit' or 'business-credit', and the policy states no domain; remove the "
         "rule set or correct 'domain'"),
        ("threshold: 0.8", "threshold: -0.8",
         "p.yaml:14:65: the threshold -0.8 of rule 'F1' lies below 0; correct the threshold"),
        ("because: Standard", "because: FILL IN the source",
         "p.yaml:14:97: 'because' is still to be filled in; replace FILL IN"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_each_other(here: Path, old: str, new: str, line: str) -> None:
    assert old in BASE
    assert refusal(BASE.replace(old, new, 1)) == [line]


def test_a_slip_in_one_part_hides_nothing_about_the_others(here: Path) -> None:
    text = BASE.replace("name: Loans", "nam: Loans").replace("reference: male", "reference: men")
    text += "  - {id: F1, measure: fairness.impact_ratio, on: sx, op: '>', threshold: 1, severity: low, because: B}\n"
    text += "slices: {x: {where: 'a IN (SELECT 1)', why: Because}}\n"
    assert [line.split("; ")[0].split(" ", 1)[1] for line in refusal(text)] == [
        "unknown key 'nam'",
        "the reference 'men' of 'sex' is none of its groups",
        "the rule id 'F1' is taken (rule 1 in the list has it)",
        "rule 'F1' is on 'sx', which is no protected attribute or intersection",
        "slice 'x' holds a subquery at character 6 (`(SELECT 1)`)",
    ]


def test_the_worked_and_the_good_policies_load() -> None:
    for path in (ROOT / "policies" / "loans.yaml", *GOOD.glob("*.yaml")):
        found = load(path)
        assert all(":" in found.locate("rules", index, "id") for index in range(len(found.policy.rules)))
    quarterly = load(GOOD / "quarterly.yaml")
    assert quarterly.policy.protected["country"].groups == ("no", "se")
    assert str(quarterly.policy.rules[1].waiver.expires) == "2027-05-31"  # type: ignore[union-attr]


@pytest.mark.prove
def test_forty_policies_on_one_base_are_checked_in_time(
    here: Path, record_property: Callable[[str, object], None]
) -> None:
    slices = "".join(
        f"  s{i}: {{where: \"sex = 'female' AND income > {i} AND decision = 0\", why: Slice {i}}}\n" for i in range(10)
    )
    Path("base.yaml").write_text(BASE + "slices:\n" + slices, encoding="utf-8")
    for number in range(40):
        text = f"extends: base.yaml\nname: Audit {number}\nseed: {number}\n"
        Path(f"p{number}.yaml").write_text(text, encoding="utf-8")
    start = time.process_time()
    digests = {load(Path(f"p{number}.yaml")).digest for number in range(40)}
    assert len(digests) == 40
    seconds = time.process_time() - start
    record_property("forty policies loaded, CPU s", seconds)
    assert seconds < 10


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("auditkit.policy", ("torch", "pandas", "numpy", "duckdb", "pydantic", "ruamel")),
        ("auditkit.policy.schema", ("torch", "pandas", "numpy", "duckdb", "ruamel")),
        ("auditkit.policy.load", ("torch", "pandas", "numpy", "duckdb", "pyarrow")),
        ("auditkit.policy.starter", ("torch", "pandas", "numpy", "duckdb")),
    ],
)
def test_imports_stay_light(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_every_kind_of_pydantic_error_that_the_schema_can_give_has_words() -> None:
    """A value of every wrong kind at every key: no message is left in the validator's own words."""
    from auditkit.policy.explain import EXPECTED, explain
    from auditkit.policy.schema import Policy

    wrong: list[Any] = [
        None,
        True,
        -1,
        10**400,
        0.5,
        1e308,
        float("inf"),
        "",
        "x" * 500,
        "2026-13-45",
        [],
        [[]],
        [None],
        {},
        {"x": 1},
    ]
    seen: set[str] = set()
    from pydantic import ValidationError

    sections: dict[str, Any] = json.loads(json.dumps(load(GOOD / "quarterly.yaml").resolved).replace('".inf"', "1e9"))
    sections["protected"].pop("intersections")
    sections |= {"fairness": {}, "influence": {}, "report": {}, "deployment": {}}
    for key, section in sections.items():
        model = Policy.model_fields[key].annotation
        names = [f.alias for f in model.model_fields.values()] if hasattr(model, "model_fields") else [None]
        for name in names:
            for value in wrong:
                data = {**sections, key: {**section, name: value} if name else value}
                try:
                    Policy.model_validate_json(json.dumps(data), strict=True, by_alias=True, by_name=False)
                except ValidationError as error:
                    seen |= {item["type"] for item in error.errors()}
                    for complaint in explain(error, model=Policy, data=data, locate=str):
                        assert "Input should" not in str(complaint) and "valid" not in complaint.message
    special = {"missing", "extra_forbidden", "string_pattern_mismatch"}
    assert seen - special <= set(EXPECTED)
    assert len(seen) > 15


@pytest.mark.parametrize("word", ["largest", "best", "overall"])
def test_a_reference_may_be_left_to_the_data(here: Path, word: str) -> None:
    found = loaded(BASE.replace("reference: male", f"reference: {word}"))
    assert found.policy.protected["sex"].reference == word
