"""What a process gives up, for good, before it runs a model that nobody has tried yet. Standard library and Landlock.

Two layers, neither of which needs privileges:

- Resource limits, on every Unix. No file descriptor can be opened any more, so neither a file nor a socket; no process
  or thread started (not enforced for root); nothing written to disk; CPU time and memory are bounded.
- Landlock, where the kernel has it (Linux 5.13 or newer, and enabled) and the package `landlockpy` is installed: no
  file can be opened, changed or removed, no TCP port used, no process outside signalled (Linux 6.12), even by code that
  a bug in ONNX Runtime lets in.
"""

from __future__ import annotations

import resource
from pathlib import Path

MEMORY_BYTES = 2**30  # in addition to what the process has when it is confined: interpreter, libraries, the file
CPU_S = 30
PAGE_BYTES = resource.getpagesize()


def confine(memory_bytes: int = MEMORY_BYTES, cpu_s: int = CPU_S) -> bool:
    """Confine this process, which must have one thread. Everything it will import or read must have been read before.

    Returns:
        Whether Landlock confines it too.
    """
    landlocked = _landlock()
    limits = {
        resource.RLIMIT_AS: _address_space() + memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,  # those that are open stay open
    }
    for limit, most in limits.items():
        _lower(limit, most, most)
    _lower(resource.RLIMIT_CPU, cpu_s, cpu_s + 1)  # SIGXCPU, and SIGKILL a second later
    return landlocked


def _lower(limit: int, soft: int, hard: int) -> None:
    """Set a limit, never above one that is set already."""
    _, ceiling = resource.getrlimit(limit)
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(limit, (soft, hard))


def _address_space() -> int:
    """Bytes of address space in use. Linux; 0 where there is no /proc, so that the limit is absolute."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * PAGE_BYTES
    except OSError:
        return 0


def _landlock() -> bool:
    try:
        from landlockpy import Ruleset, Scope
    except ImportError:
        return False
    try:
        with Ruleset(scoped=Scope.SIGNAL | Scope.ABSTRACT_UNIX_SOCKET) as nothing_is_allowed:
            nothing_is_allowed.restrict()
    except OSError:  # LandlockError too: the kernel is too old, has it switched off, or a container forbids the call
        return False
    return True
