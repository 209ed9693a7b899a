"""The command line as a new user meets it: in process through `main`, and a few calls through a real process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auditkit.cli import main

POLICY = """
auditkit: 1
name: Decisions from a file
data:
  evaluation: decisions.csv
  label: {{column: repaid, favourable: 1, means: outcome}}
model: {{adapter: predictions, decision: approved}}
protected:
  sex: {{column: sex, groups: [female, male], reference: male}}
rules:
  - {{id: F1, measure: fairness.impact_ratio, on: sex, op: ">=", threshold: {threshold}, severity: high,
     because: a test}}
report: {{formats: [json]}}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """3,000 decisions; women are approved at 60 %, men at 80 %: an impact ratio near 0.75."""
    generator = np.random.default_rng(3)
    sex = generator.choice(["female", "male"], 3000)
    approved = generator.random(3000) < np.where(sex == "female", 0.6, 0.8)
    repaid = (generator.random(3000) < 0.7).astype(int)
    frame = pd.DataFrame({"sex": sex, "approved": approved.astype(int), "repaid": repaid})
    frame.to_csv(tmp_path / "decisions.csv", index=False)
    (tmp_path / "policy.yaml").write_text(POLICY.format(threshold=0.8))
    return tmp_path / "policy.yaml"


def run(policy: Path, *more: str) -> int:
    return main(["run", str(policy), "--out", str(policy.parent / "audits"), "--as-of", "2026-11-23", *more])


@pytest.mark.parametrize(("threshold", "code"), [(0.8, 1), (0.6, 0), (0.75, 3)])
def test_the_exit_code_is_the_audits_answer(policy: Path, threshold: float, code: int) -> None:
    policy.write_text(POLICY.format(threshold=threshold))
    assert run(policy) == code


def test_run_prints_the_verdict_and_where_the_files_lie(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(policy)
    said = capsys.readouterr().out
    assert "F1" in said
    assert "breaches" in said
    (audit,) = (policy.parent / "audits" / "policy").glob("2026-11-23-*/public/audit.json")
    assert "audit.json" in said
    assert json.loads(audit.read_text())["conclusion"]["exit_code"] == 1


def test_verify_accepts_a_run_and_exits_five_on_a_changed_byte(policy: Path) -> None:
    run(policy)
    (audit,) = (policy.parent / "audits").rglob("audit.json")
    folder = audit.parent.parent
    assert main(["verify", str(folder)]) == 0
    audit.write_bytes(audit.read_bytes().replace(b"1.0", b"1.1", 1))
    assert main(["verify", str(folder)]) == 5


def test_check_takes_many_policies_and_exits_with_the_strongest_code(
    policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong_data = policy.with_name("wrong-data.yaml")
    wrong_data.write_text(policy.read_text().replace("decisions.csv", "absent.csv"))
    wrong_key = policy.with_name("wrong-key.yaml")
    wrong_key.write_text(policy.read_text() + "protocted: {}\n")
    assert main(["check", str(policy)]) == 0
    assert main(["check", str(policy), str(wrong_data)]) == 4
    assert main(["check", str(policy), str(wrong_data), str(wrong_key)]) == 2
    said = capsys.readouterr()
    assert "absent.csv" in said.err
    assert "did you mean 'protected'" in said.err
    assert said.out.count("policy.yaml") == 3


def test_policies_of_one_call_read_the_same_data_once(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from auditkit.subject import table

    read, own = [], table.read_table
    monkeypatch.setattr(table, "read_table", lambda *given: read.append(given) or own(*given))
    text = policy.read_text()
    others = {"threshold": text.replace("0.8", "0.7"), "group": text.replace("[female, male]", "[female, male, other]")}
    for name, content in others.items():
        policy.with_name(f"{name}.yaml").write_text(content)
    assert main(["check", str(policy), *(str(policy.with_name(f"{name}.yaml")) for name in others)]) == 0
    assert len(read) == 2  # another threshold reads nothing new, other groups do


def test_nothing_is_written_when_the_policy_is_wrong(policy: Path) -> None:
    policy.write_text(policy.read_text().replace("op:", "opp:"))
    assert run(policy) == 2
    assert not (policy.parent / "audits").exists()


def test_schema_prints_a_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert "rules" in json.loads(capsys.readouterr().out)["properties"]


def test_init_writes_a_starter_and_does_not_overwrite(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    starter = policy.parent / "starter.yaml"
    assert main(["init", str(policy.parent / "decisions.csv"), "--out", str(starter)]) == 0
    written = starter.read_text()
    assert "auditkit: 1" in written
    assert main(["init", str(policy.parent / "decisions.csv"), "--out", str(starter)]) == 2
    assert starter.read_text() == written
    assert "starter.yaml" in capsys.readouterr().err


def test_a_result_renders_again_to_the_same_bytes(policy: Path) -> None:
    run(policy)
    (audit,) = (policy.parent / "audits").rglob("audit.json")
    assert main(["render", str(audit), "--out", str(policy.parent / "again"), "--formats", "json"]) == 0
    assert (policy.parent / "again" / "audit.json").read_bytes() == audit.read_bytes()


def test_a_result_of_another_schema_version_is_refused(policy: Path) -> None:
    run(policy)
    (audit,) = (policy.parent / "audits").rglob("audit.json")
    other = policy.parent / "other.json"
    other.write_text(audit.read_text().replace('"schema_version": "1.0"', '"schema_version": "9.9"'))
    assert main(["render", str(other)]) == 5
    assert main(["render", str(policy.parent / "absent.json")]) == 4


def test_a_crash_exits_seventy_and_never_reads_as_a_breach(
    policy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("auditkit.run.run", broken)
    assert run(policy) == 70
    assert "a defect" in capsys.readouterr().err


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "auditkit", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("arguments", [(), ("runn", "x"), ("run",), ("run", "x", "--as-of", "tomorrow")])
def test_wrong_usage_exits_two_without_a_traceback(arguments: tuple[str, ...]) -> None:
    done = process(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_missing_policy_is_one_clear_line(tmp_path: Path) -> None:
    done = process("run", str(tmp_path / "absent.yaml"))
    assert done.returncode == 2
    assert "absent.yaml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.prove
def test_forty_policies_on_one_base(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    base = Path(__file__).parents[1] / "policies" / "loans.yaml"
    files = [tmp_path / f"variant-{number}.yaml" for number in range(40)]
    for file in files:
        file.write_text(f"extends: {base}\nname: {file.stem}\n")
    began = time.perf_counter()
    done = process("check", *map(str, files))
    record_property("seconds of `auditkit check` on forty policies", round(time.perf_counter() - began, 1))
    assert done.returncode == 0
    assert done.stdout.count("2,000 evaluation records") == 40


def test_check_tells_of_rule_sets_that_do_not_bind(policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy.write_text(policy.read_text() + "frameworks: [co-sb24-205, gdpr-article-35]\n")
    assert main(["check", str(policy)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("!") for line in lines) == 1
    assert "superseded by SB 26-189" in lines[1]
