"""APIs of developers that conversations call: the endpoints of Arch files."""

from promptd.engines.endpoint.config import EndpointConfig, EndpointTarget
from promptd.engines.endpoint.engine import Endpoint

__all__ = ["Endpoint", "EndpointConfig", "EndpointTarget"]
