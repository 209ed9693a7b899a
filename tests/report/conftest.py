from __future__ import annotations

from xml.etree.ElementTree import Element

import pytest
import tinyhtml5

from auditkit.report import html, pdf
from auditkit.result import AuditResult
from tests.report import example


@pytest.fixture(scope="session")
def full() -> AuditResult:
    return example.full()


@pytest.fixture(scope="session")
def minimal() -> AuditResult:
    return example.minimal()


@pytest.fixture(scope="session")
def hostile() -> AuditResult:
    return example.hostile()


@pytest.fixture(scope="session")
def full_html(full: AuditResult) -> str:
    return html.render(full).decode()


@pytest.fixture(scope="session")
def minimal_html(minimal: AuditResult) -> str:
    return html.render(minimal).decode()


@pytest.fixture(scope="session")
def hostile_html(hostile: AuditResult) -> str:
    return html.render(hostile).decode()


@pytest.fixture(scope="session", params=["full", "minimal", "hostile"])
def page(request: pytest.FixtureRequest) -> Element:
    return tree(request.getfixturevalue(f"{request.param}_html"))


@pytest.fixture(scope="session")
def full_page(full_html: str) -> Element:
    return tree(full_html)


@pytest.fixture(scope="session")
def full_pdf(full: AuditResult) -> bytes:
    return pdf.render(full)


@pytest.fixture(scope="session")
def hostile_pdf(hostile: AuditResult) -> bytes:
    return pdf.render(hostile)


def tree(text: str) -> Element:
    root: Element = tinyhtml5.parse(text, namespace_html_elements=False)
    return root
