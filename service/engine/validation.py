"""Everything a version must pass before it is served: hash, signature, a warm run, the self-test on its card.

As a program it does this in a process of its own: a file that makes ONNX Runtime crash, hang or exhaust memory does so
there, and not in the service. Exits 0 without output, or 1 with one sentence.

    python -m service.engine.validation MODELS_DIR NAME VERSION
"""

from __future__ import annotations

import asyncio
import base64
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from service.digits import Pixels, Probabilities
from service.engine.model import Model
from service.errors import DigitsError, ModelBroken, Unavailable
from service.repository.repository import Card, Repository

TIMEOUT_S, KILL_TIMEOUT_S = 30, 2
ADDRESS_SPACE_BYTES = 8 * 2**30


def load(repository: Repository, name: str, version: int, provider: str) -> tuple[Card, Model]:
    """Load a version and check it: hash, signature, a warm run, and the card's self-test.

    Raises:
        NoSuchModel: there is no such version.
        ModelBroken: it must not be served; the sentence says why.
        ProviderUnavailable: the execution provider does not work here.
    """
    card, data = repository.card(name, version), repository.model_bytes(name, version)
    if "self_test" not in card:
        raise ModelBroken(f"The card of {name} version {version} has no self_test; publish the model again.")
    try:
        model = Model.load(data, provider)
        model.self_test(*_self_test(card["self_test"]))
    except ModelBroken as error:
        raise ModelBroken(f"{name} version {version} cannot be served: {error}") from error
    return card, model


async def check(root: Path, name: str, version: int) -> None:
    """The same in another process, on the CPU.

    Raises:
        ModelBroken: the version must not be served.
        Unavailable: the try-out itself failed: it was killed, took too long, or could not be started. Try again later.
    """
    command = [sys.executable, "-m", "service.engine.validation", str(root), name, str(version)]
    try:
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, start_new_session=True)
    except OSError as error:
        raise Unavailable(f"Version {version} of {name} could not be tried out ({error.strerror}).", 5) from None
    try:
        _, sentence = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    except TimeoutError:
        raise Unavailable(f"Version {version} of {name} did not load within {TIMEOUT_S} seconds.", 5) from None
    finally:
        if process.returncode is None:
            process.kill()
            with suppress(TimeoutError):  # a process that waits for a dead volume cannot be ended
                await asyncio.wait_for(process.wait(), KILL_TIMEOUT_S)
    if process.returncode == 1 and sentence:
        raise ModelBroken(sentence.decode("utf-8", "replace").strip().splitlines()[-1])
    if process.returncode == -signal.SIGKILL:  # as the kernel does when memory is short
        raise Unavailable(f"The try-out of version {version} of {name} was killed; is there enough memory?", 5)
    if process.returncode:
        raise ModelBroken(f"Version {version} of {name} ends the process that loads it (code {process.returncode}).")


def _self_test(stored: dict[str, Any]) -> tuple[Pixels, Probabilities]:
    try:
        pixels = np.frombuffer(base64.b64decode(stored["pixels"], validate=True), np.uint8).reshape(-1, 28, 28)
        return pixels, np.asarray(stored["probabilities"], np.float32)
    except (KeyError, TypeError, ValueError):
        raise ModelBroken("The self_test in the card cannot be read; publish the model again.") from None


def main() -> None:
    root, name, version = sys.argv[1:]
    with suppress(OSError):  # if memory is short, the kernel shall take this process and not the service
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    try:
        load(Repository(Path(root)), name, int(version), "cpu")
    except DigitsError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
