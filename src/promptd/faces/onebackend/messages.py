"""Messages as this wire shows them where that takes a look at their files."""

from __future__ import annotations

from promptd.core.errors import NotFound
from promptd.core.model import Message
from promptd.faces.onebackend.show import MessageView, message_view
from promptd.service.walk import Walk


async def shown(walk: Walk, message: Message) -> MessageView:
    """An answer of nothing but images has the text that this wire gives it."""
    if message.text or not message.files or message.user is not None:
        return message_view(message)
    try:
        upload = await walk.uploads.get(message.files[0])
    except NotFound:
        return message_view(message)
    return message_view(message, drawn=upload.media_type.startswith("image/"))
