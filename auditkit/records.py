"""What an audit knows record by record, for restricted evidence and never for the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditkit.influence.assess import InfluenceArrays
from auditkit.processes import Processes
from auditkit.subject.types import Predictions, Table

_LISTED: Final = (
    "screen_rank", "screen_p", "screen_flag", "risk", "risk_low", "exposed_flag", "duplicate_cluster",
)  # fmt: skip


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


def tables(
    table: Table,
    scores: InfluenceArrays | None,
    arrays: Mapping[str, NDArray[Any]],
    *,
    predictions: Predictions,
    slices: Mapping[str, NDArray[np.bool_]],
) -> dict[str, pd.DataFrame]:
    """Record by record, for restricted evidence, the largest self-influence first; effects lie in shards.

    Columns: `id`, `self_influence` (nats), `loss` (nats), `label`; of privacy, as far as they exist, `screen_rank`,
    `screen_p`, `screen_flag`, `risk`, `risk_low`, `exposed_flag`, `duplicate_cluster`; then `slice: NAME`, whether the
    record passes the filter of each of the policy's slices that can be put to training records.

    Args:
        table, scores, arrays, predictions: of one audit. slices: name -> [N].
    """
    if scores is None:
        return {}
    columns: dict[str, Any] = {"id": table.ids[scores.rows], "self_influence": scores.self_influence}
    if predictions.loss_train is not None:
        columns["loss"] = predictions.loss_train
    columns["label"] = table.label[scores.rows]
    columns |= {name: arrays[name] for name in _LISTED if name in arrays}
    columns |= {f"slice: {name}": mask for name, mask in slices.items()}
    order = np.argsort(-scores.self_influence, kind="stable")
    return {"training_records": pd.DataFrame(columns).iloc[order].reset_index(drop=True)}
