"""Projected per-record gradients on disk, for slices that are asked about later, without the training data.

    keys      what a store rests on, as digests · shards: the memory-mapped files
    layout    the store's own description of itself, as JSON
    building  from training records to a finished store; goes on where a killed build stopped
    asking    from a finished store to scores of new slices

The door is `auditkit.influence.store`.
"""
