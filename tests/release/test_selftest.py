"""The self-test of finished files: every smuggled id, value and small cell is found, and an honest audit passes."""

from __future__ import annotations

import base64
import io
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pikepdf
import pytest

from auditkit.errors import IntegrityError
from auditkit.preflight import prepare_data
from auditkit.release import door
from auditkit.release.search import Searcher
from auditkit.release.secrets import RUN, Secrets, counts_in, secrets_of, texts_in
from auditkit.release.selftest import _with_digests, complaints
from auditkit.release.texts import Text, texts_of
from auditkit.result import AuditResult
from auditkit.run import PAGE, run
from tests.release.mutations import BY_BYTES, HTML, JSON, MUTATIONS, PDF, World
from tests.release.worlds import DAY, lender

Audited = tuple[World, AuditResult, Secrets]


def restricted(folder: Path) -> list[np.ndarray]:
    files = sorted(file for file in (folder / "restricted").glob("*.npy") if file.stem not in door.OF_SLICES)
    arrays = [np.load(file) for file in files]
    tables = [pd.read_parquet(file) for file in sorted((folder / "restricted").glob("training_records.parquet"))]
    return [*arrays, *(table[name].to_numpy() for table in tables for name in table.columns)]


def of_two_pages(content: bytes) -> bytes:
    """The PDF with its first pages, its metadata and its attachment: the others only take time."""
    with pikepdf.open(io.BytesIO(content)) as pdf:
        del pdf.pages[2:]
        for key in ("/StructTreeRoot", "/Outlines", "/Names"):
            if key != "/Names" and key in pdf.Root:
                del pdf.Root[key]
        out = io.BytesIO()
        pdf.save(out, deterministic_id=True)
    return out.getvalue()


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    folder = tmp_path_factory.mktemp("sealed")
    done = run(lender(folder, formats="[json, html, pdf]"), out=folder / "out", as_of=DAY)
    files = {file.name: file.read_bytes() for file in done.files}
    files[PDF] = of_two_pages(files[PDF])
    loaded, table = prepare_data(folder / "small.yaml")
    result = done.result
    arrays = restricted(done.folder)
    secrets = secrets_of(
        table, arrays, keys=(loaded.policy.data.id, loaded.policy.data.person), public=texts_in(result.policy),
        digests=door.digests_of(result), minimum=10,
    )  # fmt: skip
    single = np.concatenate([a.ravel() for a in arrays if a.dtype == np.float64 and a.ndim == 1])
    lines = tuple((folder / "train.csv").read_text().splitlines()[1:])
    ids = (*table.ids.tolist(), *(table.persons if table.persons is not None else ()))
    values = tuple(single[[len(repr(float(v))) > 16 for v in single]].tolist())
    return World(files, tuple(ids), lines, values), result, secrets


def test_an_honest_audit_passes(audited: Audited) -> None:
    world, result, secrets = audited
    assert len(secrets.ids) > 900
    assert secrets.unchecked == 0
    assert list(complaints(world.files, result, secrets, again=PAGE)) == []


def missed(audited: Audited, count: int, seed: int) -> tuple[list[str], Counter[str]]:
    """Which of so many mutations are not found, and how many of each kind there were."""
    world, result, secrets = audited
    generator, kinds, escaped = np.random.default_rng(seed), Counter[str](), []
    for number in range(count):
        kind = list(MUTATIONS)[number % len(MUTATIONS)]
        files = MUTATIONS[kind](world, generator)
        changed = [name for name in files if files[name] != world.files[name]]
        assert changed, (kind, number)
        told = complaints({name: files[name] for name in changed}, result, secrets, again=PAGE)
        found = [complaint for complaint in told if complaint.where in changed]
        if kind in BY_BYTES:
            found = [c for c in found if c.message.startswith("it holds")]
        kinds[kind] += 1
        if not found:
            escaped.append(f"{kind} {number}")
    return escaped, kinds


def test_what_is_smuggled_is_found(audited: Audited) -> None:
    escaped, kinds = missed(audited, 30, seed=1)
    assert set(kinds) == set(MUTATIONS)
    assert escaped == []


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_two_hundred_mutations_are_all_found(audited: Audited, record_property: Callable[[str, object], None]) -> None:
    escaped, kinds = missed(audited, 200, seed=2)
    record_property("mutations of public files found, of 200", 200 - len(escaped))
    assert sum(kinds.values()) == 200
    assert escaped == []


def test_a_leak_stops_the_run_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = lender(tmp_path)
    honest = door.sealing

    def leaking(*given: object, **named: object) -> door.Seal:
        seal = honest(*given, **named)  # type: ignore[arg-type]

        def hold(public: dict[str, bytes]) -> None:
            public[JSON] = public[JSON].replace(b'"title": "Small lender"', b'"title": "Small lender A-10006"')
            seal(public)

        return hold  # type: ignore[return-value]

    monkeypatch.setattr("auditkit.run.sealing", leaking)
    with pytest.raises(IntegrityError) as caught:
        run(policy, out=tmp_path / "out", as_of=DAY)
    assert caught.value.exit_code == 5
    assert "10006" not in str(caught.value)
    assert not list((tmp_path / "out" / "small").glob("2*"))
    assert not (tmp_path / "out" / ".ledger").exists()


def many(count: int) -> Secrets:
    ids = frozenset(f"k{n:07d}" for n in range(count))
    return Secrets(
        ids=ids, literal=ids, numbers=frozenset(), texts=frozenset(), values=frozenset(), answers=np.empty(0),
        unchecked=0, digests=frozenset(),
    )  # fmt: skip


@pytest.mark.prove
def test_a_hundred_thousand_ids_take_seconds(audited: Audited, record_property: Callable[[str, object], None]) -> None:
    content = audited[0].files[HTML]
    searcher = Searcher(many(100_000))
    began = time.process_time()
    assert not [kind for kind in searcher.found(texts_of(content)) if "ids" in kind]
    assert searcher.found([Text("see K-0012345 there")])
    record_property("CPU s to search a page for 100,000 ids", time.process_time() - began)
    assert time.process_time() - began < 10


def test_short_numbers_as_ids_are_counted_as_unchecked_and_give_no_alarm(audited: Audited) -> None:
    world = audited[0]
    numbers = pd.DataFrame({"income": [1.0, 2.0]})
    table = type("T", (), {"frame": numbers, "ids": np.array(["17", "1000001"], dtype=object), "persons": None})()
    found = secrets_of(table, [], keys=(), public=(), digests=(), minimum=10)
    assert (found.unchecked, found.numbers) == (1, frozenset({"1000001"}))
    assert not Searcher(found).found([Text("n = 17 of 0.1000001")])
    assert Searcher(found).found([Text("record 1000001 is")])
    assert "17" in world.files[HTML].decode()


@pytest.mark.parametrize("said", ["share 0.25", "0.3333333333333333", "1,234 records", "A 4 page report", "P < 0.05"])
def test_ordinary_numbers_and_words_are_no_alarm(audited: Audited, said: str) -> None:
    assert Searcher(audited[2]).found([Text(said)]) == ()


def knowing(*ids: str, digests: tuple[str, ...] = ()) -> Searcher:
    """A searcher for these ids among these public digests."""
    known = frozenset(ids)
    return Searcher(
        Secrets(
            ids=frozenset(key.replace("-", "") for key in known), literal=known, numbers=frozenset(), texts=frozenset(),
            values=frozenset(), answers=np.empty(0), unchecked=0, digests=frozenset(digests),
        )
    )  # fmt: skip


@pytest.mark.parametrize("shown", [10, 16, 32, 64])
def test_an_id_inside_a_public_digest_stands_there_by_chance(shown: int) -> None:
    digest = "7db796ced6a19934" + 48 * "0"
    searcher = knowing("a-19934", digests=(digest,))
    assert searcher.found([Text(f"evidence {digest[:shown]} (first {shown} of 64 digits)")]) == ()
    assert searcher.found([Text(f"evidence {digest[:shown]} of a-19934")]) == ("1 ids or rare texts",)
    assert "1 ids" in searcher.found([Text(f"evidence {digest[1:16]}")])


def test_an_id_in_a_coded_font_stands_there_by_chance_and_in_a_coded_figure_it_does_not() -> None:
    font = base64.b64decode("d09GMgABa19934/+" * 4)
    figure = b"<svg><text>a-19934</text></svg>"
    for content, found in (
        (font, ()),
        (figure, ("1 ids or rare texts",)),
        (b"\xff\xd8 a-19934 \xff\xd8", ("1 ids or rare texts",)),
    ):
        page = f'<style>src:url("data:font/woff2;base64,{base64.b64encode(content).decode()}")</style>'
        assert knowing("a-19934").found(texts_of(page.encode())) == found


def test_no_word_of_the_page_looks_like_an_id_of_a_letter_and_digits(audited: Audited) -> None:
    """Hashes in the page would meet an id of this shape on some day, with other data, and stop an honest audit."""
    world, result, secrets = audited
    searcher = Searcher(_with_digests(secrets, world.files))
    looks = {
        run
        for text in texts_of(world.files[HTML]) if text.prose
        for run in RUN.findall(searcher._without_digests(text.content.lower()))
        if re.search(r"[a-z]\d{5}", run)
    }  # fmt: skip
    assert looks == set(), result.stamp.run_id


def test_a_count_of_millions_that_is_also_a_row_number_gives_no_alarm() -> None:
    frame = pd.DataFrame({"income": [1.0, 2.0, 3.0]})
    ids = np.array(["1234567", "7654321"], dtype=object)
    table = type("T", (), {"frame": frame, "ids": ids, "persons": None})()
    counts = list(counts_in({"n": 1234567, "shown": True, "text": "7654321", "rows": [{"n": 12}]}))
    assert counts == ["1234567", "12"]
    searcher = Searcher(secrets_of(table, [], keys=(), public=counts, digests=(), minimum=10))
    assert searcher.found([Text('"n": 1234567')]) == ()
    assert searcher.found([Text('"n": 7654321')]) == ("1 ids",)


@pytest.mark.parametrize(
    "said", ['"n": 4000', "n = 4,000", "n: 4000", 'n\r\n4000', '"z_p": 0.6036', "p = 0.6036", "p 0.6036", "<n>4000"]
)
def test_a_name_and_its_number_are_no_id(said: str) -> None:
    assert knowing("n-4000", "p-06036").found([Text(said)]) == ()


@pytest.mark.parametrize(
    "said", ["N-4000", "n_4000", "N / 4000", "n.4000", "n 4000", "N-\r\n4000", "n4000", "N \u2013 4000", "x-n4000, y"]
)
def test_an_id_is_found_in_other_spellings(said: str) -> None:
    assert knowing("n-4000").found([Text(said)]) == ("1 ids or rare texts",)


def test_an_id_with_a_sign_of_equality_is_found_as_it_is_written() -> None:
    secrets = Secrets(
        ids=frozenset({"row4000"}), literal=frozenset({"row=4000"}), numbers=frozenset(), texts=frozenset(),
        values=frozenset(), answers=np.empty(0), unchecked=0, digests=frozenset(),
    )  # fmt: skip
    assert Searcher(secrets).found([Text("of Row=4000")]) == ("1 ids or rare texts",)
    assert Searcher(secrets).found([Text("of row: 4000")]) == ()
