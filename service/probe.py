"""Is the service on this machine ready? For HEALTHCHECK, with nothing but a socket: a probe every few seconds must cost
no more than starting Python does. Exits 0 or 1.

    python -I -S service/probe.py
"""

import os
import socket
import sys

TIMEOUT_S = 2.5


def ready(host: str, port: int) -> bool:
    """Does GET /health/ready answer 200?"""
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as connection:
            connection.sendall(b"GET /health/ready HTTP/1.0\r\n\r\n")
            return connection.recv(64).split()[1:2] == [b"200"]
    except OSError:
        return False


def main() -> None:
    host = os.environ.get("DIGITS_HOST", "127.0.0.1")
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    sys.exit(not ready(everywhere.get(host, host), int(os.environ.get("DIGITS_PORT", "8000"))))


if __name__ == "__main__":
    main()
