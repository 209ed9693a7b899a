"""Pages and JSON are published when they are whole; a PDF follows, and its failure takes nothing back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from auditkit.cli import main
from auditkit.errors import AuditError, Complaint, IntegrityError, strongest
from auditkit.ledger.evidence import verify
from auditkit.ledger.journal import rows
from auditkit.ledger.manifest import MANIFEST, read_manifest
from auditkit.report.renderers import RENDERERS, Rendering
from auditkit.result import AuditResult
from auditkit.run import complete_run, run
from tests.bank.lender import write_lender

DAY = date(2026, 11, 23)


class Quick:
    """Stands for a PDF, whose pages take longer than all the rest."""

    def __init__(self, fail: BaseException | None = None) -> None:
        self.fail, self.stopped = fail, 0

    def __call__(self, result: AuditResult, scratch: Path | None) -> Rendering:
        return self

    def wait(self) -> bytes:
        if self.fail is not None:
            raise self.fail
        return b"%PDF-1.7 short"

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lender(tmp_path_factory.mktemp("lender"), training="{module: logistic, l2: 0.003}", influence="{}")


@pytest.fixture
def pdf(monkeypatch: pytest.MonkeyPatch) -> Callable[[Quick], Quick]:
    """Puts a stand-in where PDFs are made; no search of its bytes, which are no PDF."""

    def put(stand_in: Quick) -> Quick:
        monkeypatch.setitem(RENDERERS, "pdf", replace(RENDERERS["pdf"], begin=stand_in))
        monkeypatch.setattr("auditkit.run.sealing", lambda *a, **k: lambda public: None)
        return stand_in

    return put


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


FAILURES = [
    AuditError(Complaint("report.pdf could not be made: it took more than 900 seconds of processor time")),
    AuditError(Complaint("report.pdf could not be made: the memory limit was reached")),
]


@pytest.mark.parametrize("failure", FAILURES, ids=["time", "memory"])
def test_a_pdf_that_fails_leaves_the_audit_and_can_be_made_later(
    tmp_path: Path, policy: Path, pdf: Callable[[Quick], Quick], failure: AuditError,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pdf(Quick())
    whole = run(policy, out=tmp_path / "whole", as_of=DAY)
    stand_in = pdf(Quick(failure))
    code = main(["run", str(policy), "--out", str(tmp_path / "late"), "--as-of", DAY.isoformat()])
    said = capsys.readouterr().out
    folder = tmp_path / "late" / policy.stem / whole.folder.name
    assert code == strongest([whole.exit_code, 6])
    assert str(failure) in said and f"auditkit render {folder}" in said
    assert stand_in.stopped == 1
    assert read_manifest(folder / "public").missing == ("report.pdf",)
    assert "public/report.html" in verify(folder)
    assert [row["run_id"] for row in rows(folder.parent)] == [folder.name]
    assert not (folder.parent / ".unfinished").exists()
    pdf(Quick())
    assert main(["render", str(folder)]) == 0
    assert contents(folder / "public") == contents(whole.folder / "public")
    assert complete_run(folder) == ()


def test_an_interrupt_while_the_pdf_is_made_names_what_is_published(
    tmp_path: Path, policy: Path, pdf: Callable[[Quick], Quick], capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in = pdf(Quick(KeyboardInterrupt()))
    assert main(["run", str(policy), "--out", str(tmp_path), "--as-of", DAY.isoformat()]) == 130
    folder = next((tmp_path / policy.stem).glob("2026-*"))
    assert f"the audit is published in {folder}" in capsys.readouterr().err
    assert stand_in.stopped == 1 and verify(folder)


def test_a_pdf_that_holds_what_it_must_not_is_not_added(
    tmp_path: Path, policy: Path, pdf: Callable[[Quick], Quick], monkeypatch: pytest.MonkeyPatch
) -> None:
    pdf(Quick())

    def seal(*_: object, **__: object) -> Callable[[dict[str, bytes]], None]:
        def hold(public: dict[str, bytes]) -> None:
            if "report.pdf" in public:
                raise IntegrityError("it holds an id")

        return hold

    monkeypatch.setattr("auditkit.run.sealing", seal)
    with pytest.raises(IntegrityError, match="it holds an id"):
        run(policy, out=tmp_path, as_of=DAY)
    public = next((tmp_path / policy.stem).glob("2026-*/public"))
    assert not (public / "report.pdf").exists() and verify(public.parent)


@pytest.mark.parametrize(
    ("codes", "code"),
    [((0, 6), 6), ((3, 6), 6), ((1, 6), 1), ((4, 6), 4), ((2, 4), 2), ((5, 2), 5), ((3, 0), 3), ((0,), 0), ((1, 3), 1)],
)
def test_the_strongest_exit_code(codes: tuple[int, ...], code: int) -> None:
    assert strongest(codes) == code


def test_a_run_without_a_result_cannot_be_completed(tmp_path: Path) -> None:
    public = tmp_path / "public"
    public.mkdir()
    (public / MANIFEST).write_text('{"files": {}, "missing": ["report.pdf"]}')
    with pytest.raises(AuditError, match=r"there is no audit\.json"):
        complete_run(tmp_path)
