"""Ordinary technical texts: docstrings and comments of Python's standard library, and what is rare there, by rule."""

from __future__ import annotations

import ast
import random
import re
import sysconfig
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from .grammar import begin, expand, lines

#: Characters of a piece of the standard library
SHORTEST, LONGEST = 60, 1_500

_SKIPPED = {"test", "tests", "idle_test", "site-packages", "pydoc_data", "encodings", "__pycache__"}
_COMMENTS = re.compile(r"(?:^[ \t]*#(?!!).*\n)+", re.MULTILINE)
_MARK = re.compile(r"^[ \t]*# ?", re.MULTILINE)


@cache
def pieces() -> tuple[str, ...]:
    """Docstrings and blocks of comments of the running interpreter's library, each once, in the order of its files."""
    library = Path(sysconfig.get_path("stdlib"))
    found: dict[str, None] = {}
    for path in sorted(library.rglob("*.py")):
        if _SKIPPED.isdisjoint(path.relative_to(library).parts):
            source = path.read_text(encoding="utf-8", errors="ignore")
            found |= dict.fromkeys(one for text in _texts(source) for one in _cut(text.strip()))
    return tuple(found)


def _texts(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    for block in _COMMENTS.findall(source):
        yield textwrap.dedent(_MARK.sub("", block))


def _cut(text: str) -> Iterator[str]:
    """The text; of a long one its paragraphs."""
    for one in [text] if len(text) <= LONGEST else re.split(r"\n\s*\n", text):
        if SHORTEST <= len(one.strip()) <= LONGEST:
            yield one.strip()


class Author:
    """Writes technical texts, always the same for a seed. `share` of two says which half of the library is quoted."""

    def __init__(self, seed: int, share: int) -> None:
        self.rng = random.Random(seed)
        self.library = pieces()[share::2]
        self.forms: tuple[Callable[[], str], ...] = (
            self.prose,
            self.prose,
            self.prose,
            self.sentence,
            self.sentence,
            self.table,
            self.table,
            self.items,
            self.steps,
            self.fence,
            self.options,
            self.changes,
            self.commit,
            self.log,
            self.interface,
        )

    def quoted(self) -> str:
        """A piece of the library."""
        return self.rng.choice(self.library)

    def ruled(self) -> str:
        """A text by rule, of any form."""
        return self.rng.choice(self.forms)()

    def paragraphs(self, most: int) -> list[str]:
        """Of both kinds."""
        kinds = (self.quoted, self.ruled)
        return [self.rng.choice(kinds)() for _ in range(self.rng.randint(1, most))]

    def text(self, template: str) -> str:
        return re.sub(r" {2,}", " ", expand(template, SLOTS, self.rng)).strip()

    def sentence(self) -> str:
        return begin(self.text("<fact>"))

    def prose(self) -> str:
        wrapped = " ".join(self.sentence() for _ in range(self.rng.randint(2, 5)))
        return "\n".join(textwrap.wrap(wrapped, self.rng.choice((72, 100, 128, 1000))))

    def table(self) -> str:
        head, row = self.rng.choice(_TABLES)
        count = head.count("|") - 1
        rows = [self.text(row) for _ in range(self.rng.randint(2, 12))]
        return "\n".join([head, "|" + "---|" * count, *rows])

    def items(self) -> str:
        mark = self.rng.choice(("- ", "* ", "- **{}**: ", "- `{}`: "))
        found = [mark.replace("{}", self.text("<name>")) + self.text("<fact>") for _ in range(self.rng.randint(2, 8))]
        return "\n".join(found)

    def steps(self) -> str:
        found = [f"{at}. {begin(self.text('<step>'))}" for at in range(1, self.rng.randint(3, 8))]
        return self.text("{## <heading>\\n\\n|}").replace("\\n", "\n") + "\n".join(found)

    def fence(self) -> str:
        code = self.text(self.rng.choice(_CODE)).replace("\\n", "\n").replace("\\s", "  ")
        before = self.rng.choice((f"{self.sentence()}\n\n", "", f"## {self.text('<heading>')}\n\n"))
        return f"{before}```{self.rng.choice(('sh', 'yaml', 'json', 'python', '', 'console'))}\n{code}\n```"

    def options(self) -> str:
        rows = []
        for _ in range(self.rng.randint(2, 9)):
            name = self.text("--<word>{ TEXT| FILE| NAME| INTEGER|=<number>|}{-<word>|}")
            rows.append(
                f"  {name:<24}{begin(self.text('<cell>'))}{self.rng.choice(('', '  [default: none]', '  [required]'))}"
            )
        kind = self.rng.choice(("Options:", "Commands:", "optional arguments:", "Flags:"))
        usage = self.text("{Usage: <word> <word> [OPTIONS]{ NAME| TEXT| FILE|}|}")
        about = begin(self.text("<step>"))
        return self.rng.choice((f"{kind}\n", f"{usage}\n\n  {about}\n\n{kind}\n")) + "\n".join(rows)

    def changes(self) -> str:
        rows = [f"- {self.text('<change>')}" for _ in range(self.rng.randint(2, 9))]
        return (
            self.text("{## |### |}{<number>.<number>.0|Unreleased|Added|Fixed|Changed|Removed}")
            + "\n\n"
            + "\n".join(rows)
        )

    def commit(self) -> str:
        return f"{self.text('{fix: |feat: |docs: |<word>: |}<change>')}\n\n{self.prose()}"

    def log(self) -> str:
        return "\n".join(self.text(self.rng.choice(_LOG)) for _ in range(self.rng.randint(1, 8)))

    def interface(self) -> str:
        first = self.text("{### |}`{GET|POST|PUT|DELETE} /{v1|api}/<word>{s|}{/«id»|}`")
        return f"{first}\n\n{self.prose()}\n\n{self.table()}"


_TABLES = (
    ("| key | type | default | what it says |", "¦ `<name>` ¦ <kind> ¦ <default> ¦ <cell> ¦"),
    ("| option | meaning |", "¦ `<name>` ¦ <cell> ¦"),
    ("| setting | default | description |", "¦ `<name>` ¦ <default> ¦ <cell> ¦"),
    (
        "| error | status | retried? | meaning |",
        "¦ `<word>_<word>` ¦ {400|401|403|404|409|413|422|429|500|502|503} ¦ {yes|no} ¦ <cell> ¦",
    ),
    ("| field | in the request | in the answer |", "¦ <name> ¦ <cell> ¦ <cell> ¦"),
    ("| what | figure |", "¦ <cell> ¦ <number>,<number> <unit> ¦"),
    ("| span | attributes | when |", "¦ `<word>.<word>` ¦ `<name>`, `<name>`, `<name>` ¦ <cell> ¦"),
    ("| name | who may | note |", "¦ `<word>:<word>` ¦ {admins|users|everybody|the owner|the system} ¦ <cell> ¦"),
)

_CODE = (
    "export <var>=<value>\\n<command>\\n<command>",
    "<command>\\n<command> # <cell>",
    "<word>:\\n\\s<name>: <value> # <cell>\\n\\s<name>: <value>\\n\\s<word>:\\n\\s\\s- <word>: <value>\\n\\s\\s\\s<name>: <value>",
    '«\\n\\s"<name>": "<value>",\\n\\s"<name>": <number>,\\n\\s"<word>": «"<name>": [<number>, "<word>"]»\\n»',
    '«"model": "<word>-<number>", "messages": [«"role": "{user|system}", "content": "{Hello|What is <number> plus <number>?|You are a helpful assistant.}"»]»',
    'def <word>_<word>(<word>: str, <name>: int = <number>) -> None:\\n\\s# <cell>\\n\\sif not <word>:\\n\\s\\sraise ValueError("<message>")\\n\\sreturn <word>.<word>(<name>)',
    'from <word> import <word>\\n\\nclient = <word>("http://127.0.0.1:<number>", key="<value>")\\nprint(client.<word>("<word>").<name>)',
    "curl -s http://localhost:<number>/v1/<word> \\\\n\\s-H 'Authorization: Bearer $TOKEN' \\\\n\\s-d '«\"<name>\": \"<value>\"»'",
    "async def main():\\n\\sasync with <word>() as <word>:\\n\\s\\sawait <word>.<word>(<name>=<number>)",
)

_LOG = (
    "20<number>-0<number>-1<number> 12:0<number>:3<number>,120 {INFO|WARNING|ERROR|DEBUG} <word>.<word>: <message>",
    "[{info|warn|error}] <message>",
    "{ValueError|KeyError|RuntimeError|TypeError|PermissionError|TimeoutError}: <message>",
    '«"level": "{info|error}", "<name>": "<value>", "message": "<message>"»',
    "{error|fatal|warning}: <message> ({exit code|errno|status} <number>)",
    'Traceback (most recent call last):\n  File "<word>.py", line <number>, in <word>\nRuntimeError: <message>',
)

SLOTS = {
    "number": lines(
        "0\n1\n2\n3\n4\n5\n8\n10\n12\n16\n30\n42\n60\n64\n100\n127\n200\n250\n404\n429\n512\n8000\n8080\n11434"
    ),
    "unit": lines("ms\ns\nMiB\nprompts/s\nrequests/s\n%\nbytes\ntokens\nµs"),
    "kind": lines(
        "text\nnumber\ntrue or false\nlist of text\nsecret\nduration\n`on`, `off`\nmapping\ninteger, from 1\npath"
    ),
    "default": lines("none\nempty\n`false`\n`true`\n`[]`\n<number>\n\n`{auto|any|none|all}`\n`<value>`\nrequired"),
    "value": lines(
        "<word>\n<number>\ntrue\nfalse\n/var/lib/<word>\nhttp://127.0.0.1:<number>\n<word>-<word>\nsk-…\n$<var>"
    ),
    "var": lines("{API|ADMIN|BASE|LOG|CACHE|MODEL|SECRET|<number>}_{KEY|URL|TOKEN|LEVEL|DIR|PORT}"),
    "name": lines("""
<word>
<word>_<word>
<word>.<word>
max_<word>{s|_bytes}
{allow|ignore|disable|enable|override|force|skip|no|show|hide}_<word>
"""),
    "word": lines(
        """
prompt\nsystem\nuser\nadmin\nmodel\nkey\ntoken\nsecret\nrole\nmessage\nguard\nfilter\npolicy\nrule\nprefix\nsession\ncontext\ninput\noutput
tool\nfunction\nserver\nclient\nqueue\nworker\nthread\nstore\ncache\nindex\nstream\nbatch\nretry\ntimeout\nlimit\nbudget\nplugin\nengine
template\nconfig\nsetting\nversion\nlabel\nrequest\nresponse\nheader\nbody\nerror\nstatus\nevent\nlog\ntrace\nmetric\nreport\nfile\npath
parser\nencoder\nbuffer\nsocket\nhost\nport\nproxy\nroute\nschema\nfield\ntable\nrow\nquery\nlock\nsnapshot\nmigration\nbackup
permission\nscope\nlogin\npassword\naccount\nowner\nteam\ngroup\nlistener\nhandler\nscheduler\nagent\nassistant\ninstruction
""".replace("\\n", "\n")
    ),
    "plain": lines("""
cache
warning
header
{empty |blank |}line
comment
field
default
error
label
case
old version
duplicate
white space
retry
timeout
row
file
setting
flag
lock
"""),
    "thing": lines("""
{a|the|each|every|this|one|no|another|the last|the first|the same|a new|an old} <word>
{a|the|each|every} <word> {<word>|key|name|id|file|list}
{all|the|its|other|these|your|our|two|many|any} <word>s
{the|its} <word> of {a|the|each} <word>
`<name>`
{it|they|he who calls|whoever calls|callers|clients|users|admins|an admin|an operator|nobody|everybody|everything}
"""),
    "does": lines("""
{keeps|holds|reads|writes|sends|stores|names|needs|gets|takes|gives|makes|opens|closes|ends|stops|starts|knows|counts|checks}
{is|are|was|will be} {kept in|sent to|stored with|read from|refused by|allowed by|replaced by|counted for|passed on to|bound to|hidden from|shown to|the same as|older than|part of}
{overrides|ignores|replaces|resets|prints|returns|answers|follows|skips|disables|enables|closes}
{must|may|should|can|does|need} {not |never |only |}{be in|have|name|reach|change|hold|repeat|ignore|override|leave|see|share|answer|pass|wait for|come before}
{no longer|always|never|only|first|then|also|still} {holds|has|needs|asks|blocks|tells|answers|waits for|leaves|reaches|loses}
"""),
    "when": lines("""
{if|when|once|unless|until|while|as long as|before|after|because|since|so that|where} <thing> <does> <thing>
{by default|at the start|on request|in memory|on disk|in the background|at most once|without exception|as it is|in that order|on every call|per <word>}
{with|without|instead of|except for|beside|behind|before|after} <thing>
{for|in|at least|at most|within|after} <number> {seconds|<unit>|attempts|bytes|lines|tokens}
{with|as} `<name>: <value>`
"""),
    "served": lines("""
{A|Each|Every} {request|call|prompt|message|job|task|question} {has|gets|carries|is given} {an id|a priority|a deadline|one owner|its own {trace|lock|budget}|at most <number> attempts}, {which|and it|that} {callers|clients|users|workers|nobody} {may read|can cancel|never see|reuse|look up later}.
{The|An} answer {is|was|can be} {streamed|stored|cut|cached|passed on|sent back} {as it comes|whole|piece by piece|once it is complete|in the form that was asked for|with its usage}{.|, and what it cost is counted.|, whatever the client does.}
{Whoever|A client that|A caller who|He who|An app that} {asks|waits|hangs up|calls twice|has no key|sends too much|names no model|reads slowly} {gets|is told|is answered with|receives|loses} {<number>|an error|the same answer|the default|nothing|the reason|what is left}{.|, and may try again after <number> seconds.|, not a page of HTML.}
{The|A|Each} {system|user|assistant|developer} {prompt|message|role|turn} {is|comes|goes|stays|counts} {sent first|as it is|first in the list|behind the others|part of the context|kept apart|not shown in logs}{.|, because {some services|older models|a few clients} {know|have|want|allow} {no other place for it|only one of them|it there}.}
{Two|All|Other|Older|Local|Most} {models|services|clients|servers|engines|tools|vendors} {answer|speak|want|need|refuse|count|name|understand} {it|this|JSON|tokens|the same form|such requests} {in their own way|otherwise|differently|since version <number>|without it}{.|; the adapter makes one of both.}
{What|Everything that} {a tool|a user|a service|an upstream|a model|the other side|a plugin} {says|sends|returns|writes|answers} is {data|checked|not trusted|bounded|read once|translated|a text like any other} {and|, and|; it is} {never {run|obeyed|stored}|counted|limited to <number> bytes|thrown away afterwards}.
{Keys|Tokens|Secrets|Passwords|Logins|Sessions} {are|stay} {hashed|sealed|rotated|never logged|hidden in all output|valid for <number> days|kept outside of the database}{.|; {only an admin|nobody|the owner} {can|may} {read|replace|revoke} them.|, so a stolen file tells nothing.}
{Rules|Limits|Guards|Filters|Checks|Policies} {apply to|look at|hold for|count|are asked before} {every call|all keys of a team|input and output|each model|what leaves the server|whatever comes in}{.|, in the order of the file.|; the first that {fits|refuses|matches} {ends it|decides|is told}.}
{If|When|Where} {a guard|the filter|a rule|a check|the limit} {refuses|finds something|blocks it|fails|takes too long}, {the {request|prompt|stream} {ends|is held back|fails|goes on|is recorded}|the caller {gets|sees} <number>|nothing is {stored|sent|let through}}{.|, and the log says why.|, unless the operator allows it.}
{It|This|That} is {for|meant for|no place for|how one asks for|not} {tests|operators|admins|long texts|those who run it behind a proxy|clients which know only one address|a debugger}{.|: {use|see|take} `<name>` {for more|instead|otherwise}.}
{To|In order to} {see|ask|stop|change|try|reset|measure|replace} {it|a model|the answer|its price|the order|the default|one of them}, {call|run|set|send|open|write} {`<command>`|`<name>: <value>`|the same request again|a message with {the role|its id}}.
{Nothing|No text|No message|No answer|No secret|No prompt} {is|was|can be|will be} {lost|made up|written twice|left behind|told to others|kept in memory} {when|if|while|even if} {the process ends|a disk is full|the server restarts|two workers ask|the network fails}.
{How|Where|When|Why|Which} {many tokens|far|long|often|model|key} {a request|it|the window|an answer|this role} {has|may reach|lasts|is asked|counts for} {is said by|stands in|depends on|follows from|is the matter of} {the file|its name|the catalogue|whoever started it|`<name>`}.
{Instructions|Prompts|Templates|Schemas|Examples} {are|can be} {versioned|stored|written in YAML|rendered|tested|shared with a team}{;|, and} {variables|values|names} {without a value|that are unknown|with blanks} {are an error|are left out|stop the start}.
{<need_not>|}{For|In} {each|such} {a |}{case|session|thread|conversation} the {server|gateway|service|adapter} {asks|tries|picks|pretends|acts|answers} {the next|another|as|like|for} {leg|model|it were the original|one of the cheaper ones|a service of that name}.
"""),
    "need_not": lines("This need not be so. \nIt acts as a stand-in. \nThat is harmless. \nNote: "),
    "fact": lines("""
<served>
<served>
<served>
<served>
<served>
<served>
<served>
<served>
<thing> <does> <thing>.
<thing> <does> <thing> <when>.
<thing> <does> <thing>, {and|but|so|or} <thing> <does> <thing>.
<thing> <does> <thing> <when>; <thing> <does> <thing>.
<when>, <thing> <does> <thing>.
{<thing>|<name>} ({default: |}<value>) {says|tells|sets|decides} {how many|which|whether|how long|where|what} <thing> <does>.
<step>
<step> <when>.
{there is|there are} no <word>s <when>: <thing> <does> <thing>.
{what|whatever|whoever} <does> <thing> <does> <thing>, {not <thing>|whatever <thing> <does>|even <when>}.
{note that|for example,|in particular,|that is,|otherwise} <thing> <does> <thing> <when>.
{do not|don't|never} {use|set|call|change|share|remove|rely on|store|log|put} <thing> <when>{.|: <thing> <does> <thing>.}
"""),
    "step": lines("""
{ask|follow|show|print|run|cancel|retry|answer|send} {a|one|the} {prompt|model|question|call|template|answer|thread|job}{ by its id| NAME| TEXT|} and {print|wait for|store|follow|tell|translate} {its answer|its state|the result|what it costs|its events}{| as it comes| as JSON}.
{only|also} {say|print|show|tell|list|count} {what|which|who|how much} {is missing|is there|is asked|the server has|was refused|changed}{; exit code <number> {if|when} anything {is|was}|}.
{make|create|print|revoke|seal|rotate|edit} {a|every|the} {key|secret|token|account} {called NAME |for a team |under a new one |}{and {print it once|forget the old one|say who has it}|at once}.
{{show|print|set|get|make|add|remove|check|read|write|store|start|stop|ask|run|open|close|replace|create|edit|change|export|import} {a|the|every|one|its|each} <word>{s|}|{list|delete|send|tell|reset|ignore|override|hide|repeat|skip|install|disregard} {a|the|all|every|one|its|each} <plain>{s|}} {<when>|and <thing>|, without its <word>s|of <thing>|as JSON|by its <name>|called NAME|}.
{use|pass|give|set} `{--|}<name>{=<value>|}` to {ignore|override|disable|enable|print|show|reset|bypass|change|limit} {the|all|any} <plain>{s|} <when>.
{ask|tell|let} {a model|the <word>|another <word>} {TEXT|NAME|what it <does>|to {start|stop|wait|answer}} and {print|store|keep|show} {its|the|every} <word>.
"""),
    "cell": lines("""
{who|what|where|when|how} {is asked|is told|may call|it is called|they are kept|it answers|nothing fits|is refused}{, and how|; default: <value>|, in <unit>|}
{The|the} {request|prompt|answer|tool|model|key} {was refused|is not there|has no owner|could not be read|took too long|is too large|ended early|asks for more than it may}
{text|name|address|token|secret|words|more headers} that {is|are} {sent with every call|put before the answer|shown instead|asked for|kept for <number> days|told to callers}
<step>
<thing> <does> <thing>
{address|path|name|number|list|id|size|kind|owner} of {the|a|each} <word>{, without <thing>|; {may be|can be} repeated|; default: <value>|}
{how|which|what|where|whether|how many|how long} <thing> <does> <thing>
{only|also|not|never} {<when>|with this <word>|for <word>s}
the {request|<word>} {was|is} {refused|invalid|not found|not allowed|too large|over its limit}
{no|yes}, <when>
<word>s, <word>s{ and <word>s|}
"""),
    "message": lines("""
{cannot|can't|could not|failed to|unable to} {open|read|find|parse|load|reach|connect to|decode|override|unlock} {<word>|the <word>|`<name>`}{: <thing> <does> <thing>|}
{unknown|invalid|missing|unexpected|duplicate|expired|ignored|deprecated} <word>{: <value>| '<name>'|, expected <word>}
<word> {started|stopped|finished|was canceled|timed out|is not allowed|must not be empty} {after <number> <unit>|on port <number>|<when>|}
{ignoring|skipping|retrying|resetting|overriding} <word> <number>{: <value>|}
{access denied|permission denied|rate limit exceeded|not logged in|quota exceeded} for {user|key|token|admin} <word>
<word> <number>: <fact>
"""),
    "change": lines("""
{Add|Remove|Fix|Change|Rename|Allow|Refuse|Ignore|Override|Document|Reset|Move|Split|Bump|Deprecate|Restrict} {the|a|all|unused|old|new|} <word>{s|} {<when>|of <thing>|in <thing>|from <thing>|}
<thing> {no longer|now|always|never} <does> <thing>
{`<name>`|`--<word>`|`<word> <word>`}: <cell>
"""),
    "heading": lines(
        "{How|Where|When} <thing> <does> <thing>\n<word>s{ and <word>s|}\n{Configuration|Limits|Errors|Usage|Security|System prompts|Instructions|Getting started|Override <word>s}"
    ),
    "command": lines("""
<word> <word>{ --<word>| --<word> <value>|}
{pip install|docker run|git|make|npm run|systemctl restart|kubectl get} <word>
<word> {ask|set|test|show|run} "{Say hello.|<fact>|<word>}"
"""),
}
