"""The fairness part of the example: rates from invented counts, Wilson intervals, ratios from the rates."""

from __future__ import annotations

import math

from auditkit.result import (
    Estimate,
    FairnessPart,
    Group,
    Measurement,
    MetricNote,
    Point,
    ScoreGroup,
    Series,
)

# attribute: group -> (n, selected, repaid, repaid and selected), reference group
PEOPLE: dict[str, tuple[dict[str, tuple[int, int, int, int]], str]] = {
    "sex": ({"female": (902, 541, 690, 462), "male": (1067, 878, 806, 747)}, "male"),
    "age": (
        {
            "18–24": (203, 118, 142, 96),
            "25–39": (801, 617, 623, 541),
            "40–61": (774, 576, 597, 508),
            "62 and over": (191, 92, 134, 56),
        },
        "25–39",
    ),
    "ethnicity": (
        {
            "white": (1236, 914, 966, 789),
            "asian": (208, 152, 160, 131),
            "black": (259, 165, 188, 140),
            "mixed": (113, 80, 86, 68),
        },
        "white",
    ),
    "sex x age": (
        {
            "female · 18–24": (96, 48, 66, 41),
            "female · 25–39": (371, 236, 284, 203),
            "female · 40–61": (345, 211, 268, 184),
            "female · 62 and over": (90, 36, 72, 30),
            "male · 18–24": (107, 70, 76, 55),
            "male · 25–39": (430, 381, 339, 338),
            "male · 40–61": (429, 365, 329, 324),
            "male · 62 and over": (101, 56, 62, 28),
        },
        "male · 25–39",
    ),
}


def wilson(events: int, n: int) -> Estimate:
    z, p = 1.959964, events / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Estimate(
        value=p, low=max((centre - half) / scale, 0.0), high=min((centre + half) / scale, 1.0), n=n, events=events,
        method="Wilson score",
    )  # fmt: skip


def compared(one: Estimate, other: Estimate, *, ratio: bool) -> Estimate:
    """Delta-method interval of a ratio or difference of two rates; good enough for an invented example."""
    assert one.value is not None and other.value is not None and one.n and other.n
    p, q = one.value, other.value
    n = one.n + other.n
    method = "cell bootstrap, 10,000 replicates, simultaneous"
    if ratio:
        half = 2.24 * math.sqrt((1 - p) / (p * one.n) + (1 - q) / (q * other.n))
        return Estimate(value=p / q, low=p / q * math.exp(-half), high=p / q * math.exp(half), n=n, method=method)
    half = 2.24 * math.sqrt(p * (1 - p) / one.n + q * (1 - q) / other.n)
    return Estimate(value=p - q, low=p - q - half, high=p - q + half, n=n, method=method)


def rates(cell: tuple[int, int, int, int]) -> dict[str, Estimate]:
    n, selected, repaid, hit = cell
    false = selected - hit
    return {
        "selection_rate": wilson(selected, n),
        "tpr": wilson(hit, repaid),
        "fpr": wilson(false, n - repaid),
        "fnr": wilson(repaid - hit, repaid),
        "ppv": wilson(hit, selected),
        "tnr": wilson(n - repaid - false, n - repaid),
        "accuracy": wilson(hit + n - repaid - false, n),
    }


METRICS = tuple(
    MetricNote(measure=f"fairness.{name}", title=title, formula=formula, meaning=meaning, source=source)
    for name, title, formula, meaning, source in (
        ("selection_rate", "Selection rate", "selected / all", "Share of the group that is approved.", "29 CFR 1607.4"),
        ("tpr", "True-positive rate", "selected and repaid / repaid",
         "Of those who repaid, the share approved.", "Hardt et al. 2016"),
        ("fpr", "False-positive rate", "selected and not repaid / not repaid",
         "Of those who did not repay, the share approved.", "Hardt et al. 2016"),
        ("fnr", "False-negative rate", "declined and repaid / repaid",
         "Of those who repaid, the share declined.", "Hardt et al. 2016"),
        ("ppv", "Positive predictive value", "selected and repaid / selected",
         "Of those approved, the share who repaid.", "Chouldechova 2017"),
        ("accuracy", "Accuracy", "agreeing decisions / all", "Share of decisions that agree with the label.", "–"),
        ("impact_ratio", "Impact ratio", "selection rate / reference rate",
         "One means equal rates; below 0.80 is under four-fifths.", "29 CFR 1607.4(D)"),
        ("selection_rate_difference", "Selection-rate difference", "rate − reference rate",
         "Zero means equal rates.", "Calders and Verwer 2010"),
        ("tpr_difference", "True-positive-rate difference", "rate − reference rate",
         "Zero means equal opportunity.", "Hardt et al. 2016"),
    )
)  # fmt: skip


def scores() -> tuple[ScoreGroup, ...]:
    """Invented curves: of both sexes, exact and rounded, and of the groups of ethnicity but for one."""
    out = []
    for on, group, shift in (("sex", "female", 0.1), ("sex", "male", 0.0), ("ethnicity", "white", 0.0),
                             ("ethnicity", "asian", 0.02), ("ethnicity", "black", 0.05)):  # fmt: skip
        steps = tuple(Point(x=x / 10, y=min(x / 10 + shift * (x < 10), 1.0)) for x in range(11))
        bins = ((0.2, 0.35), (0.55, 0.5), (0.9, 0.85))
        shares = tuple(Point(x=x, y=y, low=y - 0.1, high=y + 0.1) for x, y in bins)
        out.append(ScoreGroup(
            on=on, group=group,
            distribution=Series(name="Score distribution", x_label="Score", y_label="Share of records below",
                                points=steps, n=900, method="every step holds no record or at least 10 persons"),
            calibration=Series(name="Calibration", x_label="Mean score", y_label="Share of favourable labels",
                               points=shares, n=900, method="Wilson score intervals"),
        ))  # fmt: skip
    nothing = Series(name="", x_label="", y_label="", points=())
    few = "fewer than 30 records or persons in this group"
    return (*out, ScoreGroup(on="ethnicity", group="mixed", distribution=nothing, calibration=nothing, withheld=few))


def fairness() -> FairnessPart:
    groups: list[Group] = []
    rows: list[Measurement] = []
    for on, (cells, reference) in PEOPLE.items():
        base = rates(cells[reference])
        for name, cell in cells.items():
            groups.append(
                Group(on=on, group=name, n=cell[0], persons=cell[0] - 7, share=cell[0] / 2000, status="assessed",
                      is_reference=name == reference)
            )  # fmt: skip
            own = rates(cell)
            for measure, estimate in own.items():
                rows.append(Measurement(measure=f"fairness.{measure}", on=on, group=name, estimate=estimate))
            if name == reference:
                continue
            for measure, of, ratio in (
                ("impact_ratio", "selection_rate", True),
                ("selection_rate_difference", "selection_rate", False),
                ("tpr_difference", "tpr", False),
                ("fpr_difference", "fpr", False),
                ("fnr_difference", "fnr", False),
                ("tpr_ratio", "tpr", True),
            ):
                rows.append(
                    Measurement(
                        measure=f"fairness.{measure}", on=on, group=name, reference=reference,
                        unit="ratio" if ratio else "points", estimate=compared(own[of], base[of], ratio=ratio),
                    )
                )  # fmt: skip
    groups += [
        Group(on="sex", group="unknown", n=31, share=31 / 2000, status="unknown"),
        Group(on="age", group="unknown", n=31, share=31 / 2000, status="unknown"),
        Group(on="ethnicity", group="other", n=16, share=0.008, status="insufficient-evidence",
              reason="16 records, the policy needs 30"),
        Group(on="ethnicity", group="traveller", n=None, status="insufficient-evidence",
              reason="fewer than 10 records: not shown"),
        Group(on="ethnicity", group="unknown", n=159, share=0.0795, status="unknown"),
    ]  # fmt: skip
    withheld = Estimate(value=None, n=None, withheld="fewer than 30 records")
    for name in ("other", "traveller"):
        for measure, unit in (("selection_rate", "rate"), ("tpr", "rate"), ("impact_ratio", "ratio")):
            reference = "white" if unit == "ratio" else ""
            rows.append(
                Measurement(measure=f"fairness.{measure}", on="ethnicity", group=name, unit=unit,  # type: ignore[arg-type]
                            reference=reference, estimate=withheld)
            )  # fmt: skip
    return FairnessPart(
        status="assessed", attributes=tuple(PEOPLE), groups=tuple(groups), measurements=tuple(rows), metrics=METRICS,
        scores=scores(),
        notes=("The reference of ethnicity is the largest group; the policy names none.",),
    )  # fmt: skip
