"""The profile `scale`: three replicas behind a balancer, each of which is killed, and then replaced, under load."""

from __future__ import annotations

import subprocess

from tests.compose.engine import COMPOSE, Project, healthy, inspect, logs, run, until
from tests.compose.stream import Stream, stream


def test_replicas_die_and_are_replaced_and_nobody_notices(project: Project, haproxy_image: str) -> None:
    project.up("balancer", "replica", profile="scale")
    first = set(project.containers("replica", "scale"))
    assert len(first) == 3
    with stream(project.port("BALANCER_"), clients=6) as asking:
        until(lambda: asking.answers > 100)
        for replica in sorted(first):
            kill(replica, asking)

        before = asking.answers
        run("deploy/scale/replace", cwd=project.folder, COMPOSE=" ".join(COMPOSE), timeout_s=600)
        print(f"replaced all within {asking.answers - before} answers")
        second = set(project.containers("replica", "scale"))
        assert len(second) == 3
        assert not first & second
        before = asking.answers
        until(lambda: asking.answers > before + 100)
    asking.check()


def kill(replica: str, asking: Stream) -> None:
    """Without a warning, with requests in flight; back once it is ready again."""
    subprocess.run(["kill", "-9", str(inspect(replica)["State"]["Pid"])], check=True)
    before = asking.answers
    until(lambda: inspect(replica)["RestartCount"] == 1)
    until(lambda: healthy(replica) and asking.answers > before + 200)
    print(f"killed one at {before} answers")


def test_the_balancer_says_so_where_no_replica_is_left(project: Project, haproxy_image: str) -> None:
    project.up("balancer", "replica", profile="scale")
    with stream(project.port("BALANCER_"), clients=2) as asking:
        until(lambda: asking.statuses[200] > 20)
        project.compose("--profile", "scale", "stop", "replica")
        until(lambda: asking.statuses[503] > 5)
    assert set(asking.statuses) == {200, 503}
    for container in project.containers("replica", "scale"):
        assert inspect(container)["State"]["ExitCode"] == 0, logs(container)
