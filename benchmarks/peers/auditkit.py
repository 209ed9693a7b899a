"""auditkit, through its public door only and with its defaults."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor
from torch.nn import functional

from auditkit.influence import attribute
from benchmarks.contest import REFERENCE, SIZES, Case, Found, Peer, way

UNCOMPRESSED = 1e-6


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """[B], not reduced."""
    return functional.cross_entropy(outputs, targets, reduction="none")


def one_model(case: Case, _: Path, damping: float | None) -> Found:
    """Estimator and damping `auto`."""
    rows = (case.x, case.y)
    given = {} if damping is None else {"damping": damping}
    found = attribute(case.module, cross_entropy, rows, case.slices, weight_decay=case.l2, **given)
    return Found(found.scores, found.self_influence, _notes(found.quality))


def ekfac(case: Case, _: Path, damping: float | None) -> Found:
    """EK-FAC, damping `auto`."""
    rows = (case.x, case.y)
    found = attribute(case.module, cross_entropy, rows, case.slices, estimator="ekfac", weight_decay=case.l2)
    return Found(found.scores, found.self_influence, _notes(found.quality))


def uncompressed(case: Case, _: Path, damping: float | None) -> Found:
    """The same with nothing left out beyond a millionth: what the errors are relative to.

    In the model's own precision, so that the factors and the damping that they lead to are the same.
    """
    rows = (case.x, case.y)
    found = attribute(
        case.module, cross_entropy, rows, case.slices, estimator="ekfac", weight_decay=case.l2, tolerance=UNCOMPRESSED
    )
    return Found(found.scores, found.self_influence, _notes(found.quality))


def ensemble(case: Case, _: Path, damping: float | None) -> Found:
    """Averaged over models trained on halves, each scored on its own members."""
    rows = (case.x, case.y)
    found = attribute(
        case.module,
        cross_entropy,
        rows,
        case.slices,
        estimator="ensemble:ekfac",
        weight_decay=case.l2,
        members=case.members,
    )
    return Found(found.scores, found.self_influence, _notes(found.quality))


def _notes(quality: tuple[object, ...]) -> str:
    told = {getattr(q, "name", ""): getattr(q, "text", "") for q in quality}
    return " ".join(told[name] for name in ("estimator", "damping", "compression", "precision") if name in told)


PEER = Peer(
    "auditkit",
    "auditkit",
    (
        way("auto", "estimator and damping auto", one_model, "loo"),
        way("ekfac", "EK-FAC, damping auto", ekfac, "digits", "compas", "speed", sizes=SIZES),
        way("reference", REFERENCE, uncompressed, "speed", sizes=SIZES),
        way("ensemble", "EK-FAC, ensemble over a bank of halves, damping auto", ensemble, "digits", "compas"),
    ),
)
