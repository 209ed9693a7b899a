"""Numbers in, `Estimate` out: the statistics every assessing room shares.

Takes plain arrays and counts, gives `result.Estimate` (or arrays, where a caller estimates further). It
knows no table, no policy and no model, draws randomness only from a generator that it is handed, and never
loads torch.
"""
