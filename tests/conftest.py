"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# properties are about values, never about time: a busy machine must not fail them
settings.register_profile("promptd", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
settings.load_profile("promptd")
