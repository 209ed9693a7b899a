"""The sections of the report, in order: one row and one template each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from auditkit.report.book import Book
from auditkit.report.views import annex, background, fairness, front, influence, models, privacy, remedies, statutory
from auditkit.result import AuditResult

View = Callable[[AuditResult, Book], dict[str, object]]


@dataclass(frozen=True)
class Section:
    """One section: its anchor, its title, what it shows and whether this result has it.

    Its template is `templates/sections/<id>.html.j2`. An unnumbered section is not in the contents.
    """

    id: str
    title: str
    view: View
    applies: Callable[[AuditResult], bool]
    numbered: bool = True

    @property
    def template(self) -> str:
        """The template's name below `templates/`."""
        return f"sections/{self.id}.html.j2"


def always(result: AuditResult) -> bool:
    """A part that was not assessed has a section too: it says why."""
    return True


SECTIONS: tuple[Section, ...] = (
    Section("cover", "Cover", front.cover, always, numbered=False),
    Section("verdicts", "Verdicts", front.verdicts, always),
    Section("fairness", "Fairness across groups", fairness.view, always),
    Section("statutory", "Statutory tables", statutory.view, lambda result: result.statutory is not None),
    Section("models", "Models compared", models.view, lambda result: result.fairness.models is not None),
    Section("influence", "Training records behind the results", influence.view, always),
    Section("privacy", "Privacy: what the model gives away", privacy.view, always),
    Section("remedies", "Remedies tried", remedies.view, always),
    Section("data", "Data and model", background.data, always),
    Section("frameworks", "Rule sets", background.frameworks, lambda result: bool(result.frameworks)),
    Section("method", "Method and limits", background.method, always),
    Section("reproduction", "Reproduction", background.reproduction, always),
    Section("glossary", "Glossary", background.glossary, always),
    Section("annex", "Annex: further tables", annex.view, always),
)
