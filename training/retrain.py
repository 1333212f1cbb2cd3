"""Train, export, judge, and serve the new version only if it is not worse than the one served now.

python -m training retrain --data data/kaggle
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from service.errors import ModelBroken, NoSuchModel
from service.model import Model
from service.registry import Repository
from training import evaluate
from training.config import TrainConfig
from training.export import export
from training.metrics import measure
from training.predict import predict
from training.train import train


@dataclass(frozen=True)
class Decision:
    """What became of a new version, and why; kept as retrain.json in the run folder."""

    version: int
    accuracy: float  # of the new version on the digits held out, 0 to 1
    served: int | None  # the version served until now
    served_accuracy: float | None  # on the very same digits; None where nothing (that loads) was served
    tolerance_points: float
    promoted: bool
    reason: str


def retrain(
    config: TrainConfig, runs: Path, repository: Repository, name: str, tolerance: float, force: str, console: Console
) -> Decision:
    """The whole chain. `tolerance` is in percentage points; `force`, if not empty, is the reason to promote anyway."""
    run = train(config, runs, console)
    version = export(run, repository, name, console)
    judged = evaluate.judge(repository, name, version, Path(config.data), "validation")
    console.print(evaluate.table(judged))
    evaluate.save(judged, run.folder / "evaluation")
    served, served_accuracy = _served(repository, name, judged)
    decision = decide(version, judged.figures["accuracy"], served, served_accuracy, tolerance, force)
    if decision.promoted:
        repository.promote(name, version)
    (run.folder / "retrain.json").write_text(json.dumps(asdict(decision), indent=2) + "\n")
    console.print(sentence(decision, name, len(judged.digits)), highlight=False, soft_wrap=True)
    return decision


def _served(repository: Repository, name: str, judged: evaluate.Judged) -> tuple[int | None, float | None]:
    """The served version and its accuracy on the digits the new one was judged by."""
    try:
        served = repository.current(name)
    except NoSuchModel:
        return None, None
    try:
        probabilities = predict(Model.load(repository.model_path(name, served)), judged.digits.pixels)
    except (ModelBroken, NoSuchModel):
        return served, None
    return served, float(measure(probabilities, judged.digits.labels)["accuracy"])


def decide(
    version: int, accuracy: float, served: int | None, served_accuracy: float | None, tolerance: float, force: str
) -> Decision:
    """Promote where nothing is served, where the new version is at most `tolerance` points worse, or where forced."""
    worse_by = 0.0 if served_accuracy is None else 100 * (served_accuracy - accuracy)
    if served is None:
        promoted, reason = True, "nothing was served"
    elif served_accuracy is None:
        promoted, reason = True, f"version {served}, served until now, cannot be loaded"
    elif worse_by <= tolerance + 1e-9:  # 0.1 points exactly is within 0.1 points, whatever float64 makes of it
        promoted, reason = True, f"it is not worse than version {served} by more than {tolerance:g} points"
    elif force:
        promoted, reason = True, f"forced: {force}"
    else:
        promoted, reason = (
            False,
            f"it is {worse_by:.2f} points worse than version {served}; {tolerance:g} are tolerated",
        )
    return Decision(version, accuracy, served, served_accuracy, tolerance, promoted, reason)


def sentence(decision: Decision, name: str, digits: int) -> str:
    """What the person at the keyboard wants to know, in two lines."""
    compared = f"version {decision.version} reads {decision.accuracy:.2%} of {digits:,} held-out digits rightly"
    if decision.served_accuracy is not None:
        compared += f", version {decision.served} {decision.served_accuracy:.2%} of the same"
    if decision.promoted:
        return f"{compared}.\nPROMOTED: {name} now serves version {decision.version}, because {decision.reason}."
    return (
        f"{compared}.\nNOT PROMOTED: version {decision.version} is published, but {decision.reason}. Version "
        f"{decision.served} stays in service; to serve the new one: python -m training promote {decision.version}"
    )
