"""The thread that writes log lines: a reader who stops reading, a disk that is full, a pipe that is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from service.telemetry.log_writer import LogWriter
from tests.support.server import PATIENCE_S, Server

LINE = "x" * 1023 + "\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(writer)  # whoever still reads sees the end; the reader's own end stays open for them


def read_until(reader: int, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        data += os.read(reader, 2**16)
    return data


def test_lines_are_written_in_order(pipe: tuple[int, int]) -> None:
    writer = LogWriter(pipe[1])
    wanted = "".join(f"{number}\n" for number in range(1000))
    for line in wanted.splitlines(keepends=True):
        writer.put(line)
    assert writer.flush(PATIENCE_S)
    assert os.read(pipe[0], 2**16).decode() == wanted


def test_a_blocked_reader_blocks_nobody_and_what_is_dropped_is_counted(pipe: tuple[int, int]) -> None:
    writer = LogWriter(pipe[1], max_bytes=100 * len(LINE))
    for _ in range(1000):
        writer.put(LINE)
    assert not writer.flush(0.05)
    assert 1000 - 2 * 100 - 64 <= writer.dropped <= 1000 - 100  # the pipe holds 64 lines, one write may be in progress
    kept = 1000 - writer.dropped
    assert len(read_until(pipe[0], LINE.encode())) <= kept * len(LINE)
    threading.Thread(target=drain, args=(pipe[0],), daemon=True).start()
    assert writer.flush(PATIENCE_S)
    assert writer.dropped == 1000 - kept


def drain(reader: int) -> None:
    while os.read(reader, 2**16):
        pass


def test_a_pipe_that_others_made_non_blocking_loses_nothing(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    writer = LogWriter(pipe[1])
    for number in range(200):
        writer.put(f"{number:1023d}\n")
    data = read_until(pipe[0], b"199\n")
    assert data.count(b"\n") == 200
    assert writer.dropped == 0


def test_a_failed_write_does_not_end_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    writer = LogWriter(full)
    try:
        writer.put("lost\nlost too\n")
        assert writer.flush(PATIENCE_S)
        assert writer.dropped == 2
        better = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
        os.dup2(better, full)
        os.close(better)
        writer.put("kept\n")
        assert writer.flush(PATIENCE_S)
    finally:
        os.close(full)
    assert (tmp_path / "log").read_text() == "kept\n"
    assert "2 log lines were dropped" in caplog.text


# -- the service ------------------------------------------------------------------------------------------------


class Deaf(Server):
    """A server whose standard error nobody reads after its start-up line, until `listen` is called."""

    def _read_on(self) -> None:
        self.reading = threading.Event()
        self.reading.wait(PATIENCE_S)
        super()._read_on()


def metric(server: Server, name: str) -> float:
    lines = server.client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def wait_for(true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def ask_for_nothing(server: Server, count: int, at_once: int = 100) -> None:
    """Requests with long paths and ids, on one connection, which is one worker's; each is a line of the log."""
    head = b"GET /health/live/%b HTTP/1.1\r\nHost: localhost\r\nx-request-id: %b\r\n\r\n" % (b"x" * 250, b"i" * 128)
    with server.socket() as connection:
        for _ in range(count // at_once):
            connection.sendall(head * at_once)
            answered, rest = 0, b""
            while answered < at_once:
                received = rest + connection.recv(2**16)
                answered += received.count(b"HTTP/1.1 404")
                rest = received[-11:] if not received.endswith(b"HTTP/1.1 404") else b""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_log_that_nobody_reads_holds_up_neither_answers_nor_the_end(
    models_dir: Path, tmp_path: Path, workers: int
) -> None:
    settings = {"workers": workers, "access_log": True, "feedback_path": tmp_path / "f.sqlite"}
    with Deaf(models_dir, **settings) as server:
        ask_for_nothing(server, 28_000)  # 10 MB of lines: more than a pipe, the queue and the write in progress hold
        wait_for(lambda: metric(server, "digits_log_lines_dropped_total") > 0)
        assert httpx.get(server.url + "/health/ready").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        try:
            code = server.process.wait(20)
        finally:
            server.reading.set()
    assert code == 0
