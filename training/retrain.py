"""Trains, exports and evaluates a new version, and promotes it only if it is not worse than the served one.

python -m training retrain --data data/kaggle
python -m training retrain --resume runs/20250131-120000-lecture-cnn    after a kill at any moment
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from service.engine.model import Model
from service.errors import ModelBroken, NoSuchModel
from service.repository.writer import RepositoryWriter
from training import evaluate, fingerprint
from training.comparison import Allowance, Comparison, compare
from training.config import TrainConfig
from training.errors import RunError
from training.export import publish
from training.predict import predict
from training.promotion_policy import PromotionPolicy
from training.runs import Run
from training.split import Split
from training.train import begin, compiled_model, finish

DECISION = "retrain.json"


@dataclass(frozen=True)
class Decision:
    """Whether a new version was promoted, and why; kept as retrain.json in the run folder."""

    version: int
    accuracy: float  # on all held-out digits, 0 to 1
    digits: int  # how many these are
    allowance: Allowance
    comparison: Comparison | None  # None where no served version could be compared with it
    promoted: bool
    reason: str


def retrain(config: TrainConfig, runs: Path, policy: PromotionPolicy, console: Console) -> Decision:
    """Train, export, evaluate and decide. The data files are read once, by `begin`."""
    run, split, model = begin(config, runs)
    policy.save(run.folder)
    finish(run, split, model, console)
    return _publish(run, split, policy, console)


def resume(run: Run, console: Console, moved_to: Path | None = None) -> Decision:
    """Continue a killed retraining, under the policy it was started with. `moved_to` is where its data are now.

    Raises RunError where nothing is left to do.
    """
    policy = PromotionPolicy.load(run.folder)
    if (run.folder / DECISION).is_file():
        raise RunError(f"{run.folder} is complete already; see {DECISION} in it for what became of the version.")
    split = run.split(moved_to)
    if not run.finished:
        finish(run, split.with_corrections(run.config), compiled_model(run.config), console)
    return _publish(run, split, policy, console)


def _publish(run: Run, split: Split, policy: PromotionPolicy, console: Console) -> Decision:
    """Export a trained run, compare the version with the served one, and promote it or not."""
    try:
        return _publish_and_decide(run, split, policy, console)
    except KeyboardInterrupt:
        raise RunError(f"Stopped. To continue: {run.resume_command}") from None


def _publish_and_decide(run: Run, split: Split, policy: PromotionPolicy, console: Console) -> Decision:
    repository, name = RepositoryWriter(Path(policy.models)), policy.name
    version = publish(run, split, repository, name, console)
    evaluation = evaluate.measure(repository, name, version, split.held_out, "held-out", split.source)
    console.print(evaluate.table(evaluation))
    evaluate.save(evaluation, run.folder / "evaluation")
    decision = decide(version, evaluation, *_compare(repository, name, evaluation), policy)
    if decision.promoted:
        repository.promote(name, version)
    (run.folder / DECISION).write_text(json.dumps(asdict(decision), indent=2) + "\n")
    console.print(sentences(decision, name), highlight=False, soft_wrap=True)
    return decision


def _compare(repository: RepositoryWriter, name: str, evaluation: evaluate.Evaluation) -> tuple[Comparison | None, str]:
    """(the comparison with the served version or None, why there is none)."""
    try:
        served = repository.current(name)
    except NoSuchModel:
        return None, "nothing was served"
    try:
        model = Model.load(repository.model_path(name, served))
    except (ModelBroken, NoSuchModel):
        return None, f"version {served}, served until now, cannot be loaded"
    labels, pixels = evaluation.digits.labels, evaluation.digits.pixels
    right = evaluation.probabilities.argmax(axis=1) == labels
    served_right = predict(model, pixels).argmax(axis=1) == labels
    unseen = fingerprint.unseen(model.metadata.get(fingerprint.PROPERTY), pixels)
    return compare(served, right, served_right, unseen), ""


def decide(
    version: int,
    evaluation: evaluate.Evaluation,
    comparison: Comparison | None,
    why_none: str,
    policy: PromotionPolicy,
) -> Decision:
    """Promote where nothing is served, where the new version is not worse, or where forced. Pure: changes nothing."""
    if comparison is None:
        promoted, reason = True, why_none
    else:
        promoted = comparison.not_worse(policy.allowance)
        reason = f"{_difference(comparison)} ({policy.allowance.sentence(comparison.chance_points)})"
        if policy.force and not promoted:
            promoted, reason = True, f"forced: {policy.force}; {reason}"
    accuracy, digits = evaluation.figures["accuracy"], evaluation.figures["n"]
    return Decision(version, accuracy, digits, policy.allowance, comparison, promoted, reason)


def _difference(comparison: Comparison) -> str:
    worse = comparison.worse_by_points
    if worse > 0:
        return f"it is {worse:.2f} points worse than version {comparison.served}"
    return f"it is {-worse:.2f} points better than version {comparison.served}" if worse else "both are equally good"


def sentences(decision: Decision, name: str) -> str:
    """The decision for a terminal, in two to four lines."""
    lines = [
        f"version {decision.version} reads {decision.accuracy:.2%} of {decision.digits:,} held-out digits correctly"
    ]
    if decision.comparison is not None:
        lines.append(_compared(decision.version, decision.comparison))
    if decision.promoted:
        lines.append(f"PROMOTED: {name} now serves version {decision.version}: {decision.reason}")
        return "\n".join(lines)
    lines.append(f"NOT PROMOTED: version {decision.version} is published, but {decision.reason}")
    lines.append(f"to serve it anyway: python -m training promote {decision.version}")
    return "\n".join(lines)


def _compared(version: int, comparison: Comparison) -> str:
    served, which = comparison.served, f"the same {comparison.digits:,} digits"
    if not comparison.fair:
        which += f" (version {served} may have been trained on them, which favours it)"
    if comparison.left_out:
        which = f"the {comparison.digits:,} of them that version {served} was certainly not trained on"
    return f"on {which}: version {version} {comparison.accuracy:.2%}, version {served} {comparison.served_accuracy:.2%}"
