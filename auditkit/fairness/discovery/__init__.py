"""Slices that nobody named: where decisions err most, found on one half of the persons and confirmed on the other.

conditions  a table as conditions such as `branch = north` or `income < 20,000`, with rounded edges
search      the conjunctions of up to three conditions in which an outcome is most frequent
confirm     what of that holds on records that the search never saw, with a false-discovery level
discover    the door: halves, search, confirmation, disclosure
"""
