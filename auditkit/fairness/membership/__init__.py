"""Groups that overlap, and groups of which only probabilities are known: rates, comparisons, bounds."""
