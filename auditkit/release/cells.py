"""The sets of persons that published figures count over, under the names by which two releases are compared.

A cell is a set of records of one split: the split, a group of an attribute in it, the records of one label and decision
in a group, a slice, a marked set. Records travel to later releases as two keyed digests: of the person (of the record,
where the policy names no person), and of what the record says. The first finds a person who came or went, the second
also one whose record was changed, or whose id was; each is looked at by itself.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.subject.types import UNKNOWN, Floats, Grouping, Ints, Mask, Predictions, Slice, Split, Table

SPLITS: Final[tuple[Split, ...]] = ("train", "reserve", "evaluation")
UNKNOWN_GROUP: Final = "unknown"
DIGEST: Final = 16
"""Bytes of a keyed digest that are kept: among a million records no two agree by chance (p < 1e-26)."""
OUTCOMES: Final = (
    "label 0 decision 0", "label 0 decision 1", "label 1 decision 0", "label 1 decision 1",
    "label 0", "label 1", "decision 0", "decision 1", "agree", "differ",
)  # fmt: skip


@dataclass(frozen=True, order=True)
class Name:
    """Which set it is. Empty fields do not apply."""

    split: str
    on: str = ""
    """Attribute or intersection; `slice` for a slice."""
    group: str = ""
    outcome: str = ""
    """One of OUTCOMES, in evaluation; `label 0` or `label 1` elsewhere."""
    mark: str = ""
    """A marked set of training records, by the name of its array."""

    @property
    def whole(self) -> bool:
        """Whether it is a whole split."""
        return not (self.on or self.outcome or self.mark)

    @property
    def held(self) -> Name:
        """The group (or the whole split) whose figures it belongs to."""
        return Name(self.split, self.on, self.group)


@dataclass(frozen=True)
class Cells:
    """The cells of one release."""

    members: Mapping[Name, Ints]
    """Sorted positions of records."""
    ids: NDArray[np.bytes_]
    """[R] keyed digest of the person's id."""
    contents: NDArray[np.bytes_]
    """[R] keyed digest of what the record says, ids left out; alike records of a split are numbered."""

    def only(self, names: Sequence[Name]) -> Cells:
        """The same release with these cells alone."""
        return Cells({name: self.members[name] for name in names}, self.ids, self.contents)


def cells_of(
    table: Table,
    predictions: Predictions,
    slices: Sequence[Slice],
    marks: Mapping[str, Mask],
    *,
    keys: Sequence[str | None],
    key: bytes,
) -> Cells:
    """Every set that a figure of this audit can count over.

    Args:
        table: all records. predictions: decisions and labels of the evaluation rows [M].
        slices: of the evaluation rows; cases are never published and left out.
        marks: name -> [N] marked training records.
        keys: columns that hold ids; they are no content. key: of the digests.
    """
    persons = table.ids if table.persons is None else table.persons
    found: dict[Name, Ints] = {}
    for split in SPLITS:
        rows = table.rows(split)
        if len(rows):
            for name, mask in _of_split(split, table, predictions, slices, marks):
                found[name] = rows[mask]
    ids = _keyed(key, (f"id\0{person}" for person in persons.tolist()))
    # In the order of the names, which is the same whether an array was computed now or kept by a run that was stopped.
    return Cells(dict(sorted(found.items())), ids, _contents(table, keys, key))


def marks_of(arrays: Mapping[str, NDArray[Any]], count: int, edges: Sequence[float]) -> dict[str, Mask]:
    """The marked sets of training records among an audit's arrays: flags, copies, and records above an edge of risk."""
    found = {
        name: np.asarray(array, dtype=np.bool_)
        for name, array in arrays.items()
        if array.dtype == np.bool_ and array.shape == (count,)
    }
    if "duplicate_cluster" in arrays:
        found["duplicate_cluster"] = np.asarray(arrays["duplicate_cluster"] >= 0, dtype=np.bool_)
    if "risk" in arrays:
        found |= {f"risk from {edge:g}": np.asarray(arrays["risk"] >= edge, dtype=np.bool_) for edge in edges}
    return found


def _of_split(
    split: Split, table: Table, predictions: Predictions, slices: Sequence[Slice], marks: Mapping[str, Mask]
) -> Iterator[tuple[Name, Mask]]:
    """Name and mask over the split's rows."""
    rows = table.rows(split)
    everyone = np.ones(len(rows), dtype=np.bool_)
    evaluated = split == "evaluation"
    outcomes = _outcomes(table.label[rows], predictions.decision if evaluated else None)
    for name, mask in ((Name(split), everyone), *_groups(split, table.groupings, rows)):
        yield name, mask
        for outcome, having in outcomes.items() if evaluated or name.whole else ():
            yield Name(split, name.on, name.group, outcome=outcome), mask & having
        for mark, marked in marks.items() if split == "train" else ():
            yield Name(split, name.on, name.group, mark=mark), mask & marked
    if evaluated:
        yield from ((Name(split, "slice", s.name), s.mask) for s in slices if s.kind == "slice")
    if split == "train":
        for outcome, having in outcomes.items():
            yield from ((Name(split, outcome=outcome, mark=mark), having & marked) for mark, marked in marks.items())


def _groups(split: Split, groupings: Mapping[str, Grouping], rows: Ints) -> Iterator[tuple[Name, Mask]]:
    for on, grouping in groupings.items():
        codes = grouping.codes[rows]
        for code, label in enumerate(grouping.labels):
            yield Name(split, on, label), np.asarray(codes == code, dtype=np.bool_)
        if (codes == UNKNOWN).any():
            yield Name(split, on, UNKNOWN_GROUP), np.asarray(codes == UNKNOWN, dtype=np.bool_)


def _outcomes(label: Floats, decision: Floats | None) -> dict[str, Mask]:
    found = {f"label {t:g}": np.asarray(label == t, dtype=np.bool_) for t in (0.0, 1.0)}
    if decision is not None:
        found |= {f"decision {d:g}": np.asarray(decision == d, dtype=np.bool_) for d in (0.0, 1.0)}
        crossed = [(t, d) for t in (0, 1) for d in (0, 1)]
        found |= {f"label {t} decision {d}": found[f"label {t}"] & found[f"decision {d}"] for t, d in crossed}
        agree = found["label 0 decision 0"] | found["label 1 decision 1"]
        found |= {"agree": agree, "differ": found["label 0 decision 1"] | found["label 1 decision 0"]}
    return found


def _contents(table: Table, keys: Sequence[str | None], key: bytes) -> NDArray[np.bytes_]:
    """[R] digest of each record."""
    return _keyed(key, _numbered(table.split.tolist(), content_of(table, keys)))


def _numbered(splits: Iterable[str], contents: Iterable[str]) -> Iterator[str]:
    """Each record's content, alike records of a split told apart by a number."""
    seen: dict[str, dict[str, int]] = {}
    for split, text in zip(splits, contents, strict=True):
        own = seen.setdefault(split, {})
        own[text] = number = own.get(text, 0) + 1
        yield f"content\0{number}\0{text}"


def content_of(table: Table, keys: Sequence[str | None]) -> list[str]:
    """[R] what each record says; columns `keys` are left out."""
    columns = [_plain(table.frame[name]) for name in sorted(set(table.frame.columns) - set(keys), key=str)]
    return ["\x1f".join(values) for values in zip(*columns, strict=True)]


def _plain(column: pd.Series[Any]) -> list[str]:
    """The column as texts that do not depend on whether another record made it a column of floats.

    Every value is written once, however many records have it; numbers are told apart by their bits, as 0 and -0 are
    written differently.
    """
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        numbers = np.ascontiguousarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
        codes, bits = pd.factorize(numbers.view(np.int64))
        texts = [repr(value) for value in bits.view(np.float64).tolist()]
    elif isinstance(column.dtype, pd.StringDtype):
        codes, words = pd.factorize(column, use_na_sentinel=False)
        texts = [str(value) for value in words.tolist()]
    else:
        return [str(value) for value in column.tolist()]
    written: list[str] = np.array([*texts, ""], dtype=object)[codes].tolist()
    return written


def _keyed(key: bytes, texts: Iterable[str]) -> NDArray[np.bytes_]:
    """Each text's digest, in hexadecimal digits."""
    first = b"".join([hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256")[:DIGEST] for text in texts])
    return np.frombuffer(first.hex().encode(), dtype=f"S{DIGEST * 2}")
