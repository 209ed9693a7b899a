"""The self-test of a release: every finished public file is held against what must not be in it, and fails closed.

Three tests, each by itself: the bytes are searched for ids and single values, in every text that a file holds and in
other codings (`texts`, `paper`, `search`); the result is walked for small cells (`structure`); and `audit.json`, also
where it is attached to the PDF, must say what the result says, in its one canonical spelling, and the page must be what
that document gives when it is set again, so that neither can carry anything else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from auditkit.errors import Complaint, IntegrityError
from auditkit.release import structure
from auditkit.release.paper import attachments, identifiers, texts_of_pdf
from auditkit.release.search import Searcher
from auditkit.release.secrets import Secrets
from auditkit.release.texts import Text, texts_of
from auditkit.result import AuditResult, parse

JSON: Final = "audit.json"
PDF: Final = ".pdf"
Again: TypeAlias = Callable[[AuditResult], bytes]
STATEMENT: Final = (
    "A run writes its public files (pages, figures, metadata and attachments) only after they were searched for the "
    "ids of records and persons, for texts and values that few records have, for single records' losses, scores and "
    "self-influence, and for digests of records, and the result for counts below the minimum cell, without a hit."
)
"""For the report."""
HTML: Final = ".html"
_N: Final = re.compile(
    r"\bn(?:\s|\u00a0)*=(?:\s|\u00a0)*([0-9]{1,2})(?![\w,%]|\.\d)"
    r"(?!(?:\s|\u00a0)*(?:halves|models|retrained|guesses|subsets))"
)


def require_sealed(public: Mapping[str, bytes], result: AuditResult, secrets: Secrets, *, again: Again) -> None:
    """Complain of every public file that holds what it must not; nothing may be written then.

    Args:
        public: file name -> finished bytes. result: what they say. secrets: what they must not.
        again: sets the page (HTML) of a result.

    Raises:
        IntegrityError: with the file and the kind of what was found, never the thing itself.
    """
    found = list(complaints(public, result, secrets, again=again))
    if found:
        raise IntegrityError(found)


def complaints(
    public: Mapping[str, bytes], result: AuditResult, secrets: Secrets, *, again: Again
) -> Iterator[Complaint]:
    """What is wrong with the public files."""
    hint = "nothing was published; this is a defect of auditkit, please report it with the policy"
    for what in structure.complaints(result):
        yield Complaint(what, JSON, hint)
    own = frozenset(public.values())
    told = Searcher(_with_digests(secrets, public))
    for name, content in public.items():
        texts = list(_texts(name, content, own))
        for what in told.found(texts):
            yield Complaint(f"it holds {what}", name, hint)
        if any(0 < int(n) < result.minimum_cell for text in texts if text.prose for n in _N.findall(text.content)):
            yield Complaint("it prints an n below the minimum cell", name, hint)
        for what in _said(name, content, result):
            yield Complaint(what, name, hint)
        if name.endswith(HTML) and again(parse(result.model_dump(mode="json"))) != content:
            yield Complaint("it says other than audit.json: set again it gives other bytes", name, hint)


def _with_digests(secrets: Secrets, public: Mapping[str, bytes]) -> Secrets:
    """Digests of whole public files, and the identifiers of a PDF, may stand in another file."""
    allowed = {hashlib.sha256(content).hexdigest() for content in public.values()}
    allowed |= {found for name, content in public.items() if name.endswith(PDF) for found in identifiers(content)}
    attached = (data for name, content in public.items() if name.endswith(PDF) for _, data in attachments(content))
    allowed |= {hashlib.md5(data, usedforsecurity=False).hexdigest() for data in attached}  # PDF's own check sum
    return Secrets(**{**vars(secrets), "digests": secrets.digests | allowed})


def _texts(name: str, content: bytes, known: frozenset[bytes]) -> Iterator[Text]:
    return texts_of_pdf(content, known=known - {content}) if name.endswith(PDF) else texts_of(content)


def _said(name: str, content: bytes, result: AuditResult) -> Iterator[str]:
    """What the file says that the result does not."""
    if name == JSON:
        yield from _canonical(content, result)
    elif name.endswith(PDF):
        for attached, data in attachments(content):
            if attached != JSON:
                yield "it has an attachment that no report has"
            yield from _canonical(data, result)


def _canonical(content: bytes, result: AuditResult) -> Iterator[str]:
    """Whether the document is the result in its one spelling; its small cells where it is another."""
    try:
        document = json.loads(content)
        told = parse(document)
    except (ValueError, IntegrityError):
        yield "the attached result is no result of an audit"
        return
    if document != result.model_dump(mode="json"):
        yield "it says other than the result"
        yield from structure.complaints(told)
    elif _spelled(document) != content:
        yield "it is not spelled as the result is: something else may be carried in it"


def _spelled(document: Any) -> bytes:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2, sort_keys=True)
    return (text + "\n").encode("utf-8", errors="backslashreplace")
