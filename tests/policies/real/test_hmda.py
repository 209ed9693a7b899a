"""HMDA as a full audit with a trained model: every figure of the report against an independent recomputation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.policies.real.acceptance import hold_counts, hold_html, hold_pdf, hold_result
from tests.policies.real.recompute import Audited, audit


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    return audit("hmda", tmp_path_factory.mktemp("hmda"))


def test_every_figure_is_recomputed(audited: Audited) -> None:
    assert hold_result(audited) > 3_000


def test_every_printed_figure_is_in_the_result(audited: Audited) -> None:
    assert hold_html(audited) > 1_000
    assert hold_pdf(audited) > 1


def test_what_is_left_out_is_counted(audited: Audited) -> None:
    hold_counts(audited)


@pytest.mark.prove
def test_at_full_size(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    full = audit("hmda", tmp_path, "full")
    record_property("figures of the result, each recomputed", hold_result(full))
    record_property("figures of the HTML, each from the result", hold_html(full))
    record_property("pages of the PDF", hold_pdf(full))
