"""What lies in a run's folder is exactly what was published: sixty tamperings of twelve kinds."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auditkit.cli import main
from auditkit.errors import IntegrityError
from auditkit.ledger.evidence import add_file, verify, write_run
from auditkit.ledger.manifest import MANIFEST, read_manifest

FILES = (
    "public/report.html", "public/audit.json", "restricted/scores.npy", "restricted/risk.npy",
    "restricted/records.parquet",
)  # fmt: skip
PARTS = ("public", "restricted")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(
        tmp_path / "loans" / "run-1",
        public={"report.html": b"<p>report</p>", "audit.json": b"{}"},
        arrays={"scores": np.arange(6.0).reshape(2, 3), "risk": np.ones(3)},
        tables={"records": pd.DataFrame({"id": ["a", "b"]})},
    )


def changed(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def lengthened(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b" ")


def linked(file: Path) -> None:
    """The same bytes, but somewhere else, where they can be changed later."""
    shutil.move(file, file.parents[3] / file.name)
    file.symlink_to(file.parents[3] / file.name)


def made_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def made_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def renamed(file: Path) -> None:
    file.rename(file.with_name("other"))


BY_FILE: tuple[Callable[[Path], None], ...] = (
    changed, emptied, lengthened, linked, made_a_pipe, made_a_folder, renamed, Path.unlink,
)  # fmt: skip


@pytest.mark.parametrize("tamper", BY_FILE, ids=lambda tamper: tamper.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_the_one_published_is_found(
    folder: Path, name: str, tamper: Callable[[Path], None]
) -> None:
    tamper(folder / name)
    with pytest.raises(IntegrityError, match=Path(name).name.replace(".", r"\.")):
        verify(folder)


MANIFESTS = (
    "", "{", "[]", "null", '{"files": null}', '{"files": []}', '{"files": {"a": null}}', '{"files": {"a": {}}}',
    '{"files": {"../a": {"sha256": "", "bytes": 1}}}', '{"files": {"a": {"sha256": 1, "bytes": 1}}}',
    '{"files": {"a": {"sha256": "", "bytes": -1}}}', '{"files": {}, "missing": 1}', "[" * 100_000, "\ufeff\ud7ff",
)  # fmt: skip


@pytest.mark.parametrize("text", MANIFESTS, ids=range(len(MANIFESTS)))
@pytest.mark.parametrize("part", PARTS)
def test_a_manifest_that_is_none_is_an_integrity_failure(folder: Path, part: str, text: str) -> None:
    (folder / part / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(IntegrityError, match="not readable"):
        verify(folder)
    assert main(["verify", str(folder)]) == 5


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("tamper", [Path.unlink, linked, made_a_pipe, made_a_folder], ids=lambda t: t.__name__)
def test_a_manifest_that_is_gone_or_replaced_is_found(
    folder: Path, part: str, tamper: Callable[[Path], None]
) -> None:
    tamper(folder / part / MANIFEST)
    with pytest.raises(IntegrityError, match=part):
        verify(folder)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_gone_or_a_link_is_found(folder: Path, part: str) -> None:
    elsewhere = folder.parent / "elsewhere"
    (folder / part).rename(elsewhere)
    with pytest.raises(IntegrityError, match="the folder is missing"):
        verify(folder)
    (folder / part).symlink_to(elsewhere)
    with pytest.raises(IntegrityError, match="it is a link"):
        verify(folder)


@pytest.mark.parametrize("place", ["", "public", "restricted"])
@pytest.mark.parametrize("name", ["extra.txt", ".hidden", "folder"])
def test_what_was_added_is_found(folder: Path, place: str, name: str) -> None:
    added = folder / place / name
    added.mkdir() if name == "folder" else added.write_text("x")
    with pytest.raises(IntegrityError, match=name):
        verify(folder)


def test_all_is_told_at_once(folder: Path) -> None:
    changed(folder / FILES[0])
    (folder / FILES[2]).unlink()
    (folder / "extra").write_text("x")
    with pytest.raises(IntegrityError) as caught:
        verify(folder)
    assert len(caught.value.complaints) == 3


def test_a_rebuilt_manifest_cannot_be_told_and_that_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder)]) == 0
    assert "not signed: whoever could write into this folder could have rebuilt them" in capsys.readouterr().out


def test_a_file_that_follows_is_a_new_revision(tmp_path: Path) -> None:
    whole = {"report.html": b"<p/>", "report.pdf": b"%PDF-"}
    early = write_run(
        tmp_path / "run", public={"report.html": b"<p/>"}, arrays={}, tables={}, missing=["report.pdf"]
    )
    assert verify(early) == ("public/report.html",)
    assert main(["verify", str(early)]) == 6
    add_file(early / "public", "report.pdf", whole["report.pdf"])
    assert set(verify(early)) == {f"public/{name}" for name in whole}
    assert (read_manifest(early / "public").revision, read_manifest(early / "public").missing) == (2, ())
    assert json.loads((early / "public" / MANIFEST).read_text())["signed"] is False
    assert main(["verify", str(early)]) == 0
