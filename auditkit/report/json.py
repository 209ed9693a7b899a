"""audit.json: the whole result as canonical JSON, the evidence that both readable forms point to."""

from __future__ import annotations

import json

from auditkit.result import AuditResult


def render(result: AuditResult) -> bytes:
    """The result as UTF-8 JSON: keys sorted, two spaces, NaN refused, one trailing newline.

    Raises:
        ValueError: a number is not finite; the result promises None with a reason instead.
    """
    data = result.model_dump(mode="json")
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, indent=2, sort_keys=True)
    return (text + "\n").encode("utf-8", errors="backslashreplace")
