"""Helpers around Triton's gRPC client: where the service listens, inputs for it, and checks of answers and errors."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.support.refusals import LEAKS
from tests.support.server import Server

ADMIN_KEY = "open sesame, please"
ADDRESS = re.compile(r"gRPC on \S+:(\d+)")


def grpc_port(server: Server) -> int:
    """The gRPC port from the log lines of a started server. It is open once HTTP answers."""
    server.client.get("/health/live")
    found = ADDRESS.search("".join(server._lines))
    assert found, "the log names no gRPC port"
    return int(found[1])


def address(server: Server) -> str:
    return f"127.0.0.1:{grpc_port(server)}"


def pixels(array: np.ndarray[Any, Any], client: Any = triton) -> list[Any]:
    """The input `pixels`; `client` is the client's module, tritonclient.grpc or tritonclient.grpc.aio."""
    one = client.InferInput("pixels", list(array.shape), "UINT8")
    one.set_data_from_numpy(array)
    return [one]


def images(files: list[bytes], *shape: int) -> list[Any]:
    """The input `image`, of shape (n,) unless another one is given."""
    one = triton.InferInput("image", list(shape or (len(files),)), "BYTES")
    one.set_data_from_numpy(np.array(files, np.object_).reshape(shape or (len(files),)))
    return [one]


def found(result: Any) -> list[int]:
    """The predicted digits of an answer."""
    probabilities = result.as_numpy("probabilities")
    assert probabilities.dtype == np.float32
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    return [int(digit) for digit in probabilities.argmax(axis=1)]


def refused(client: Any, code: str, inputs: list[Any], name: str = "digits", version: str = "", **more: Any) -> str:
    """The message of an inference that must fail with `code`: one sentence that reveals nothing about the server."""
    with pytest.raises(InferenceServerException) as error:
        client.infer(name, inputs, version, **more)
    assert error.value.status() == code, error.value
    message = str(error.value.message())
    assert message.endswith(".")
    assert "\n" not in message
    assert not LEAKS.search(message.encode())
    return message


def code_of(call: Any, *arguments: Any, **more: Any) -> str:
    """The status code of a call that must fail, without "StatusCode."."""
    with pytest.raises(InferenceServerException) as error:
        call(*arguments, **more)
    assert str(error.value.message()).endswith(".")
    return str(error.value.status()).removeprefix("StatusCode.")
