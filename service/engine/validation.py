"""Everything a version must pass before it is served: hash, graph, signature, a warm run, the self-test on its card.

As a program it does this in a process of its own, which can open no file, no socket and little memory (sandbox.py): a
model that makes ONNX Runtime crash, hang or exhaust memory does so there, and not in the service. It writes the SHA-256
of the model it tried and exits with 0, or with 3 and one sentence on stderr, or with 4 if it could not find out.

    python -m service.engine.validation MODELS_DIR NAME VERSION
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from service.digits import Pixels, Probabilities
from service.engine.model import Model
from service.engine.operators import ENVIRONMENT, Operators
from service.engine.run_watchdog import RunWatchdog
from service.engine.sandbox import CPU_S, confine
from service.errors import DigitsError, ModelBroken, Unavailable
from service.repository.card import Card
from service.repository.repository import Repository
from service.repository.volume import Files, at_once

TIMEOUT_S, KILL_TIMEOUT_S = 30.0, 2.0
# Variables of the shell, the dynamic loader, Python and ONNX Runtime
NEEDED = re.compile("(PATH|HOME|TMPDIR|TZ|LANG|VIRTUAL_ENV|SYSTEMROOT)$|LC_|LD_|PYTHON|ORT_")
REJECTED, INTERRUPTED = 3, 4  # exit codes of the try-out, with a sentence
CRASHES = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE, -signal.SIGSYS}


def load(
    repository: Repository,
    name: str,
    version: int,
    provider: str,
    operators: Operators | None = None,
    tried: str | None = None,
    watchdog: RunWatchdog | None = None,
    files: Files = at_once,
) -> tuple[Card, Model]:
    """Load a version and check it: hash, graph, signature, a warm run, and the card's self-test.

    Args:
        repository: where it is.
        name: the model.
        version: its number.
        provider: "cpu", "cuda" or "auto", as Model.load takes it.
        operators: those that it may use; None: as DIGITS_ALLOWED_OPERATORS says.
        tried: SHA-256 of the model file that `check` tried out; another file is not loaded.
        watchdog: ends its runs that take too long.
        files: makes the file calls, as Volume.wait does it.

    Raises:
        NoSuchModel: there is no such version.
        ModelBroken: it must not be served; the sentence says why.
        ProviderUnavailable: the execution provider does not work here.
    """
    card, data = files(repository.card, name, version), files(repository.model_bytes, name, version)
    if tried is not None and sha256(data).hexdigest() != tried:
        raise ModelBroken(f"Version {version} of {name} changed after it was tried out; it is tried again.")
    return card, _checked(name, version, card, lambda: Model.load(data, provider, 1, operators, watchdog))


def _checked(name: str, version: int, card: Card, load_model: Callable[[], Model]) -> Model:
    if "self_test" not in card:
        raise ModelBroken(f"The card of {name} version {version} has no self_test; publish the model again.")
    try:
        model = load_model()
        model.self_test(*_self_test(card["self_test"]))
    except ModelBroken as error:
        raise ModelBroken(f"{name} version {version} cannot be served: {error}") from error
    return model


async def check(root: Path, name: str, version: int, operators: str = "exporter", timeout_s: float = TIMEOUT_S) -> str:
    """The same in another process, on the CPU.

    Args:
        root: folder of the repository.
        name: the model.
        version: its number.
        operators: the setting DIGITS_ALLOWED_OPERATORS.
        timeout_s: longest time for all of it, in seconds.

    Returns:
        SHA-256 of the model file that was tried, for `load`.

    Raises:
        ModelBroken: the version must not be served.
        Unavailable: the try-out itself failed: it was killed, took too long, or could not be started. Try again later.
    """
    try:
        process = await _start(root, name, version, operators)
    except OSError as error:
        raise Unavailable(f"Version {version} of {name} could not be tried out ({error.strerror}).", 5) from None
    try:
        tried, sentence = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        raise Unavailable(f"Version {version} of {name} did not load within {timeout_s:g} seconds.", 5) from None
    finally:
        if process.returncode is None:
            process.kill()
            with suppress(TimeoutError):  # a process that waits for a dead volume cannot be ended
                await asyncio.wait_for(process.wait(), KILL_TIMEOUT_S)
    if process.returncode == REJECTED and sentence:
        raise ModelBroken(sentence.decode("utf-8", "replace").strip().splitlines()[-1])
    if process.returncode == -signal.SIGXCPU:
        raise ModelBroken(f"Version {version} of {name} needs more than {CPU_S} seconds of CPU time to load.")
    if process.returncode == -signal.SIGKILL:  # as the kernel does when memory is short
        raise Unavailable(f"The try-out of version {version} of {name} was killed; is there enough memory?", 5)
    if process.returncode in CRASHES:
        raise ModelBroken(f"Version {version} of {name} ends the process that loads it (code {process.returncode}).")
    if process.returncode == INTERRUPTED and sentence:
        raise Unavailable(sentence.decode("utf-8", "replace").strip().splitlines()[-1], 5)
    if process.returncode:  # a Python that could not start, or a signal from outside
        raise Unavailable(f"The try-out of version {version} of {name} ended early (code {process.returncode}).", 5)
    return tried.decode("ascii", "replace").strip()


async def _start(root: Path, name: str, version: int, operators: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.engine.validation", str(root), name, str(version)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=_environment(operators),
    )


def _environment(operators: str) -> dict[str, str]:
    """What an interpreter needs to start, and no secret; and one thread, since a sandbox confines only one."""
    kept = {name: value for name, value in os.environ.items() if NEEDED.match(name)}
    return kept | {ENVIRONMENT: operators, "OPENBLAS_NUM_THREADS": "1"}


def _self_test(stored: dict[str, Any]) -> tuple[Pixels, Probabilities]:
    try:
        pixels = np.frombuffer(base64.b64decode(stored["pixels"], validate=True), np.uint8).reshape(-1, 28, 28)
        return pixels, np.asarray(stored["probabilities"], np.float32)
    except (KeyError, TypeError, ValueError):
        raise ModelBroken("The self_test in the card cannot be read; publish the model again.") from None


def main() -> None:
    root, name, version = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with suppress(OSError):  # if memory is short, the kernel shall take this process and not the service
        Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        repository = Repository(Path(root))
        card, data = repository.card(name, version), repository.model_bytes(name, version)
        os.chdir(repository.model_path(name, version).parent)
        confine()
        _checked(name, version, card, lambda: Model.load(data))
    except DigitsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - to the parent
        sys.exit(INTERRUPTED if isinstance(error, Unavailable) else REJECTED)
    print(sha256(data).hexdigest())  # noqa: T201


if __name__ == "__main__":
    main()
