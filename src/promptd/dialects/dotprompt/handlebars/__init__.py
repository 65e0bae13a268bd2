"""The template language of `.prompt` files, safe for templates and values of strangers.

It is Handlebars as its first implementation reads it, without escaping for HTML, and with a closed set of helpers. Left
out, and refused with the line: raw blocks, inline partials, partial blocks and decorators. A template reads plain data
and nothing else; what one rendering may do is metered, and blocks go only so deep.
"""

from promptd.dialects.dotprompt.handlebars.compiling import compile_template, uses
from promptd.dialects.dotprompt.handlebars.evaluation import Mark, Partials, Piece, evaluate
from promptd.dialects.dotprompt.handlebars.tree import Template

__all__ = ["Mark", "Partials", "Piece", "Template", "compile_template", "evaluate", "uses"]
