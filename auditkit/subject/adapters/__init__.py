"""One file per way to bring a model: each turns policy, table and folder of the policy into a `Subject`.

The table of adapters is `auditkit.subject.open.ADAPTERS`. Adapters do not know each other; what they may be asked is
`auditkit.subject.types.Subject`, and `tests/contracts/test_adapters.py` asks each of them.
"""
