"""Group statistics of further outcomes: one of several classes, a number, or a place in a list.

Truth and prediction stand as columns in the evaluation file. `assess` measures every metric of METHODS for all records
and for every group, with differences to the reference group; `measuring.measure_outcome` is the door for notebooks.
It knows neither the policy file nor the model.
"""
