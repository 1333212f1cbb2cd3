"""`make fuzz`: the options, the service under test, the table at the end. No other run collects these tests."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from random import Random

import pytest

from tests.fuzz.cases import ADMIN_KEY
from tests.fuzz.table import Row, table
from tests.fuzz.target import MAX_PAUSE_S, TRIES, Target
from tests.support.loop_probe import Probe
from tests.support.models import publish
from tests.support.results import begins
from tests.support.server import Server

if not os.environ.get("FUZZ"):
    collect_ignore_glob = ["test_*.py"]

ROWS = pytest.StashKey[list[Row]]()
LONG = 10
MAX_GROWTH_MIB = 16
Case = Callable[[Random], str]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=secrets.randbelow(10**6), help="repeats the run with this seed")
    parser.addoption("--case", type=int, help="only this case of each kind")
    parser.addoption("--more", action="store_true", help=f"{LONG} times as many cases: over 90,000, three minutes")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


def pytest_report_header(config: pytest.Config) -> str:
    return f"fuzz: --seed {config.getoption('--seed')}" if os.environ.get("FUZZ") else ""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in table(config.stash[ROWS], config.getoption("--seed", 0)):
        terminalreporter.write_line(line)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("fuzz")
    for shift in (0, 1):
        publish(folder / "models", shift, promote=not shift)
    probe = Probe(folder / "probe")
    limits: dict[str, object] = {"max_body_bytes": 4_000_000, "max_instances": 1000, "max_files": 3}
    limits |= {"admin_key": ADMIN_KEY, "wrong_keys_per_min": 10**6, "trusted_proxies": "127.0.0.1"}
    limits |= {"client_corrections_per_h": 10**9}
    program = ("tests.support.loop_probe", str(folder / "probe"))
    with Server(folder / "models", program=program, grpc_port=0, recent_rows=256, **limits) as server:
        found = Target(server, probe, folder / "models")
        found.alive()
        with found.open_channel():
            yield found
        found.close()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--seed"))


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """By how much to multiply the numbers of cases."""
    return LONG if request.config.getoption("--more") else 1


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Callable[[str], Row]:
    """Begins a row of the table."""
    return begins(request.config.stash[ROWS], Row)


@pytest.fixture
def fuzz(
    request: pytest.FixtureRequest, target: Target, row: Callable[[str], Row], seed: int, times: int
) -> Callable[[str, int, Case], Row]:
    """Runs many cases of a kind against the service, each with a Random of its own; a failure says how to repeat it."""
    only = request.config.getoption("--case")

    def run(what: str, count: int, case: Case) -> Row:
        found = row(what)
        cases = range(count * times) if only is None else [only]
        for number in cases:
            if number == len(cases) // 2:
                half_mib = target.memory_mib()
            try:
                found.seen[one(target, case, f"{seed} {what} {number}", found)] += 1
            except AssertionError as error:
                again = f"make fuzz ARGS='--seed {seed} --case {number} -k {request.node.name.partition('[')[0]}'"
                raise AssertionError(f"{what}, case {number}: {error}\nAgain: {again}") from None
        if only is None:
            found.grown_mib = target.memory_mib() - half_mib
            assert found.grown_mib < MAX_GROWTH_MIB, f"{what}: memory grew by {found.grown_mib:.0f} MiB"
        target.alive()
        return found

    return run


def one(target: Target, case: Case, seed: str, row: Row) -> str:
    """One case; a pause counts if it comes each time, since the system charges threads with work of its own."""
    pauses = []
    for _ in range(TRIES):
        target.probe.reset()
        outcome = case(Random(seed))
        if target.probe.pause_s <= MAX_PAUSE_S:
            return outcome
        pauses.append(target.probe.pause_s)
    row.pause_s = max(row.pause_s, min(pauses))
    raise AssertionError(f"the event loop stood still for {min(pauses):.3f} s, {TRIES} times")
