"""The attacks of the threat model as rows: who attacks, what he knows and can do, and whether it was run."""

from __future__ import annotations

from auditkit.result.estimate import Record


class ThreatRow(Record):
    """One attack in the words of NIST AI 100-2: goal, stage, knowledge, capability."""

    attack: str
    goal: str
    stage: str
    knowledge: str
    capability: str
    run: bool
