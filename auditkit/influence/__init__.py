"""Which training records the model's treatment of slices, cases and group gaps rests on.

Takes a differentiable subject, the table and the frozen slices (`assess.assess`); gives the predicted change of every
measure if a training record were removed and the model retrained (arrays, restricted) and their aggregates (for the
report). One sign and one unit everywhere; what cannot be computed is refused with its reason.

    problem      what is asked: module, loss, rows, penalty; refusals · losses: per-record losses, ready to use
    likelihood   derivatives of the loss in the outputs · jacobian: of the outputs in the parameters
    capture      the one file with hooks · sites/: kinds of layer · factored, kronecker, matrices: algebra of blocks
    sequences    outputs that are sequences · roots: random signs in place of their many backward vectors
    curvature    the protocol of estimators · estimators/: one file each · registry: their table
    newton       taking a record out of its own curvature · stepping: measures at the stepped parameters
    scoring      effects and self-influence, once for all estimators · renormalised: the other form of removal
    sweep        the fast pass of block curvatures · compression, lengths, rehearsal: what it leaves out, and its error
    damping      the rule `auto` · settling: block by block, once the curvature is fitted
    sharing      sums and rows over processes · decay: which form of weight decay the parameters show
    fidelity     the effects against models retrained without the records
    models       scores over several parameter vectors · ensemble: averaged over retrained members
    composition  who the most influential records are · quality: what the run says of itself · assess: the door
    request      what a caller hands to the public door, checked
    attribution  the door for notebooks: `from auditkit.influence import attribute` (loads torch when first asked for)
    attributed   what it gives back, and gaps and ratios of slices from it
    store        projected gradients on disk: `build_store`, `open_store(folder).query` · storage/: its files
    streaming    the same for tables larger than memory: `attribute_table`, Parquet in, score shards out
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditkit.influence import losses
    from auditkit.influence.attributed import Attribution
    from auditkit.influence.attribution import attribute
    from auditkit.influence.store import Store, build_store, open_store
    from auditkit.influence.streaming.door import attribute_table
    from auditkit.influence.streaming.outcome import TableAttribution

__all__ = [
    "Attribution",
    "Store",
    "TableAttribution",
    "attribute",
    "attribute_table",
    "build_store",
    "losses",
    "open_store",
]

_ELSEWHERE = {
    "Attribution": "attributed",
    "attribute_table": "streaming.door",
    "TableAttribution": "streaming.outcome",
    "Store": "store",
    "build_store": "store",
    "open_store": "store",
}


def __getattr__(name: str) -> object:
    """The public door, loaded when it is first asked for, so that importing this room loads no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name == "losses":
        return import_module("auditkit.influence.losses")
    return getattr(import_module(f"auditkit.influence.{_ELSEWHERE.get(name, 'attribution')}"), name)
