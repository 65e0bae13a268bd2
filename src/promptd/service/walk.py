"""The service as faces see it: one object with one part per concern."""

from __future__ import annotations

from msgspec import Struct

from promptd.core.limits import Limits
from promptd.service.attached import Attached
from promptd.service.batches import Batches
from promptd.service.callers import Callers
from promptd.service.catalogue import KnownModels
from promptd.service.chains import Chains
from promptd.service.charges import Charges
from promptd.service.clock import Ids
from promptd.service.connections import Connections
from promptd.service.downloads import Downloads
from promptd.service.events import Events
from promptd.service.filed import Filed
from promptd.service.forms import Forms
from promptd.service.functions import Functions
from promptd.service.guarding import Guarding
from promptd.service.installed import Installed
from promptd.service.intake import Intake
from promptd.service.items import Items
from promptd.service.keys import Keys
from promptd.service.moderation import Moderation
from promptd.service.people import People
from promptd.service.prompts import Prompts
from promptd.service.revocation import Revocation
from promptd.service.rotation import Rotation
from promptd.service.router import Router
from promptd.service.rules import Rules
from promptd.service.stored_connections import StoredConnections
from promptd.service.streams import Streams
from promptd.service.targets.conversation import Conversation
from promptd.service.templates import Templates
from promptd.service.threads import Threads
from promptd.service.tickets import Tickets
from promptd.service.trials import Trials
from promptd.service.uploads import Uploads
from promptd.service.usage import UsageReports
from promptd.service.worker import Worker


class Walk(Struct, frozen=True, kw_only=True):
    """Handed to every face by the composition root."""

    intake: Intake  #: submit
    attached: Attached  #: run while the caller waits
    prompts: Prompts  #: look up, list, cancel, retry, delete
    streams: Streams  #: follow
    threads: Threads  #: conversations and their messages
    uploads: Uploads  #: files that callers sent and engines made
    downloads: Downloads  #: files that the server fetches
    filed: Filed  #: uploads that were made for a purpose
    batches: Batches  #: many requests in one file, run by the queue
    moderation: Moderation  #: what the guards think of a text
    guarding: Guarding  #: checks on everything that is asked and answered
    usage: UsageReports  #: what was used, and what people thought of answers
    limits: Limits  #: how limits stand
    charges: Charges  #: which of them count a prompt
    router: Router  #: which connection is asked
    models: KnownModels  #: the catalogue, and the default model
    rules: Rules  #: rate limits and blocklists on endpoints
    items: Items  #: configuration that clients keep here
    events: Events  #: what happens
    callers: Callers  #: who is it
    people: People  #: users, tokens, permits
    keys: Keys  #: native keys
    revocation: Revocation  #: those whose key or session ends
    tickets: Tickets  #: one stream without a header
    connections: Connections  #: models and what serves them
    stored: StoredConnections  #: connections that are saved at run time
    forms: Forms  #: forms of engines, and the code behind them
    installed: Installed  #: engines, and plugins that can't be used
    rotation: Rotation  #: another key for what is sealed
    templates: Templates  #: stored prompts, their versions and labels
    functions: Functions  #: running them
    trials: Trials  #: testing them
    chains: Chains  #: runs of several, one feeding the other
    worker: Worker  #: lanes and their load
    ids: Ids
    conversation: Conversation | None = None  #: with targets; None: there is no Arch file
