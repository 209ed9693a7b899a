"""Models retrained on known random subsets, so that an audit can measure instead of assume.

Takes the audited subject and the table; gives a `Bank`: who was in which subset, and every model's loss and favourable
score of every pool and evaluation row (arrays, restricted). Evaluation rows never enter a subset; records of one person
stay together. It knows nothing of influence, privacy or remedies, which read it.

    size       how many models, by a stated rule of operations and never by the clock
    plan       who is in which subset; a part for fitting and a part for measuring; repeated seeds
    newton     all logistic regressions at once · descent: all networks at once
    stacked    a tabular model's bank by these · single: any other subject's, one after another
    selection  models that diverged, left out and said
    fit        which of these, or none and why: the door
    signals    losses and favourable scores of all models · margins: a loss as a margin logit
    progress   the share of the work that is done

Two kinds of halves, though one bank could nearly serve both. A model of the pool's halves lacks some training records
and has learned from reserve records besides; fidelity on it would predict both, removals by effects and additions by
effects of reserve records. Measured (64 models, curvature at the audited model, rank correlation on halves of training
records against that on halves of the pool; in brackets on the pool without the additions): sample lender 0.986 and
0.980 (0.693), Adult 0.985 and 0.979 (0.658), a network on HMDA 0.53 and 0.61 (0.42). So the prediction is sound, but
only with the additions; and then up to half of what the figure tests are effects of reserve records, of which the
report never speaks. Fidelity is therefore measured on halves of training records, a sixth of the models of both banks.
No subset and no seed of one is in the other. Nothing is measured on what it was fitted on: damping and ensembles take
the part for fitting, fidelity the part for measuring, and membership is judged on the audited model, which is in no
bank (`tests/contracts/test_bank_consumers`). Without a reserve the halves of training records serve risk as well.
"""
