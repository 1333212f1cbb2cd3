"""What lies in the model repository: cards and models with changes. The served version stays and answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from random import Random

from service.repository.writer import RepositoryWriter
from tests.fuzz.cases import JSON, KEY, Request
from tests.fuzz.conftest import Case
from tests.fuzz.mutations import changed_document, written
from tests.fuzz.table import Row
from tests.fuzz.target import Target
from tests.support.hostile import fuzzed
from tests.support.models import card_for, classifier
from tests.support.server import ROOT

CARDS = 150
MODELS = 400
PROMOTED = 8
READS = [
    "/models",
    "/models/digits",
    "/models/digits/versions/2",
    "/v1/models/digits/versions/2",
    "/v1/models/digits/versions/2/metadata",
    "/v2/models/digits/versions/2",
    "/v2/models/digits/versions/2/config",
]
HEADERS = KEY | {"Content-Type": JSON}


def test_cards(fuzz: Callable[[str, int, Case], Row], target: Target) -> None:
    """The card of a version that is not served."""
    path = target.models_dir / "digits/2/card.json"
    whole = path.read_bytes()
    good = json.loads(whole)

    def case(dice: Random) -> str:
        path.write_bytes(written(dice, changed_document(dice, good, dice.choice((0, 1, 1, 2, 4)))))
        outcomes = [target.send(dice, Request("GET", read)) for read in READS]
        outcomes.append(target.send(dice, Request("POST", "/v2/repository/index", b"{}", HEADERS)))
        return max(outcomes)

    fuzz("cards, each with 8 reads", CARDS, case)
    path.write_bytes(whole)


def test_cards_and_models_that_are_promoted(fuzz: Callable[[str, int, Case], Row], target: Target) -> None:
    """Each is tried out in a process of its own, and accepted or refused with the reason."""
    writer = RepositoryWriter(target.models_dir)
    card = card_for(classifier())

    def case(dice: Random) -> str:
        data = fuzzed(dice.randrange(10**9)) if dice.random() < 0.5 else classifier()
        made = changed_document(dice, card, dice.choice((0, 0, 1, 2)))
        try:
            version = writer.publish("digits", lambda _: data, made if isinstance(made, dict) else card)
        except ValueError:
            return "refused by the writer"
        outcome = target.send(dice, Request("POST", f"/models/digits/versions/{version}/promote", b"", KEY))
        assert target.send(dice, Request("GET", "/model")) == "2xx"
        return outcome

    found = fuzz("models and cards, promoted", PROMOTED, case)
    assert found.seen.total() == 1 or found.seen["2xx"], "good versions are needed"
    assert target.send(Random(0), Request("POST", "/models/digits/versions/1/promote", b"", KEY)) == "2xx"


def test_models(row: Callable[[str], Row], seed: int, times: int) -> None:
    """Model files in a process confined like the try-out: refused, or they behave as the good one does."""
    found, count = row("model files"), MODELS * times
    command = [sys.executable, "-m", "tests.support.mutants", str(seed * 10**5), str(count)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    lines = [line.split() for line in ended.stdout.splitlines()]
    found.seen = Counter(line[1] for line in lines)
    assert (ended.returncode, len(lines)) == (0, count), (lines[-1:], ended.stderr)
    assert found.seen["other"] == 0, [line for line in lines if line[1] == "other"]
