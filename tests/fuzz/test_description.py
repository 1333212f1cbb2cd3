"""Requests made up from the description of the service, and calls that follow from earlier answers: a prediction is
corrected, a version that was listed is promoted, a model that was listed is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as begin_with
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis.checks import not_a_server_error
from schemathesis.core.errors import UnsupportedSchema
from schemathesis.specs.openapi.checks import response_schema_conformance

from service.digits import SIDE, SIZE
from tests.fuzz.cases import ADMIN_KEY
from tests.fuzz.conftest import MAX_GROWTH_MIB
from tests.fuzz.table import Row
from tests.fuzz.target import MAX_PAUSE_S, TRIES, Target, leaks
from tests.support.models import digits

CASES = 2000
RUNS, STEPS = 100, 25  # up to so many calls follow from one another
CHECKS = [not_a_server_error, response_schema_conformance]
BUSY = 503


def with_ready_digits(node: Any) -> Any:
    """The description with a choice among a few digits in place of 784 numbers, which take 0.2 s to make up."""
    if isinstance(node, list):
        return [with_ready_digits(each) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("minItems") in (SIDE, SIZE):
        return {"enum": digits(3, 8).reshape((2, SIZE) if node["minItems"] == SIZE else (2, SIDE, SIDE)).tolist()}
    return {name: with_ready_digits(each) for name, each in node.items()}


def test_calls_that_follow_from_the_description(
    target: Target, row: Callable[[str], Row], seed: int, times: int
) -> None:
    found = row("calls that follow from the description")
    schema: Any = schemathesis.openapi.from_dict(with_ready_digits(target.server.client.get("/openapi.json").json()))
    memory: list[float] = []
    keyed = 0

    class Calls(schema.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self.session = requests.Session()
            memory.append(target.memory_mib())

        def teardown(self) -> None:
            self.session.close()

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            nonlocal keyed
            keyed += 1
            headers = {"X-Admin-Key": ADMIN_KEY} if keyed % 2 else {}
            target.probe.reset()
            return {"base_url": target.server.url, "session": self.session, "headers": headers}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            status = response.status_code
            found.seen["503" if status == BUSY else f"{status // 100}xx"] += 1
            if status != BUSY:
                case.validate_response(response, checks=CHECKS)
            pauses = [target.probe.pause_s]
            while pauses[-1] > MAX_PAUSE_S and len(pauses) < TRIES:  # does it come each time?
                case.call(**self.get_call_kwargs(case))
                pauses.append(target.probe.pause_s)
            found.pause_s = max(found.pause_s, min(pauses)) if len(pauses) == TRIES else found.pause_s
            assert min(pauses) <= MAX_PAUSE_S, case
            assert not leaks(response.content, repr(case.body).encode() + case.formatted_path.encode())

    rules = settings(
        max_examples=RUNS,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for number in range(seed, seed + CASES * times):
        if found.seen.total() >= CASES * times:
            break
        # what can follow depends on the answers, which Hypothesis calls flaky, and not every schema has a negation
        with suppress(FlakyStrategyDefinition, UnsupportedSchema):
            begin_with(number)(Calls).run(settings=rules)
    assert found.seen.total() >= CASES * times
    found.grown_mib = target.memory_mib() - memory[len(memory) // 2]
    assert found.grown_mib < MAX_GROWTH_MIB
    assert found.seen["2xx"]
    assert found.seen["4xx"]
    target.alive()
