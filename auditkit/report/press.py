"""The child process of the PDF build: a job as JSON on standard input, the PDF on standard output.

It runs on its own because WeasyPrint's native libraries may crash (no font at all is a segmentation fault) and because
a runaway layout must end at a limit of memory and time without taking the audit with it. It knows no result: only HTML.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import re
import resource
import signal
import sys
from datetime import UTC, datetime
from typing import Any, Final

PARENT_DEATH_SIGNAL: Final = 1
"""`PR_SET_PDEATHSIG` of Linux's prctl."""
UA_SCHEMA = """<rdf:Description rdf:about="" xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/"
 xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/" xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#"
 xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#">
<pdfuaid:part>1</pdfuaid:part>
<pdfaExtension:schemas><rdf:Bag><rdf:li rdf:parseType="Resource">
<pdfaSchema:schema>PDF/UA Universal Accessibility Schema</pdfaSchema:schema>
<pdfaSchema:namespaceURI>http://www.aiim.org/pdfua/ns/id/</pdfaSchema:namespaceURI>
<pdfaSchema:prefix>pdfuaid</pdfaSchema:prefix>
<pdfaSchema:property><rdf:Seq><rdf:li rdf:parseType="Resource">
<pdfaProperty:name>part</pdfaProperty:name><pdfaProperty:valueType>Integer</pdfaProperty:valueType>
<pdfaProperty:category>internal</pdfaProperty:category>
<pdfaProperty:description>Part of ISO 14289 that the file conforms to</pdfaProperty:description>
</rdf:li></rdf:Seq></pdfaSchema:property>
</rdf:li></rdf:Bag></pdfaExtension:schemas>
</rdf:Description>
"""
"""PDF/A knows no property of PDF/UA unless the file describes it (ISO 19005-3, 6.6.2.3)."""


def main() -> int:
    """Read one job, limit this process, write the PDF; a refusal or an error is one line on standard error."""
    job = json.load(sys.stdin)
    end_with(int(job["parent"]))
    limit, seconds = int(job["memory"]), int(job["cpu_seconds"])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        data = press(job)
    except MemoryError:
        sys.stderr.write("the memory limit was reached\n")
        return 1
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(data)
    return 0


def end_with(parent: int) -> None:
    """End this process when its parent ends, also where that is killed; only Linux can do so."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before this was asked for
        sys.exit(1)


def press(job: dict[str, Any]) -> bytes:
    """HTML to a PDF that is PDF/A-3a and PDF/UA-1 at once, with its evidence attached.

    Raises:
        ValueError: the document asked for an address that is not allowed.
    """
    from weasyprint import HTML, Attachment
    from weasyprint.urls import FatalURLFetchingError

    from auditkit.report.fetcher import LockedFetcher

    fetcher = LockedFetcher()
    made = datetime.fromisoformat(job["as_of"]).replace(tzinfo=UTC)
    evidence = Attachment(
        string=base64.b64decode(job["evidence"]), name=job["evidence_name"], description=job["evidence_text"],
        created=made, modified=made, relationship="Data",
    )  # fmt: skip
    document = HTML(string=job["html"], url_fetcher=fetcher, base_url=None)
    data = b""
    try:
        data = document.write_pdf(
            pdf_variant="pdf/a-3a", pdf_identifier=bytes.fromhex(job["identifier"]), attachments=[evidence],
            finisher=add_ua_identifier,
        )  # fmt: skip
    except FatalURLFetchingError:  # a BaseException; the list below says which address it was
        if not fetcher.refused:
            raise
    if fetcher.refused:
        message = f"the document asked for addresses that are not allowed: {', '.join(fetcher.refused)}"
        raise ValueError(message)
    return data


def add_ua_identifier(document: object, pdf: Any) -> None:
    """Say PDF/UA-1 in the metadata beside PDF/A-3a; WeasyPrint writes one variant only.

    Raises:
        ValueError: the metadata are not where WeasyPrint puts them; the file would claim too little.
    """
    number = int(re.match(rb"\d+", bytes(pdf.catalog["Metadata"])).group())  # type: ignore[union-attr]
    stream = pdf.objects[number]
    text = b"".join(part if isinstance(part, bytes) else part.encode() for part in stream.stream)
    head, found, rest = text.rpartition(b"</rdf:RDF>")
    if not found:
        raise ValueError("the PDF's metadata have no rdf:RDF element")
    stream.stream = [head + UA_SCHEMA.encode() + found + rest]
    stream.compress = False


if __name__ == "__main__":
    sys.exit(main())
