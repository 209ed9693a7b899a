from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auditkit.errors import IntegrityError
from auditkit.ledger.evidence import describe_arrays, verify, write_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(
        tmp_path / "loans" / "run-1",
        public={"report.html": b"<p>report</p>", "audit.json": b"{}"},
        arrays={"scores": np.arange(6.0).reshape(2, 3)},
        tables={"records": pd.DataFrame({"id": ["a", "b"]})},
    )


def test_a_written_run_verifies_and_lists_every_file(folder: Path) -> None:
    assert set(verify(folder)) == {
        "public/report.html", "public/audit.json", "restricted/scores.npy", "restricted/records.parquet",
    }  # fmt: skip


def test_the_public_folder_verifies_alone(folder: Path) -> None:
    assert set(verify(folder / "public")) == {"public/report.html", "public/audit.json"}


def test_restricted_files_are_for_their_owner_only(folder: Path) -> None:
    restricted = folder / "restricted"
    assert stat.S_IMODE(restricted.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in restricted.iterdir()} == {0o600}


def test_one_changed_byte_is_named(folder: Path) -> None:
    (folder / "public" / "report.html").write_bytes(b"<p>reporT</p>")
    with pytest.raises(IntegrityError, match=r"report\.html: the content differs"):
        verify(folder)


def test_missing_and_added_files_are_named_together(folder: Path) -> None:
    (folder / "public" / "audit.json").unlink()
    (folder / "public" / "extra.txt").write_text("x")
    with pytest.raises(IntegrityError) as error:
        verify(folder)
    assert [c.message for c in error.value.complaints] == ["listed but missing", "present but not listed"]


def test_a_broken_manifest_is_an_integrity_failure(folder: Path) -> None:
    (folder / "public" / "manifest.json").write_text("{")
    with pytest.raises(IntegrityError, match="not readable"):
        verify(folder)


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"no manifest\.json here"):
        verify(tmp_path)


def test_a_run_that_fails_half_way_leaves_the_earlier_one_whole(folder: Path) -> None:
    before = (folder / "public" / "manifest.json").read_bytes()
    objects = np.array([object()])
    with pytest.raises(ValueError, match="allow_pickle"):
        write_run(folder, public={"report.html": b"new"}, arrays={"bad": objects}, tables={})
    assert (folder / "public" / "manifest.json").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_repeated_run_replaces_its_folder(folder: Path) -> None:
    write_run(folder, public={"report.html": b"again"}, arrays={}, tables={})
    assert verify(folder) == ("public/report.html",)
    assert json.loads((folder / "public" / "manifest.json").read_text())["files"].keys() == {"report.html"}


def test_an_array_is_referenced_by_content_shape_and_dtype() -> None:
    rows, columns = np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3))
    (first,), (same,), (other,) = (describe_arrays({"a": array}) for array in (rows, columns, rows + 1))
    assert first == same and first.shape == (2, 3)
    assert first.sha256 != other.sha256


def test_the_public_digest_of_a_few_flags_cannot_be_found_by_trying() -> None:
    flags, losses = np.arange(8) == 3, np.random.default_rng(0).normal(size=8)
    _, flagged = describe_arrays({"a_losses": losses, "flags": flags})
    every = [np.arange(8) == row for row in range(8)]
    tried = {describe_arrays({"flags": guess})[0].sha256 for guess in every}
    assert flagged.sha256 not in tried | {hashlib.sha256(guess.tobytes()).hexdigest() for guess in every}
    assert flagged.sha256 != describe_arrays({"a_losses": losses + 1, "flags": flags})[1].sha256
