"""Tables larger than memory: the same scores as in memory, whatever the batches, files and order; exact summaries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from auditkit.influence import TableAttribution, attribute, attribute_table
from auditkit.influence.streaming.tally import Tally
from tests.influence.tables import (
    L2,
    as_table,
    encode,
    network,
    per_record,
    records,
    scores_of,
    single,
    slices_of,
    unweighted,
)

N = 900


def streamed(folder: Path, out: Path, **given: Any) -> TableAttribution:
    x, y, _ = records(100, seed=1)
    settings = {"weight_decay": L2, "rows_per_batch": 64, "rows_per_shard": 250, **given}
    return attribute_table(
        settings.pop("module", network()),
        per_record,
        folder,
        settings.pop("encode", encode),
        settings.pop("slices", slices_of(x, y)),
        out=out,
        **settings,
    )


def in_memory(x: Tensor, y: Tensor, w: Tensor | None, **given: Any) -> Tensor:
    x_eval, y_eval, _ = records(100, seed=1)
    found = attribute(
        given.pop("module", network()),
        per_record,
        (x, y),
        slices_of(x_eval.to(x.dtype), y_eval),
        sample_weight=w,
        **{"weight_decay": L2, "estimator": "ekfac", **given},
    )
    assert found.self_influence is not None
    return torch.cat([found.scores, found.self_influence.unsqueeze(1)], dim=1)


def apart(found: Tensor, wanted: Tensor) -> float:
    """Largest error of a column, relative to its norm."""
    return float(((found - wanted).norm(dim=0) / wanted.norm(dim=0)).max())


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    whole = as_table(*records(N))
    pq.write_table(whole.slice(0, 333), folder / "a.parquet", row_group_size=100)
    pq.write_table(whole.slice(333), folder / "b.parquet", row_group_size=7)
    return folder


@pytest.mark.parametrize("estimator", ["ekfac", "kfac", "exact"])
@pytest.mark.parametrize("fit_records", [N, None])
def test_streamed_scores_are_those_in_memory(
    table: Path, tmp_path: Path, estimator: str, fit_records: int | None
) -> None:
    found = streamed(table, tmp_path / "out", estimator=estimator, fit_records=fit_records)
    assert found.records == N and len(found.shards) == 4
    assert apart(scores_of(found), in_memory(*records(N), estimator=estimator)) < 1e-10


@pytest.mark.parametrize("estimator", ["cg", "arnoldi", "lissa"])
def test_estimators_that_hold_their_records_are_fitted_on_the_subsample(
    table: Path, tmp_path: Path, estimator: str
) -> None:
    found = streamed(table, tmp_path / "out", estimator=estimator, fit_records=N)
    assert apart(scores_of(found), in_memory(*records(N), estimator=estimator)) < 1e-6


def test_without_weights_and_renormalised(table: Path, tmp_path: Path) -> None:
    x, y, _ = records(N)
    found = streamed(table, tmp_path / "out", encode=unweighted, removal="renormalised", fit_records=None)
    assert apart(scores_of(found), in_memory(x, y, None, removal="renormalised")) < 1e-10


def test_a_measure_of_the_callers_own(table: Path, tmp_path: Path) -> None:
    def second_class(outputs: Tensor) -> Tensor:
        return outputs.softmax(1)[:, 1]

    found = streamed(table, tmp_path / "out", measure=second_class)
    assert apart(scores_of(found), in_memory(*records(N), measure=second_class)) < 1e-10
    schema = pq.read_schema(found.shards[0])
    assert b"measure" in schema.field("first").metadata[b"unit"]
    assert b"loss" in schema.field("self_influence").metadata[b"unit"]


def test_single_precision(table: Path, tmp_path: Path) -> None:
    x, y, w = records(N)
    module = network(dtype=torch.float32)
    found = streamed(table, tmp_path / "out", module=module, encode=single)
    assert apart(scores_of(found), in_memory(x.float(), y, w, module=module)) < 1e-4
    assert apart(scores_of(found), in_memory(x, y, w)) < 1e-4


def test_batches_shards_files_and_row_groups_play_no_part(table: Path, tmp_path: Path) -> None:
    wanted = scores_of(streamed(table, tmp_path / "out"))
    for k, (rows, shard, group) in enumerate([(1, 900, 1000), (64, 900, 1), (4096, 17, 30)]):
        pq.write_table(as_table(*records(N)), tmp_path / f"{k}.parquet", row_group_size=group)
        found = streamed(tmp_path / f"{k}.parquet", tmp_path / f"out-{k}", rows_per_batch=rows, rows_per_shard=shard)
        assert apart(scores_of(found), wanted) < 1e-10
        assert found.self_influence.raising[0].record == int(wanted[:, 2].argmax())


def test_shuffled_rows_have_their_own_scores(table: Path, tmp_path: Path) -> None:
    wanted = scores_of(streamed(table, tmp_path / "out", fit_records=None))
    order = torch.randperm(N, generator=torch.Generator().manual_seed(3))
    pq.write_table(as_table(*(t[order] for t in records(N))), tmp_path / "shuffled.parquet")
    found = streamed(tmp_path / "shuffled.parquet", tmp_path / "other", fit_records=None)
    assert apart(scores_of(found), wanted[order]) < 1e-10


def test_the_bytes_rest_on_the_records_alone(table: Path, tmp_path: Path) -> None:
    pq.write_table(as_table(*records(N)), tmp_path / "one.parquet", row_group_size=450)
    first = streamed(table, tmp_path / "a", fit_records=200)
    second = streamed(tmp_path / "one.parquet", tmp_path / "b", fit_records=200)
    for one, two in zip(first.shards, second.shards, strict=True):
        assert pq.read_table(one).equals(pq.read_table(two))


def test_summaries_are_those_of_the_scores(table: Path, tmp_path: Path) -> None:
    found = streamed(table, tmp_path / "out", top=7, identifier="name")
    scores = scores_of(found).numpy()
    for k, column in enumerate((*found.slices, found.self_influence)):
        values = scores[:, k]
        assert column.total == pytest.approx(values.sum(), rel=1e-12)
        assert column.deviation == pytest.approx(values.std(), rel=1e-9)
        assert [e.record for e in column.raising] == [int(n) for n in np.argsort(-values)[:7] if values[n] > 0]
        assert [e.record for e in column.lowering] == [int(n) for n in np.argsort(values)[:7] if values[n] < 0]
        assert all(e.change == values[e.record] for e in (*column.raising, *column.lowering))
        assert all(e.identifier == f"r{e.record}" for e in (*column.raising, *column.lowering))
        for share, value in column.quantiles.items():
            assert value == pytest.approx(np.quantile(values, share, method="inverted_cdf"), rel=0.004)
    shard = pq.read_table(found.shards[1])
    assert shard.column("record").to_pylist() == list(range(250, 500))
    assert shard.column("name").to_pylist()[3] == "r253"
    assert found.scores("second", 240, 260).tolist() == scores[240:260, 1].tolist()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_of_equal_scores_the_earlier_record_is_told(order: tuple[int, ...]) -> None:
    values = np.tile([[1.0], [-2.0], [0.0]], (30, 1))
    parts = [Tally.empty(1, 4) for _ in order]
    for start in range(0, 90, 9):
        parts[start // 30].add(start, values[start : start + 9])
    whole = Tally.empty(1, 4)
    for k in order:
        whole.merge(Tally.of(parts[k].arrays()).arrays())
    assert list(whole.end(0, 0)) == [(0, 1.0), (3, 1.0), (6, 1.0), (9, 1.0)]
    assert list(whole.end(1, 0)) == [(1, -2.0), (4, -2.0), (7, -2.0), (10, -2.0)]
    assert [whole.quantile(0, share) for share in (0.3, 0.5, 0.9)] == pytest.approx([-2, 0, 1], rel=0.004)


def test_the_subsample_is_stated_with_what_it_costs(table: Path, tmp_path: Path) -> None:
    found = streamed(table, tmp_path / "out", fit_records=300)
    (said,) = [figure for figure in found.quality if figure.name == "curvature subsample"]
    assert "300 of 900" in said.text and said.value is not None
    real = apart(scores_of(found), scores_of(streamed(table, tmp_path / "all", fit_records=None)))
    assert real / 4 < said.value < real * 4
    (all_of_them,) = [f for f in streamed(table, tmp_path / "b").quality if f.name == "curvature subsample"]
    assert all_of_them.value == 0.0


def test_the_draw_follows_the_generator(table: Path, tmp_path: Path) -> None:
    runs = [
        scores_of(streamed(table, tmp_path / f"{k}", fit_records=100, generator=torch.Generator().manual_seed(seed)))
        for k, seed in enumerate((5, 5, 6))
    ]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_convergence_is_told_as_in_memory(table: Path, tmp_path: Path) -> None:
    x_eval, y_eval, _ = records(100, seed=1)
    x, y, w = records(N)
    found = attribute(
        network(), per_record, (x, y), slices_of(x_eval, y_eval), estimator="ekfac", weight_decay=L2, sample_weight=w
    )
    got = {figure.name: figure for figure in streamed(table, tmp_path / "out").quality}
    told = {figure.name: figure for figure in found.quality}
    for name in ("gradient norm", "distance to optimum", "damping", "parameters covered"):
        assert got[name].value == pytest.approx(told[name].value, rel=1e-9)
    assert got["weight decay"].text == told["weight decay"].text
    assert {*told} <= {*got}
