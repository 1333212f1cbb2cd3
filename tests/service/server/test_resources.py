"""Limits as cgroup 1 and 2 write them, read from real files in a folder that stands for /, and what follows of them."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from service.server.resources import MIB, Container
from service.settings import AUTO_WORKERS, Settings

CPUS = len(os.sched_getaffinity(0))
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

ID = "4e8d5f"

# The files of a machine or container, and the CPUs (None: those of this machine) and memory that they allow.
TREES: dict[str, tuple[dict[str, str], float | None, int | None]] = {
    "no cgroup at all": ({}, None, None),
    "2: a container": (
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/cpu.max": "50000 100000\n",
            "sys/fs/cgroup/memory.max": "134217728\n",
        },
        0.5,
        128 * MIB,
    ),
    "2: a container without limits": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/memory.max": "max\n"},
        None,
        None,
    ),
    "2: a slice whose parent is tighter": (
        {
            "proc/self/cgroup": "0::/user.slice/user-1000.slice/app.service\n",
            "sys/fs/cgroup/user.slice/user-1000.slice/app.service/memory.max": "max\n",
            "sys/fs/cgroup/user.slice/user-1000.slice/memory.max": f"{300 * MIB}\n",
            "sys/fs/cgroup/user.slice/memory.max": f"{900 * MIB}\n",
            "sys/fs/cgroup/user.slice/cpu.max": "25000 100000\n",
        },
        0.25,
        300 * MIB,
    ),
    "1: a container, which sees the host's path": (
        {
            "proc/self/cgroup": f"8:memory:/docker/{ID}\n3:cpu,cpuacct:/docker/{ID}\n1:name=systemd:/docker/{ID}\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "20000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n",
        },
        0.2,
        256 * MIB,
    ),
    "1: a container without limits": (
        {
            "proc/self/cgroup": f"4:memory:/docker/{ID}\n1:cpu:/docker/{ID}\n0::/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
        None,
        None,
    ),
    "1: a group of the host": (
        {
            "proc/self/cgroup": "8:memory:/system.slice/digits.service\n3:cpu:/system.slice/digits.service\n",
            "sys/fs/cgroup/memory/system.slice/digits.service/memory.limit_in_bytes": "536870912\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
        None,
        512 * MIB,
    ),
    "more CPUs than there are": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "99900000 100000\n"},
        None,
        None,
    ),
    "files that make no sense": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "a lot\n", "sys/fs/cgroup/memory.max": "\n"},
        None,
        None,
    ),
}


@pytest.mark.parametrize("tree", TREES)
def test_limits_are_read(tmp_path: Path, tree: str) -> None:
    files, cpus, memory = TREES[tree]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert Container.read(tmp_path) == Container(CPUS if cpus is None else cpus, memory, FILES)


def test_this_machine_can_be_read() -> None:
    found = Container.read()
    assert 0 < found.cpus <= CPUS
    assert found.memory is None or found.memory > 64 * MIB


@pytest.mark.parametrize(
    ("cpus", "memory", "workers"),
    [
        (0.5, None, 1),
        (1, None, 1),
        (1.9, None, 1),
        (4, None, 4),
        (1000, None, 256),
        (4, 128 * MIB, 1),
        (4, 256 * MIB, 1),
        (4, 512 * MIB, 2),
        (4, 2048 * MIB, 4),
    ],
)
def test_one_worker_a_cpu_as_far_as_memory_goes(cpus: float, memory: int | None, workers: int) -> None:
    container = Container(cpus, memory)
    assert container.workers() == workers
    assert container.fit(Settings(workers="auto")).workers == workers  # type: ignore[arg-type]


@pytest.mark.parametrize(("cpus", "threads"), [(0.1, 1), (0.5, 1), (1, 1), (1.5, 2), (8, 8)])
def test_as_many_threads_as_cpus(cpus: float, threads: int) -> None:
    assert Container(cpus, None).threads() == threads


def test_workers_that_were_set_stay() -> None:
    assert Container(8, 128 * MIB).fit(Settings(workers=3)).workers == 3
    assert Container(8, 8192 * MIB).fit(Settings()).workers == 1


def test_without_a_limit_nothing_changes() -> None:
    assert Container(2, None).fit(Settings()) == Settings()


def test_little_memory_lowers_what_one_request_may_take() -> None:
    fitted = Container(0.5, 128 * MIB).fit(Settings())
    assert 2 * MIB <= fitted.max_body_bytes <= 16 * MIB
    assert 1000 <= fitted.max_instances < 30_000
    assert fitted.max_instances < fitted.max_queue_rows < 60_000
    assert 500_000 <= fitted.max_image_pixels < 16_000_000


@pytest.mark.parametrize("memory", [1, 16 * MIB, 64 * MIB])
def test_the_limits_are_usable_however_little_there_is(memory: int) -> None:
    fitted = Container(0.1, memory).fit(Settings(workers="auto"))  # type: ignore[arg-type]
    assert Settings(**{name: getattr(fitted, name) for name in ("max_body_bytes", "max_image_pixels", "workers")})


def test_kaggles_test_file_fits_into_half_a_gigabyte() -> None:
    """28,000 digits, 51 MB: the memory limit of docker-compose.yml must not spoil what the README promises."""
    fitted = Container(1, 512 * MIB).fit(Settings())
    assert fitted.max_body_bytes > 52_000_000
    assert fitted.max_instances >= 28_000


def test_limits_that_were_set_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_MAX_BODY_BYTES", str(40 * MIB))
    fitted = Container(1, 128 * MIB).fit(Settings(_cli_parse_args=["--max-instances", "25000"]))  # type: ignore[call-arg]
    assert (fitted.max_body_bytes, fitted.max_instances) == (40 * MIB, 25_000)


def test_it_says_what_it_found_and_chose() -> None:
    container = Container(0.5, 128 * MIB)
    said = container.sentence(container.fit(Settings()))
    assert said.startswith(
        "Found 0.5 CPUs and 128 MiB of memory: 1 worker, 1 picture thread each, 1 thread per model run;"
    )
    assert "no memory limit" in Container(4, None).sentence(Settings(workers=4))


def test_auto_is_no_number_of_workers() -> None:
    assert Settings(workers="auto").workers == AUTO_WORKERS  # type: ignore[arg-type]
