"""What a streamed run refuses: each with one clear error that names the place."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from torch import Tensor

from auditkit.errors import DataError, NumericsError, PolicyError
from tests.influence.tables import as_table, encode, records
from tests.influence.test_streaming import streamed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    pq.write_table(as_table(*records(1000)), tmp_path / "t.parquet", row_group_size=50)
    return tmp_path / "t.parquet"


def spoiled(how: Callable[[Tensor, Tensor, Tensor], Any], *, first: float = 0.0) -> Callable[[Any], Any]:
    """An encode that goes wrong in the part that holds record 720."""

    def one(batch: Any) -> Any:
        encoded = encode(batch)
        return how(*encoded) if "r720" in batch.column("name").to_pylist() else encoded

    return one


def with_nan(x: Tensor, y: Tensor, w: Tensor) -> Any:
    x = x.clone()
    x[-8:, 2] = float("nan")
    return x, y, w


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda x, y, w: (x[:-1], y, w), "rows for"),
        (lambda x, y, w: (x[:, :4], y, w), "before"),
        (lambda x, y, w: (x.float(), y, w), "before"),
        (lambda x, y, w: (x, y), "before"),
        (lambda x, y, w: x, "must give"),
        (lambda x, y, w: (x.numpy(), y, w), "must give"),
        (lambda x, y, w: (x, y, -w), "not negative"),
        (lambda x, y, w: (x, y, w.unsqueeze(1)), "one number per record"),
        (lambda x, y, w: {}["age"], "KeyError"),
    ],
)
def test_what_encode_gives_is_checked(table: Path, tmp_path: Path, how: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        streamed(table, tmp_path / "out", encode=spoiled(how), fit_records=None, rows_per_batch=32)
    assert "t.parquet, row group 13, from row 42" in str(caught.value)


def test_values_that_are_not_finite_are_named_by_row(table: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="input 0 that are not finite for 8 of 32 records") as caught:
        streamed(table, tmp_path / "out", encode=spoiled(with_nan), fit_records=None, rows_per_batch=32)
    assert "t.parquet, row group 14, rows 16, 17, 18, 19, 20" in str(caught.value)


def test_an_encode_that_looks_at_other_records(table: Path, tmp_path: Path) -> None:
    def standardised(batch: Any) -> Any:
        x, y, w = encode(batch)
        return (x - x.mean(0)), y, w

    with pytest.raises(DataError, match="otherwise beside others than alone"):
        streamed(table, tmp_path / "out", encode=standardised)


def test_scores_that_are_not_finite_name_the_records(table: Path, tmp_path: Path) -> None:
    def huge(batch: Any) -> Any:
        return spoiled(lambda x, y, w: (x * 1e200, y, w * 1e300))(batch)

    with pytest.raises(NumericsError, match=r"t\.parquet, row group 13, from row 42"):
        streamed(table, tmp_path / "out", encode=huge, fit_records=60, rows_per_batch=32)


def test_files_that_are_missing_or_not_parquet_are_told_together(table: Path, tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("age,income\n")
    with pytest.raises(DataError) as caught:
        streamed([tmp_path / "none.parquet", tmp_path / "text.parquet", table], tmp_path / "out")  # type: ignore[arg-type]
    assert [c.where for c in caught.value.complaints] == [str(tmp_path / n) for n in ("none.parquet", "text.parquet")]


def test_a_folder_without_parquet_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no Parquet file"):
        streamed(tmp_path, tmp_path / "out")


def test_columns_that_differ_between_files(table: Path, tmp_path: Path) -> None:
    other = as_table(*records(10)).drop_columns("w")
    y = other.column_names.index("y")
    pq.write_table(other.set_column(y, "y", pa.array([0.0] * 10)), tmp_path / "u.parquet")
    with pytest.raises(DataError) as caught:
        streamed([table, tmp_path / "u.parquet"], tmp_path / "out")  # type: ignore[arg-type]
    told = str(caught.value)
    assert "'y' is double, but int64" in told and "no column 'w'" in told and "u.parquet" in told


def test_the_order_of_columns_plays_no_part(table: Path, tmp_path: Path) -> None:
    whole = as_table(*records(1000))
    pq.write_table(whole.select(whole.column_names[::-1]).slice(100), tmp_path / "u.parquet")
    pq.write_table(whole.slice(0, 100), tmp_path / "s.parquet")
    names = whole.column_names
    one = streamed([tmp_path / "s.parquet", tmp_path / "u.parquet"], tmp_path / "a", columns=names)  # type: ignore[arg-type]
    assert one.slices == streamed(table, tmp_path / "b", columns=names).slices


def test_columns_are_projected(table: Path, tmp_path: Path) -> None:
    seen = []

    def watching(batch: Any) -> Any:
        seen.append(tuple(batch.schema.names))
        return encode(batch)

    wanted = ["w", "y", "f0", "f1", "f2", "f3", "f4"]
    streamed(table, tmp_path / "out", encode=watching, columns=wanted)
    assert set(seen) == {tuple(wanted)}
    with pytest.raises(DataError, match="no column 'age'"):
        streamed(table, tmp_path / "other", columns=["age"])


def test_an_empty_table(tmp_path: Path) -> None:
    pq.write_table(as_table(*records(0)), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="no record"):
        streamed(tmp_path / "t.parquet", tmp_path / "out")


def test_a_damaged_file_names_its_row_group(table: Path, tmp_path: Path) -> None:
    place = pq.ParquetFile(table).metadata.row_group(12).column(1).data_page_offset
    content = bytearray(table.read_bytes())
    content[place : place + 60] = b"\xff" * 60
    table.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.parquet, row groups 12 to 13: cannot be read"):
        streamed(table, tmp_path / "out", rows_per_batch=60, rows_per_shard=600)


def test_a_folder_that_cannot_be_written(table: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        streamed(table, tmp_path / "file" / "out")


def test_slices_may_not_be_named_like_other_columns(table: Path, tmp_path: Path) -> None:
    x, y, _ = records(20, seed=1)
    with pytest.raises(DataError, match="'record', 'self_influence'"):
        streamed(table, tmp_path / "out", slices={"record": (x, y), "self_influence": (x, y)})


def test_settings_are_refused_together(table: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        streamed(table, tmp_path / "out", rows_per_batch=0, top=0, estimator="tracin")
    assert len(caught.value.complaints) == 3
    with pytest.raises(PolicyError, match="in passes"):
        streamed(table, tmp_path / "out", estimator="cg", fit_records=None)


FULL = """
import os, resource, sys
from pathlib import Path
from tests.influence import tables
folder = Path(sys.argv[1])
child = os.fork()
if not child:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        tables.run(folder / "t.parquet", folder / "out")
    except Exception as reason:
        print(type(reason).__name__, reason, flush=True)
    os._exit(0)
assert tables.finished(child) == 0
print(len(list((folder / "out").rglob("*.part"))), flush=True)
tables.run(folder / "t.parquet", folder / "out")
"""


def test_no_room_is_said_and_the_run_goes_on_later(tmp_path: Path) -> None:
    pq.write_table(as_table(*records(2000)), tmp_path / "t.parquet")
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, left = done.stdout.splitlines()
    assert said.startswith("DataError") and "cannot be written" in said and left == "0"
    assert (tmp_path / "out" / "summary.json").exists()
