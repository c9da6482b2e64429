"""Reading a prompt as a model would: what is asked for, and the material between the tags."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = [
    "Listed",
    "Question",
    "documents",
    "listed",
    "material",
    "number",
    "numbered",
    "seed_of",
    "understand",
]

_TASKS = {
    "quotes": "distill_filter",
    "bullets": "distill_summarize",
    "patterns": "synthesize",
    "remove": "review_remove",
    "merge": "review_merge",
    "select": "review_select",
    "matches": "auto_eval",
    "results": "score",
    "summary": "summarize_concept",
}
_KEY = re.compile(rf'"({"|".join(_TASKS)})"\s*:')
_RE_ASK = "\n\nYour earlier answer could not be used."
_DOCUMENT = re.compile(
    r'^<document label="(D\d+)">\n(.*?)\n</document>$(?=\n\n(?:<document label="D|Answer with))',
    re.MULTILINE | re.DOTALL,
)
_LISTED = re.compile(r"^([CK]\d+)\. (.*?): (.*?)(?: \[(\d+)\])?$", re.MULTILINE)
_NUMBERED = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)
_SEED = re.compile(
    r"(?:have|has) to do with (.+?)(?::|\.| those| \(an empty|,|$)"
    r"|with regard to (.+?):|each of them about (.+?) by",
    re.MULTILINE,
)


class Question(NamedTuple):
    """A prompt without what was added to ask again.

    Attributes:
        task: The step, as the library names it; `""` when the prompt asks for none of them.
        key: The key of the JSON object that is asked for.
        prompt: The prompt as it was first asked.
        asked_again: Whether an earlier answer was sent back.
    """

    task: str
    key: str
    prompt: str
    asked_again: bool


class Listed(NamedTuple):
    """A concept in a list: label, name, criteria, number of documents."""

    label: str
    name: str
    criteria: str
    support: int


def understand(prompt: str, schema_keys: tuple[str, ...] = ()) -> Question:
    """What a prompt asks for: the last answer form in it, else the schema's first known key."""
    first, again, _ = prompt.rpartition(_RE_ASK)
    asked = first if again else prompt
    keys = [match.group(1) for match in _KEY.finditer(asked)]
    key = keys[-1] if keys else next((key for key in schema_keys if key in _TASKS), "")
    return Question(_TASKS.get(key, ""), key, asked, bool(again))


def material(prompt: str, tag: str) -> str:
    """The text between the lines `<tag>` and `</tag>`; without them the longest paragraph."""
    found = re.search(rf"^<{tag}>\n(.*)\n</{tag}>$", prompt, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else _longest_paragraph(prompt)


def documents(prompt: str) -> list[tuple[str, str]]:
    """Label and text of each labelled document."""
    return [(match.group(1), match.group(2)) for match in _DOCUMENT.finditer(prompt)]


def listed(prompt: str, tag: str) -> list[Listed]:
    """The concepts listed between two tags."""
    found = re.search(rf"^<{tag}>\n(.*?)\n</{tag}>$", prompt, re.MULTILINE | re.DOTALL)
    lines = _LISTED.findall(found.group(1)) if found else []
    return [Listed(label, name, criteria, int(support or 0)) for label, name, criteria, support in lines]


def numbered(prompt: str) -> list[tuple[int, str]]:
    """The numbered lines of the material."""
    return [(int(n), text) for n, text in _NUMBERED.findall(material(prompt, "lines"))]


def number(pattern: str, prompt: str, otherwise: int) -> int:
    """The last group of the first match of a pattern in the prompt, as a number."""
    found = re.search(pattern, prompt)
    return int(found.group(found.lastindex or 0)) if found else otherwise


def seed_of(prompt: str) -> str:
    """What the analyst is after, if the instructions say so."""
    instructions = re.split(r"^<\w+", prompt, maxsplit=1, flags=re.MULTILINE)[0]
    found = _SEED.search(instructions)
    return next(filter(None, found.groups()), "") if found else ""


def _longest_paragraph(prompt: str) -> str:
    paragraphs = [part for part in re.split(r"\n\s*\n", prompt) if not _KEY.search(part)]
    longest = max(paragraphs, key=len, default=prompt)
    lines = [line for line in longest.splitlines() if not line.rstrip().endswith(":")]
    return "\n".join(lines) or longest
