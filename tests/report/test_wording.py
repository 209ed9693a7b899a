from __future__ import annotations

import ast
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.report import phrasing, wording
from auditkit.report.glossary import TERMS
from auditkit.resources import templates_dir
from auditkit.result import Estimate

BANNED = re.compile(
    r"\b(fair|unfair|fairly|unbiased|safe|safely|unsafe|caused?|causes|harmful|helpful|bad|toxic)\b", re.IGNORECASE
)
REPORT = Path(wording.__file__).parent


def plain(text: str) -> str:
    return text.replace(wording.NBSP, " ")


@pytest.mark.parametrize(
    ("number", "unit", "expected"),
    [
        (0.412, "rate", "41.2 %"), (-0.1374, "points", "−13.7 points"), (0.7249, "ratio", "0.72"),
        (12345.0, "count", "12,345"), (0.0121, "nats", "0.0121 nats"), (0.512, "score", "0.512"),
        (0.0004, "share", "0.04 %"), (None, "rate", "–"), (-0.00001, "points", "0.00 points"), (0.0, "score", "0.000"),
    ],
)  # fmt: skip
def test_a_value_reads_in_its_unit(number: float | None, unit: str, expected: str) -> None:
    assert plain(wording.value(number, unit)) == expected


def test_a_value_never_prints_as_the_threshold_that_it_misses() -> None:
    assert wording.value(0.7996, "ratio", near=0.8) == "0.7996"[:6]
    assert wording.value(0.8, "ratio", near=0.8) == "0.80"
    assert plain(wording.value(0.04999, "rate", near=0.05)) != "5.0 %"


@given(st.floats(min_value=-1, max_value=1, allow_nan=False), st.sampled_from(["rate", "points", "ratio"]))
def test_a_printed_value_is_the_value_up_to_its_last_digit(number: float, unit: str) -> None:
    text = wording.value(number, unit).split(wording.NBSP)[0].replace("−", "-").replace(",", "")
    scale = 1 if unit == "ratio" else 100
    digits = len(text.partition(".")[2])
    assert math.isclose(float(text), number * scale, abs_tol=0.5 * 10**-digits + 1e-9)


@pytest.mark.parametrize(
    ("threshold", "unit", "expected"),
    [(0.8, "ratio", "0.80"), (0.05, "rate", "5 %"), (-0.05, "points", "−5 points"), (0.0125, "rate", "1.25 %"),
     (0.805, "ratio", "0.805"), (0.29, "rate", "29 %")],
)  # fmt: skip
def test_a_threshold_prints_as_the_policy_states_it(threshold: float, unit: str, expected: str) -> None:
    assert plain(wording.threshold(threshold, unit)) == expected


def test_an_estimate_reads_with_interval_level_and_n() -> None:
    estimate = Estimate(value=0.724, low=0.661, high=0.793, n=902, method="cell bootstrap")
    assert plain(wording.sentence(estimate, "ratio")) == "0.72 (95 % interval 0.66 to 0.79, n = 902)"
    assert plain(wording.level(estimate.model_copy(update={"level": 0.995}))) == "99.5 % interval"


def test_a_withheld_estimate_reads_as_its_reason() -> None:
    withheld = Estimate(value=None, withheld="fewer than 30 records")
    assert wording.sentence(withheld, "rate") == "withheld: fewer than 30 records"
    assert wording.shown(withheld, "rate") == "withheld"
    assert wording.shown(Estimate(value=None), "rate") == "not estimable"


def test_a_rounded_estimate_prints_no_digit_that_rounding_took_away() -> None:
    rate = Estimate(value=0.6, low=0.45, high=0.75, n=113, step=0.05)
    assert plain(wording.sentence(rate, "rate")) == "60 % (95 % interval 45 to 75 %, n = 113, rounded)"
    assert wording.shown(Estimate(value=0.9, low=0.7, high=1.2, step=0.1), "ratio") == "0.9"


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0.000082, "0.000082"), (3.1e-9, "3.1 × 10⁻⁹"), (-0.000571, "−0.000571"), (None, "–"), (12.0, "12")],
)
def test_three_significant_digits_need_no_decoding(number: float | None, expected: str) -> None:
    assert plain(wording.significant(number)) == expected


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (
            "privacy.tpr_at_fpr_0.01",
            "True-positive rate of the strongest membership attack at a false-positive rate of 1 %",
        ),
        (
            "privacy.loss_threshold_tpr_at_fpr_0.01",
            "True-positive rate of the loss-threshold attack at a false-positive rate of 1 %",
        ),
        ("fairness.selection_rate", "Selection rate"), ("privacy.attack_auc", "AUC of the strongest membership attack"),
        ("privacy.loss_gap", "Loss gap"),
    ],
)  # fmt: skip
def test_a_measure_without_a_title_reads_as_words(measure: str, expected: str) -> None:
    assert plain(wording.measure_title(measure, {})) == expected
    assert wording.measure_title(measure, {measure: "Own"}) == "Own"


def test_the_label_decides_what_error_rates_mean() -> None:
    assert "agreement with past decisions" in wording.LABELS["past-decision"][0]
    assert "past" not in wording.LABELS["outcome"][0]


def test_notes_that_differ_in_numbers_only_become_one() -> None:
    notes = ["n / 1.03, Clopper 1934", "n / 1.2, Clopper 1934", "other"]
    assert phrasing.collapsed(notes) == ["n / 1.03 to 1.2, Clopper 1934", "other"]
    assert phrasing.collapsed(["rounded to 0.1", "rounded to 0.05"]) == ["rounded to 0.05 to 0.1"]


def spoken(path: Path) -> list[str]:
    """Every string of a module that is not a docstring."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    silent = {
        id(node.body[0].value)
        for node in ast.walk(module)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent
    ]


def test_no_banned_word_is_spoken() -> None:
    texts = [text for path in sorted(REPORT.rglob("*.py")) for text in spoken(path) if text != "safe"]  # a YAML type
    texts += [
        re.sub(r"{%.*?%}|{{.*?}}", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for path in sorted(templates_dir().rglob("*.j2"))
    ]
    texts += [term.meaning for term in TERMS]
    assert len(texts) > 200
    assert [found.group() for text in texts for found in BANNED.finditer(text)] == []


def test_the_ban_catches_words_and_lets_the_subject_be_named() -> None:
    assert BANNED.search("The model is fair.")
    assert not BANNED.search("Fairness across groups")
