"""The whole: one audit's result, and how a document is read back."""

from __future__ import annotations

from html import escape
from typing import Literal

from pydantic import Field

from auditkit.errors import IntegrityError
from auditkit.result.estimate import Fact, Measurement, Record
from auditkit.result.facts import Artifact, DataPart, FrameworkPart, ModelPart, Stamp
from auditkit.result.fairness import FairnessPart
from auditkit.result.findings import Conclusion, Finding
from auditkit.result.influence import InfluencePart
from auditkit.result.privacy import PrivacyPart
from auditkit.result.remedies import RemediesPart
from auditkit.result.statutory import StatutoryPart

SCHEMA_VERSION: Literal["1.0"] = "1.0"
UNJUDGED = "No rule is stated, so nothing is judged; state `rules`. The figures are in `measurements()`."


class AuditResult(Record):
    """Everything one audit says."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    title: str
    stamp: Stamp
    facts: tuple[Fact, ...]
    """The first page's facts: owner, purpose, domain, population, source, period, sampling, deployment."""
    policy: dict[str, object]
    """The resolved policy, redacted: cases as a count, no paths of the machine."""
    conclusion: Conclusion
    findings: tuple[Finding, ...]
    data: DataPart
    model: ModelPart
    fairness: FairnessPart
    influence: InfluencePart
    privacy: PrivacyPart
    remedies: RemediesPart = RemediesPart()
    frameworks: tuple[FrameworkPart, ...] = ()
    statutory: StatutoryPart | None = None
    """Tables in a law's own layout, where a rule set that has them is named."""
    limits: tuple[Fact, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    minimum_cell: int = Field(default=10, ge=1)

    def measurements(self) -> tuple[Measurement, ...]:
        """Every measurement of every part, in the order of the parts."""
        return (*self.model.measurements, *self.fairness.judged, *self.privacy.measurements)

    def _repr_html_(self) -> str:
        """The notebook's view: the verdict and one row per rule; the full report is `auditkit render`."""
        cells = ((finding.id, finding.verdict, finding.severity, finding.sentence) for finding in self.findings)
        rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
        head = "<tr><th>Rule</th><th>Verdict</th><th>Severity</th><th>Finding</th></tr>"
        title, sentence = escape(self.title), escape(self.conclusion.sentence)
        table = f"<table>{head}{rows}</table>" if rows else f"<p>{escape(UNJUDGED)}</p>"
        return f"<section><h3>{title}</h3><p><strong>{sentence}</strong></p>{table}</section>"

    def __str__(self) -> str:
        """What `print` shows: the verdict and one line per rule."""
        lines = [f"{finding.id}: {finding.verdict}. {finding.sentence}" for finding in self.findings] or [UNJUDGED]
        return "\n".join((f"{self.title}: {self.conclusion.sentence}", *lines))


def parse(data: object) -> AuditResult:
    """Read a result back, for example from `audit.json`.

    Raises:
        IntegrityError: the document is not a result of a known schema version.
    """
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        message = f"schema_version is {version!r}, this auditkit reads {SCHEMA_VERSION!r}"
        raise IntegrityError(message)
    return AuditResult.model_validate(data)
