"""Digit Recognizer on Ray Serve: the same application, with replicas that Ray starts, scales, monitors and replaces.

    pip install --require-hashes -r requirements/service.txt -r requirements/ray.txt
    serve run deploy.ray.digits:app                 # http://127.0.0.1:8000; settings by DIGITS_* variables

Every request passes Ray's proxy, which is slower than the service alone: use it where you operate Ray already.
"""

from __future__ import annotations

from ray import serve
from starlette.types import ASGIApp

from service.app import create_app


def build() -> ASGIApp:
    """Called in the process of each replica, so that the model is loaded there."""
    return create_app()


@serve.deployment(
    name="digits",
    ray_actor_options={"num_cpus": 1},
    autoscaling_config={"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 32},
    max_ongoing_requests=128,
    max_queued_requests=1024,  # beyond it Ray answers 503
    graceful_shutdown_timeout_s=30,
    health_check_period_s=5,
)
@serve.ingress(build)
class Digits:
    """One replica: the same ASGI application that `python -m service` runs."""


app = Digits.bind()
