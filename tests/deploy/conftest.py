"""Fixtures: the application and models of the service's own tests."""

from __future__ import annotations

from tests.service.conftest import app, models_dir

__all__ = ["app", "models_dir"]
