"""Group statistics of the decisions: how each protected group is treated, and how sure that is.

Takes the evaluation rows' decisions, labels, group membership and persons; gives a `result.FairnessPart` in
which every number has passed disclosure control. It knows neither the policy file nor the thresholds, and
never loads torch.
"""
