"""Makes one call of calls.py and returns the answer as JSON, in the same way for Triton and for the service."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import zlib
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from tests.oracle.calls import ADMIN_KEY, Grpc, Http

Answer = dict[str, Any]
HEADERS = ("content-type", "content-encoding", "inference-header-content-length")
TIMEOUT_S = 30


def ask_http(port: int, call: Http) -> Answer:
    """Status, the headers in HEADERS, and the body: `json`, and `bytes` (base64) for the binary part after it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.putrequest(call.method, call.path, skip_accept_encoding=True)
        for name, value in (call.headers | {"Content-Length": str(len(call.body))}).items():
            connection.putheader(name, value)
        connection.endheaders(call.body)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    headers = {name: value for name in HEADERS if (value := answer.headers.get(name)) is not None}
    return {"status": answer.status, "headers": headers} | _parts(headers, body)


def _parts(headers: dict[str, str], body: bytes) -> Answer:
    encoding = headers.get("content-encoding")
    if encoding == "gzip":
        body = gzip.decompress(body)
    elif encoding == "deflate":
        body = zlib.decompress(body)
    size = int(headers.get("inference-header-content-length", len(body)))
    head, tail = body[:size], body[size:]
    try:
        parts: Answer = {"json": json.loads(head)} if head else {}
    except ValueError:
        parts = {"text": head.decode("latin-1")}
    return parts | ({"bytes": base64.b64encode(tail).decode()} if tail else {})


def ask_grpc(channel: grpc.Channel, call: Grpc) -> Answer:
    """Status code, its details, and the answer as JSON; a list of answers for a stream."""
    rpc = getattr(GRPCInferenceServiceStub(channel), call.rpc)
    method = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name[call.rpc]
    kind = getattr(pb, method.input_type.name)
    requests = [ParseDict(request, kind()) for request in call.requests]
    metadata = [("authorization", f"Bearer {ADMIN_KEY}")]
    try:
        if method.server_streaming:
            messages = list(rpc(iter(requests), timeout=TIMEOUT_S, metadata=metadata))
            return {"code": "OK", "json": [_as_json(message) for message in messages]}
        return {"code": "OK", "json": _as_json(rpc(requests[0], timeout=TIMEOUT_S, metadata=metadata))}
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details().partition("\n")[0]}  # a traceback may follow


def _as_json(message: Any) -> Any:
    return MessageToDict(message, preserving_proto_field_name=True)
