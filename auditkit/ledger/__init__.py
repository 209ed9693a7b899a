"""The ledger: what was run, on what, and where its evidence lies.

`provenance` names versions and digests; `evidence` writes the public and the restricted folder of a run, each with
its own manifest, and verifies them; `unfinished` is the folder of a run that is not whole yet; `disk` turns what the
system refuses into complaints. None of them knows what an audit means: bytes and arrays in, files out.
"""
