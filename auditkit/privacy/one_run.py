"""A lower limit of epsilon from one training run with randomly inserted canaries.

Theorem (Steinke, Nasr & Jagielski, Privacy Auditing with One (1) Training Run, NeurIPS 2023, arXiv 2305.08846, main
theorem and appendix D). Of m canaries each is added to the training records by an independent fair coin S_i in {-1, 1}.
Whoever sees the model states T in {-1, 0, 1}^m, 0 for no guess, with r = sum |T_i| guesses fixed beforehand. If the
training is (epsilon, delta)-differentially private under adding or removing one record, then for every v

    P[sum_i max(0, T_i S_i) >= v] <= f(v) + 2 m delta max_{1 <= i <= m} (f(v - i) - f(v)) / i,

    f(v) = P[Binomial(r, q) >= v],  q = e^epsilon / (1 + e^epsilon).

With delta = 0 that is f(v): nobody guesses better than a coin that shows the truth with probability q. Independence of
the canaries' fates in the model is not assumed, only that of the coins. Valid for any way of guessing that does not see
the coins; wrong where the number of guesses, or who guesses, is chosen after looking at which guesses were right.

However strong the model's memory, r guesses show at most the epsilon at which f(r) reaches what the level leaves; with
delta = 0 that is -log((1 - level)^(-1/r) - 1), 2.55 for 40 guesses at 95 %. Few guesses are the surer ones, many can
show more. So several numbers of guesses are stated beforehand (SHARES of the canaries, up to all), each tested at its
part of the error (Bonferroni), and the largest limit stands. That costs little against the single number that is known
to be best only afterwards (`test_many_numbers_of_guesses_cost_little_and_show_more` measures it). Accounting in
f-differential privacy (Mahloujifar, Melis & Chaudhuri, Auditing f-Differential Privacy in One Run, 2024) gains where a
Gaussian mechanism is claimed; at delta = 0 randomised response attains the bound used here, so no valid one is larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import stats

from auditkit.errors import NumericsError
from auditkit.result import CanaryPart, EpsilonBound, Estimate, GuessCount
from auditkit.subject.types import Floats, Mask

CANARIES: Final = "privacy.canary_epsilon_lower_bound"
FEWEST: Final = 2
"""Guesses below which nothing could be shown at any level."""
SHARES: Final = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of the canaries that are guessed where the policy states none."""
WORTHWHILE: Final = 16
"""Guesses below which a share below 1 is left out: it could show little and would cost the others."""
COINS: Final = (
    "Each canary was inserted by its own fair coin, and its score depends on the coins through the model alone; "
    "nothing is assumed of how the fates of different canaries hang together.",
    "It speaks of a model trained in the same way with the canaries among its records, not of the audited parameters.",
)

LARGEST: Final = 30.0
STEP: Final = 1 / 16
"""Steps in which epsilon is raised until it is no longer rejected."""
HALVINGS: Final = 40


@dataclass(frozen=True)
class Planted:
    """What one retraining with canaries showed."""

    score: Floats
    """[m] the larger, the more like an inserted canary."""
    inserted: Mask
    """[m] the coins."""
    among: int
    """Training records that the canaries were put among."""
    rule: str
    """How canaries are made and scored."""


def bounded(
    planted: Planted | None, *, share: float | Literal["auto"], delta: float, level: float, absent: str
) -> tuple[EpsilonBound, CanaryPart]:
    """The limit from the canaries and what it rests on.

    Args:
        planted: canaries of one retraining, or None and `absent` says why.
        share: of the canaries that are guessed, stated beforehand; an even number, at least 2. `auto`: SHARES.
        delta: of the claim held against. level: confidence of the limit, one-sided.
    """
    frame = EpsilonBound(
        name=CANARIES, title="The recipe, by canaries in one run", about="the recipe with canaries among its records",
        status="not-applicable", reason=absent, relation="add-or-remove", unit="record", delta=delta,
        bound=Estimate(value=None, level=level, withheld=absent),
    )  # fmt: skip
    if planted is None:
        return frame, CanaryPart(status="not-applicable", reason=absent)
    m = len(planted.score)
    if guesses_of(m, 1.0) < FEWEST:
        few = "too few canaries to guess at"
        nothing = frame.model_copy(update={"reason": few, "bound": Estimate(value=None, level=level, withheld=few)})
        return nothing, CanaryPart(status="not-applicable", reason=few, canaries=m)
    counts = looked_at(planted.score, planted.inserted, numbers_of_guesses(m, share), delta=delta, level=level)
    best = max(counts, key=lambda count: count.bound)
    method = f"one-run bound of Steinke, Nasr and Jagielski at {_stated(len(counts))}, by bisection"
    bound = Estimate(value=best.bound, low=best.bound, level=level, n=planted.among, method=method)
    most = max(count.most for count in counts)
    update = {
        "status": "assessed", "reason": "", "attack": "Calibrated margin", "bound": bound, "most": most,
        "assumes": COINS,
    }  # fmt: skip
    part = CanaryPart(
        status="assessed", rule=planted.rule, canaries=m, guesses=best.guesses, right=best.right, counts=counts,
        inserted_into=planted.among,
    )  # fmt: skip
    return frame.model_copy(update=update), part


def _stated(numbers: int) -> str:
    if numbers == 1:
        return "guesses stated beforehand"
    return f"{numbers} numbers of guesses stated beforehand, each at its part of the level"


def numbers_of_guesses(canaries: int, share: float | Literal["auto"]) -> tuple[int, ...]:
    """The numbers of guesses that are looked at, before anything is known of the scores.

    >>> numbers_of_guesses(400, "auto"), numbers_of_guesses(20, "auto"), numbers_of_guesses(400, 0.1)
    ((24, 50, 100, 200, 400), (20,), (40,))
    """
    if share != "auto":
        return (guesses_of(canaries, share),)
    found = {guesses_of(canaries, part) for part in SHARES}
    return tuple(sorted(r for r in found if r >= WORTHWHILE or r == guesses_of(canaries, 1.0)))


def looked_at(
    scores: Floats, inserted: Mask, numbers: tuple[int, ...], *, delta: float, level: float
) -> tuple[GuessCount, ...]:
    """What each number of guesses shows at its part of the error; the largest limit holds at `level`.

    Args:
        scores: [m] the larger, the more like an inserted canary. inserted: [m] the coins.
        numbers: of guesses, stated beforehand. delta, level: as in `lower_bound`, of all numbers together.
    """
    m, each = len(scores), 1 - (1 - level) / len(numbers)
    found = []
    for guesses in numbers:
        right = right_guesses(scores, inserted, guesses)
        bound, most = (
            lower_bound(canaries=m, guesses=guesses, right=v, delta=delta, level=each) for v in (right, guesses)
        )
        found.append(GuessCount(guesses=guesses, right=right, level=each, bound=bound, most=most))
    return tuple(found)


def canaries_needed(epsilon: float, *, level: float) -> int:
    """Canaries with which a claim of this epsilon could be contradicted, every one guessed rightly; with delta = 0.

    All are guessed, at one of len(SHARES) parts of the error: the least m with q^m < (1 - level) / len(SHARES). Of a
    claim above LARGEST what that one needs is told: more than anybody inserts, and q is 1 to the last bit soon after.
    """
    each = (1 - level) / len(SHARES)
    return int(np.floor(np.log(each) / -np.logaddexp(0.0, -min(epsilon, LARGEST)))) + 1


def planted_arrays(planted: Planted | None) -> dict[str, Floats | Mask]:
    """For restricted evidence: `canary_score` and `canary_inserted`, each [m]."""
    return {} if planted is None else {"canary_score": planted.score, "canary_inserted": planted.inserted}


def guesses_of(canaries: int, share: float) -> int:
    """Guesses that a share of the canaries makes: an even number, at least 2 and at most all."""
    return min(canaries - canaries % 2, max(2, 2 * round(share * canaries / 2)))


def right_guesses(scores: Floats, inserted: Mask, guesses: int) -> int:
    """How many of the guesses are right: the highest half of them guessed in, the lowest half guessed out.

    Args:
        scores: [m] the larger, the more like an inserted canary; equal scores are taken in the canaries' own order,
            which the coins do not know. inserted: [m] the coins. guesses: r, even, at most m.

    Raises:
        NumericsError: r is odd, negative or above m, or a score is NaN.
    """
    if guesses % 2 or not 0 <= guesses <= len(scores):
        raise NumericsError(f"{guesses} guesses at {len(scores)} canaries; an even number is needed, at most all")
    if np.isnan(scores).any():
        raise NumericsError(f"{int(np.isnan(scores).sum())} of {len(scores)} canaries have no score")
    order, half = np.argsort(-scores, kind="stable"), guesses // 2
    return int(inserted[order[:half]].sum() + (~inserted[order[len(order) - half :]]).sum())


def p_value(*, canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """Most that (epsilon, delta)-differential privacy allows for the chance of at least `right` right guesses.

    Args:
        canaries: m. guesses: r. right: v. epsilon, delta: what is held against the guesses.

    Raises:
        NumericsError: not 0 <= v <= r <= m, epsilon below 0, or delta outside [0, 1].
    """
    _check(canaries, guesses, right, delta)
    if epsilon < 0:
        raise NumericsError(f"epsilon is {epsilon!r}; it cannot be negative")
    # f(v), f(v - 1), ..., f(0); beyond it f stays 1, and the quotient falls.
    tails = stats.binom.sf(right - 1 - np.arange(right + 1), guesses, 1 / (1 + np.exp(-epsilon)))
    steepest = float(np.max((tails[1:] - tails[0]) / np.arange(1, right + 1), initial=0.0))
    return min(1.0, float(tails[0]) + 2 * canaries * delta * steepest)


def lower_bound(*, canaries: int, guesses: int, right: int, delta: float, level: float) -> float:
    """Largest epsilon below which every epsilon is rejected at 1 - level; 0 where none is.

    A training that is (epsilon, delta)-private gives a bound above its epsilon in at most 1 - level of the runs.

    Args:
        canaries: m. guesses: r, stated beforehand. right: v. delta: of the claim held against. level: confidence.

    Raises:
        NumericsError: as `p_value`, or level outside (0, 1).
    """
    _check(canaries, guesses, right, delta)
    if not 0 < level < 1:
        raise NumericsError(f"the level is {level!r}; it must lie between 0 and 1")

    def rejected(epsilon: float) -> bool:
        return p_value(canaries=canaries, guesses=guesses, right=right, epsilon=epsilon, delta=delta) < 1 - level

    if not rejected(0.0):
        return 0.0
    low = 0.0
    while rejected(low + STEP):
        low += STEP
    high = low + STEP
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return low


def _check(canaries: int, guesses: int, right: int, delta: float) -> None:
    if not 0 <= right <= guesses <= canaries:
        raise NumericsError(f"{right} right of {guesses} guesses at {canaries} canaries cannot be")
    if not 0 <= delta <= 1:
        raise NumericsError(f"delta is {delta!r}; it must lie between 0 and 1")
