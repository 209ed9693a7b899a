"""What an audit knows record by record, for restricted evidence and never for the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from auditkit.influence.assess import InfluenceArrays
from auditkit.processes import Processes
from auditkit.subject.types import Predictions, Table


def answers(predictions: Predictions) -> dict[str, NDArray[Any]]:
    """The model's answers, by name of the array."""
    named = {
        "evaluation_decision": predictions.decision, "evaluation_score": predictions.score,
        "evaluation_loss": predictions.loss, "train_loss": predictions.loss_train,
        "reserve_loss": predictions.loss_reserve,
    }  # fmt: skip
    return {name: array for name, array in named.items() if array is not None}


def hand_out(
    shard: Callable[[pd.DataFrame], None],
    table: Table,
    scores: InfluenceArrays | None,
    processes: Processes,
) -> None:
    """Hand out the scores of this process's own training records; ids, self-influence, then a column a measure."""
    if scores is None:
        return
    own = processes.share(len(scores.rows))
    columns: dict[str, Any] = {"id": table.ids[scores.rows[own]], "self_influence": scores.self_influence[own]}
    for index, (name, measure, unit) in enumerate(zip(scores.names, scores.measures, scores.units, strict=True)):
        columns[f"{name} | {measure} | {unit}"] = scores.effects[own, index]
    shard(pd.DataFrame(columns))
    processes.meet()


def tables(table: Table, scores: InfluenceArrays | None, arrays: Mapping[str, NDArray[Any]]) -> dict[str, pd.DataFrame]:
    """Record by record, for restricted evidence: ids with self-influence and privacy's flags; effects lie in shards."""
    if scores is None:
        return {}
    columns: dict[str, Any] = {"id": table.ids[scores.rows], "self_influence": scores.self_influence}
    columns |= {name: arrays[name] for name in ("screen_rank", "screen_flag", "duplicate_cluster") if name in arrays}
    return {"training_records": pd.DataFrame(columns)}
