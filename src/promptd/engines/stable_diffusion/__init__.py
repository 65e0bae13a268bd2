"""Engine for image servers with the HTTP API of AUTOMATIC1111: that one, Forge, SD.Next, stable-diffusion.cpp's.

These servers answer when the last image is drawn and go on drawing when nobody listens any more. So progress is asked
for beside the call, and a call that is left early takes its job back, in the background: where the job draws, the server
is told to stop; where it still waits behind others, it is watched until it begins.
"""

from promptd.engines.stable_diffusion.config import StableDiffusionConfig
from promptd.engines.stable_diffusion.engine import StableDiffusion
from promptd.engines.stable_diffusion.job import ask
from promptd.engines.stable_diffusion.queries import ImageQuery

__all__ = ["ImageQuery", "StableDiffusion", "StableDiffusionConfig", "ask"]
