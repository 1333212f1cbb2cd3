"""For every test: no DIGITS_* variables of the developer, repeatable examples. Nothing here loads TensorFlow."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

for name in [name for name in os.environ if name.startswith("DIGITS_")]:
    del os.environ[name]

settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],  # it measures time, which depends on the load of the machine
)
settings.load_profile("repeatable")
