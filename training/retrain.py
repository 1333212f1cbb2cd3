"""Train, export, judge, and serve the new version only if it is not worse than the one served now.

python -m training retrain --data data/kaggle
python -m training retrain --resume runs/20250131-120000-lecture-cnn    after a kill at any moment
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from service.engine.model import Model
from service.errors import ModelBroken, NoSuchModel
from service.repository.repository import Repository
from training import evaluate, fingerprint
from training.comparison import Allowance, Comparison, compare
from training.config import TrainConfig
from training.errors import RunError
from training.export import export
from training.predict import predict
from training.promotion_policy import PromotionPolicy
from training.runs import Run
from training.train import begin, finish
from training.train import resume as resume_training

DECISION = "retrain.json"


@dataclass(frozen=True)
class Decision:
    """What became of a new version, and why; kept as retrain.json in the run folder."""

    version: int
    accuracy: float  # on all digits held out, 0 to 1
    digits: int  # how many these are
    allowance: Allowance
    comparison: Comparison | None  # None where nothing was served that could be compared with
    promoted: bool
    reason: str


def retrain(config: TrainConfig, runs: Path, policy: PromotionPolicy, console: Console) -> Decision:
    """The whole chain."""
    run, lesson, model = begin(config, runs)
    policy.save(run.folder)
    return _judge(finish(run, lesson, model, console), policy, None, console)


def resume(run: Run, console: Console, source: Path | None = None) -> Decision:
    """The rest of the chain after a kill, on the policy it was started with.

    `source` is where the digits lie now, should they have moved. Raises RunError where all has been done already.
    """
    policy = PromotionPolicy.load(run.folder)
    if (run.folder / DECISION).is_file():
        raise RunError(f"{run.folder} went the whole way already; {DECISION} in it says what became of the version.")
    if not run.finished:
        resume_training(run, console, source)
    return _judge(run, policy, source, console)


def _judge(run: Run, policy: PromotionPolicy, source: Path | None, console: Console) -> Decision:
    """Export a trained run, compare the version with the served one, and promote it or not."""
    try:
        return _export_and_decide(run, policy, source, console)
    except KeyboardInterrupt:
        raise RunError(f"Stopped. To go on: {run.resume_command}") from None


def _export_and_decide(run: Run, policy: PromotionPolicy, source: Path | None, console: Console) -> Decision:
    repository, name = Repository(Path(policy.models)), policy.name
    version = export(run, repository, name, console, source)
    judged = evaluate.judge(repository, name, version, run.place(source), "validation")
    console.print(evaluate.table(judged))
    evaluate.save(judged, run.folder / "evaluation")
    decision = decide(version, judged, *_compare(repository, name, judged), policy)
    if decision.promoted:
        repository.promote(name, version)
    (run.folder / DECISION).write_text(json.dumps(asdict(decision), indent=2) + "\n")
    console.print(sentences(decision, name), highlight=False, soft_wrap=True)
    return decision


def _compare(repository: Repository, name: str, judged: evaluate.Judged) -> tuple[Comparison | None, str]:
    """The comparison with the served version; or None, and why there is none."""
    try:
        served = repository.current(name)
    except NoSuchModel:
        return None, "nothing was served"
    try:
        model = Model.load(repository.model_path(name, served))
    except (ModelBroken, NoSuchModel):
        return None, f"version {served}, served until now, cannot be loaded"
    labels, pixels = judged.digits.labels, judged.digits.pixels
    right = judged.probabilities.argmax(axis=1) == labels
    served_right = predict(model, pixels).argmax(axis=1) == labels
    unseen = fingerprint.unseen(model.metadata.get(fingerprint.PROPERTY), pixels)
    return compare(served, right, served_right, unseen), ""


def decide(
    version: int,
    judged: evaluate.Judged,
    comparison: Comparison | None,
    why_none: str,
    policy: PromotionPolicy,
) -> Decision:
    """Promote where nothing is served, where the new version is not worse, or where forced."""
    if comparison is None:
        promoted, reason = True, why_none
    else:
        promoted = comparison.not_worse(policy.allowance)
        reason = f"{_difference(comparison)} ({policy.allowance.sentence(comparison.chance_points)})"
        if policy.force and not promoted:
            promoted, reason = True, f"forced: {policy.force}; {reason}"
    accuracy, digits = judged.figures["accuracy"], judged.figures["n"]
    return Decision(version, accuracy, digits, policy.allowance, comparison, promoted, reason)


def _difference(comparison: Comparison) -> str:
    worse = comparison.worse_by_points
    if worse > 0:
        return f"it is {worse:.2f} points worse than version {comparison.served}"
    return f"it is {-worse:.2f} points better than version {comparison.served}" if worse else "both are equally good"


def sentences(decision: Decision, name: str) -> str:
    """What the person at the keyboard wants to know, in two or three lines."""
    lines = [f"version {decision.version} reads {decision.accuracy:.2%} of {decision.digits:,} held-out digits rightly"]
    if decision.comparison is not None:
        lines.append(_compared(decision.version, decision.comparison))
    if decision.promoted:
        lines.append(f"PROMOTED: {name} now serves version {decision.version}: {decision.reason}")
        return "\n".join(lines)
    lines.append(f"NOT PROMOTED: version {decision.version} is published, but {decision.reason}")
    lines.append(f"to serve it all the same: python -m training promote {decision.version}")
    return "\n".join(lines)


def _compared(version: int, comparison: Comparison) -> str:
    served, which = comparison.served, f"the same {comparison.digits:,} digits"
    if not comparison.fair:
        which += f" (version {served} may have learned from them, which favours it)"
    if comparison.left_out:
        which = f"the {comparison.digits:,} of them that version {served} has surely not learned from"
    return f"on {which}: version {version} {comparison.accuracy:.2%}, version {served} {comparison.served_accuracy:.2%}"
