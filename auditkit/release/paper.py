"""The texts of a PDF: text layer, metadata, annotations, attachments, every string, every stream, and its bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from auditkit.errors import IntegrityError
from auditkit.release.texts import Text, code, texts_in, texts_of

if TYPE_CHECKING:
    from pypdf import PdfReader

_STREAM: Final = re.compile(rb"stream\r?\n.*?endstream", re.DOTALL)


def texts_of_pdf(content: bytes, *, known: frozenset[bytes]) -> Iterator[Text]:
    """Every text of a PDF.

    Args:
        content: the file. known: attachments that are looked at by themselves, byte by byte the same.

    Raises:
        IntegrityError: the file cannot be read, so it cannot be searched.
    """
    yield from texts_in(_layer(content))
    with _reading(content) as reader:
        for number in sorted({*reader.xref_objStm, *(n for own in reader.xref.values() for n in own)}):
            yield from _of_object(reader.get_object(number), known)
        yield from texts_in("\n".join(map(str, (reader.metadata or {}).values())))
    yield from texts_of(_STREAM.sub(b" ", content))  # also comments, and what stands behind the end
    yield code(content)


def _layer(content: bytes) -> str:
    """The text layer of all pages, as a reader that copies it gets it."""
    from pypdfium2 import PdfDocument, PdfiumError

    try:
        with PdfDocument(content) as document:
            return "\n".join(page.get_textpage().get_text_range() for page in document)
    except PdfiumError as error:
        message = f"the PDF cannot be read, so it cannot be searched ({error})"
        raise IntegrityError(message) from error


@lru_cache(maxsize=2)
def attachments(content: bytes) -> tuple[tuple[str, bytes], ...]:
    """Name and content of every attached file.

    Raises:
        IntegrityError: the file cannot be read.
    """
    with _reading(content) as reader:
        return tuple((name, data) for name, files in reader.attachments.items() for data in files)


def identifiers(content: bytes) -> tuple[str, ...]:
    """The file's own identifiers, as they are written and as hexadecimal digits.

    Raises:
        IntegrityError: the file cannot be read.
    """
    with _reading(content) as reader:
        parts = [getattr(part, "original_bytes", b"") for part in reader.trailer.get("/ID", ())]
        return tuple(text for part in parts for text in (part.hex(), part.decode("latin-1").lower()))


@contextmanager
def _reading(content: bytes) -> Iterator[PdfReader]:
    """The file, opened; whatever it is broken by is one complaint."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted:
            message = "the PDF is encrypted, so it cannot be searched"
            raise IntegrityError(message)
        yield reader
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"the PDF cannot be read, so it cannot be searched ({error})"
        raise IntegrityError(message) from error


def _of_object(thing: object, known: frozenset[bytes]) -> Iterator[Text]:
    from pypdf.generic import (
        ArrayObject,
        ByteStringObject,
        DictionaryObject,
        NameObject,
        StreamObject,
        TextStringObject,
    )

    if isinstance(thing, StreamObject):
        data = thing.get_data()
        if data not in known:
            prose = thing.get("/Type") in ("/Metadata", "/EmbeddedFile") or "/Params" in thing
            yield from texts_of(data) if prose else [code(data)]
    if isinstance(thing, DictionaryObject):
        for key, inner in thing.items():
            yield from texts_in(str(key)[1:])
            yield from _of_object(inner, known)
    elif isinstance(thing, ArrayObject):
        for inner in thing:
            yield from _of_object(inner, known)
    elif isinstance(thing, TextStringObject):
        yield from texts_in(str(thing))
    elif isinstance(thing, ByteStringObject):
        yield from texts_of(bytes(thing))
    elif isinstance(thing, NameObject):
        yield from texts_in(str(thing)[1:])
