"""The folder of one streamed attribution: what a run rests on, as a key, and what is finished under it.

out/scores-00000.parquet …   the score shards
out/pieces/                  factors, sample and running summaries, by which a run that was killed goes on
out/summary.json             everything that the result says, written last
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auditkit.errors import Complaint, DataError
from auditkit.influence.measures import Evaluation, measure_values
from auditkit.influence.problem import Problem
from auditkit.influence.streaming.sheets import clear, writing
from auditkit.pieces import Pieces, digest, write_whole
from auditkit.processes import Processes

_ROOM = Path(__file__).resolve().parents[1]
_TRIED = 64


def _code() -> str:
    """Digest of the sources of this room."""
    found = hashlib.sha256()
    for path in sorted(_ROOM.rglob("*.py")):
        found.update(f"{path.relative_to(_ROOM).as_posix()}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


# When this is imported, because that is the code which runs.
_CODE = _code()


@dataclass(frozen=True)
class Folder:
    """Where a run writes, and the key under which it does."""

    path: Path
    key: str

    @property
    def pieces(self) -> Pieces:
        """Finished pieces."""
        return Pieces(self.path / "pieces", self.key)

    def shard(self, index: int) -> Path:
        """Where the score shard of this number lies."""
        return self.path / f"scores-{index:05d}.parquet"

    def open(self, processes: Processes) -> None:
        """Make the folder, or see that what lies there belongs to this run.

        Raises:
            DataError: it cannot be written, or holds the pieces of another run.
        """
        with writing(self.path):
            self.pieces.folder.mkdir(parents=True, exist_ok=True)
            if processes.first and self.pieces.get("run") is None:
                if self.pieces.path("run").exists():
                    raise DataError(_of_another(self.path))
                self.pieces.put("run", {"key": np.frombuffer(self.key.encode(), dtype=np.uint8)})
            if processes.first:
                clear(self.path, "summary.json")
                for piece in self.pieces.folder.glob(".*.part"):
                    piece.unlink(missing_ok=True)
        processes.meet()

    def summarise(self, said: Mapping[str, Any]) -> None:
        """Write what the result says.

        Raises:
            DataError: it cannot be written.
        """
        content = json.dumps({"key": self.key, **said}, indent=1, ensure_ascii=False, allow_nan=False)
        with writing(self.path):
            write_whole(self.path / "summary.json", (content + "\n").encode())


def key_of(problem: Problem, evaluation: Evaluation, table: str, settings: Mapping[str, Any], drawn: Tensor) -> str:
    """Digest of all that scores rest on: model, loss, measure, records, slices, settings and the engine's own code.

    Functions have no bytes that could be compared; what they give for the first records stands for them, in single
    precision, because the last bits may differ between sittings.

    Args:
        problem: posed on the first records. evaluation: the slices. table: digest of the training table.
        settings: everything else that the caller chose. drawn: positions of the subsample.
    """
    tried = problem.first(_TRIED)
    with torch.no_grad():
        outputs = problem.outputs(tried)
        losses = problem.losses(outputs, problem.targets[: len(outputs)])
    tensors = {f"state {name}": value for name, value in problem.module.state_dict().items()}
    tensors |= {f"input {k}": t for k, t in enumerate((*tried, problem.targets, problem.weights))}
    tensors |= {f"slice input {k}": t for k, t in enumerate((*evaluation.inputs, evaluation.targets))}
    tensors |= {f"measure {measure.name}": measure.weights for measure in evaluation.measures}
    tensors |= {"outputs": outputs.float(), "losses": losses.float(), "penalty": problem.penalty, "drawn": drawn}
    tensors["values"] = measure_values(problem, evaluation).float()
    found = hashlib.sha256(digest({name: value.cpu().numpy() for name, value in tensors.items()}).encode())
    words = {**settings, "table": table, "module": repr(problem.module), "code": _CODE, "torch": torch.__version__}
    found.update(json.dumps(words, sort_keys=True, default=str).encode())
    return found.hexdigest()


def _of_another(path: Path) -> Complaint:
    return Complaint(
        "holds the pieces of another run: model, loss, records, slices, settings or code differ",
        str(path),
        "give an empty folder, or delete this one",
    )
