"""CPUs and memory that this process may use, from its cgroup (version 1 or 2), and the settings that follow from them.

os.cpu_count() and /proc/meminfo show the whole host; only the cgroup has the container's limits.
"""

from __future__ import annotations

import math
import os
import resource
from dataclasses import dataclass
from pathlib import Path

from service.errors import pluralize
from service.settings import Settings

MIB = 2**20
PROCESS_BYTES = 72 * MIB  # measured: one process with a warm model, without shared pages
ROW_BYTES = 1600  # measured: pixels, their copy in a batch, probabilities and the response's text
PIXEL_BYTES = 13  # measured: a picture with transparency while it is scaled to 28x28
CONNECTION_BYTES = 64 * 1024  # a body that is not counted otherwise; idle ones take far less
OTHER_FILES = 256  # open files of a process that are no connections of HTTP clients
UNLIMITED = 2**60  # cgroup 1 writes a number near 2**63
MAX_WORKERS = 256


@dataclass(frozen=True)
class Container:
    """CPUs (may be a fraction), bytes of memory, and open files per process; None if only the machine limits it."""

    cpus: float
    memory: int | None
    files: int | None = None

    @classmethod
    def read(cls, root: Path = Path("/")) -> Container:
        """The tightest limits on this process. `root` is the folder that holds proc/ and sys/."""
        groups = list(_groups(root))
        quotas = [found for group in groups if (found := _cpus(group))]
        limits = [found for group in groups if (found := _memory(group))]
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        known = None if files == resource.RLIM_INFINITY else files
        return cls(min([len(os.sched_getaffinity(0)), *quotas]), min(limits, default=None), known)

    def workers(self) -> int:
        """Number of worker processes: one per CPU, as far as memory allows; several also need their parent's memory."""
        wanted = max(1, math.floor(self.cpus))
        if self.memory:
            wanted = min(wanted, self.memory // (2 * PROCESS_BYTES) - 1)
        return max(1, min(wanted, MAX_WORKERS))

    def threads(self) -> int:
        """Number of threads that decode large pictures; more than one per CPU would only use memory."""
        return max(1, math.ceil(self.cpus))

    def fit(self, settings: Settings) -> Settings:
        """Fit settings into this container: choose `workers` if it is auto, and lower limits to what memory allows.
        Settings given explicitly stay as they are."""
        workers = settings.workers or self.workers()
        fitted = {"workers": workers} | {
            name: min(getattr(settings, name), most)
            for name, most in self._limits(workers, settings.grpc_port is not None).items()
            if name not in settings.model_fields_set
        }
        return settings.model_copy(update=fitted)

    def sentence(self, settings: Settings) -> str:
        """One sentence for the log: what was found and what was chosen."""
        memory = f"{self.memory / MIB:,.0f} MiB of memory" if self.memory else "no memory limit"
        return (
            f"Found {self.cpus:g} CPUs and {memory}: {pluralize(settings.workers, 'worker')}, "
            f"{pluralize(self.threads(), 'picture thread')} each, 1 thread per model run; a request may have "
            f"{settings.max_body_bytes / MIB:.1f} MiB, {settings.max_instances:,} digits, a picture of "
            f"{settings.max_image_pixels / 1e6:.1f} million pixels; {settings.max_queue_rows:,} digits may wait, "
            f"{settings.max_inflight_bytes / MIB:.1f} MiB may be in flight, "
            f"{settings.max_connections:,} connections may be open"
        )

    def _limits(self, workers: int, with_grpc: bool) -> dict[str, int]:
        """Limits at which several of the largest requests fit into one worker's share of memory at once."""
        files = {"max_connections": max(self.files - OTHER_FILES, self.files // 2, 1)} if self.files else {}
        if self.memory is None:
            return files
        processes = workers + 1 if workers > 1 else 1
        room = max(self.memory - processes * PROCESS_BYTES, 16 * MIB) // workers
        connections = min(room // 8 // CONNECTION_BYTES, files.get("max_connections", UNLIMITED))
        return {
            "max_connections": connections,
            "max_body_bytes": room // 8,
            "max_grpc_message_bytes": room // 16,
            "max_inflight_bytes": room // (8 if with_grpc else 4),  # which holds as much again while it receives
            "max_instances": room // 8 // ROW_BYTES,
            "max_queue_rows": room // 4 // ROW_BYTES,
            "max_image_pixels": room // 3 // PIXEL_BYTES,
        }


def _groups(root: Path) -> list[Path]:
    """Folders of this process's cgroups and of all their parents: the limits of each of them apply."""
    mounts = root / "sys/fs/cgroup"
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        mount = mounts / controllers if controllers else mounts
        group = mount / path.lstrip("/")  # in a container this may be the host's path, which does not exist here
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
