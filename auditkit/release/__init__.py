"""Disclosure control of what an audit publishes: what it may say beside earlier releases, and whether its bytes obey.

`cells` names the sets of persons that published figures count; `compare` finds those which differ by a few persons from
a set that an earlier release told of; `guard` takes their figures, and what would give them back, out of the parts
before anything is judged. `texts`, `paper`, `secrets` and `search` look for ids and single values in finished bytes;
`structure` walks the result for small cells; `selftest` is all of that, and fails closed. Pure: no file, no clock.
"""
