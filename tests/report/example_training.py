"""The influence and privacy parts of the example, invented."""

from __future__ import annotations

from collections.abc import Sequence

from auditkit.result import (
    Composition,
    CompositionRow,
    Duplicates,
    Estimate,
    InfluencePart,
    Measurement,
    Point,
    PrivacyPart,
    Quality,
    ResolutionRow,
    Screen,
    Series,
    SliceInfluence,
)
from tests.report.example_fairness import wilson


def composition(direction: str, share: float, n: int, rows: Sequence[tuple[str, str, int, float]]) -> Composition:
    return Composition(
        direction=direction, top_share=share, n=n,  # type: ignore[arg-type]
        rows=tuple(
            CompositionRow(column=c, level=v, share=wilson(k, n), base_share=b, lift=k / n / b) for c, v, k, b in rows
        ),
    )  # fmt: skip


def slice_influence(name: str, kind: str, why: str, *, value: float, measure: str, scale: float) -> SliceInfluence:
    up = [("branch", "Harbour Street", 15, 0.10), ("branch", "Mill Lane", 13, 0.10), ("sex", "female", 35, 0.47),
          ("label", "not repaid", 38, 0.26), ("employment", "part-time", 14, 0.17), ("age", "18–24", 6, 0.10),
          ("purpose", "medical", 5, 0.07)]  # fmt: skip
    down = [("sex", "male", 26, 0.53), ("label", "repaid", 33, 0.74), ("branch", "Kings Gate", 6, 0.10),
            ("employment", "full-time", 29, 0.63), ("age", "25–39", 18, 0.40)]  # fmt: skip

    def wide(rows: list[tuple[str, str, int, float]]) -> list[tuple[str, str, int, float]]:
        return [(c, v, k * 4, b) for c, v, k, b in rows]

    return SliceInfluence(
        name=name, kind=kind, why=why, n=229, measure=measure, value=value,  # type: ignore[arg-type]
        where="sex = 'female' AND repaid = 1 AND decision = 0" if kind == "slice" else "",
        unit="nats" if measure == "mean loss" else "points",
        p99_raises=0.00041 * scale, p99_lowers=-0.00057 * scale, share_in_top_1pct=0.212,
        compositions=(
            composition("lowers", 0.01, 40, up), composition("lowers", 0.05, 200, wide(up)),
            composition("raises", 0.01, 40, down), composition("raises", 0.05, 200, wide(down)),
        ),
    )  # fmt: skip


def influence() -> InfluencePart:
    return InfluencePart(
        status="assessed", estimator="exact", why_estimator="78 parameters: the exact form is affordable.",
        source="Koh and Liang 2017; Newton step in matrix form", damping=0.0, weight_decay="0.001 on all parameters",
        parameters=78, covered_share=1.0, n_train=4000,
        slices=(
            slice_influence("declined-women-who-repaid", "slice", "Women who repaid and would be declined",
                            value=0.93, measure="mean loss", scale=1.0),
            slice_influence("male − female", "gap", "Gap in the mean favourable score by sex",
                            value=0.137, measure="gap in mean favourable score", scale=0.4),
            slice_influence("female", "group", "Group of sex", value=0.64, measure="mean favourable score", scale=0.3),
            slice_influence("male", "group", "Group of sex", value=0.78, measure="mean favourable score", scale=0.2),
            SliceInfluence(name="cases", kind="case", why="Cases named by the policy", n=None, measure="mean loss",
                           unit="nats", value=None,
                           withheld="a case is one person; its records are in the restricted annex"),
        ),
        quality=(
            Quality(name="Converged", value=3.1e-9, text="Norm of the gradient at the audited parameters."),
            Quality(name="Fidelity", value=None, text="No retrained models in this audit, so agreement with retraining "
                    "was not measured on this model.", warns=True),
        ),
    )  # fmt: skip


def privacy() -> PrivacyPart:
    def clopper(value: float, low: float, high: float, n: int) -> Estimate:
        return Estimate(value=value, low=low, high=high, n=n, events=round(value * n), method="Clopper–Pearson")

    curve = ((0.005, 0.0061), (0.01, 0.0125), (0.02, 0.025), (0.05, 0.058), (0.1, 0.113), (0.2, 0.219), (0.5, 0.52),
             (1.0, 1.0))  # fmt: skip
    return PrivacyPart(
        status="assessed", attack="Loss threshold", attack_source="Yeom et al., CSF 2018",
        measurements=(
            Measurement(measure="privacy.train_evaluation_gap", unit="nats", estimate=Estimate(
                value=0.0121, low=-0.004, high=0.0281, n=6000, method="Welch")),
            Measurement(measure="privacy.attack_auc", unit="score", estimate=Estimate(
                value=0.512, low=0.499, high=0.525, n=8000, method="DeLong")),
            Measurement(measure="privacy.tpr_at_fpr_0.01", estimate=clopper(0.0125, 0.0093, 0.0165, 4000)),
            Measurement(measure="privacy.tpr_at_fpr_0.001", estimate=Estimate(
                value=None, n=4000, withheld="4,000 non-members give 4 expected false positives, 10 are needed")),
        ),
        resolution=(
            ResolutionRow(false_positive_rate=0.001, expected_false_positives=2.0, needed_n=10_000,
                          tpr=Estimate(value=None, withheld="not resolved by these data"),
                          realised_fpr=Estimate(value=None, withheld="not resolved by these data")),
            ResolutionRow(false_positive_rate=0.01, expected_false_positives=20.0,
                          tpr=clopper(0.0125, 0.0093, 0.0165, 4000), realised_fpr=clopper(0.0105, 0.0065, 0.016, 2000)),
            ResolutionRow(false_positive_rate=0.1, expected_false_positives=200.0,
                          tpr=clopper(0.113, 0.1034, 0.1232, 4000), realised_fpr=clopper(0.1, 0.0872, 0.114, 2000)),
        ),
        roc=Series(name="roc", x_label="False-positive rate", y_label="True-positive rate", n=8000, method="binned",
                   points=tuple(Point(x=x, y=y, low=y * 0.82, high=min(y * 1.2, 1.0)) for x, y in curve)),
        screen=Screen(
            status="assessed", rule="self-influence above the upper adjusted box-plot fence", cut=6.3, n=4000,
            flagged=wilson(63, 4000),
            by_group=tuple(
                Measurement(measure="privacy.screen_share", on="sex", group=g, unit="share", estimate=wilson(k, n))
                for g, k, n in (("female", 37, 1880), ("male", 26, 2120))),
            tail=Series(
                name="tail", x_label="Self-influence, multiples of its median",
                y_label="Share of training records at or above", n=4000,
                method="steps that hold fewer than 10 persons are merged; the largest values are not shown",
                points=tuple(Point(x=round(10 ** (k / 10), 3), y=share) for k, share in enumerate(
                    (0.5, 0.42, 0.35, 0.28, 0.22, 0.17, 0.125, 0.08, 0.049, 0.0222, 0.0115, 0.0065, 0.0031)))),
            by=(CompositionRow(column="label", level="not repaid", share=wilson(49, 63), base_share=0.26, lift=2.99),
                CompositionRow(column="branch", level="Mill Lane", share=wilson(17, 63), base_share=0.1, lift=2.7)),
        ),
        duplicates=Duplicates(exact_in_train=0, near_in_train=15, exact_across=None, near_across=12,
                              rule="Nearest neighbour within 5 % of the median distance.",
                              notes=("Pairs of one person are counted.",)),
        threat_model=(("Access", "probabilities to staff"), ("Knows", "the record and its label"), ("Released", "no")),
        not_tested=("Attribute inference.", "Attacks with retrained models."),
    )  # fmt: skip
