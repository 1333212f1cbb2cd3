"""The commands over the model repository: list, promote, rollback, prune, stop-trial."""

from service.repository.repository import Repository
from tests.training.command_line import Typed


def test_promote_and_rollback(typed: Typed, repository: Repository) -> None:
    assert "digits now serves version 2." in typed("promote", 2, "--models", repository.root).out
    assert repository.current("digits") == 2
    assert "digits now serves version 1 again." in typed("rollback", "--models", repository.root).out
    assert repository.current("digits") == 1


def test_list_marks_the_served_version_and_the_one_on_trial(typed: Typed, repository: Repository) -> None:
    models = ("--models", repository.root)
    assert "answers 5 % of requests" in typed("promote", 2, "--canary", 5, *models).out
    shown = [line.split() for line in typed("list", *models).out.splitlines()]
    assert [(line[1], line[-2]) for line in shown if line[1:2] in (["1"], ["2"])] == [("1", "served"), ("2", "canary")]
    assert "The trial of digits version 2 is over." in typed("stop-trial", *models).out
    assert "Last trial: version 2 rolled back" in typed("list", *models).out
    done = typed("stop-trial", *models)
    assert (done.code, "No version of digits is on trial." in done.err) == (1, True)


def test_prune_keeps_the_served_version(typed: Typed, repository: Repository) -> None:
    models = ("--models", repository.root)
    typed("promote", 2, *models)
    assert "Removed from digits: 1." in typed("prune", "--keep", 1, *models).out
    assert "Removed from digits: nothing." in typed("prune", "--keep", 1, *models).out
    assert repository.versions("digits") == [2]
