"""A program as KServe's users write it, run by its own Python: calls the service, and prints what it got as JSON.

python ask_kserve.py URL GRPC PIXELS: 784 values, separated by commas.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import kserve
from kserve.inference_client import RESTConfig


async def rest(url: str, pixels: list[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    v1 = kserve.InferenceRESTClient()  # the default: V1
    found["v1"] = {
        "live": await v1.is_server_live(url),
        "model ready": await v1.is_model_ready(url, "digits"),
        "predictions": (await v1.infer(url, {"instances": [pixels]}, model_name="digits"))["predictions"][0],
    }
    await v1.close()
    v2 = kserve.InferenceRESTClient(RESTConfig(protocol="v2"))
    answer = await v2.infer(url, request(pixels), model_name="digits")
    found["v2"] = {
        "live": await v2.is_server_live(url),
        "ready": await v2.is_server_ready(url),
        "model ready": await v2.is_model_ready(url, "digits"),
        "predictions": probabilities(answer),
    }
    await v2.close()
    return found


async def grpc(address: str, pixels: list[int]) -> dict[str, Any]:
    client = kserve.InferenceGRPCClient(address)
    found = {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model ready": await client.is_model_ready("digits"),
        "predictions": probabilities(await client.infer(request(pixels))),
    }
    await client.close()
    return found


def request(pixels: list[int]) -> Any:
    tensor = kserve.InferInput("pixels", [1, 28, 28], "UINT8", data=pixels)
    return kserve.InferRequest("digits", [tensor])


def probabilities(answer: Any) -> list[float]:
    [found] = [output for output in answer.outputs if output.name == "probabilities"]
    return [float(value) for value in found.as_numpy().ravel()]


async def main() -> None:
    url, address = sys.argv[1:3]
    pixels = [int(value) for value in sys.argv[3].split(",")]
    print(json.dumps(await rest(url, pixels) | {"grpc": await grpc(address, pixels)}))


asyncio.run(main())
