"""Engine for Amazon Bedrock: every model behind it, by its Converse API."""

from promptd.engines.bedrock.config import BedrockConfig
from promptd.engines.bedrock.engine import Bedrock

__all__ = ["Bedrock", "BedrockConfig"]
