"""The service as faces see it: one object with one part per concern."""

from __future__ import annotations

from msgspec import Struct

from promptd.service.attached import Attached
from promptd.service.connections import Connections
from promptd.service.intake import Intake
from promptd.service.keys import Keys
from promptd.service.prompts import Prompts
from promptd.service.streams import Streams
from promptd.service.tickets import Tickets
from promptd.service.worker import Worker


class Walk(Struct, frozen=True, kw_only=True):
    """Handed to every face by the composition root."""

    intake: Intake  #: submit
    attached: Attached  #: run while the caller waits
    prompts: Prompts  #: look up, list, cancel, retry, delete
    streams: Streams  #: follow
    keys: Keys  #: who is it
    tickets: Tickets  #: one stream without a header
    connections: Connections  #: models and what serves them
    worker: Worker  #: lanes and their load
