from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.errors import PolicyError
from auditkit.policy.document import MOST_NODES, Document, friendly, read_document


def read(tmp_path: Path, text: str | bytes) -> Document:
    path = tmp_path / "p.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_document(path)


def refusal(tmp_path: Path, text: str | bytes) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        read(tmp_path, text)
    return [str(complaint).replace(f"{tmp_path}/", "") for complaint in caught.value.complaints]


def test_yaml_1_2_texts_numbers_and_nothing_else(tmp_path: Path) -> None:
    text = (
        "on: yes\nno: off\na: 1e5\nb: 0x1F\nc: 0o17\nd: .inf\ne: 2026-12-31\nf: ~\ng: True\nh: '7'\ni: 017\nj: -.INF\n"
    )
    assert read(tmp_path, text).data == {
        "on": "yes", "no": "off", "a": 1e5, "b": 31, "c": 15, "d": float("inf"), "e": "2026-12-31", "f": None,
        "g": True, "h": "7", "i": 17, "j": float("-inf"),
    }  # fmt: skip


def test_places_of_keys_entries_and_nearest_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    document = read(tmp_path, "a: 1\nb:\n  c: [x, {d: 2}]\n  e:\n    - f: 1\n      g: 2\n")
    assert document.place(("a",)) == "p.yaml:1:1"
    assert document.place(("b", "c", 1, "d")) == "p.yaml:3:11"
    assert document.place(("b", "e", 0)) == "p.yaml:5:7"
    assert document.place(("b", "e", 0, "g")) == "p.yaml:6:7"
    assert document.place(("b", "e", 0, "nope", 3)) == "p.yaml:5:7"
    assert document.place(("nope",)) == "p.yaml:1:1"


def test_a_byte_order_mark_and_dos_lines_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbfa: 1\r\nb: [1,\r\n 2]\r\n").data == {"a": 1, "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "p.yaml:1:1: the file is empty"),
        ("# only words\n", "p.yaml:1:1: the file is empty"),
        ("- a\n- b\n", "p.yaml:1:1: the file holds a list where a mapping is expected"),
        ("words\n", "p.yaml:1:1: the file holds text where a mapping is expected"),
        ("a:\n\t- b\n", "p.yaml:2:1: a tab stands where YAML wants spaces; indent with spaces"),
        ("a: 1\n b: 2\n", "p.yaml:2:3: a colon or an indentation that YAML cannot read"),
        ("a: b: c\n", "p.yaml:1:5: a colon or an indentation that YAML cannot read"),
        ("a: [1, 2\nb: 3\n", "p.yaml:1:4: the bracket '[' is not closed; write ']' after the last entry"),
        ("a: {b: 1\n", "p.yaml:1:4: the bracket '{' is not closed; write '}' after the last entry"),
        ("a: 'x\n", "p.yaml:"),
        ("a: 1\n---\nb: 2\n", "p.yaml:2:1: a second YAML document begins; keep one document per file"),
        ("a: {b: 1, b: 2}\n", "p.yaml:1:11: the key 'b' stands twice (first in line 1); keep one"),
        ("a: *nope\n", "p.yaml:1:4: not valid YAML (found undefined alias 'nope')"),
        ("a: &a [*a]\n", "p.yaml:1:4: the file holds an alias that contains itself; write the values out"),
        (
            "a: !!python/object:os.system x\n",
            "p.yaml:1:4: the tag tag:yaml.org,2002:python/object:os.system is not read",
        ),
        ("a: !include other.yaml\n", "p.yaml:1:4: the tag !include is not read; remove it"),
        ("a: !!set {x}\n", "p.yaml:1:4: the tag tag:yaml.org,2002:set is not read; remove it"),
        ("b: &b {x: 1}\na:\n  <<: *b\n", "p.yaml:3:3: merge keys (<<) are not read; use `extends`"),
        ("a: .nan\n", "p.yaml:1:4: '.nan' is no value that a policy can hold; write a number"),
        ("? [a, b]\n: 1\n", "p.yaml:1:3: a key has to be text; write `key: value`"),
        ("%YAML 1.1\n---\non: yes\n", "p.yaml:1:1: YAML directives are not read; remove the line starting with %"),
        ("a: x\x01y\n", "p.yaml:1:5: the file holds a control character; remove it"),
        (b"a: 1\nb: \xff\n", "p.yaml:2:4: the file is not UTF-8 (byte 0xff); save it as UTF-8"),
        ("- " * 3000, "p.yaml:1:83: the file holds too many or too deeply nested values"),
        ("a: " + "[" * 60 + "]" * 60, "p.yaml:1:44: the file holds too many or too deeply nested values"),
        ("a: " + "1" * 5000, "p.yaml:1:4: '" + "1" * 40 + "…' cannot be read as a number; put a text in quotes"),
        (b"x" * 1_000_001, "p.yaml: the file has 1000001 bytes, more than the 1000000 that a policy may have"),
    ],
)
def test_refusals(tmp_path: Path, text: str | bytes, complaint: str) -> None:
    (line,) = refusal(tmp_path, text)
    assert line.startswith(complaint)


def test_all_faults_of_a_file_at_once(tmp_path: Path) -> None:
    lines = refusal(tmp_path, "a: !x 1\nb: .nan\na: 2\n")
    assert [line.split(": ")[0] for line in lines] == ["p.yaml:1:4", "p.yaml:2:4", "p.yaml:3:1"]


def test_a_small_file_cannot_unfold_into_a_large_one(tmp_path: Path) -> None:
    rows = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 9)]
    (line,) = refusal(tmp_path, "\n".join(rows))
    assert "too many or too deeply nested values" in line
    assert MOST_NODES < 9**5


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "no.yaml", "there is no such file"), (tmp_path, "the file cannot be read")):
        with pytest.raises(PolicyError, match=words):
            read_document(path)


def test_a_mistyped_name_and_a_data_file_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("loans.yaml", "cards.yaml", "train.csv", "train.parquet"):
        Path(name).write_bytes(b"\xff")
    expected = {
        "loan.yaml": "loan.yaml: there is no such file; did you mean loans.yaml?",
        "zebra.yaml": "zebra.yaml: there is no such file",
        "gone/loans.yaml": "gone/loans.yaml: there is no such file; there is no folder gone either",
        "train.csv": "train.csv: this is a data file, and a policy is YAML; "
        "`auditkit init train.csv` writes a first policy from it",
        "train.parquet": "train.parquet: this is a data file, and a policy is YAML; "
        "`auditkit init train.parquet` writes a first policy from it",
    }
    for name, line in expected.items():
        with pytest.raises(PolicyError) as caught:
            read_document(Path(name))
        assert [str(complaint) for complaint in caught.value.complaints] == [line]


def test_friendly_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert friendly(tmp_path / "a" / "p.yaml") == "a/p.yaml"
    assert friendly(Path("../p.yaml")) == "../p.yaml"
    assert friendly(tmp_path.parent / "p.yaml") == str(tmp_path.parent / "p.yaml")


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab:-[]{},&*!'\"#|>%@ \n\t?~<0.", max_size=40))
def test_any_text_is_read_or_refused_with_a_place(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        assert isinstance(read_document(path).data, dict)
    except PolicyError as error:
        assert all("fuzz.yaml:" in complaint.where for complaint in error.complaints)
