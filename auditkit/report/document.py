"""One document from one result: sections in order, styles, fonts and, on screen, the policy that locks the page."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditkit.report import fonts, json, wording
from auditkit.report.book import Book, Cell, Column, Heading, Medium
from auditkit.report.sections import SECTIONS, Section
from auditkit.resources import templates_dir
from auditkit.result import AuditResult

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

LONG_WORD = 22
LINKS = ("#", "https://", "mailto:")
SKELETON_SIGNS = "·…↑↓↕•"
"""Signs of the skeleton, the styles and the script that the sections may not use."""


@dataclass(frozen=True)
class Chapter:
    """A rendered section with its place in the contents."""

    section: Section
    number: str
    headings: tuple[Heading, ...]
    html: str


def compose(result: AuditResult, *, medium: Medium) -> str:
    """The whole document as HTML text; `pdf` leaves out the script and adds the print styles.

    Every text of the result is made readable first, so that no character lacks a glyph; the evidence digest is of the
    untouched result.
    """
    from markupsafe import Markup

    digest = hashlib.sha256(json.render(result)).hexdigest()
    shown = fonts.readable_result(result)
    environment = _environment()
    chapters = _chapters(shown, medium, digest, environment)
    script = _template_text("report.js") if medium == "html" else ""
    text = "".join((*(chapter.html for chapter in chapters), SKELETON_SIGNS))
    style = _style(medium, text)
    return environment.get_template("report.html.j2").render(
        result=shown,
        medium=medium,
        digest=digest,
        chapters=[(chapter, Markup(chapter.html)) for chapter in chapters],  # noqa: S704 - rendered with autoescape
        styles=[Markup(text) for text in style],  # noqa: S704 - our own files and fonts
        script=Markup(script),  # noqa: S704 - our own file
        csp=_content_policy(style, script),
    )


def _chapters(
    result: AuditResult, medium: Medium, digest: str, environment: ImmutableSandboxedEnvironment
) -> list[Chapter]:
    present = [section for section in SECTIONS if section.applies(result)]
    numbered = [section.id for section in present if section.numbered]
    book = Book(
        result, medium, sections=frozenset(section.id for section in present), digest=digest,
        numbers={name: str(k) for k, name in enumerate(numbered, 1)},
    )  # fmt: skip
    chapters = []
    for section in present:
        book.section += section.numbered
        book.headings = []
        view = section.view(result, book)
        book.put_off(section.title, f"annex-{section.id}")
        if section.id == "annex" and not book.annex:
            continue
        number = str(book.section) if section.numbered else ""
        html = environment.get_template(section.template).render(
            view, result=result, section=section, number=number, medium=medium, digest=digest
        )
        chapters.append(Chapter(section, number, tuple(book.headings), html))
    return chapters


def allowed_link(target: str) -> bool:
    """Whether a link may be followed: inside the document, https or mailto."""
    return target.startswith(LINKS) and not any(c.isspace() or c in "\"'<>" for c in target)


def unbroken(item: Cell | Column) -> bool:
    """Whether a cell or a heading holds a word too long for a column, so that it may break anywhere."""
    if isinstance(item, Cell) and item.code:
        return False
    texts = (item.text, item.detail) if isinstance(item, Cell) else (item.title,)
    return any(len(word) > LONG_WORD for text in texts for word in text.split(" "))


def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(templates_dir()), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False,
    )  # fmt: skip
    environment.tests["allowed_link"] = allowed_link
    environment.tests["unbroken"] = unbroken
    environment.globals["verdict_words"] = wording.VERDICTS
    environment.filters["count"] = wording.count
    return environment


def _template_text(name: str) -> str:
    return (templates_dir() / name).read_text(encoding="utf-8")


def _style(medium: Medium, text: str) -> list[str]:
    """Screen styles with the fonts; the print styles come second, because later rules win."""
    screen = fonts.css(text) + "\n" + _template_text("screen.css")
    return [screen, _template_text("print.css")] if medium == "pdf" else [screen]


def _content_policy(styles: list[str], script: str) -> str:
    parts = [
        "default-src 'none'", "img-src data:", "font-src data:", "style-src " + " ".join(map(_source, styles)),
        *([f"script-src {_source(script)}"] if script else []), "base-uri 'none'", "form-action 'none'",
    ]  # fmt: skip
    return "; ".join(parts)


def _source(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") + "'"
