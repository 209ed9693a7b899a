from __future__ import annotations

import json as plain_json
import math

import pytest

from auditkit.report import json
from auditkit.result import AuditResult, Estimate, Fact, parse


def test_it_is_canonical_and_reads_back(full: AuditResult) -> None:
    data = json.render(full)
    assert data.endswith(b"}\n") and not data.endswith(b"\n\n")
    again = plain_json.loads(data)
    assert list(again) == sorted(again)
    assert parse(again) == full
    assert json.render(parse(again)) == data


def test_it_keeps_the_text_as_it_was_given(hostile: AuditResult) -> None:
    assert "日本" in json.render(hostile).decode()


def test_a_number_that_is_not_finite_is_refused(full: AuditResult) -> None:
    finding = full.findings[0].model_copy(update={"estimate": Estimate(value=math.nan)})
    with pytest.raises(ValueError, match="not JSON compliant"):
        json.render(full.model_copy(update={"findings": (finding,)}))


def test_the_order_of_a_dictionary_does_not_matter(full: AuditResult) -> None:
    turned = full.stamp.model_copy(update={"digests": dict(reversed(full.stamp.digests.items()))})
    assert json.render(full.model_copy(update={"stamp": turned})) == json.render(full)
    changed = full.model_copy(update={"limits": (Fact(name="x", value="y"),)})
    assert json.render(changed) != json.render(full)
