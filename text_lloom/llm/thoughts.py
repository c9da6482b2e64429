"""Telling a model's thoughts from its answer, by the marks that models and chat templates put around them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["Thoughts", "part_thoughts"]

_NAMES: Final = (
    "think|thinking|thoughts?|reasoning|reflection|scratchpad|analysis|inner_monologue|"
    "(?:seed|mm|antml):think(?:ing)?|ant_?thinking|longcat_think"
)
_PAIRS: Final = (
    (rf"<(?P<tag>{_NAMES})(?:\s[^<>]*)?>", r"</{tag}\s*>"),
    (r"\[(?P<square>THINK)\]", r"\[/THINK\]"),
    (r"◁(?P<kimi>think)▷", r"◁/think▷"),
    (r"<\|(?P<solution>begin_of_thought)\|>", r"<\|end_of_thought\|>"),
    (r"<\|(?P<cohere>START_THINKING)\|>", r"<\|END_THINKING\|>"),
    (r"<\|(?P<inner>inner_prefix)\|>", r"<\|inner_suffix\|>"),
    (r"<\|?(?P<channel>channel)>\s*thought\b", r"<channel\|>"),
    (r"<(?P<unused>unused94)>", r"<unused95>"),
    (r"(?P<granite>Here is my thought process:)", r"Here is my response:"),
)
"""How thoughts begin and end. Sources: Qwen, DeepSeek, GLM, Phi (`<think>`); Claude, MiniMax (`<thinking>`,
`<mm:think>`); EXAONE, Gemma 4 (`<thought>`, `<|channel>thought`); Seed-OSS (`<seed:think>`); Magistral
(`[THINK]`); Kimi (`◁think▷`); Sky-T1 (`<|begin_of_thought|>`); Command A Reasoning (`<|START_THINKING|>`);
Apertus (`<|inner_prefix|>`); MedGemma (`<unused94>`); Granite 3.2 (a sentence)."""
_OPEN: Final = re.compile("|".join(begin for begin, _ in _PAIRS), re.IGNORECASE)
_END: Final = re.compile(
    "(?<![`'\"])(?:" + "|".join([rf"</(?:{_NAMES})\s*>", *(end for _, end in _PAIRS[1:-1])]) + ")(?![`'\"])",
    re.IGNORECASE,
)
_OPEN_ON_A_LINE: Final = re.compile(rf"^[ \t]*(?:{_OPEN.pattern})", re.IGNORECASE | re.MULTILINE)
_JSON_BEGINS: Final = ("{", "[", '"', "`")
"""How replies begin that hold no thoughts before the answer, whatever they quote."""
_WRAPPED: Final = re.compile(
    r"\s*(?:<(answer|response|solution|output|final|final_answer)>(?P<tagged>.*?)(?:</\1>)?"
    r"|<\|begin_of_solution\|>(?P<solution>.*?)(?:<\|end_of_solution\|>)?"
    r"|<\|START_RESPONSE\|>(?P<cohere>.*?)(?:<\|END_RESPONSE\|>)?)\s*",
    re.IGNORECASE | re.DOTALL,
)
"""What some models put around the answer that follows their thoughts."""
_CHANNELS: Final = re.compile(r"<\|(?:channel|start|message)\|>")
_FINAL: Final = re.compile(r"<\|channel\|>\s*final\b.*?<\|message\|>", re.DOTALL)
_MESSAGE_ENDS: Final = re.compile(r"<\|(?:return|end|call|start|channel)\|>")
_LAST_MARKS: Final = re.compile(r"(?:\s*<\|(?:return|end|call)\|>)+\s*\Z")
_BARE_FINAL: Final = "assistantfinal"
"""What is left of the marks where a server drops special tokens (sgl-project/sglang#9190)."""
_BARE_ANALYSIS: Final = re.compile(r"\A\s*(?:assistant)?(?:analysis|commentary)")
_GLUED: Final = re.compile(r"\A\s*(?:assistant)?(?:analysis|commentary)(?=[A-Z])")


class Thoughts(NamedTuple):
    """A reply in two parts.

    Attributes:
        answer: What is not thoughts; empty when the thoughts do not end.
        reasoning: The thoughts, `None` without any.
    """

    answer: str
    reasoning: str | None


def part_thoughts(text: str) -> Thoughts:
    """The answer and the thoughts in a reply; a reply without marks is the answer as it is.

    Thoughts that stand first are no part of the answer, and neither is what precedes an end of thoughts: some
    chat templates begin the thoughts themselves, so that only their end stands in the reply. Thoughts that
    begin and do not end leave no answer.
    """
    if (parted := _by_channels(text)) is not None:
        return parted
    rest, thoughts = text, list[str]()
    while (begun := _OPEN.match(rest.lstrip().lstrip("\ufeff"))) is not None:
        inside = rest.lstrip().lstrip("\ufeff")[begun.end() :]
        end = _end_of(begun).search(inside)
        if end is None:
            return Thoughts("", _joined([*thoughts, inside]))
        thoughts.append(inside[: end.start()])
        rest = inside[end.end() :]
    while not rest.lstrip().startswith(_JSON_BEGINS) and (end := _END.search(rest)) is not None:
        thoughts.append(_OPEN.sub("", rest[: end.start()], count=1))
        rest = rest[end.end() :]
    if not rest.lstrip().startswith(_JSON_BEGINS):
        begun = _OPEN_ON_A_LINE.search(rest)
        if begun is not None:
            thoughts.append(rest[begun.end() :])
            rest = rest[: begun.start()]
    if not thoughts:
        return Thoughts(text, None)
    wrapped = _WRAPPED.fullmatch(rest)
    if wrapped is not None:
        rest = wrapped["tagged"] or wrapped["solution"] or wrapped["cohere"] or ""
    return Thoughts(rest.strip(), _joined(thoughts))


def _by_channels(text: str) -> Thoughts | None:
    """The parts of a reply in OpenAI's harmony format, of which some servers leave the marks out."""
    if not text.lstrip().startswith(_JSON_BEGINS) and _CHANNELS.search(text) is not None:
        finals = list(_FINAL.finditer(text))
        if not finals:
            return Thoughts("", _joined([text]))
        last = finals[-1]
        answer = _MESSAGE_ENDS.split(text[last.end() :], maxsplit=1)[0]
        return Thoughts(answer.strip(), _joined([text[: last.start()]]))
    if _BARE_ANALYSIS.match(text) is not None and _BARE_FINAL in text:
        before, _, answer = text.rpartition(_BARE_FINAL)
        return Thoughts(answer.strip(), _joined([before]))
    if _GLUED.match(text) is not None:
        return Thoughts("", _joined([text]))
    if text.lstrip().startswith(_BARE_FINAL):
        return Thoughts(text.lstrip().removeprefix(_BARE_FINAL).strip(), None)
    if "<|" in text and _LAST_MARKS.search(text) is not None:
        return Thoughts(_LAST_MARKS.sub("", text), None)
    return None


def _end_of(begun: re.Match[str]) -> re.Pattern[str]:
    """What ends the thoughts that begin with a mark."""
    kind = begun.lastgroup or "tag"
    if kind == "tag":
        return re.compile(rf"</{re.escape(begun['tag'])}\s*>", re.IGNORECASE)
    return _ENDS[kind]


def _joined(thoughts: list[str]) -> str | None:
    """The thoughts as one text, without the marks of channels."""
    plain = (re.sub(r"<\|[a-z]+\|>", " ", thought) for thought in thoughts)
    return "\n\n".join(stripped for thought in plain if (stripped := thought.strip())) or None


_ENDS: Final = {
    next(iter(re.compile(begin).groupindex)): re.compile(end, re.IGNORECASE) for begin, end in _PAIRS[1:]
}
