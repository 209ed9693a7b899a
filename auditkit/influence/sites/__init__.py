"""Kinds of layers whose per-record gradients follow from what goes in and what comes back, one file per kind.

Takes a call's input and the gradients at its output, as the hooks of `capture` keep them; gives rows in the layout that
`factored` works on, and per-record gradients. A layer of none of these kinds goes through `jacobian`.
"""
