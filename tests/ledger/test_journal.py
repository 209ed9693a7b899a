"""The journal of releases, and the deletion of evidence whose retention is over."""

from __future__ import annotations

import json
import stat
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from auditkit.cli import main
from auditkit.errors import IntegrityError
from auditkit.ledger.evidence import verify, write_run
from auditkit.ledger.journal import JOURNAL, ledger_of, record, released_runs, rows
from auditkit.ledger.manifest import MANIFEST
from auditkit.ledger.released import earlier, keep_key, key_for, put
from auditkit.ledger.retention import clean, expiry
from auditkit.release.cells import Cells, Name

KEY = b"0123456789abcdef"
RUN = "2026-01-31-aaaa"
ROW = {"event": "released", "run_id": RUN, "as_of": "2026-01-31", "verdicts": {"F1": "meets"}, "exit_code": 0,
       "withheld": ["the train records (all records)"], "evidence_expires": "2026-02-10"}  # fmt: skip


def cells() -> Cells:
    ids = np.array([f"{n:032x}".encode() for n in range(5)], dtype="S32")
    return Cells({Name("train"): np.arange(5), Name("train", "sex", "female"): np.array([1, 3])}, ids, ids[::-1])


def release(out: Path, *, expires: str = "2026-02-10") -> Path:
    place = out / "loans"
    scratch = out / "scratch"
    scratch.mkdir(parents=True)
    folder = write_run(
        place / RUN, public={"audit.json": b"{}"}, arrays={"risk": np.ones(3)},
        tables={"training_records": pd.DataFrame({"id": ["a"]})}, files=(put(scratch, cells(), KEY),), expires=expires,
    )  # fmt: skip
    record(place, ROW)
    return folder


@pytest.mark.parametrize(
    ("duration", "last"),
    [
        (None, ""), ("90 days", "2026-05-01"), ("1 month", "2026-02-28"), ("2 weeks", "2026-02-14"),
        ("1 year", "2027-01-31"),
    ],
)
def test_the_last_day_of_evidence(duration: str | None, last: str) -> None:
    assert expiry(date(2026, 1, 31), duration) == last


def test_evidence_goes_when_its_time_is_over_and_what_the_guard_needs_stays(tmp_path: Path) -> None:
    folder = release(tmp_path)
    before = {file.name: file.read_bytes() for file in (folder / "public").iterdir()}
    assert clean(tmp_path, as_of=date(2026, 2, 10)) == ()
    ((restricted, count),) = clean(tmp_path, as_of=date(2026, 2, 11))
    assert (restricted, count) == (folder / "restricted", 2)
    assert {file.name for file in restricted.iterdir()} == {MANIFEST, "released_cells.safetensors"}
    assert {file.name: file.read_bytes() for file in (folder / "public").iterdir()} == before
    assert {stat.S_IMODE(file.stat().st_mode) for file in restricted.iterdir()} == {0o600}
    assert "restricted/released_cells.safetensors" in verify(folder)
    found = earlier(tmp_path / "loans", key=KEY, but="")[RUN]
    assert {name: units.tolist() for name, units in found.members.items()} == {
        name: units.tolist() for name, units in cells().members.items()
    }
    assert found.ids.tolist() == cells().ids.tolist()
    assert [row["event"] for row in rows(tmp_path / "loans")] == ["released", "cleaned"]
    assert clean(tmp_path, as_of=date(2026, 2, 12)) == ()


def test_evidence_without_a_last_day_is_kept(tmp_path: Path) -> None:
    release(tmp_path, expires="")
    assert clean(tmp_path, as_of=date(2099, 1, 1)) == ()


def test_a_manifest_that_cannot_be_read_stops_the_clean_up(tmp_path: Path) -> None:
    folder = release(tmp_path)
    (folder / "restricted" / MANIFEST).write_text("[]")
    with pytest.raises(IntegrityError):
        clean(tmp_path, as_of=date(2026, 2, 11))
    assert (folder / "restricted" / "risk.npy").exists()


def test_a_repeated_release_replaces_its_line(tmp_path: Path) -> None:
    place = tmp_path / "loans"
    record(place, ROW)
    whole = (ledger_of(place) / JOURNAL).read_bytes()
    record(place, ROW | {"exit_code": 1})
    record(place, ROW)
    assert (ledger_of(place) / JOURNAL).read_bytes() == whole
    record(place, ROW | {"run_id": "2026-02-01-bbbb"})
    assert released_runs(place) == (RUN, "2026-02-01-bbbb")
    assert stat.S_IMODE((ledger_of(place) / JOURNAL).stat().st_mode) == 0o600
    assert stat.S_IMODE(ledger_of(place).stat().st_mode) == 0o700


def test_a_release_under_another_key_cannot_be_compared(tmp_path: Path) -> None:
    release(tmp_path)
    with pytest.raises(IntegrityError, match="nothing is published"):
        earlier(tmp_path / "loans", key=b"another key of 16", but="")


def test_the_key_is_made_once_and_kept_for_its_owner(tmp_path: Path) -> None:
    place = tmp_path / "loans"
    assert key_for(place, but="", outside=None, make=lambda: KEY) == KEY
    keep_key(place, KEY, outside=None)
    assert key_for(place, but="", outside=None, make=lambda: b"never") == KEY
    assert stat.S_IMODE((ledger_of(place) / "key").stat().st_mode) == 0o600


def test_the_command_line_tells_history_and_cleans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release(tmp_path)
    assert main(["history", "policies/loans.yaml", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "2026-01-31-aaaa  exit code 0: F1 meets" in said
    assert "withheld beside an earlier release: the train records (all records)" in said
    assert main(["clean", "--out", str(tmp_path), "--as-of", "2026-02-11"]) == 0
    assert "2 files deleted" in capsys.readouterr().out
    (ledger_of(tmp_path / "loans") / JOURNAL).write_text(json.dumps({"no": "event"}) + "\n")
    assert main(["history", "policies/loans.yaml", "--out", str(tmp_path)]) == 5


def linked_run(out: Path, place: Path) -> None:
    """A run's restricted folder, its folder or its policy's folder moved away, and a link in its place."""
    place.rename(out.parent / "elsewhere")
    place.symlink_to(out.parent / "elsewhere")


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_clean_up_follows_no_link(tmp_path: Path, level: int) -> None:
    out = tmp_path / "audits"
    out.mkdir()
    folder = release(out)
    restricted = folder / "restricted"
    before = {file.name: file.read_bytes() for file in restricted.iterdir()}
    linked_run(out, (restricted, folder, folder.parent)[level])
    assert clean(out, as_of=date(2099, 1, 1)) == ()
    assert {file.name: file.read_bytes() for file in restricted.iterdir()} == before


def test_a_link_among_the_evidence_goes_and_what_it_names_stays(tmp_path: Path) -> None:
    target = tmp_path / "target.txt"
    target.write_text("mine")
    folder = release(tmp_path / "audits")
    (folder / "restricted" / "link").symlink_to(target)
    clean(tmp_path / "audits", as_of=date(2099, 1, 1))
    assert target.read_text() == "mine"
    assert not (folder / "restricted" / "link").is_symlink()


def test_a_folder_among_the_evidence_stops_the_clean_up(tmp_path: Path) -> None:
    folder = release(tmp_path)
    (folder / "restricted" / "mine").mkdir()
    with pytest.raises(IntegrityError, match="a folder lies among the evidence"):
        clean(tmp_path, as_of=date(2099, 1, 1))
    assert (folder / "restricted" / "risk.npy").exists()


def test_a_clean_up_that_was_stopped_is_seen_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = release(tmp_path)

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        with pytest.raises(KeyboardInterrupt):
            clean(tmp_path, as_of=date(2099, 1, 1))
    with pytest.raises(IntegrityError, match="present but not listed"):
        verify(folder)
    assert [count for _, count in clean(tmp_path, as_of=date(2099, 1, 1))] == [2]
    assert verify(folder)
