"""Forms of config classes: schema and layout as data, rules, drafts, and the logic behind them."""

from promptd.core.forms.checking import NOT_LOADED, BuiltForm, FormProblem, built, check_form
from promptd.core.forms.drafts import (
    Draft,
    FieldMessage,
    FormLogic,
    FormPatch,
    Option,
    answering,
    apply_patch,
    ask,
    check_patch,
    public_data,
    public_patch,
    read_draft,
)
from promptd.core.forms.form import Form, FormContext, form_schema, generate, make_form
from promptd.core.forms.layout import Button, Condition, Control, Group, Horizontal, Node, Rule, Tabs, Text, Vertical
from promptd.core.forms.localising import form_keys, localise
from promptd.core.forms.scopes import element_id, scope_of
from promptd.core.forms.validating import validate_draft
from promptd.core.forms.visibility import missing_required, visible

__all__ = [
    "NOT_LOADED",
    "BuiltForm",
    "Button",
    "Condition",
    "Control",
    "Draft",
    "FieldMessage",
    "Form",
    "FormContext",
    "FormLogic",
    "FormPatch",
    "FormProblem",
    "Group",
    "Horizontal",
    "Node",
    "Option",
    "Rule",
    "Tabs",
    "Text",
    "Vertical",
    "answering",
    "apply_patch",
    "ask",
    "built",
    "check_form",
    "check_patch",
    "element_id",
    "form_keys",
    "form_schema",
    "generate",
    "localise",
    "make_form",
    "missing_required",
    "public_data",
    "public_patch",
    "read_draft",
    "scope_of",
    "validate_draft",
    "visible",
]
