"""Starting and ending `python -m service`, as a subprocess: one line when it serves, one sentence when it cannot."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.repository.repository import Repository
from service.settings import Settings
from tests.support.models import BROKEN, card_for, classifier, digits, publish, publish_broken
from tests.support.server import PATIENCE_S, ROOT, Server, environment, run_to_end
from tests.support.workers import worker_of

Process = subprocess.CompletedProcess[str]
pytestmark = pytest.mark.slow  # the service is started, some fifty times
SENTENCE = r"Cannot start: \S.{10,300}"


def spoiled(root: Path, file: str, content: bytes | None) -> None:
    publish(root)
    path = root / "digits" / file
    path.unlink()
    if content is not None:
        path.write_bytes(content)


def broken(what: str) -> Callable[[Path], Any]:
    return lambda root: publish_broken(root, BROKEN[what], **card_for(classifier()))


# What is in the models folder, and a word of the sentence that must be said of it.
FOLDERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (lambda root: None, "no model named digits"),
    "an empty folder": (lambda root: root.mkdir(), "no model named digits"),
    "a file for a folder": (lambda root: root.write_text("x"), "digits"),
    "nothing promoted": (lambda root: publish(root, promote=False), "promote"),
    "another model": (lambda root: publish(root, name="letters"), "no model named digits"),
    "garbage in current": (lambda root: spoiled(root, "current", b"latest\n"), "digits/current"),
    "bytes in current": (lambda root: spoiled(root, "current", b"\xff\xfe\0"), "digits/current"),
    "current of no version": (lambda root: spoiled(root, "current", b"7\n"), "no version 7"),
    "no model file": (lambda root: spoiled(root, "1/model.onnx", None), "model.onnx"),
    "model file cut": (lambda root: spoiled(root, "1/model.onnx", classifier()[:-1]), "SHA-256"),
    "another model file": (lambda root: spoiled(root, "1/model.onnx", classifier(1)), "SHA-256"),
    "no card": (lambda root: spoiled(root, "1/card.json", None), "card.json"),
    "garbage card": (lambda root: spoiled(root, "1/card.json", b"{'name'"), "card.json"),
    "card of an array": (lambda root: spoiled(root, "1/card.json", b"[]"), "card.json"),
    "card of no end": (lambda root: spoiled(root, "1/card.json", b"[" * 100_000), "card.json"),
    "card without hash": (lambda root: spoiled(root, "1/card.json", b"{}"), "SHA-256"),
    "not ONNX": (broken("text"), "not accepted as ONNX"),
    "truncated, published so": (broken("truncated"), "not accepted as ONNX"),
    "wrong input shape": (broken("input of 32x32"), "pixels"),
    "wrong input type": (broken("input of floats"), "pixels"),
    "wrong output": (broken("output of another name"), "probabilities"),
    "fails when run": (broken("fails with two digits"), "fails on"),
    "NaN": (broken("NaN"), "finite"),
    "another model's self-test": (
        lambda root: publish_broken(root, classifier(1), **card_for(classifier(2))),
        "self-test",
    ),
}
# What is set, beside a good folder, and a word of the sentence.
SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "port of letters": ({"port": "abc"}, "DIGITS_PORT"),
    "port too large": ({"port": 65536}, "DIGITS_PORT"),
    "no workers": ({"workers": 0}, "DIGITS_WORKERS"),
    "unknown provider": ({"provider": "tpu"}, "DIGITS_PROVIDER"),
    "two wrong": ({"port": "abc", "workers": "x"}, "DIGITS_WORKERS"),
    "cuda": ({"provider": "cuda"}, "onnxruntime-gpu"),
    "cuda, two workers": ({"provider": "cuda", "workers": 2}, "onnxruntime-gpu"),
    "a model that is no name": ({"model": "../digits"}, "name"),
    "a host that is not ours": ({"host": "192.0.2.1"}, "DIGITS_HOST"),
    "a host that is none": ({"host": "no.such.host.invalid"}, "no.such.host.invalid"),
    "a host that cannot be": ({"host": "a..b"}, "a..b"),
    "a host of a long label": ({"host": "x" * 100}, "xxx"),
    "broken with two workers": ({"workers": 2, "models_dir": "/nowhere"}, "no model named digits"),
}
FLAGS: dict[str, tuple[str, ...]] = {
    "flag without value": ("--port",),
    "a stray word": ("8000",),
    "wrong value": ("--port", "abc"),
}


# One process that tries to start many times, for refusals that differ in the sentence: importing costs more than all
# the rest. Those of FOR_REAL start as users start them.
TRIES = """
import contextlib, io, json, sys, traceback
from service.__main__ import main
for flags in json.loads(sys.argv[1]):
    said, code = io.StringIO(), None
    with contextlib.redirect_stderr(said):
        try:
            main(flags)
        except SystemExit as ending:
            code = ending.code
        except Exception:
            code = traceback.format_exc()
    print(json.dumps([code, said.getvalue()] if isinstance(code, int) else [1, said.getvalue() + code]))
"""
FOR_REAL = {
    "no folder",
    "garbage card",
    "not ONNX",
    "fails when run",
    "port of letters",
    "cuda",
    "broken with two workers",
}


def ended(name: str, code: int, said: str) -> Process:
    return subprocess.CompletedProcess(name, code, "", said)


@pytest.fixture(scope="module")
def starts(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The settings of each start that must fail."""
    root = tmp_path_factory.mktemp("folders")
    found: dict[str, dict[str, Any]] = {}
    for name, (make, _) in FOLDERS.items():
        folder = root / name.replace(" ", "-")
        make(folder)
        found[name] = {"models_dir": folder, "port": 0}
    return found | {name: {"models_dir": models_dir, "port": 0} | more for name, (more, _) in SETTINGS.items()}


@pytest.fixture(scope="module")
def endings(starts: dict[str, dict[str, Any]], models_dir: Path) -> dict[str, Process]:
    """How each start ends."""
    together = [name for name in starts if name not in FOR_REAL]
    flags = [[f"--{key.replace('_', '-')}={value}" for key, value in starts[name].items()] for name in together]
    with socket.socket() as taken, ThreadPoolExecutor(2) as pool:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        runs = {name: pool.submit(run_to_end, **starts[name]) for name in FOR_REAL}
        runs["port in use"] = pool.submit(run_to_end, models_dir=models_dir, port=taken.getsockname()[1])
        runs["unknown flag"] = pool.submit(run_to_end, "--prot", "80", models_dir=models_dir)
        runs["help"] = pool.submit(run_to_end, "--help")
        tries = [sys.executable, "-c", TRIES, json.dumps(flags + list(map(list, FLAGS.values())))]
        process = subprocess.run(tries, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S)
        assert process.returncode == 0, process.stderr
        said = map(json.loads, process.stdout.splitlines())
        found = {name: ended(name, *one) for name, one in zip([*together, *FLAGS], said, strict=True)}
        return found | {name: run.result() for name, run in runs.items()}


def check_ending(process: Process, says: str, sentences: int = 1) -> None:
    assert process.returncode not in (0, -signal.SIGKILL)
    assert process.stdout == ""
    lines = process.stderr.splitlines()
    assert len(lines) == sentences, process.stderr
    for line in lines:
        assert re.fullmatch(SENTENCE, line), line
    assert "Traceback" not in process.stderr
    assert says in process.stderr


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_cannot_be_served(endings: dict[str, Process], name: str) -> None:
    check_ending(endings[name], FOLDERS[name][1])
    assert "DIGITS_MODELS_DIR is /" in endings[name].stderr


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_cannot_work(endings: dict[str, Process], name: str) -> None:
    check_ending(endings[name], SETTINGS[name][1], sentences=2 if name == "two wrong" else 1)


def test_a_port_in_use(endings: dict[str, Process]) -> None:
    check_ending(endings["port in use"], "DIGITS_PORT")
    assert "in use" in endings["port in use"].stderr


@pytest.mark.parametrize("name", [*FLAGS, "unknown flag"])
def test_flags_that_are_none(endings: dict[str, Process], name: str) -> None:
    process = endings[name]
    assert process.returncode == 2
    assert process.stderr
    assert "Traceback" not in process.stderr


def test_help_lists_every_setting(endings: dict[str, Process]) -> None:
    process = endings["help"]
    assert (process.returncode, process.stderr) == (0, "")
    shown = " ".join(process.stdout.split())
    assert "DIGITS_" in shown
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in shown
        assert str(field.description).split(".")[0] in shown.replace("%%", "%"), name


COLLECTOR = """
import gc, sys
class Watch:  # asked for every module that is imported, before it is
    def find_spec(self, name, path=None, target=None):
        if name in ("service.start", "fastapi", "onnxruntime"):
            print(name, gc.isenabled())
sys.meta_path.insert(0, Watch())
from service.__main__ import main
main(["--help"])
"""


def test_the_collector_is_off_while_the_service_is_imported() -> None:
    """Whichever way it is started: the command digits-serve calls the same function as `python -m service`."""
    process = subprocess.run(
        [sys.executable, "-c", COLLECTOR], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60
    )
    found = re.findall(r"^(\S+) (True|False)$", process.stdout, re.M)
    assert sorted(found) == [("fastapi", "False"), ("onnxruntime", "False"), ("service.start", "False")]
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["digits-serve"] == "service.__main__:main"


# -- starts that work -------------------------------------------------------------------------------------------


def test_the_start_up_line(server: Server) -> None:
    line = server.announced
    for word in ("digits version 2", "brightest", "CPU", "1 worker", f"http://127.0.0.1:{server.port}"):
        assert word in line, line
    assert "workers" not in line


@pytest.mark.parametrize(("workers", "number"), [(1, signal.SIGTERM), (1, signal.SIGINT), (2, signal.SIGTERM)])
def test_workers_serve_until_a_signal_ends_it_with_0(
    models_dir: Path, tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    """And flags win over the environment."""
    flags = ("--model", "shifted", "--workers", str(workers))
    body = {"instances": digits(3, 9).tolist()}
    answering = set()
    with Server(models_dir, *flags, model="digits", workers=3, feedback_path=tmp_path / "f.sqlite") as server:
        assert "shifted version 1" in server.announced
        assert f"{workers} worker" in server.announced
        for _ in range(400):
            with httpx.Client(base_url=server.url, timeout=60) as client:  # a connection of its own
                answer = client.post("/predict", json=body)
                answering.add(worker_of(server, server_port=server.port) if workers > 1 else server.process.pid)
            assert answer.json()["model"] == {"name": "shifted", "version": 1}
            assert [prediction["digit"] for prediction in answer.json()["predictions"]] == [4, 0]
            if len(answering) == workers:
                break
        assert len(answering) == workers
        code, log = server.stop(number)
    assert code == 0, log
    assert "Traceback" not in log
    assert "ERROR" not in log


def test_what_was_asked_before_the_signal_is_answered(models_dir: Path, tmp_path: Path) -> None:
    """A request of 20,000 digits is under way when SIGTERM comes: it is answered in full, then the process ends."""
    octets = {"Content-Type": "application/octet-stream"}
    with Server(models_dir, feedback_path=tmp_path / "f.sqlite") as server, ThreadPoolExecutor(1) as pool:
        body = digits(*range(10)).tobytes() * 2000
        assert server.client.post("/predict", content=digits(1).tobytes(), headers=octets).status_code == 200
        busy = pool.submit(server.client.post, "/predict", content=body, headers=octets)
        wait_until_busy(server)
        server.process.send_signal(signal.SIGTERM)
        answer = busy.result(60)
        assert answer.status_code == 200
        assert len(answer.json()["predictions"]) == 20_000
        assert server.stop(None)[0] == 0  # a second signal would cut it short


def wait_until_busy(server: Server) -> None:
    with server.socket() as connection, connection.makefile("rb") as stream:
        for _ in range(2000):
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            size = 0
            while (line := stream.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
            if b"\ndigits_queue_rows 20000.0" in stream.read(size):
                return
    raise AssertionError("the big request never ran")


def alive(pid: int) -> bool:
    """Whether this worker runs; one that has ended and was not waited for has no command line."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def workers_of(server: Server) -> set[int]:
    """The worker processes that run, as the kernel lists them."""
    tasks = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return {pid for pid in map(int, tasks.read_text().split()) if alive(pid)}


def wait_for(true: Callable[[], object], what: str) -> None:
    """Wait for what surely comes, however slow the machine is; the deadline only ends a test that has failed."""
    deadline = time.monotonic() + 4 * PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)  # two cores: polling must not take one from the workers


def answering(server: Server) -> bool:
    """Whether a new connection gets 200; a worker that was killed may still take one with it."""
    try:
        return server.client.get("/health/ready", headers={"Connection": "close"}).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes as Linux shows them")
def test_a_worker_that_dies_is_replaced_and_none_outlives_its_parent(models_dir: Path, tmp_path: Path) -> None:
    with Server(models_dir, workers=2, feedback_path=tmp_path / "f.sqlite") as server:
        wait_for(lambda: len(workers_of(server)) == 2, "two workers")
        wait_for(lambda: answering(server), "an answer")
        killed = min(workers_of(server))
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: len(workers_of(server) - {killed}) == 2, "two workers, one of them new")
        wait_for(lambda: answering(server), "an answer after a worker died")
        last = workers_of(server)
        server.process.kill()  # as the kernel does when memory is short
        server.process.wait()
        try:
            wait_for(lambda: not any(map(alive, last)), "no worker without its parent")
        finally:
            for pid in last:
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)


def test_the_line_and_errors_are_json_where_asked(models_dir: Path) -> None:
    with Server(models_dir, log_format="json", access_log=True) as server:
        line = json.loads(server.announced)
        assert line["level"] == "info"
        assert "digits version 2" in line["message"]
        server.client.get("/nothing%22%0A%7B%5C%00%E2%80%A8")
        _, log = server.stop()
    assert all(json.loads(entry) for entry in log.strip().split("\n"))


def test_ipv6(models_dir: Path) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("there is no IPv6 here")
    with Server(models_dir, host="::1") as server:
        assert "http://[::1]:" in server.announced
        assert server.client.get("/health/live").status_code == 200


def test_a_second_service_on_the_same_repository(server: Server, models_dir: Path, tmp_path: Path) -> None:
    """Nothing in the repository is locked by serving it: another service reads it, a trainer publishes to it."""
    with Server(models_dir, feedback_path=tmp_path / "f.sqlite") as other:
        assert other.port != server.port
        assert other.client.get("/models").json() == server.client.get("/models").json()
    assert Repository(models_dir).current("digits") == 2
