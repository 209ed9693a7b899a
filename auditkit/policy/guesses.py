"""What the columns of a data file probably are, from their names and values; `starter` writes it down as a guess."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditkit.errors import Complaint, DataError
from auditkit.policy.bins import group_label
from auditkit.policy.document import friendly

if TYPE_CHECKING:
    import pandas as pd

MOST_GROUPS: Final = 8
MOST_LEVELS: Final = 60
OLDEST: Final = 130

# What a column's name suggests: whole words of the name, in any case.
IDS: Final = frozenset({"id", "identifier", "key", "record", "application", "case", "number", "uuid"})
PERSONS: Final = frozenset({"person", "applicant", "customer", "client", "patient", "user", "member", "borrower"})
LABELS: Final = frozenset({"label", "target", "outcome", "repaid", "default", "approved", "hired", "class"})
PROTECTED: Final = frozenset({"sex", "gender", "age", "race", "ethnicity", "religion", "disability", "nationality"})
UNKNOWN: Final = frozenset({"", "u", "unknown", "n/a", "na", "missing", "not stated", "?"})


@dataclass(frozen=True)
class Attribute:
    """A column that may be a protected attribute: its groups, largest first, or its bin edges, as YAML writes them."""

    column: str
    groups: tuple[Any, ...] = ()
    unknown: tuple[Any, ...] = ()
    edges: tuple[str, ...] = ()
    smallest: int | None = None
    """Records of the smallest group."""

    @property
    def reference(self) -> str | None:
        """The largest group's label."""
        return group_label(self.groups[0]) if self.groups else None


@dataclass(frozen=True)
class Columns:
    """What the columns are taken to be."""

    n: int
    label: str
    label_named: bool
    """Whether the label's name suggests it; else it is merely the last column with two values."""
    favourable: Any
    id: str | None
    person: str | None
    protected: tuple[Attribute, ...]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    left_out: tuple[str, ...]
    """Texts with too many different values to be categories."""


def read(path: Path) -> pd.DataFrame:
    """The file's records.

    Raises:
        DataError: it is missing, unreadable, empty, or has fewer than two columns.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(path) if path.suffix in (".parquet", ".pq") else pd.read_csv(path)
    except FileNotFoundError:
        raise DataError(Complaint("there is no such file", where=friendly(path))) from None
    except (ValueError, OSError) as error:
        message = f"the file cannot be read as CSV or Parquet ({str(error).splitlines()[0]})"
        raise DataError(Complaint(message, where=friendly(path))) from None
    if len(frame) == 0 or len(frame.columns) < 2:
        message = f"the file has {len(frame)} records and {len(frame.columns)} columns"
        raise DataError(Complaint(message, where=friendly(path), hint="name a file with records and their columns"))
    return frame


def guess(frame: pd.DataFrame) -> Columns:
    """What the columns of [R] records are taken to be."""
    from pandas.api.types import is_numeric_dtype

    names = [str(column) for column in frame.columns]
    frame = frame.set_axis(names, axis="columns")
    distinct = {name: int(frame[name].nunique()) for name in names}
    protected = [name for name in names if words(name) & PROTECTED and distinct[name] > 1]
    free = [name for name in names if name not in protected]
    keys = [name for name in free if words(name) & IDS and distinct[name] > 0.5 * len(frame)]
    person = next((name for name in keys if words(name) & PERSONS), None)
    record = next((name for name in keys if name != person and distinct[name] == len(frame)), None)
    binary = [name for name in free if distinct[name] == 2 and name not in keys]
    named = [name for name in binary if words(name) & LABELS]
    label = (named or binary[-1:] or [name for name in free if name not in keys][-1:] or names[-1:])[0]
    features = [name for name in free if name not in keys and name != label]
    texts = [name for name in features if not is_numeric_dtype(frame[name])]
    categorical = tuple(name for name in texts if distinct[name] <= min(MOST_LEVELS, len(frame) // 2))
    return Columns(
        n=len(frame),
        label=label,
        label_named=bool(named),
        favourable=_favourable(frame[label]),
        id=record,
        person=person,
        protected=tuple(_attribute(frame[name]) for name in protected),
        numeric=tuple(name for name in features if name not in texts),
        categorical=categorical,
        left_out=tuple(name for name in texts if name not in categorical),
    )


def words(name: str) -> set[str]:
    """The words of a column's name, lower case: `ApplicantAge_2` has applicant, age and 2."""
    return set(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))


def _favourable(column: pd.Series[Any]) -> Any:
    values = [_python(value) for value in column.dropna().unique()]
    return 1 if set(values) <= {0, 1} or not values else sorted(values, key=str)[-1]


def _attribute(column: pd.Series[Any]) -> Attribute:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    name, known = str(column.name), column.dropna()
    if is_numeric_dtype(known) and not is_bool_dtype(known) and known.nunique() > MOST_GROUPS:
        return Attribute(name, edges=_edges(known, age="age" in words(name)))
    counts = known.value_counts()
    values = [_python(value) for value in counts.index]
    unknown = tuple(value for value in values if str(value).strip().lower() in UNKNOWN)
    groups = tuple(value for value in values if value not in unknown)[:MOST_GROUPS]
    if len(groups) < 2:
        return Attribute(name)
    return Attribute(name, groups=groups, unknown=unknown, smallest=int(counts[list(groups)].min()))


def _edges(column: pd.Series[Any], *, age: bool) -> tuple[str, ...]:
    """Bins of ages at 18, 25, 40 and 62; of anything else at the quartiles."""
    low, high = float(column.min()), float(column.max())
    if age and low >= 0 and high < OLDEST:
        return (*(("0",) if low < 18 else ()), "18", "25", "40", "62", ".inf")
    cuts = sorted({float(column.quantile(share)) for share in (0.25, 0.5, 0.75)})
    return ("-.inf", *(f"{cut:.6g}" for cut in cuts), ".inf")


def _python(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
