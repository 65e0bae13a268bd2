"""The `.prompt` files of dotprompt: YAML in front, a template below. Read, written and rendered.

`handlebars/` is the language of the templates, `rendering` its doors; `importing` and `exporting` turn files into drafts
and back.
"""

from promptd.dialects.dotprompt.exporting import write_partial_file, write_prompt_file
from promptd.dialects.dotprompt.importing import Imported, read_partial_file, read_prompt_file
from promptd.dialects.dotprompt.messages import Media, Message, Section, as_turn
from promptd.dialects.dotprompt.naming import SUFFIX, FileName, read_file_name, write_file_name
from promptd.dialects.dotprompt.rendering import Handlebars, check, render, render_messages, render_text, variables

__all__ = [
    "SUFFIX",
    "FileName",
    "Handlebars",
    "Imported",
    "Media",
    "Message",
    "Section",
    "as_turn",
    "check",
    "read_file_name",
    "read_partial_file",
    "read_prompt_file",
    "render",
    "render_messages",
    "render_text",
    "variables",
    "write_file_name",
    "write_partial_file",
    "write_prompt_file",
]
