"""Engine for an HTTP endpoint of the developer's own: each query is one request, its answer becomes the outputs."""

from promptd.engines.http_target.config import HttpQuery, HttpTargetConfig, InputRow, OutputRow
from promptd.engines.http_target.engine import HttpTarget

__all__ = ["HttpQuery", "HttpTarget", "HttpTargetConfig", "InputRow", "OutputRow"]
