"""TLS: over HTTP and gRPC, with certificates that change while the service runs, and with clients that misbehave."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.grpc_client import grpc_port
from tests.support.models import digits
from tests.support.server import PATIENCE_S, ROOT, Server, environment, run_to_end
from tests.support.waiting import until

OCTETS = {"content-type": "application/octet-stream"}


class Certified:
    """A folder with a certificate of its own authority, and what a client needs to trust it."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.cert, self.key = folder / "tls.crt", folder / "tls.key"
        self.context = ssl.create_default_context()
        self.authority.configure_trust(self.context)
        self.renew()

    def renew(self) -> None:
        new = self.authority.issue_cert("localhost", "127.0.0.1")
        self.key.write_bytes(new.private_key_pem.bytes())
        self.cert.write_bytes(b"".join(blob.bytes() for blob in new.cert_chain_pems))

    def settings(self) -> dict[str, Path]:
        return {"tls_cert_path": self.cert, "tls_key_path": self.key}

    def serial(self) -> int:
        return x509.load_pem_x509_certificate(self.cert.read_bytes()).serial_number

    def served_serial(self, port: int) -> int:
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain,
            self.context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            found = connection.getpeercert(binary_form=True)
        assert found
        return x509.load_der_x509_certificate(found).serial_number


@pytest.fixture
def certified(tmp_path: Path) -> Certified:
    return Certified(tmp_path)


@pytest.fixture
def secure(models_dir: Path, tmp_path: Path, certified: Certified) -> Iterator[Server]:
    more = {"grpc_port": 0, "feedback_path": tmp_path / "f.sqlite"} | certified.settings()
    with Server(models_dir, verify=certified.context, **more) as server:
        yield server


def predict(client: httpx.Client, accept: str = "application/json") -> int:
    headers = OCTETS | {"accept": accept}
    return client.post("/predict", content=digits(3).tobytes(), headers=headers).status_code


def call_grpc(server: Server, certified: Certified) -> bool:
    roots = certified.authority.cert_pem.bytes()
    with grpc.secure_channel(f"localhost:{grpc_port(server)}", grpc.ssl_channel_credentials(roots)) as channel:
        live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        return bool(live(b"", timeout=20) == b"\x08\x01")


def test_both_protocols(secure: Server, certified: Certified) -> None:
    assert secure.url.startswith("https://")
    for accept in ("application/json", "application/json;q=0.5"):  # past ASGI, and through it
        assert [predict(secure.client, accept) for _ in range(5)] == [200] * 5
    many = digits(*[3] * 5000).tobytes()
    answer = secure.client.post("/predict", content=many, headers=OCTETS)
    assert len(answer.json()["predictions"]) == 5000
    assert call_grpc(secure, certified)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{secure.url}/health/live")  # its authority is unknown
    with pytest.raises(grpc.RpcError), grpc.insecure_channel(f"127.0.0.1:{grpc_port(secure)}") as channel:
        channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", timeout=5)


def test_a_new_certificate_is_taken_and_a_damaged_one_is_not(secure: Server, certified: Certified) -> None:
    held = secure.client  # a connection from before goes on
    assert predict(held) == 200
    old = certified.serial()
    assert certified.served_serial(secure.port) == old
    good = certified.cert.read_bytes()
    certified.cert.write_bytes(good[: len(good) // 2])
    until(lambda: any("stays as it was" in line for line in secure.lines()))
    assert certified.served_serial(secure.port) == old
    certified.renew()
    until(lambda: certified.served_serial(secure.port) == certified.serial())
    assert certified.serial() != old
    until(lambda: certified.served_serial(grpc_port(secure)) == certified.serial())
    assert call_grpc(secure, certified)
    assert predict(held) == 200
    assert not [line for line in secure.lines() if str(certified.key) in line]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_versions_of_tls_are_refused(secure: Server) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", secure.port), PATIENCE_S) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)


@pytest.mark.slow
def test_clients_that_misbehave_hold_nothing_and_log_no_trace(secure: Server) -> None:
    for data in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01", os.urandom(1000), b""):
        with socket.create_connection(("127.0.0.1", secure.port), PATIENCE_S) as plain:
            plain.sendall(data)
            assert predict(secure.client) == 200
    with socket.create_connection(("127.0.0.1", secure.port), 20) as silent:
        began = time.monotonic()
        assert silent.recv(1) == b""  # it never began its handshake
        assert 5 < time.monotonic() - began < 20
    assert "Traceback" not in "".join(secure.lines())


@pytest.mark.parametrize("workers", [1, 2])
def test_an_idle_client_does_not_hold_the_stop_back(
    models_dir: Path, tmp_path: Path, certified: Certified, workers: int
) -> None:
    more = {"workers": workers, "feedback_path": tmp_path / "f.sqlite"} | certified.settings()
    with Server(models_dir, verify=certified.context, **more) as server:
        with (
            socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as plain,
            certified.context.wrap_socket(plain, server_hostname="localhost") as idle,
        ):
            idle.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200" in idle.recv(1000)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(15) == 0  # of the 30 that it has
        assert "Traceback" not in "".join(server.lines())


def test_the_containers_health_check(secure: Server, certified: Certified) -> None:
    probe = [sys.executable, "-I", "-S", str(ROOT / "service/probe.py")]
    for port, status in ((secure.port, 0), (secure.port + 1, 1)):
        environ = environment(port=port, **certified.settings())
        assert subprocess.run(probe, env=environ, check=False, timeout=PATIENCE_S).returncode == status


def test_files_that_do_not_fit_end_the_start_with_a_sentence(
    models_dir: Path, tmp_path: Path, certified: Certified
) -> None:
    def start(**more: object) -> str:
        ended = run_to_end(models_dir=models_dir, port=0, **more)
        assert ended.returncode in (1, 2)
        assert ended.stderr.startswith("Cannot start: "), ended.stderr
        assert "Traceback" not in ended.stderr
        assert str(tmp_path) not in ended.stderr.replace(f"DIGITS_MODELS_DIR is {models_dir}", "")
        return ended.stderr

    cert, key = certified.cert, certified.key
    assert "both" in start(tls_cert_path=cert)
    assert "both" in start(tls_key_path=key)
    assert "no such file" in start(tls_cert_path=cert, tls_key_path=tmp_path / "nothing")
    assert "no PEM pair" in start(tls_cert_path=cert, tls_key_path=cert)
    other = certified.authority.issue_cert("localhost").private_key_pem.bytes()
    (tmp_path / "other.key").write_bytes(other)
    assert "no PEM pair" in start(tls_cert_path=cert, tls_key_path=tmp_path / "other.key")
    private = load_pem_private_key(other, None)
    locked = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "locked.key").write_bytes(locked)
    assert "encrypted" in start(tls_cert_path=cert, tls_key_path=tmp_path / "locked.key")
