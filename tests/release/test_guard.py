"""One person deleted and the audit run twice: what the second release says, and whether the pair gives them away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from auditkit.errors import IntegrityError
from auditkit.ledger.journal import JOURNAL, rows
from auditkit.ledger.released import KEY
from auditkit.release.cells import Cells, Name
from auditkit.result import AuditResult, Estimate, Record
from auditkit.run import train
from tests.release.worlds import DAY, document, lender, published, release, without

LATER = date(2026, 12, 23)
MINIMUM = 10


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the lender and its first release."""
    folder = tmp_path_factory.mktemp("first")
    release(lender(folder), folder / "out")
    return folder


@pytest.fixture
def desk(first: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(first, tmp_path / "desk"))


def policy_of(desk: Path) -> Path:
    return desk / "small.yaml"


def counted(result: AuditResult) -> dict[Name, int]:
    """Every count of persons that the published result gives by name, or by a rate and its n: an adversary's notes."""
    found = {Name(split.split): split.n for split in result.data.splits if split.n is not None}
    for split in result.data.splits:
        share = split.favourable_share
        if share is not None and share.value is not None and share.n is not None:
            found[Name(split.split, outcome="label 1")] = round(share.value * share.n)
    groups = {("", ""): found.get(Name("evaluation"))} | {(g.on, g.group): g.n for g in result.fairness.groups}
    for (on, group), n in groups.items():
        if n is not None:
            found[Name("evaluation", on, group)] = n
    for row in result.fairness.measurements:
        shown = row.estimate
        if row.reference or shown.value is None or shown.n is None:
            continue
        outcome = {"selection_rate": "decision 1", "accuracy": "agree"}.get(row.measure.removeprefix("fairness."))
        if outcome:
            found[Name("evaluation", row.on, row.group, outcome=outcome)] = round(shown.value * shown.n)
        for measure, of in (("tpr", "label 1"), ("fpr", "label 0"), ("ppv", "decision 1")):
            if row.measure == f"fairness.{measure}":
                found[Name("evaluation", row.on, row.group, outcome=of)] = shown.n
    for piece in result.influence.slices:
        if piece.kind == "slice" and piece.n is not None:
            found[Name("evaluation", "slice", piece.name)] = piece.n
    return found


def sets(cells: Cells, names: set[Name]) -> dict[Name, frozenset[bytes]]:
    return {name: frozenset(cells.ids[cells.members[name]].tolist()) for name in names if name in cells.members}


def derived(told: dict[Name, frozenset[bytes]]) -> dict[Name, frozenset[bytes]]:
    """What the adversary adds: each whole without its published groups, in size and in every outcome."""
    found = dict(told)
    for whole in [name for name in told if not name.on]:
        for on in {name.on for name in told if name.on not in ("", "slice")}:
            parts = [
                told[n] for n in told if n.on == on and (n.split, n.outcome) == (whole.split, whole.outcome)
            ]
            rest = told[whole] - frozenset().union(*parts)
            if parts:
                found[Name(whole.split, f"rest of {on}", outcome=whole.outcome)] = rest
    return found


def isolated(one: dict[Name, frozenset[bytes]], other: dict[Name, frozenset[bytes]]) -> list[tuple[Name, Name, int]]:
    """Pairs of a set of one release and one of the other whose difference is fewer than the minimum cell of persons."""
    return [
        (a, b, len(one[a] ^ other[b]))
        for a in one for b in other
        if one[a] != other[b] and max(len(one[a] - other[b]), len(other[b] - one[a])) < MINIMUM
        and (a == b or min(len(one[a]), len(other[b])) >= MINIMUM) and not (a.outcome and b.outcome and a != b)
    ]  # fmt: skip


def attack(desk: Path, results: tuple[AuditResult, AuditResult]) -> tuple[list[tuple[Name, Name, int]], int]:
    """What an adversary isolates who knows of each number whom it counts; and how many pairs of sets were tried."""
    policy = policy_of(desk)
    cells = published(desk / "out", policy)
    known = []
    for result in results:
        own = cells[result.stamp.run_id]
        told = counted(result)
        assert set(told) <= set(own.members), "a figure is published over a set that the record does not hold"
        known.append(derived(sets(own, set(told))))
    return isolated(known[0], known[1]), len(known[0]) * len(known[1])


def parsed(found: object) -> AuditResult:
    return found.result  # type: ignore[attr-defined]


@pytest.mark.parametrize("split", ["evaluation", "reserve", "train"])
def test_one_person_deleted_and_no_pair_of_figures_isolates_few(desk: Path, split: str) -> None:
    before = parsed(release(policy_of(desk), desk / "out"))
    without(policy_of(desk), split, [7])
    if split == "train":
        train(policy_of(desk), replace=True)  # a model states what it was trained on
    after = parsed(release(policy_of(desk), desk / "out", LATER))
    found, pairs = attack(desk, (before, after))
    assert pairs > 100
    assert found == []
    assert split not in {s.split for s in after.data.splits if s.n is not None}
    assert after.facts[0].name == "Withheld beside earlier releases"
    assert after.privacy.status == "withheld"
    assert all(artifact.shape == () for artifact in after.artifacts)


def test_without_the_guard_the_same_adversary_finds_the_person(desk: Path) -> None:
    """The proof that the attack above can succeed."""
    before = parsed(release(policy_of(desk), desk / "out"))
    without(policy_of(desk), "evaluation", [7])
    release(policy_of(desk), desk / "elsewhere", LATER)
    shutil.copytree(desk / "elsewhere" / "small", desk / "out" / "small", dirs_exist_ok=True)
    key = (desk / "elsewhere" / ".ledger" / "small" / KEY).read_bytes()
    assert key != (desk / "out" / ".ledger" / "small" / KEY).read_bytes()
    with pytest.raises(IntegrityError):  # records under another key cannot be compared, and nothing is published
        published(desk / "out", policy_of(desk))
    unguarded = json.loads(next((desk / "elsewhere" / "small").glob("*/public/audit.json")).read_text("utf-8"))
    sizes = {s["split"]: s["n"] for s in unguarded["data"]["splits"]}
    assert {s.split: s.n for s in before.data.splits}["evaluation"] == sizes["evaluation"] + 1


def test_both_deleted_and_retrained(desk: Path) -> None:
    before = parsed(release(policy_of(desk), desk / "out"))
    without(policy_of(desk), "evaluation", [3])
    without(policy_of(desk), "train", [11])
    train(policy_of(desk), replace=True)
    after = parsed(release(policy_of(desk), desk / "out", LATER))
    found, _ = attack(desk, (before, after))
    assert found == []


def test_a_group_that_loses_three_is_withheld_with_what_would_give_it_back(desk: Path) -> None:
    """Twelve of a group lose three, and another group so many that the whole differs by enough."""
    policy, out = policy_of(desk), desk / "new"
    file = desk / "evaluation.csv"
    frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    few = frame.index[frame["sex"] == "female"][:12]
    frame["sex"] = "male"
    frame.loc[few, "sex"] = "female"
    frame.to_csv(file, index=False)
    before = parsed(release(policy, out))
    assert {g.group: g.n for g in before.fairness.groups}["female"] == 12
    men = frame.index[frame["sex"] == "male"][:20].tolist()
    without(policy, "evaluation", [*few[:3].tolist(), *men])
    after = parsed(release(policy, out, LATER))
    shown = {g.group: g.n for g in after.fairness.groups}
    total = next(s.n for s in after.data.splits if s.split == "evaluation")
    assert shown["female"] is None
    assert shown["male"] is None or total is None
    assert not [m for m in after.fairness.measurements if m.group == "female" and m.estimate.value is not None]


def test_a_changed_record_counts_as_one_that_came_and_one_that_went(desk: Path) -> None:
    file = desk / "train.csv"
    frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    frame.loc[5, "income"] = str(float(frame.loc[5, "income"]) + 1000)
    frame.to_csv(file, index=False)
    train(policy_of(desk), replace=True)
    after = parsed(release(policy_of(desk), desk / "out", LATER))
    assert [s.n for s in after.data.splits if s.split == "train"] == [None]


def test_new_ids_for_the_same_persons_do_not_hide_a_deletion(desk: Path) -> None:
    file = desk / "evaluation.csv"
    frame = pd.read_csv(file, dtype=str, keep_default_na=False).drop(index=[7])
    frame["application_id"] = [f"N-{k:05d}" for k in range(len(frame))]
    frame["applicant_id"] = [f"Q-{k:05d}" for k in range(len(frame))]
    frame.to_csv(file, index=False)
    after = parsed(release(policy_of(desk), desk / "out", LATER))
    assert [s.n for s in after.data.splits if s.split == "evaluation"] == [None]


def test_twelve_deleted_and_nothing_is_withheld_of_the_whole(desk: Path) -> None:
    without(policy_of(desk), "reserve", list(range(24)))
    after = parsed(release(policy_of(desk), desk / "out", LATER))
    assert [s.n for s in after.data.splits] == [400, 96, 400]
    assert "all records" not in after.facts[0].value


def test_the_same_audit_again_gives_the_same_bytes_also_after_a_later_release(desk: Path) -> None:
    again = document(release(policy_of(desk), desk / "out"))
    whole = {f.name: f.read_bytes() for f in (desk / "out" / "small").glob("*/public/*")}
    keep = (desk / "evaluation.csv").read_bytes()
    without(policy_of(desk), "evaluation", [7])
    release(policy_of(desk), desk / "out", LATER)
    (desk / "evaluation.csv").write_bytes(keep)
    last = release(policy_of(desk), desk / "out")
    assert document(last) == again
    assert {f.name: f.read_bytes() for f in (last.folder / "public").iterdir()} == whole


def test_another_day_with_the_same_data_withholds_nothing(desk: Path) -> None:
    after = parsed(release(policy_of(desk), desk / "out", LATER))
    assert after.facts[0].name == "Owner"
    assert [row["withheld"] for row in rows(desk / "out" / "small")] == [[], []]


@pytest.mark.parametrize("gone", ["record", "journal", "key", "damaged"])
def test_what_cannot_be_compared_is_not_published(desk: Path, gone: str) -> None:
    ledger = desk / "out" / ".ledger" / "small"
    (record,) = (desk / "out" / "small").glob("*/restricted/released_cells.safetensors")
    if gone == "record":
        record.unlink()
    elif gone == "journal":
        (ledger / JOURNAL).write_text("{not json\n")
    elif gone == "key":
        (ledger / KEY).unlink()
    else:
        record.write_bytes(record.read_bytes()[:-8])
    with pytest.raises(IntegrityError) as caught:
        release(policy_of(desk), desk / "out", LATER)
    assert caught.value.exit_code == 5
    assert all(complaint.hint for complaint in caught.value.complaints)
    assert len(list((desk / "out" / "small").glob("*/public"))) == 1


def estimates(record: Record) -> Iterator[Estimate]:
    for name in type(record).model_fields:
        value = getattr(record, name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Estimate):
                yield inner
            elif isinstance(inner, Record):
                yield from estimates(inner)


def test_no_sentence_holds_a_figure_that_is_withheld(desk: Path) -> None:
    before = parsed(release(policy_of(desk), desk / "out"))
    without(policy_of(desk), "evaluation", [7])
    after = parsed(release(policy_of(desk), desk / "out", LATER))
    assert [e.value for e in estimates(after.model)] == [None]
    (was,), (now,) = before.findings, after.findings
    assert was.verdict == "meets"
    assert now.verdict == "insufficient-evidence"
    assert "n = " not in now.sentence
    assert "399" not in json.dumps(document_of(desk))


def document_of(desk: Path) -> object:
    latest = max((desk / "out" / "small").glob("*/public/audit.json"))
    said = json.loads(latest.read_text("utf-8"))
    told = ("data", "model", "fairness", "privacy", "findings", "facts", "limits", "influence")
    return {key: said[key] for key in told}


def test_a_key_from_outside_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = lender(tmp_path)
    monkeypatch.setenv("AUDITKIT_KEY", "of this engagement alone")
    release(policy, tmp_path / "out", DAY)
    assert not (tmp_path / "out" / ".ledger" / "small" / KEY).exists()
    release(policy, tmp_path / "out", LATER)
    monkeypatch.setenv("AUDITKIT_KEY", "short")
    with pytest.raises(IntegrityError, match="fewer than 16"):
        release(policy, tmp_path / "out", LATER)
