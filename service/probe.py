"""The container's HEALTHCHECK: is the service on this machine ready? It runs every few seconds, so it imports next to
nothing and uses a bare socket. Exits with 0 if the service is ready, else with 1.

    python -I -S service/probe.py
"""

import os
import socket
import sys

TIMEOUT_S = 2.5


def ready(host: str, port: int) -> bool:
    """Whether GET /health/ready answers 200 within 2.5 seconds."""
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as opened:
            connection = encrypted(opened) if os.environ.get("DIGITS_TLS_CERT_PATH") else opened
            connection.sendall(b"GET /health/ready HTTP/1.0\r\n\r\n")
            return connection.recv(64).split()[1:2] == [b"200"]
    except OSError:
        return False


def encrypted(connection: socket.socket) -> socket.socket:
    """The same connection with TLS. Whose certificate it is does not matter: it is on this machine."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection)


def main() -> None:
    host = os.environ.get("DIGITS_HOST", "127.0.0.1")
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    sys.exit(not ready(loopback.get(host, host), int(os.environ.get("DIGITS_PORT", "8000"))))


if __name__ == "__main__":
    main()
