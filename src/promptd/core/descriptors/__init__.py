"""Typed parameters: one list for what goes in, one for what comes out, and everything that follows from such a list."""

from promptd.core.descriptors.checking import check_params
from promptd.core.descriptors.drift import drift, fingerprint
from promptd.core.descriptors.param import (
    MISSING,
    Direction,
    Kind,
    Missing,
    Param,
    params_from,
    params_from_json,
    to_json,
)
from promptd.core.descriptors.reading import params_from_schema
from promptd.core.descriptors.reference import Labels, Row, reference_html, reference_markdown, rows
from promptd.core.descriptors.samples import Sample, SampleFile, sample
from promptd.core.descriptors.schema import Resolve, input_schema, output_schema
from promptd.core.descriptors.screen import Field, screen
from promptd.core.descriptors.values import Checked, Checker, check_value

__all__ = [
    "MISSING",
    "Checked",
    "Checker",
    "Direction",
    "Field",
    "Kind",
    "Labels",
    "Missing",
    "Param",
    "Resolve",
    "Row",
    "Sample",
    "SampleFile",
    "check_params",
    "check_value",
    "drift",
    "fingerprint",
    "input_schema",
    "output_schema",
    "params_from",
    "params_from_json",
    "params_from_schema",
    "reference_html",
    "reference_markdown",
    "rows",
    "sample",
    "screen",
    "to_json",
]
