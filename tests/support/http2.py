"""A gRPC client that does what none should: it begins messages and does not end them, as fast as it is allowed to."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    PingReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from tests.support.server import PATIENCE_S

PREFIX = struct.Struct(">BI")  # of a gRPC message: whether it is compressed, and its length
PIECE = bytes(2**14)
INFER = "/inference.GRPCInferenceService/ModelInfer"


class RawGrpc:
    """One connection.

    Args:
        port: of gRPC, on loopback.
        client: the last number of the address it comes from.

    Attributes:
        sent: bytes of messages, by stream.
        greeted: whether the service has sent its settings.
        pongs, pinged: answers to our pings, and the service's pings.
        ended: the error code of the service's GOAWAY.
        statuses: gRPC's status codes of the streams that have ended; -1: reset without one.
    """

    def __init__(self, port: int, client: int = 1) -> None:
        self._socket = socket.socket()
        self._socket.settimeout(PATIENCE_S)
        self._socket.bind((f"127.0.0.{client}", 0))
        self._socket.connect(("127.0.0.1", port))
        self.http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.http.initiate_connection()
        self.sent: dict[int, int] = {}
        self.statuses: dict[int, int] = {}
        self.greeted = False
        self.pongs = self.pinged = 0
        self.ended: int | None = None
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def flush(self) -> None:
        self._socket.sendall(self.http.data_to_send())

    def begin(self, size: int, path: str = INFER) -> int:
        """Begin a call with a message of so many bytes; its number."""
        stream = self.http.get_next_available_stream_id()
        names = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
        more = {"te": "trailers", "content-type": "application/grpc"}
        self.http.send_headers(stream, list((names | more).items()))
        self.http.send_data(stream, PREFIX.pack(0, size))
        self.sent[stream] = PREFIX.size
        self.flush()
        return stream

    def ping(self, number: int) -> None:
        self.http.ping(struct.pack(">Q", number))
        self.flush()

    def push(self, at_most: int, seconds: float) -> int:
        """Send what the windows allow, for so long and up to so many bytes of each call; how much in all."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and any(self._may_send(stream, at_most) for stream in self.sent):
            moved = False
            for stream, sent in list(self.sent.items()):
                if not self._may_send(stream, at_most):
                    continue
                with suppress(ProtocolError):
                    size = min(len(PIECE), self.http.local_flow_control_window(stream), at_most - sent)
                    if size > 0:
                        self.http.send_data(stream, PIECE[:size])
                        self.sent[stream] += size
                        moved = True
            self.flush()
            self.receive(0.0 if moved else 0.05)
        return sum(self.sent.values())

    def receive(self, seconds: float) -> None:
        """Take in what has come within so long."""
        self._socket.settimeout(max(seconds, 0.001))
        with suppress(TimeoutError):
            while data := self._socket.recv(2**16):
                for event in self._events(data):
                    self._note(event)
                self._socket.settimeout(0.001)
        self._socket.settimeout(PATIENCE_S)
        self.flush()

    def _events(self, data: bytes) -> list[Event]:
        try:
            return list(self.http.receive_data(data))
        except ProtocolError as error:
            if "RECV_PING" not in str(error):
                raise
            self.ended = self.ended or 0  # gRPC pings behind GOAWAY, which h2 takes for the end
            return []

    def _may_send(self, stream: int, at_most: int) -> bool:
        return stream not in self.statuses and self.sent[stream] < at_most

    def _note(self, event: Event) -> None:
        if isinstance(event, (ResponseReceived, TrailersReceived)):
            status = dict(event.headers or ()).get("grpc-status")
            if status is not None and event.stream_id is not None:
                self.statuses[event.stream_id] = int(status)
        elif isinstance(event, (StreamEnded, StreamReset)):
            self.statuses.setdefault(event.stream_id, -1)
        elif isinstance(event, RemoteSettingsChanged):
            self.greeted = True
        elif isinstance(event, PingAckReceived):
            self.pongs += 1
        elif isinstance(event, PingReceived):
            self.pinged += 1
        elif isinstance(event, ConnectionTerminated):
            self.ended = int(event.error_code or 0)
        elif isinstance(event, DataReceived) and event.flow_controlled_length:
            self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
