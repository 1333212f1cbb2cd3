"""Digit Recognizer under Ray Serve, for those who run Ray already: the same application, its replicas started, scaled,
watched and replaced by Ray. Needs the extra `ray`.

    pip install '.[ray]'
    serve run deploy.ray.digits:app                 # http://127.0.0.1:8000, settings by DIGITS_* as ever

Ray's proxy stands in front of every request, so this is for Ray's operations, not for speed.
"""

from __future__ import annotations

from ray import serve
from starlette.types import ASGIApp

from service.app import create_app


def build() -> ASGIApp:
    """Called in each replica's own process: the model is loaded there."""
    return create_app()


@serve.deployment(
    name="digits",
    ray_actor_options={"num_cpus": 1},
    autoscaling_config={"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 32},
    max_ongoing_requests=128,
    max_queued_requests=1024,  # then Ray itself answers 503
    graceful_shutdown_timeout_s=30,
    health_check_period_s=5,
)
@serve.ingress(build)
class Digits:
    """One replica: FastAPI's application behind our door, as `python -m service` has it."""


app = Digits.bind()
