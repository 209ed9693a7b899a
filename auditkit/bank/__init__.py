"""Models retrained on known random subsets, so that an audit can measure instead of assume.

Takes the audited subject and the table; gives a `Bank`: who was in which subset, and every model's loss and favourable
score of every pool and evaluation row (arrays, restricted). Evaluation rows never enter a subset; records of one person
stay together. It knows nothing of influence, privacy or remedies, which read it.

    size      how many models, by a stated rule of operations and never by the clock
    plan      who is in which subset; a part for fitting and a part for measuring; repeated seeds
    newton    all logistic regressions at once · descent: all networks at once
    fit       which of these, or one after another, or none and why: the door
    signals   losses and favourable scores of all models · margins: a loss as a margin logit
"""
