"""A policy that names Python code runs it only where it may."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditkit.cli import main
from tests.bank.lender import write_lender

MODULE = "raise SystemExit('ran')\n"
MODELS = {
    "estimator": "{adapter: estimator, subject: 'mine:model'}",
    "estimator with a threshold": "{adapter: estimator, subject: 'mine:model', threshold: 0.4}",
    "python": "{adapter: python, subject: 'mine:model'}",
    "dotted object": "{adapter: python, subject: 'mine:a.b'}",
    "dotted module": "{adapter: estimator, subject: 'mine.inner:model'}",
}


def policy_of(folder: Path, model: str) -> Path:
    policy = write_lender(folder)
    lines = policy.read_text("utf-8").splitlines()
    text = "\n".join(f"model: {model}" if line.startswith("model:") else line for line in lines)
    policy.write_text(text, "utf-8")
    (folder / "mine.py").write_text(MODULE, "utf-8")
    return policy


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("command", ["check", "run"])
def test_no_code_refuses_before_anything_is_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, model: str
) -> None:
    policy = policy_of(tmp_path, model)
    out = ["--out", str(tmp_path / "audits")] if command == "run" else []
    assert main([command, "--no-code", str(policy), *out]) == 2
    said = capsys.readouterr().err
    assert "small.yaml:" in said and "runs code of the policy's author ('mine" in said and "ran" not in said.split()
    assert not (tmp_path / "audits").exists()


def test_without_it_the_code_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(policy_of(tmp_path, MODELS["python"]))]) == 4
    assert "importing 'mine' failed" in capsys.readouterr().err


def test_check_says_whose_code_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = policy_of(tmp_path, "{adapter: estimator, subject: 'mine:model'}")
    (tmp_path / "mine.py").write_text("from sklearn.dummy import DummyClassifier\nmodel = DummyClassifier()\n")
    assert main(["check", str(policy)]) == 0
    assert "runs its author's Python code ('mine:model')" in capsys.readouterr().out


def test_a_stored_model_and_recorded_decisions_run_no_code(tmp_path: Path) -> None:
    models = {
        "stored": "{adapter: tabular, path: model, training: {l2: 0.003}}",
        "recorded": "{adapter: predictions, decision: repaid}",
    }
    for name, model in models.items():
        folder = tmp_path / name
        folder.mkdir()
        assert main(["check", "--no-code", str(policy_of(folder, model))]) == 0, name
