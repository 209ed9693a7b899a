"""auditkit audits one trained model under one written policy and writes the report.

The map, in the order in which data flows (ARCHITECTURE in short):

    cli         parse, call, print, exit code
    terminal    what the command line shows
    notebook    audit(model, ...) and audit_file(path): the doors for Python
    run         the shell: disk, clock, environment and randomness enter here only
    launch      several processes for one audit: started here or by torchrun
    pipeline    run_audit: the audit as one sentence
    release     what may be said beside earlier releases; the search of finished files
    rooms       what each assessing room is handed
    retraining  the banks that an audit needs, as one piece of work
    statements  facts, rule sets and limits, in words
    kept        a room's finished answer as a piece on disk, for a run that goes on
    records     what is known record by record, for restricted evidence
    preflight   policy, data and model opened and checked, every complaint at once
    findings    rules meet numbers: verdicts and exit codes
    sentences   a verdict in words
    remedies    what is tried against membership risk, on retrained models in pairs
    fairness    group statistics with intervals
    influence   which training records a slice's treatment rests on
    privacy     what the model gives away about membership
    bank        retrained models, on which influence is held against retraining
    subject     the audited model and its table, by adapter
    stats       intervals, bootstrap, multiplicity, ROC
    report      JSON, HTML and PDF of one result
    ledger      provenance and evidence folders
    policy      what the author may write; row filters; dated rule sets
    result      all that an audit may say
    resources   where templates, policies and fonts lie
    processes   who holds which records, and what processes exchange
    pieces      finished pieces of long work on disk
    errors      what can go wrong, as types

Names are loaded when they are used: importing auditkit loads no torch.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditkit.notebook import audit, audit_file
    from auditkit.policy.schema import Policy
    from auditkit.result import AuditResult
    from auditkit.subject.types import Subject

__all__ = ["AuditResult", "Policy", "Subject", "__version__", "audit", "audit_file"]
__version__ = metadata.version("auditkit")

_PLACES = {
    "audit": "auditkit.notebook",
    "audit_file": "auditkit.notebook",
    "Policy": "auditkit.policy.schema",
    "AuditResult": "auditkit.result",
    "Subject": "auditkit.subject.types",
}


def __getattr__(name: str) -> object:
    """Load a public name from its room on first use."""
    if name not in _PLACES:
        message = f"module 'auditkit' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(_PLACES[name]), name)
