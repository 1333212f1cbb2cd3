"""Commands on the model repository: list the versions, choose the served one, try one first, remove old ones.

python -m training list        python -m training promote 2        python -m training rollback
python -m training promote 3 --canary 5                             python -m training prune --keep 5
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from training import options


def add_commands(app: typer.Typer, console: Console, models_folder: Path, model_name: str) -> None:
    """Add list, promote, stop-trial, prune and rollback to the command line."""

    @app.command("list")
    def list_versions(models: options.Models = models_folder, name: options.Name = model_name) -> None:
        """List the published versions; the served one is marked."""
        from service.errors import NoSuchModel
        from service.repository.repository import Repository

        repository = Repository(models)
        versions = repository.versions(name)
        if not versions:
            raise NoSuchModel(f"{models} holds no version of {name}; publish one with: python -m training retrain")
        try:
            served = repository.current(name)
        except NoSuchModel:
            served = 0  # published, but nothing promoted yet
        plan, ended = repository.rollout(name), repository.last_rollout(name)
        marks = {served: "served"} | ({plan.version: "shadow" if plan.shadow else "canary"} if plan else {})
        console.print(table(name, marks, [repository.card(name, version) for version in versions]))
        if ended:
            console.print(f"Last trial: version {ended['version']} {ended['verdict']}", highlight=False, soft_wrap=True)

    @app.command()
    def promote(
        version: Annotated[int, typer.Argument(min=1, help="The version to serve.")],
        models: options.Models = models_folder,
        name: options.Name = model_name,
        canary: Annotated[
            float | None,
            typer.Option(min=0.01, max=100, metavar="PERCENT", help="Try it first: it answers this share of requests."),
        ] = None,
        shadow: Annotated[
            bool, typer.Option("--shadow", help="Try it first: it sees a copy of all requests and answers none.")
        ] = False,
        min_digits: Annotated[
            int, typer.Option(min=1, help="Digits that a canary and the served version must both see before a verdict.")
        ] = 1000,
        max_disagreement: Annotated[
            float, typer.Option(min=0, max=100, help="Percent of digits on which the two may differ.")
        ] = 2.0,
        max_errors: Annotated[float, typer.Option(min=0, max=100, help="Percent of requests that may fail.")] = 0.1,
        client_share: Annotated[
            float,
            typer.Option(
                min=0.1, max=100, help="Percent of --min-digits that one client may give. 100: one is enough."
            ),
        ] = 25.0,
    ) -> None:
        """Serve this version from now on; with --canary, first for a share of the requests.

        A canary within its limits promotes itself, one that breaks them is rolled back; `list` shows how it ended.
        """
        from service.repository.rollout_plan import RolloutPlan
        from service.repository.writer import RepositoryWriter

        if canary is None and not shadow:
            RepositoryWriter(models).promote(name, version)
            console.print(f"{name} now serves version {version}.", highlight=False, soft_wrap=True)
            return
        limits = (max_disagreement / 100, max_errors / 100, client_share / 100)
        plan = RolloutPlan(version, canary or 0.0, shadow, min_digits, *limits)
        RepositoryWriter(models).start_rollout(name, plan)
        how = "sees a copy of all requests" if shadow else f"answers {canary:g} % of requests"
        console.print(
            f"{name} version {version} {how}; to end this: python -m training stop-trial",
            highlight=False,
            soft_wrap=True,
        )

    @app.command("stop-trial")
    def stop_trial(models: options.Models = models_folder, name: options.Name = model_name) -> None:
        """End a canary or shadow without promoting it."""
        from service.errors import NoSuchModel
        from service.repository.writer import RepositoryWriter

        repository = RepositoryWriter(models)
        plan = repository.rollout(name)
        if plan is None or not repository.end_rollout(name, plan, "rolled back: stopped by hand"):
            raise NoSuchModel(f"No version of {name} is on trial.")
        console.print(f"The trial of {name} version {plan.version} is over.", highlight=False, soft_wrap=True)

    @app.command()
    def prune(
        keep: Annotated[int, typer.Option(min=1, help="How many of the newest versions stay.")],
        models: options.Models = models_folder,
        name: options.Name = model_name,
    ) -> None:
        """Remove old versions; never the served one, nor the one on trial."""
        from service.repository.writer import RepositoryWriter

        removed = RepositoryWriter(models).prune(name, keep)
        what = ", ".join(map(str, removed)) if removed else "nothing"
        console.print(f"Removed from {name}: {what}.", highlight=False, soft_wrap=True)

    @app.command()
    def rollback(models: options.Models = models_folder, name: options.Name = model_name) -> None:
        """Go back to the version that was served before."""
        from service.repository.writer import RepositoryWriter

        version = RepositoryWriter(models).rollback(name)
        console.print(f"{name} now serves version {version} again.", highlight=False, soft_wrap=True)


def table(name: str, marks: dict[int, str], cards: list[dict[str, Any]]) -> Table:
    """One row per version, from its card. "held-out" and "test" are accuracies."""
    shown = Table(title=name, title_justify="left")
    for heading in ("version", "architecture", "weights", "held-out", "test", "created", ""):
        shown.add_column(heading)
    for card in cards:
        metrics = card.get("metrics", {})
        right = [f"{metrics[part]['accuracy']:.2%}" if part in metrics else "-" for part in ("validation", "test")]
        shown.add_row(
            str(card["version"]),
            card.get("architecture", "?"),
            f"{card.get('parameters', 0):,}",
            *right,
            card.get("created", "?")[:10],
            marks.get(card["version"], ""),
        )
    return shown
