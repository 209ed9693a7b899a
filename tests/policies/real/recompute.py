"""A whole result recomputed from the raw files: what `audit.json` ought to say, and where it says otherwise."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from auditkit.run import run, train
from tests.policies.real.claims import Says, by_key, complaints
from tests.policies.real.prepare import Rows, prepare
from tests.policies.real.recompute_attacks import FURTHER, expected_further, rankings
from tests.policies.real.recompute_baseline import expected_baseline
from tests.policies.real.recompute_comparisons import add_inference, keyed_tests
from tests.policies.real.recompute_control import add_conditional, keyed_conditional
from tests.policies.real.recompute_data import (
    FIDELITY_FLOOR,
    LEVEL,
    MINIMUM_CELL,
    Floats,
    World,
    expected_data,
    read_world,
)
from tests.policies.real.recompute_discovery import expected_discovery
from tests.policies.real.recompute_duplicates import expected_duplicates
from tests.policies.real.recompute_epsilon import expected_epsilon
from tests.policies.real.recompute_exposed import expected_structure, expected_who, trace
from tests.policies.real.recompute_fairness import expected_fairness
from tests.policies.real.recompute_fidelity import expected_fidelity
from tests.policies.real.recompute_findings import expected_conclusion, expected_findings
from tests.policies.real.recompute_inference import expected_inference
from tests.policies.real.recompute_influence import Dense, Removals, expected_influence
from tests.policies.real.recompute_measures import SLICES, measures_of
from tests.policies.real.recompute_membership import (
    ATTACKS,
    diverged,
    expected_attacks,
    expected_exposure,
    expected_quality,
    hold_pool,
    read_pool,
)
from tests.policies.real.recompute_model import Answers, ask, expected_model
from tests.policies.real.recompute_privacy import (
    curve_complaints,
    expected_attack,
    expected_screen,
    tail_complaints,
)
from tests.policies.real.recompute_proxies import expected_proxies
from tests.policies.real.recompute_rates import entry
from tests.policies.real.recompute_retraining import hold_refits, said_of_retraining
from tests.policies.real.recompute_scores import add_scores, keyed_scores
from tests.policies.real.recompute_strongest import Tested, expected_strongest

PARTS = ("data", "model", "fairness", "influence", "privacy", "findings", "conclusion", "limits")
AS_OF = date(2026, 1, 15)


@dataclass(frozen=True)
class Audited:
    """One finished run over real data."""

    world: World
    folder: Path

    @cached_property
    def document(self) -> dict[str, Any]:
        """`audit.json`."""
        return json.loads((self.folder / "public" / "audit.json").read_text("utf-8"))

    @property
    def html(self) -> Path:
        """The report for screens."""
        return self.folder / "public" / "report.html"

    @property
    def pdf(self) -> Path:
        """The report for paper."""
        return self.folder / "public" / "report.pdf"

    def restricted(self, name: str) -> Floats:
        """One array of the restricted evidence."""
        return np.load(self.folder / "restricted" / f"{name}.npy")

    @cached_property
    def answers(self) -> Answers:
        """The model asked again.

        Ranks need the very bits: identical records on both sides of the attack tie or not by the last of them. So the
        losses that the audit kept are held against ours, and then stand in for them.
        """
        own = ask(self.world)
        kept = {"train": "train_loss", "reserve": "reserve_loss", "evaluation": "evaluation_loss"}
        loss = {split: self.restricted(kept[split]) for split in own.loss}
        for split, found in loss.items():
            np.testing.assert_allclose(found, own.loss[split], rtol=1e-9, atol=1e-12)
        return replace(own, loss=loss)

    @cached_property
    def dense(self) -> Dense:
        """The influence problem in matrices."""
        dense = Dense(self.world, self.answers, measures_of(self.world, self.answers))
        return dense.chosen(self.folder / "restricted")

    @cached_property
    def removals(self) -> Removals:
        """Every training record removed once."""
        return self.dense.removals()

    @cached_property
    def expected(self) -> dict[str, Any]:
        """The parts of the result, claimed figure by figure."""
        return expected_result(self)


def audit(name: str, folder: Path, rows: Rows = "reduced") -> Audited:
    """Lay the data out, train where the policy trains, and run the audit."""
    policy = prepare(name, folder, rows)
    world = read_world(name, policy)
    if world.policy["model"]["adapter"] == "tabular":
        train(policy)
    done = run(policy, out=folder / "audits", as_of=AS_OF)
    return Audited(world, done.folder)


def expected_result(audited: Audited) -> dict[str, Any]:
    """Everything that the result may say in figures."""
    world, answers = audited.world, audited.answers
    fairness = expected_fairness(world, answers, np.random.default_rng(20_260_115))
    add_inference(fairness, world, answers)
    add_scores(fairness, world, answers)
    add_conditional(fairness, world, answers)
    fairness["discovery"] = expected_discovery(
        world, answers.decision["evaluation"], half=audited.restricted("discovery_half"),
        p=audited.restricted("discovery_p"), found=audited.document["fairness"]["discovery"],
    )  # fmt: skip
    fairness["proxies"] = expected_proxies(world, audited.restricted("proxy_fold"))
    privacy = _privacy(audited)
    model = expected_model(world, answers)
    rows = fairness["measurements"] | privacy["measurements"]
    _name(rows, {attribute.name: attribute.reference for attribute in world.attributes})
    findings = expected_findings(world, rows, {"fairness": True, "privacy": bool(answers.loss)})
    influence: dict[str, Any] = {}
    if answers.weights:
        influence = _influence(audited)
    return {
        "data": expected_data(world), "model": model, "fairness": fairness, "influence": influence,
        "privacy": privacy, "findings": findings, "conclusion": expected_conclusion(findings),
        "limits": Says(FIDELITY_FLOOR, LEVEL, *_fidelity_figures(influence)),
    }  # fmt: skip


def _fidelity_figures(influence: dict[str, Any]) -> list[float]:
    return [influence["fidelity"][name] for name in ("value", "low", "high", "n")] if "fidelity" in influence else []


def _influence(audited: Audited) -> dict[str, Any]:
    """The part as computed; with retrained models its fidelity, and nothing attributed where that is too low."""
    part, restricted = expected_influence(audited.dense, audited.removals), audited.folder / "restricted"
    if not (restricted / "bank_masks.npy").exists():
        return part
    found = expected_fidelity(audited.dense, audited.removals, restricted)
    measured, sizes, quality = found.pop("slices"), found.pop("sizes"), found.pop("quality")
    below = found["fidelity"]["value"] < found["fidelity_floor"]
    nothing = {"p99_raises": None, "p99_lowers": None, "share_in_top_1pct": None, "compositions": [], "size": None}
    slices = [
        item | {"fidelity": fidelity, "size": size} | (nothing if below else {})
        for item, fidelity, size in zip(part["slices"], measured, sizes, strict=True)
    ]
    status = "withheld" if below else "assessed"
    return part | found | {"slices": slices, "quality": [*quality, *part["quality"]], "status": status}


def _name(rows: dict[str, dict[str, Any]], references: dict[str, str]) -> None:
    """Claim the names that a row carries beside its figures: attribute, group, and the reference of a comparison."""
    for key, row in rows.items():
        measure, on, group = key.split(" / ", 2)
        compared = measure.startswith("fairness.") and measure.endswith(("_difference", "_ratio"))
        row |= {"measure": measure, "on": on, "group": group, "reference": references[on] if compared else ""}


def _privacy(audited: Audited) -> dict[str, Any]:
    if not audited.answers.loss:
        names = ("attack_auc", "tpr_at_fpr_0.001", "tpr_at_fpr_0.01", "tpr_at_fpr_0.1")
        nothing = entry(level=LEVEL, withheld=Says())
        rows = {f"privacy.{name} /  / ": {"estimate": nothing} for name in names}
        attacked = expected_attacks(None, None, None, {})[0] | expected_further(audited.world, {}, None, {}, None)[0]
        rows |= {f"{name} /  / ": {"estimate": nothing} for name in attacked}
        plain = (f"privacy.loss_threshold_{name.removeprefix('attack_')}" for name in names)
        rows |= {f"{name} /  / ": {"estimate": nothing} for name in plain}
        rows |= expected_exposure(None, audited.world, None, {})[0]
        limits, epsilon = expected_epsilon(None, None, None)
        without, baseline = expected_baseline(None, None, "")
        return {
            "measurements": rows | limits | without, "screen": {"rule": Says()}, "epsilon": epsilon,
            "baseline": baseline,
        }  # fmt: skip
    half = audited.restricted("attack_setting_half")
    found = expected_attack(audited.world, audited.answers, half)
    measured, attacks, exposed, exposure = _membership(audited, half)
    more, parts = _further(audited, half)
    found = found | {"measurements": found["measurements"] | measured | more, "attacks": [*attacks, *parts]}
    found["inference"] = _inference(audited, half)
    rows = {f"{name} /  / ": {"estimate": estimate} for name, estimate in found["measurements"].items()} | exposed
    found["exposure"] = exposure | _who(audited)
    told = audited.document["privacy"]["exposure"]
    found["exposure"]["retraining"] = said_of_retraining(told["retraining"], told["models"] or 0)
    freedom = trace(audited.dense) if audited.answers.weights else None
    found["structure"] = expected_structure(audited.world, audited.answers, freedom)
    limits, found["epsilon"] = _epsilon(audited, half)
    rows |= limits | {f"{name} /  / ": row for name, row in expected_strongest(_tested(audited)).items()}
    without, found["baseline"] = expected_baseline(
        _kept_scores(audited, "baseline"), read_pool(audited.world, audited.folder / "restricted"),
        audited.document["privacy"]["baseline"]["strongest"],
    )  # fmt: skip
    rows |= without
    out = found | {"duplicates": expected_duplicates(audited.world)}
    if audited.answers.weights:
        names = ("screen_p", "screen_flag", "screen_reference")
        world, stated = audited.world, audited.world.policy.get("slices", {})
        slices = {name: SLICES[world.name, name](world, audited.answers, "train").to_numpy() for name in stated}
        held = {name: audited.restricted(name) for name in names}
        screen = expected_screen(world, audited.removals.own, held, slices)
        rows |= {"privacy.screen_share /  / ": {"estimate": screen["flagged"]}} | screen["by_group"]
        out["screen"] = screen | {"tail": {"n": screen["n"], "method": Says(MINIMUM_CELL)}}
        if "rule" in exposure:
            kept = {name: audited.restricted(name) for name in ("screen_rank", "screen_flag", "risk")}
            ranked = rankings(audited.dense, _named(audited, "ranking_"))
            out["screen"] |= expected_quality(kept, audited.removals.own, ranked, audited.answers.loss["train"])
    else:
        out["screen"] = {"rule": Says()}
    return out | {"measurements": rows, "roc": found["roc"] | {"method": Says(MINIMUM_CELL)}}


def _membership(audited: Audited, half: Floats) -> Any:
    """The attack by retrained models, after their answers were held against the recipe."""
    pool = read_pool(audited.world, audited.folder / "restricted")
    if pool is None:
        why = diverged(audited.document["privacy"]["exposure"]["reason"])
        return *expected_attacks(None, None, None, {}, why), *expected_exposure(None, audited.world, None, {}, why)
    if audited.answers.weights:
        hold_pool(audited.dense, pool)
    else:
        hold_refits(audited.world, pool)
    scores = {name: _kept_scores(audited, name) for name in ATTACKS}
    names = ("risk", "risk_low", "membership_p", "membership_p_at_risk", "exposed_flag")
    kept = {name: audited.restricted(name) for name in names}
    attack = expected_attacks(pool, audited.answers.loss, half, scores)
    return *attack, *expected_exposure(pool, audited.world, scores["lira_offline"], kept)


def _who(audited: Audited) -> dict[str, Any]:
    """Who is exposed, where there are retrained models; the effects on gaps only where they are relied on."""
    pool = read_pool(audited.world, audited.folder / "restricted")
    if pool is None:
        return {}
    influence = None
    if audited.answers.weights:
        part = audited.document["influence"]
        why = None if part["status"] == "assessed" else part["reason"]
        influence = (audited.dense, audited.removals, why)
    flag = audited.restricted("exposed_flag")
    who = expected_who(audited.world, audited.answers, pool, flag, influence)
    _name(who["by_group"], {attribute.name: attribute.reference for attribute in audited.world.attributes})
    return {"who": who}


def _epsilon(audited: Audited, half: Floats) -> Any:
    """The limits by LiRA where there are retrained models, by the loss elsewhere."""
    pool, loss = read_pool(audited.world, audited.folder / "restricted"), audited.answers.loss
    stated = audited.world.policy.get("privacy", {})
    more: dict[str, Any] = {"claimed": stated.get("claimed")}
    if stated.get("canaries"):
        coins = audited.restricted("canary_inserted")
        assert len(coins) == stated["canaries"]
        more["planted"] = (audited.restricted("canary_score"), coins, len(loss["train"]))
    if pool is None:
        why = diverged(audited.document["privacy"]["exposure"]["reason"])
        return expected_epsilon((-loss["train"], -loss["reserve"]), half, None, why, **more)
    return expected_epsilon(_kept_scores(audited, "lira"), half, pool, **more)


def _further(audited: Audited, half: Floats) -> Any:
    """The attacks that rest on features, or on the course of training."""
    kept: dict[str, Any] = {}
    for name in FURTHER:
        if (audited.folder / "restricted" / f"{name}_train.npy").exists():
            kept[name] = _kept_scores(audited, name)
    kept |= {name: audited.restricted(name) for name in ("quantile_fitted",) if "quantile" in kept}
    dense = audited.dense if audited.answers.weights else None
    return expected_further(audited.world, audited.answers.loss, half, kept, dense)


def _tested(audited: Audited) -> dict[str, Tested]:
    """The scores of every attack that was run, by title, in the order of the audit's table."""
    loss = audited.answers.loss
    scores = {"Loss threshold": (-loss["train"], -loss["reserve"])}
    titles = {name: title for name, (title, *_) in (ATTACKS | FURTHER).items()}
    fitted = audited.folder / "restricted" / "quantile_fitted.npy"
    for name, title in titles.items():
        if (audited.folder / "restricted" / f"{name}_train.npy").exists():
            scores[title] = _kept_scores(audited, name)
    return {
        title: Tested(
            *pair, ~np.load(fitted) if title == FURTHER["quantile"][0] else np.ones(len(pair[1]), dtype=np.bool_)
        )
        for title, pair in scores.items()
    }


def _inference(audited: Audited, half: Floats) -> dict[str, Any]:
    return expected_inference(audited.world, audited.answers.loss, half, _named(audited, "infer_"))


def _named(audited: Audited, prefix: str) -> dict[str, Any]:
    """Arrays of the restricted evidence whose name begins so, by the rest of the name."""
    files = (audited.folder / "restricted").glob(f"{prefix}*.npy")
    return {file.stem.removeprefix(prefix): np.load(file) for file in files}


def _kept_scores(audited: Audited, attack: str) -> tuple[Floats, Floats]:
    return audited.restricted(f"{attack}_train"), audited.restricted(f"{attack}_reserve")


def keyed(document: dict[str, Any]) -> dict[str, Any]:
    """The parts with their rows under names instead of positions, and without what draws curves and fixed wording."""
    parts = copy.deepcopy({name: document[name] for name in PARTS})
    names = ("measure", "on", "group")
    for part in ("fairness", "privacy"):
        parts[part]["measurements"] = by_key(parts[part]["measurements"], *names)
    parts["fairness"]["groups"] = by_key(parts["fairness"]["groups"], "on", "group")
    parts["fairness"]["conditional"] = keyed_conditional(parts["fairness"]["conditional"])
    parts["fairness"]["scores"] = keyed_scores(parts["fairness"]["scores"])
    parts["fairness"]["tests"] = keyed_tests(parts["fairness"]["tests"])
    parts["findings"] = by_key(parts["findings"], "id")
    for finding in parts["findings"].values():
        finding["groups"] = by_key(finding["groups"], "group")
    if parts["privacy"]["exposure"]:
        parts["privacy"]["exposure"]["by_group"] = by_key(parts["privacy"]["exposure"]["by_group"], *names)
        if parts["privacy"]["exposure"]["who"]:
            who = parts["privacy"]["exposure"]["who"]
            who["by_group"] = by_key(who["by_group"], *names)
    screen = parts["privacy"]["screen"]
    if screen:
        screen["by_group"] = by_key(screen["by_group"], *names)
        if screen["tail"]:
            del screen["tail"]["points"]
    if parts["privacy"]["roc"]:
        del parts["privacy"]["roc"]["points"]
    for attack in parts["privacy"]["attacks"]:
        del attack["source"]  # literature, with its year
        if attack["roc"]:
            del attack["roc"]["points"]
    parts["limits"] = [limit["value"] for limit in parts["limits"]]
    for literal in ("threat_model", "threats", "not_tested"):
        del parts["privacy"][literal]
    return parts


def result_complaints(audited: Audited) -> list[str]:
    """Every figure of the result that differs from its recomputation or that nobody recomputed."""
    found = complaints(keyed(audited.document), audited.expected, audited.world.name)
    privacy = audited.document["privacy"]
    if privacy["roc"]:
        losses = audited.answers.loss
        found += curve_complaints(privacy["roc"]["points"], -losses["train"], -losses["reserve"])
    for name, attack in zip([*ATTACKS, *FURTHER], privacy["attacks"], strict=bool(privacy["attacks"])):
        if attack["roc"]:
            members, others = _kept_scores(audited, name)
            if name == "quantile":
                others = others[~audited.restricted("quantile_fitted")]
            found += curve_complaints(attack["roc"]["points"], members, others)
    if privacy["screen"] and privacy["screen"]["tail"]:
        found += tail_complaints(privacy["screen"]["tail"]["points"], audited.removals.own)
    return found

