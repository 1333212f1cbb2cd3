"""What this process may use of the machine: CPUs and memory, from its cgroup (version 1 and 2), and what follows.

A container sees the whole host in os.cpu_count() and /proc/meminfo; only the cgroup knows what it was given.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from service.settings import Settings

MIB = 2**20
PROCESS_BYTES = 72 * MIB  # measured: one process with a model loaded and warm, without the pages it shares
ROW_BYTES = 1600  # measured: pixels, their copy in a batch, probabilities and the answer's text
PIXEL_BYTES = 13  # measured: a picture with transparency, from its file to 28x28
UNLIMITED = 2**60  # cgroup 1 writes a number near 2**63
MOST_WORKERS = 256


@dataclass(frozen=True)
class Container:
    """CPUs (a fraction is a share of one) and bytes of memory; None where there is no limit but the machine's."""

    cpus: float
    memory: int | None

    @classmethod
    def read(cls, root: Path = Path("/")) -> Container:
        """The tightest limits on this process. `root` is where /proc and /sys are."""
        groups = list(_groups(root))
        quotas = [found for group in groups if (found := _cpus(group))]
        limits = [found for group in groups if (found := _memory(group))]
        return cls(min([len(os.sched_getaffinity(0)), *quotas]), min(limits, default=None))

    def workers(self) -> int:
        """Processes that it has room for: one a CPU, and for several also the parent's memory."""
        wanted = max(1, math.floor(self.cpus))
        if self.memory:
            wanted = min(wanted, self.memory // (2 * PROCESS_BYTES) - 1)
        return max(1, min(wanted, MOST_WORKERS))

    def threads(self) -> int:
        """Threads that decode large pictures: more than CPUs would only take memory."""
        return max(1, math.ceil(self.cpus))

    def fit(self, settings: Settings) -> Settings:
        """Settings that this container has room for: workers where they are `auto`, and limits lowered to what memory
        allows. What was set by hand is left as it is."""
        workers = settings.workers or self.workers()
        fitted = {"workers": workers} | {
            name: min(getattr(settings, name), most)
            for name, most in self._most(workers).items()
            if name not in settings.model_fields_set
        }
        return settings.model_copy(update=fitted)

    def sentence(self, settings: Settings) -> str:
        """What was found and chosen, for the log."""
        memory = f"{self.memory / MIB:,.0f} MiB of memory" if self.memory else "no memory limit"
        return (
            f"Found {self.cpus:g} CPUs and {memory}: {_many(settings.workers, 'worker')}, "
            f"{_many(self.threads(), 'picture thread')} each, 1 thread a model run; a request may have "
            f"{settings.max_body_bytes / MIB:.1f} MiB, {settings.max_instances:,} digits, a picture of "
            f"{settings.max_image_pixels / 1e6:.1f} million pixels; {settings.max_queue_rows:,} digits may wait"
        )

    def _most(self, workers: int) -> dict[str, int]:
        """Limits under which several of the largest requests at once fit into one worker's share of memory."""
        if self.memory is None:
            return {}
        processes = workers + 1 if workers > 1 else 1
        room = max(self.memory - processes * PROCESS_BYTES, 16 * MIB) // workers
        return {
            "max_body_bytes": room // 8,
            "max_instances": room // 8 // ROW_BYTES,
            "max_queue_rows": room // 4 // ROW_BYTES,
            "max_image_pixels": room // 3 // PIXEL_BYTES,
        }


def _groups(root: Path) -> list[Path]:
    """The folders of this process's cgroups and of all above them: a limit anywhere on the way counts."""
    mounts = root / "sys/fs/cgroup"
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        mount = mounts / controllers if controllers else mounts
        group = mount / path.lstrip("/")  # within a container this may be a path of the host's, and not exist
        found += [folder for folder in (group, *group.parents) if folder.is_relative_to(mount)]
    return found


def _cpus(group: Path) -> float | None:
    quota, _, period = _text(group / "cpu.max").partition(" ")
    if not quota:
        quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota.isdigit() and period.strip().isdigit() else None


def _memory(group: Path) -> int | None:
    limit = _text(group / "memory.max") or _text(group / "memory.limit_in_bytes")
    return int(limit) if limit.isdigit() and int(limit) < UNLIMITED else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
