"""Which training records the model's treatment of slices, cases and group gaps rests on.

Takes a differentiable subject, the table and the frozen slices (`assess.assess`); gives the predicted change of every
measure if a training record were removed and the model retrained (arrays, restricted) and their aggregates (for the
report). One sign and one unit everywhere; what cannot be computed is refused with its reason.

    problem      what is asked: module, loss, rows, penalty; refusals
    likelihood   derivatives of the loss in the outputs · jacobian: of the outputs in the parameters
    capture      the one file with hooks · factored, kronecker: algebra of Linear and Embedding blocks
    curvature    the protocol of estimators · estimators/: one file each · registry: their table
    newton       taking a record out of its own curvature · stepping: measures at the stepped parameters
    scoring      effects and self-influence, once for all estimators
    fidelity     the effects against models retrained without the records
    composition  who the most influential records are · quality: what the run says of itself · assess: the door
"""
