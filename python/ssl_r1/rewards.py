"""Rewards of the paper (arXiv 2604.20705, section 3.2.2), by the rules of docs/rewards-rules.md.

The TypeScript package gives the same results; test/vectors/rewards.json holds both to it. No packages needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from .errors import BadOption

__all__ = ["Score", "completion_text", "score", "score_batch"]

Partial = Literal["permutation", "plain"]
Completion = str | Sequence[Mapping[str, object]]

ACCURACY_WEIGHT: Final = 1.0
FORMAT_WEIGHT: Final = 1.0
PARTIAL: Final[Partial] = "permutation"
THINK_OPENED: Final = False
MIN_THINK: Final = 0

_THINK: Final = "<think>"
_END_THINK: Final = "</think>"
_BOX: Final = "\\boxed{"
_LETTERS: Final = "ABCD"
_DIGITS: Final = "0123456789"
_UNITS: Final = ("", "\u00b0", "degrees", "^\\circ")
_WRAPPERS: Final = ("\\text{", "\\mathrm{", "\\mathbf{", "\\textbf{")

# A table of our own, because NFKC, \s and \d differ between languages and their versions.
_FOLD: Final = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    0x3001: ord(","),
    0x3000: ord(" "),
    0x00A0: ord(" "),
    0x000A: ord(" "),
}
_SPACES: Final = " \n\u00a0\u3000"


@dataclass(frozen=True)
class Score:
    accuracy: float
    """0 .. 1; a fraction only for sequences."""
    format: float
    """0 or 1."""
    total: float
    """accuracy_weight * accuracy + format_weight * format."""
    exact: bool
    """Every value is right, as this parser reads it."""
    exact_string: bool
    """The box holds the canonical answer character for character: what a bare comparison of strings would count."""
    parsed: bool
    """The box could be read as an answer of the right kind and length, right or wrong."""
    extracted: str | None
    """The text of the box that counts, word for word; None without one."""


@dataclass(frozen=True)
class _Canonical:
    kind: Literal["number", "letter", "sequence"]
    values: list[str]


def score(
    completion: str,
    answer: str,
    *,
    accuracy_weight: float = ACCURACY_WEIGHT,
    format_weight: float = FORMAT_WEIGHT,
    partial: Partial = PARTIAL,
    think_opened: bool = THINK_OPENED,
    min_think: int = MIN_THINK,
) -> Score:
    """Scores one completion against the canonical answer of its puzzle ("90", "C" or "2, 3, 1").

    partial: "plain" also grades sequences that are no permutation. think_opened: the prompt ended in <think>, so the completion
    must not repeat it. min_think: characters other than spaces that the reasoning must have for the format reward.
    Takes time proportional to the completion's length and raises for no completion; BadOption for an answer that is not
    canonical and for options out of range.
    """
    accuracy_weight = _weight("accuracy_weight", accuracy_weight)
    format_weight = _weight("format_weight", format_weight)
    if not isinstance(partial, str) or partial not in ("permutation", "plain"):
        raise _refused(f'partial must be "permutation" or "plain", got {partial!r}')
    if not isinstance(think_opened, bool):
        raise _refused(f"think_opened must be True or False, got {think_opened!r}")
    if isinstance(min_think, bool) or not isinstance(min_think, int) or not 0 <= min_think < 2**53:
        raise _refused(f"min_think must be an integer >= 0, got {min_think!r}")
    wanted = _canonical(answer)
    extracted = _extract(completion)
    values = None if extracted is None else _read(extracted, wanted)
    matches = 0 if values is None else sum(a == b for a, b in zip(values, wanted.values, strict=True))
    accuracy = 0.0 if values is None else _accuracy(values, wanted, matches, partial)
    format = 1.0 if _well_formed(completion, extracted, think_opened, min_think) else 0.0
    return Score(
        accuracy=accuracy,
        format=format,
        total=accuracy_weight * accuracy + format_weight * format,
        exact=matches == len(wanted.values),
        exact_string=extracted == answer,
        parsed=values is not None,
        extracted=extracted,
    )


def score_batch(
    completions: Sequence[Completion],
    answers: Sequence[str],
    *,
    accuracy_weight: float = ACCURACY_WEIGHT,
    format_weight: float = FORMAT_WEIGHT,
    partial: Partial = PARTIAL,
    think_opened: bool = THINK_OPENED,
    min_think: int = MIN_THINK,
) -> list[Score]:
    """One Score a completion, which may be text or chat messages; as many answers as completions."""
    if len(completions) != len(answers):
        raise _refused(f"{len(completions)} completions but {len(answers)} answers")
    return [
        score(
            completion_text(completion),
            answer,
            accuracy_weight=accuracy_weight,
            format_weight=format_weight,
            partial=partial,
            think_opened=think_opened,
            min_think=min_think,
        )
        for completion, answer in zip(completions, answers, strict=True)
    ]


def completion_text(completion: Completion) -> str:
    """The model's own words: the text itself, or what the assistant's messages say, one after the other.

    A message's content is a string, None, or a list of parts of which those of type "text" count. Messages of other roles (tools)
    are passed over: the model must not be paid for what it was told.
    """
    if isinstance(completion, str):
        return completion
    return "".join(_content_text(message.get("content")) for message in completion if message.get("role") == "assistant")


def _content_text(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise _refused(f"content of a message must be text or a list of parts, got {type(content).__name__}")
    texts = [part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
    return "".join(text for text in texts if isinstance(text, str))


def _refused(message: str) -> BadOption:
    return BadOption("BAD_OPTION", message)


def _weight(name: str, value: float) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            weight = float(value)
        except OverflowError:
            weight = math.inf
        if math.isfinite(weight) and weight >= 0:
            return weight
    raise _refused(f"{name} must be a finite number >= 0, got {value!r}")


# Finding the answer, sections 1 and 2 of the rules.


def _extract(text: str) -> str | None:
    """What the last box with balanced braces holds. Looks after the last </think>, else everywhere."""
    think = text.rfind(_END_THINK)
    start = 0 if think < 0 else think + len(_END_THINK)
    # From the right, an opening brace is balanced exactly where a closing one is still unused. Each search goes on where the last
    # one of its kind stopped, so the text is looked through twice at most.
    unused = 0
    opened = text.rfind("{", start)
    closed = text.rfind("}", start)
    while opened >= 0:
        if closed > opened:
            unused += 1
            closed = text.rfind("}", start, closed)
            continue
        if unused > 0:
            unused -= 1
            box = opened + 1 - len(_BOX)
            if box >= start and text.startswith(_BOX, box):
                return text[opened + 1 : _closing(text, opened + 1)]
        opened = text.rfind("{", start, opened)
    return None


def _closing(text: str, start: int) -> int:
    """Where the group that begins at start, after its opening brace, is closed. There must be such a place."""
    depth = 1
    opened = text.find("{", start)
    closed = text.find("}", start)
    while True:
        if 0 <= opened < closed:
            depth += 1
            opened = text.find("{", opened + 1)
            continue
        depth -= 1
        if depth == 0:
            return closed
        closed = text.find("}", closed + 1)


# Reading answers, sections 3 and 4. Numbers stay strings, so no answer is too long to compare.


def _canonical(answer: str) -> _Canonical:
    if isinstance(answer, str):
        if len(answer) == 1 and answer in _LETTERS:
            return _Canonical("letter", [answer])
        if _is_numeral(answer):
            return _Canonical("number", [answer])
        values = answer.split(", ")
        known = set(values)
        if all(str(place + 1) in known for place in range(len(values))):
            return _Canonical("sequence", values)
    shown = repr(answer[:60]) if isinstance(answer, str) else type(answer).__name__
    raise _refused(f'answer must be like "90", "C" or "2, 3, 1" (a permutation), got {shown}')


def _read(extracted: str, wanted: _Canonical) -> list[str] | None:
    body = _normalise(extracted)
    if wanted.kind == "number":
        return _read_number(body)
    if wanted.kind == "letter":
        return _read_letter(body)
    return _read_sequence(body, len(wanted.values))


def _normalise(text: str) -> str:
    body = text.translate(_FOLD).strip(" $")
    for wrapper in _WRAPPERS:
        # That the last brace belongs to the wrapper needs no check: with a brace left inside, nothing reads as an answer.
        if body.startswith(wrapper) and body.endswith("}"):
            return body[len(wrapper) : -1].strip(" $")
    return body


def _read_number(body: str) -> list[str] | None:
    rest = body.lstrip(_DIGITS)
    value = body[: len(body) - len(rest)]
    return [value] if _is_numeral(value) and rest.lstrip(" ") in _UNITS else None


def _read_letter(body: str) -> list[str] | None:
    if len(body) > 3:
        return None
    letter = body[1:2] if len(body) == 3 else body[:1]
    value = letter.upper() if "a" <= letter <= "d" else letter
    forms = (letter, f"{letter}.", f"{letter})", f"({letter})")
    return [value] if value != "" and value in _LETTERS and body in forms else None


def _read_sequence(body: str, count: int) -> list[str] | None:
    bracketed = (body[:1], body[-1:]) in (("[", "]"), ("(", ")"))
    end = len(body) - 1 if bracketed else len(body)
    values: list[str] = []
    at = _after(" ", body, 1 if bracketed else 0, end)
    while True:
        digits = _after(_DIGITS, body, at, end)
        value = body[at:digits]
        if len(values) == count or not _is_numeral(value):
            return None
        values.append(value)
        at = _after(" ", body, digits, end)
        if at == end:
            return values if len(values) == count else None
        if body[at] == ",":
            at = _after(" ", body, at + 1, end)
        elif at == digits:
            return None


def _is_numeral(text: str) -> bool:
    """ASCII digits only, without a leading zero."""
    return text != "" and text.strip(_DIGITS) == "" and (text == "0" or text[0] != "0")


def _after(characters: str, text: str, at: int, end: int) -> int:
    while at < end and text[at] in characters:
        at += 1
    return at


def _accuracy(values: list[str], wanted: _Canonical, matches: int, partial: Partial) -> float:
    # The wanted values are a permutation, so n different ones among them are one too.
    if wanted.kind == "sequence" and partial == "permutation" and set(values) != set(wanted.values):
        return 0.0
    return matches / len(wanted.values)


# Format, section 5.


def _well_formed(text: str, extracted: str | None, think_opened: bool, min_think: int) -> bool:
    end = _once(text, _END_THINK)
    box = _once(text, _BOX)
    if end < 0 or box < end or extracted is None:
        return False
    start = 0
    if think_opened:
        if _THINK in text:
            return False
    else:
        think = _once(text, _THINK)
        if think < 0 or think > end:
            return False
        start = think + len(_THINK)
    return _has_characters(text, start, end, min_think)


def _once(text: str, tag: str) -> int:
    """The place of the only occurrence, -1 where there are none or more."""
    at = text.find(tag)
    return at if at >= 0 and text.find(tag, at + len(tag)) < 0 else -1


def _has_characters(text: str, start: int, end: int, wanted: int) -> bool:
    """Low surrogates are not counted, so that both languages count a character beyond U+FFFF once."""
    missing = wanted
    at = start
    while at < end and missing > 0:
        character = text[at]
        if character not in _SPACES and not "\udc00" <= character <= "\udfff":
            missing -= 1
        at += 1
    return missing == 0
