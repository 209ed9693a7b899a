"""AuditResult and its records: all that an audit may say, and the one source of JSON, HTML and PDF.

Everything here is aggregate: no ids, row numbers, case lists, single-record values or exact extremes. Numbers that are
estimates travel as `Estimate`, with n, interval and method; a number that may not be shown travels as an `Estimate`
whose `value` is None and whose `withheld` says why. Records are frozen and refuse unknown fields; `parse` refuses an
unknown schema version.

Long form on purpose: every statistic of the audit is one `Measurement` row (measure, on, group), so that rules, tables,
charts and JSON read the same rows, and nothing is computed twice.
"""

from __future__ import annotations

from auditkit.result.audit import SCHEMA_VERSION, UNJUDGED, AuditResult, parse
from auditkit.result.comparisons import AttributeTests, GapTest, PairTest, ThresholdTest
from auditkit.result.control import Conditional, Stratum
from auditkit.result.discovery import Discovery, Proxies, Proxy, Slice, WorstSlices
from auditkit.result.epsilon import CanaryPart, ClaimPart, EpsilonBound, EpsilonPart, GuessCount
from auditkit.result.estimate import NOT_STATED, Estimate, Fact, Measurement, Point, Quality, Record, Series, Status
from auditkit.result.exposed import GapExposure, PersonRisk, SliceExposure, WhoIsExposed
from auditkit.result.facts import Artifact, DataPart, FrameworkItem, FrameworkPart, ModelPart, SplitFacts, Stamp
from auditkit.result.fairness import FairnessPart, Group, MetricNote
from auditkit.result.findings import Conclusion, Finding, GroupVerdict, Severity, Verdict, Waiver
from auditkit.result.inference import AttributeInference, InferencePart
from auditkit.result.influence import Composition, CompositionRow, InfluencePart, SliceInfluence
from auditkit.result.membership import MembershipBounds, MembershipGroup, MembershipPart
from auditkit.result.outcomes import OutcomeNote, OutcomePart, OutcomeRow
from auditkit.result.privacy import (
    AttackPart,
    Baseline,
    Duplicates,
    Exposure,
    PrivacyPart,
    RankingQuality,
    ResolutionRow,
    Screen,
)
from auditkit.result.remedies import Change, Onion, RemediesPart, Remedy
from auditkit.result.risk import RiskBand
from auditkit.result.scores import ScoreGroup
from auditkit.result.statutory import (
    BiasAudit,
    CategoryRow,
    CategoryTable,
    FourCells,
    FourFifths,
    FourFifthsRow,
    FourFifthsTable,
    Median,
    StatutoryPart,
)
from auditkit.result.structure import StructuralCheck, Structure
from auditkit.result.threat import ThreatRow

__all__ = [
    "NOT_STATED",
    "SCHEMA_VERSION",
    "UNJUDGED",
    "Artifact",
    "AttackPart",
    "AttributeInference",
    "AttributeTests",
    "AuditResult",
    "Baseline",
    "BiasAudit",
    "CanaryPart",
    "CategoryRow",
    "CategoryTable",
    "Change",
    "ClaimPart",
    "Composition",
    "CompositionRow",
    "Conclusion",
    "Conditional",
    "DataPart",
    "Discovery",
    "Duplicates",
    "EpsilonBound",
    "EpsilonPart",
    "Estimate",
    "Exposure",
    "Fact",
    "FairnessPart",
    "Finding",
    "FourCells",
    "FourFifths",
    "FourFifthsRow",
    "FourFifthsTable",
    "FrameworkItem",
    "FrameworkPart",
    "GapExposure",
    "GapTest",
    "Group",
    "GroupVerdict",
    "GuessCount",
    "InferencePart",
    "InfluencePart",
    "Measurement",
    "Median",
    "MembershipBounds",
    "MembershipGroup",
    "MembershipPart",
    "MetricNote",
    "ModelPart",
    "Onion",
    "OutcomeNote",
    "OutcomePart",
    "OutcomeRow",
    "PairTest",
    "PersonRisk",
    "Point",
    "PrivacyPart",
    "Proxies",
    "Proxy",
    "Quality",
    "RankingQuality",
    "Record",
    "RemediesPart",
    "Remedy",
    "ResolutionRow",
    "RiskBand",
    "ScoreGroup",
    "Screen",
    "Series",
    "Severity",
    "Slice",
    "SliceExposure",
    "SliceInfluence",
    "SplitFacts",
    "Stamp",
    "Status",
    "StatutoryPart",
    "Stratum",
    "StructuralCheck",
    "Structure",
    "ThreatRow",
    "ThresholdTest",
    "Verdict",
    "Waiver",
    "WhoIsExposed",
    "WorstSlices",
    "parse",
]
