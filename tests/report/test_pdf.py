from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pikepdf
import pytest

from auditkit.errors import AuditError
from auditkit.report import json, pdf
from auditkit.report.fetcher import LockedFetcher
from auditkit.report.press import add_ua_identifier
from auditkit.resources import font_faces
from auditkit.result import AuditResult

ROOT = Path(__file__).parents[2]


def opened(data: bytes) -> pikepdf.Pdf:
    return pikepdf.open(io.BytesIO(data))


def job(body: str) -> dict[str, object]:
    return {
        "html": f'<!DOCTYPE html><html lang="en"><title>t</title><body>{body}</body></html>', "as_of": "2026-11-23",
        "evidence": "", "evidence_name": "audit.json", "evidence_text": "", "identifier": "00" * 16,
    }  # fmt: skip


def pressed(job: dict[str, object], **limits: int) -> bytes:
    return pdf.PdfRendering(job, limits=pdf.Limits(**limits), scratch=None).wait()


def test_it_is_tagged_titled_and_says_both_standards(full_pdf: bytes, full: AuditResult) -> None:
    with opened(full_pdf) as file:
        assert file.Root.MarkInfo.Marked
        assert str(file.Root.Lang) == "en"
        assert file.Root.ViewerPreferences.DisplayDocTitle
        assert "/StructTreeRoot" in file.Root
        with file.open_metadata() as meta:
            assert meta["pdfaid:part"] == "3" and meta["pdfaid:conformance"] == "A"
            assert meta["{http://www.aiim.org/pdfua/ns/id/}part"] == "1"
            assert meta["dc:title"] == full.title
            assert meta["xmp:CreateDate"].startswith(full.stamp.as_of)


def test_the_evidence_is_attached_as_data(full_pdf: bytes, full: AuditResult) -> None:
    with opened(full_pdf) as file:
        attachment = file.attachments["audit.json"]
        assert attachment.get_file().read_bytes() == json.render(full)
        assert str(file.Root.AF[0].AFRelationship) == "/Data"
        assert len(file.attachments) == 1


def test_it_can_be_read_in_one_sitting_and_has_bookmarks(full_pdf: bytes) -> None:
    with opened(full_pdf) as file:
        assert 8 <= len(file.pages) <= 20
        with file.open_outline() as outline:
            titles = [item.title for item in outline.root]
    assert titles[:3] == ["Contents", "1 Verdicts", "2 Fairness across groups"]


def test_its_fonts_are_ours_and_embedded(full_pdf: bytes) -> None:
    names = set()
    with opened(full_pdf) as file:
        for item in file.objects:
            if isinstance(item, pikepdf.Dictionary) and item.get("/Type") == "/FontDescriptor":
                assert any(key in item for key in ("/FontFile", "/FontFile2", "/FontFile3"))
                names.add(str(item.FontName).split("+")[-1])
    assert names and all(name.startswith(("Source-Sans-Pro", "DejaVu-Sans")) for name in names)


def test_hostile_text_runs_nothing_and_links_nowhere(hostile_pdf: bytes) -> None:
    with opened(hostile_pdf) as file:
        for item in file.objects:
            if isinstance(item, pikepdf.Dictionary):
                assert item.get("/S") not in ("/JavaScript", "/Launch", "/GoToR")
                assert "/URI" not in item or str(item["/URI"]).startswith("https://")
        assert "/OpenAction" not in file.Root


def test_two_processes_with_other_hash_seeds_give_the_same_bytes(full_pdf: bytes, full_html: str) -> None:
    script = (
        "import hashlib, sys; sys.path[:0] = sys.argv[1:]; from tests.report import example\n"
        "from auditkit.report.renderers import RENDERERS\n"
        "for renderer in RENDERERS.values():\n"
        "    print(renderer.file, hashlib.sha256(renderer.render(example.full())).hexdigest())\n"
    )
    env = {**os.environ, "PYTHONHASHSEED": "4321", "TZ": "Asia/Tokyo"}
    run = subprocess.run([sys.executable, "-c", script, str(ROOT)], capture_output=True, text=True, check=True, env=env)
    other = dict(line.split() for line in run.stdout.splitlines())
    assert other["report.html"] == hashlib.sha256(full_html.encode()).hexdigest()
    assert other["report.pdf"] == hashlib.sha256(full_pdf).hexdigest()


@pytest.mark.parametrize(
    "body",
    [
        '<img src="file:///etc/passwd" alt="x">', '<img src="http://example.org/x.png" alt="x">',
        "<style>@import url(file:///etc/passwd);</style>", '<link rel="attachment" href="file:///etc/passwd">',
    ],
)  # fmt: skip
def test_an_address_outside_ends_the_build(body: str) -> None:
    with pytest.raises(AuditError, match="addresses that are not allowed"):
        pressed(job(body))


def test_the_fetcher_keeps_to_its_folders(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "a.css").write_text("p{}")
    (inside / "way-out").symlink_to("/etc/passwd")
    fetcher = LockedFetcher([inside])
    for url, held in (((inside / "a.css").as_uri(), b"p{}"), ("data:text/plain,x", b"x")):
        answer = fetcher.fetch(url)
        assert answer.read() == held
        answer.close()
    for url in ("file:///etc/passwd", f"{inside.as_uri()}/../secret", f"{inside.as_uri()}/%2e%2e/secret",
                f"{inside.as_uri()}/way-out", "http://example.org", "ftp://x", "file://host/etc/passwd"):  # fmt: skip
        with pytest.raises(ValueError, match="address refused"):
            fetcher.fetch(url)
    assert len(fetcher.refused) == 7


def test_a_memory_limit_is_an_error_with_words() -> None:
    with pytest.raises(AuditError, match=r"report\.pdf could not be made"):
        pressed(job("<p>x</p>"), memory=40 * 2**20)


def test_a_limit_of_processor_time_is_an_error_with_words() -> None:
    with pytest.raises(AuditError, match="more than 1 seconds of processor time"):
        pressed(job("<p>x</p>" * 20_000), cpu_seconds=1)


def test_a_rendering_that_is_stopped_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    rendering = pdf.PdfRendering(job("<p>x</p>" * 20_000), limits=pdf.Limits(), scratch=tmp_path)
    assert list(tmp_path.iterdir())
    rendering.stop()
    assert rendering._process.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []
    rendering.stop()


def test_a_file_without_metadata_is_not_called_accessible() -> None:
    file = SimpleNamespace(catalog={"Metadata": b"0 0 R"}, objects=[SimpleNamespace(stream=[b"<x/>"])])
    with pytest.raises(ValueError, match="no rdf:RDF"):
        add_ua_identifier(None, file)


def test_every_face_is_a_file() -> None:
    assert all(face.path.is_file() for face in font_faces())
