"""Admin calls and metrics on a port of their own, or off."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
import tritonclient.grpc as triton

from tests.support.grpc_client import address, code_of
from tests.support.models import digits, publish
from tests.support.ports import free_port
from tests.support.server import Server, run_to_end

KEY = {"x-api-key": "a key for those in charge"}
PUBLIC = ["/", "/docs", "/openapi.json", "/models", "/models/digits", "/model", "/v1/models", "/v2", "/feedback/stats"]
HEALTH = ["/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"]
ADMIN = [
    "/models/digits/versions/1/promote",
    "/v2/repository/models/digits/load",
    "/v2/repository/models/digits/unload",
    "/models/digits/rollback",
]
OCTETS = {"content-type": "application/octet-stream"}


@pytest.mark.parametrize("workers", [1, 2])
def test_each_port_answers_its_own(tmp_path: Path, workers: int) -> None:
    publish(tmp_path)
    settings = {"admin_port": 0, "admin_host": "127.0.0.2", "grpc_port": 0, "admin_key": KEY["x-api-key"]}
    with Server(tmp_path, workers=workers, **settings) as server:
        public = server.client
        assert [public.get(path).status_code for path in PUBLIC + HEALTH] == [200] * len(PUBLIC + HEALTH)
        found = re.search(r"Admin calls and metrics on (\S+)", "".join(server.lines()))
        assert found
        with httpx.Client(base_url=f"http://{found[1]}", headers=KEY) as admin:
            assert [admin.get(path).status_code for path in ["/metrics", *HEALTH]] == [200] * 5
            assert [admin.get(path).status_code for path in PUBLIC] == [404] * len(PUBLIC)
            for accept in ("application/json", "application/json;q=0.5"):
                more = OCTETS | {"accept": accept}
                assert admin.post("/predict", content=digits(3).tobytes(), headers=more).status_code == 404
                assert public.post("/predict", content=digits(3).tobytes(), headers=more).status_code == 200
            for path in ADMIN:
                refused = public.post(path, headers=KEY)
                assert refused.status_code == 404
                assert "port of their own" in refused.text
            assert public.get("/metrics").status_code == 404
            assert [admin.post(path).status_code for path in ADMIN[:3]] == [200] * 3
            assert admin.post(ADMIN[0], headers={"x-api-key": "wrong"}).status_code == 401
        with triton.InferenceServerClient(address(server)) as client:
            assert code_of(client.load_model, "digits", headers=KEY) == "PERMISSION_DENIED"


def test_metrics_can_be_off(models_dir: Path, tmp_path: Path) -> None:
    with Server(models_dir, metrics=False, feedback_path=tmp_path / "f.sqlite") as server:
        answer = server.client.get("/metrics")
        assert answer.status_code == 404
        assert "DIGITS_METRICS" in answer.text


def test_a_port_that_is_taken_is_named(models_dir: Path) -> None:
    port = free_port()
    ended = run_to_end(models_dir=models_dir, port=port, admin_port=port)
    assert ended.returncode == 1
    assert "DIGITS_ADMIN_PORT" in ended.stderr
