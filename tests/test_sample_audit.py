"""The sample lender's audit as a user runs it: two processes with other hash seeds, then the bytes are looked at."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pikepdf
import pytest

from auditkit.ledger.evidence import verify
from auditkit.result import AuditResult, parse

ROOT = Path(__file__).parents[1]
POLICY = ROOT / "policies" / "loans.yaml"
LOANS = ROOT / "sample_data" / "loans"
PUBLIC = {"report.html", "report.pdf", "audit.json", "manifest.json"}


def start(out: Path, hash_seed: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "auditkit", "run", str(POLICY), "--out", str(out), "--as-of", "2026-11-23"]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "TZ": "Asia/Tokyo" if hash_seed == "1" else "UTC"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs, at once, in two processes with other hash seeds and time zones."""
    outs = [tmp_path_factory.mktemp(f"seed-{seed}") for seed in ("1", "2")]
    processes = [start(out, seed) for out, seed in zip(outs, ("1", "2"), strict=True)]
    for process in processes:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 1, said
        assert said == ""
    first, second = (next((out / "loans").iterdir()) for out in outs)
    return first, second


@pytest.fixture(scope="module")
def result(runs: tuple[Path, Path]) -> AuditResult:
    return parse(json.loads((runs[0] / "public" / "audit.json").read_text()))


def test_two_runs_give_the_same_public_bytes(runs: tuple[Path, Path]) -> None:
    first, second = runs
    assert first.name == second.name
    assert {file.name for file in (first / "public").iterdir()} == PUBLIC
    for name in sorted(PUBLIC):
        assert (first / "public" / name).read_bytes() == (second / "public" / name).read_bytes(), name


def test_every_file_is_as_its_manifest_says(runs: tuple[Path, Path]) -> None:
    evidence = {"training_records.parquet", "scores-00000-of-00001.parquet"}
    assert {"public/report.pdf", *(f"restricted/{name}" for name in evidence)} <= set(verify(runs[0]))


def test_the_sample_lender_breaches_and_every_kind_of_open_verdict_shows(result: AuditResult) -> None:
    assert result.conclusion.exit_code == 1
    assert {f.verdict for f in result.findings} == {"breaches", "insufficient-evidence", "meets"}
    women = next(f for f in result.findings if f.measure == "fairness.impact_ratio" and f.on == "sex")
    assert women.verdict == "breaches"


def test_the_models_accuracy_lies_where_the_sample_promises(result: AuditResult) -> None:
    (accuracy,) = [m for m in result.model.measurements if m.measure == "model.accuracy"]
    assert accuracy.estimate.value is not None
    assert 0.70 <= accuracy.estimate.value <= 0.83


def test_training_again_gives_the_committed_model(tmp_path: Path) -> None:
    policy = POLICY.read_text().replace("../sample_data/loans/model", str(tmp_path / "model"))
    policy = policy.replace("../sample_data", str(ROOT / "sample_data"))
    (tmp_path / "loans.yaml").write_text(policy)
    subprocess.run([sys.executable, "-m", "auditkit", "train", str(tmp_path / "loans.yaml")], check=True, timeout=120,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "model" / name).read_bytes() == (LOANS / "model" / name).read_bytes(), name


# --- what is public -----------------------------------------------------------------------------------------------


def pdf_bytes(path: Path) -> bytes:
    """Every stream of the PDF, decompressed, attachments included, and its text as `pdftotext` would see it."""
    parts = []
    with pikepdf.open(path) as pdf:
        for thing in pdf.objects:
            if isinstance(thing, pikepdf.Stream):
                try:
                    parts.append(thing.read_bytes())
                except (pikepdf.PdfError, zlib.error):
                    parts.append(thing.read_raw_bytes())
    return b"\n".join([path.read_bytes(), *parts])


@pytest.fixture(scope="module")
def public_bytes(runs: tuple[Path, Path]) -> dict[str, bytes]:
    folder = runs[0] / "public"
    read: dict[str, Callable[[Path], bytes]] = {"report.pdf": pdf_bytes}
    return {name: read.get(name, Path.read_bytes)(folder / name) for name in PUBLIC}


def keys(column: str) -> Iterator[str]:
    for split in ("train", "reserve", "evaluation"):
        yield from pd.read_csv(LOANS / f"{split}.csv", dtype=str, keep_default_na=False)[column]


@pytest.mark.parametrize("column", ["application_id", "applicant_id"])
def test_no_public_file_names_a_record_or_a_person(public_bytes: dict[str, bytes], column: str) -> None:
    known = {key.encode() for key in keys(column)}
    shape = re.compile(rb"[A-Z]+-[0-9]{3,}")
    for name, content in public_bytes.items():
        assert not known & set(shape.findall(content)), name


def test_no_public_file_holds_a_single_records_score_loss_or_self_influence(
    runs: tuple[Path, Path], public_bytes: dict[str, bytes]
) -> None:
    """Full-precision numbers of audit.json against every number of the restricted arrays and tables."""
    numbers = {float(token) for token in re.findall(rb"-?\d+\.\d{6,}(?:e-?\d+)?", public_bytes["audit.json"])}
    assert len(numbers) > 100
    restricted = runs[0] / "restricted"
    singles: set[float] = set()
    for file in restricted.glob("*.npy"):
        # Shares of the reserve are simple fractions, which other figures are by chance; slices are no single records.
        if file.name.startswith(("rmia_", "membership_p", "person_p", "discovery_p")):
            continue
        singles |= {float(x) for x in np.load(file).ravel() if not float(x).is_integer()}
    for file in restricted.glob("*.parquet"):
        singles |= {float(x) for x in pd.read_parquet(file).select_dtypes("float").to_numpy().ravel()}
    assert len(singles) > 10_000
    assert not numbers & singles


def counts(value: object, key: str = "") -> Iterator[tuple[str, int]]:
    """Every count of persons or records in the result: `n`, `events`, `persons`, numbers of pairs."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from counts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from counts(inner, key)
    elif isinstance(value, int) and not isinstance(value, bool) and key in COUNTS:
        yield key, value


COUNTS = {"n", "events", "persons", "exact_in_train", "near_in_train", "exact_across", "near_across"}


def test_no_count_below_the_minimum_cell_is_published(public_bytes: dict[str, bytes], result: AuditResult) -> None:
    found = list(counts(json.loads(public_bytes["audit.json"])))
    assert len(found) > 100
    assert not [(key, count) for key, count in found if 0 < count < result.minimum_cell]


def test_no_public_file_names_a_place_of_this_machine(public_bytes: dict[str, bytes]) -> None:
    for name, content in public_bytes.items():
        assert str(ROOT).encode() not in content, name
        assert str(Path.home()).encode() not in content or str(Path.home()) == "/", name


@pytest.mark.prove
def test_how_long_the_sample_audit_takes(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    began = time.perf_counter()
    process = start(tmp_path, "0")
    process.communicate(timeout=300)
    seconds = time.perf_counter() - began
    record_property("seconds of `auditkit run policies/loans.yaml`", round(seconds, 1))
    assert process.returncode == 1
