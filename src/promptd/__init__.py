"""promptd: one durable service between applications and AI models."""

__version__ = "0.1.0"
