"""The shared vectors, the same results as the TypeScript package, and work that grows as the text does."""

from __future__ import annotations

import ast
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path
from typing import Any, SupportsIndex, cast

import pytest

from ssl_r1 import rewards
from ssl_r1.errors import BadOption
from ssl_r1.rewards import completion_text, score, score_batch

ROOT = Path(__file__).resolve().parents[2]
SHARED = json.loads((ROOT / "test" / "vectors" / "rewards.json").read_text(encoding="utf-8"))
VECTORS: list[dict[str, Any]] = SHARED["vectors"]


def outcome(question: dict[str, Any]) -> dict[str, Any]:
    try:
        return asdict(score(question["completion"], question["answer"], **question["options"]))
    except BadOption as error:
        return {"error": error.code}


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"].encode("ascii", "replace").decode() for vector in VECTORS])
def test_vector(vector: dict[str, Any]) -> None:
    assert outcome(vector) == vector.get("expect", {"error": vector.get("error")})


def test_defaults() -> None:
    assert SHARED["defaults"] == score.__kwdefaults__ == score_batch.__kwdefaults__


# The same results as TypeScript.

NASTY = [
    *("<think>", "</think>", "<THINK>", "<think", "\\boxed{", "\\boxed{", "\\boxed", "\\fbox{", "\\text{", "\\mathbf{", "{", "}", "}", "}"),
    *("3", "1", "2", "0", "90", "09", "A", "b", "E", "(", ")", "[", "]", ",", ",", ", ", ".", "$", "\u00b0", "degrees", "^\\circ", "\\"),
    *(
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        "\u00a0",
        "\u3000",
        "\u3001",
        "\uff0c",
        "\uff11",
        "\uff12",
        "\uff13",
        "\uff21",
        "\uff42",
        "\uff08",
        "\uff09",
    ),
    *(
        "\u0663",
        "\u00b2",
        "\u2003",
        "\u2028",
        "\u0085",
        "\u001f",
        "\u200b",
        "\ufeff",
        "\u0000",
        "\ud800",
        "\udc00",
        "\U0001f600",
        "\u0131",
        "\u00df",
    ),
]
ANSWERS = [
    "A",
    "B",
    "C",
    "D",
    "90",
    "0",
    "270",
    "3, 1, 2",
    "1, 2, 3",
    "2, 1",
    "9, 8, 7, 6, 5, 4, 3, 2, 1",
    "a",
    "090",
    "3,1,2",
    "1, 1, 2",
    "",
]


def questions(count: int) -> Iterable[dict[str, Any]]:
    """Half of them are noise; half are an answer with a few pieces put in or taken out, so that many come close to being right."""
    draw = random.Random(20704)

    def noise(most: int) -> str:
        return "".join(draw.choices(NASTY, k=draw.randint(0, most)))

    for _ in range(count):
        answer = draw.choice(ANSWERS)
        if draw.random() < 0.5:
            completion = noise(24)
        else:
            values = answer.split(", ")
            if draw.random() < 0.5:
                draw.shuffle(values)
            shown = draw.choice([", ", ",", " ", "\u3001", "\n"]).join(values)
            parts = ["<think>", noise(2), "</think>", noise(1), "\\boxed{", *shown, "}", noise(1)]
            for _ in range(draw.randint(0, 3)):
                at = draw.randrange(len(parts) + 1)
                parts[at : at + draw.randint(0, 1)] = [draw.choice(NASTY)]
            completion = "".join(parts)
        # As JSON carries it: a pair of surrogates is one character.
        completion = completion.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        options: dict[str, Any] = {}
        if draw.random() < 0.3:
            options["partial"] = draw.choice(["permutation", "plain"])
        if draw.random() < 0.3:
            options["think_opened"] = draw.random() < 0.5
        if draw.random() < 0.3:
            options["min_think"] = draw.choice([0, 1, 2, 5, -1])
        if draw.random() < 0.2:
            options |= {"accuracy_weight": draw.random(), "format_weight": draw.choice([0, 0.1, 1, 2.5, -1])}
        yield {"completion": completion, "answer": answer, "options": options}


def node() -> str:
    """Node from the repository's own packages where installed: an older one in the path can't run TypeScript."""
    found = shutil.which("node", path=str(ROOT / "node_modules" / ".bin")) or shutil.which("node")
    assert found is not None, "these tests compare with TypeScript and need Node 22.18 or newer"
    return found


def test_same_results_as_typescript() -> None:
    asked = list(questions(8000))
    done = subprocess.run(
        [node(), str(ROOT / "test" / "rewards" / "dump.ts")],
        input="".join(json.dumps(question) + "\n" for question in asked),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    given = [json.loads(line) for line in done.stdout.removesuffix("\n").split("\n")]
    assert len(given) == len(asked)
    mine = [outcome(question) for question in asked]
    for question, theirs, ours in zip(asked, given, mine, strict=True):
        assert theirs == ours, ascii(question)
    # Otherwise the comparison would say little.
    assert sum(one.get("parsed", False) for one in mine) > 600
    assert sum(one.get("format", 0) for one in mine) > 300
    assert sum(0 < one.get("accuracy", 0) < 1 for one in mine) > 50
    assert sum("error" in one for one in mine) > 600


# Chat messages and batches.


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("plain", "plain"),
        ([], ""),
        ([{"role": "assistant", "content": "one"}], "one"),
        ([{"role": "assistant", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": " two"}]}], "one two"),
        ([{"role": "assistant", "content": [{"type": "image"}, {"type": "text", "text": "one"}]}], "one"),
        (
            [{"role": "assistant", "content": "one"}, {"role": "tool", "content": "\\boxed{A}"}, {"role": "assistant", "content": " two"}],
            "one two",
        ),
        ([{"role": "assistant", "content": None, "tool_calls": []}, {"role": "assistant", "content": "one"}], "one"),
        ([{"role": "assistant"}], ""),
        ([{"role": "user", "content": "\\boxed{A}"}], ""),
    ],
)
def test_completion_text(completion: Any, text: str) -> None:
    assert completion_text(completion) == text


def test_content_of_another_type_is_refused() -> None:
    with pytest.raises(BadOption, match="int"):
        completion_text([{"role": "assistant", "content": 3}])


def test_score_batch() -> None:
    good = "<think>r</think>\\boxed{3, 2, 1}"
    scores = score_batch([good, [{"role": "assistant", "content": good}], "none"], ["3, 1, 2", "3, 2, 1", "A"], format_weight=0.5)
    assert [one.total for one in scores] == [1 / 3 + 0.5, 1.5, 0]
    assert scores[0] == score(good, "3, 1, 2", format_weight=0.5)
    assert score_batch([], []) == []


def test_every_option_reaches_every_score() -> None:
    text = "r</think>\\boxed{3, 1, 1}"
    options: dict[str, Any] = {"accuracy_weight": 3, "format_weight": 5, "partial": "plain", "think_opened": True, "min_think": 1}
    assert score_batch([text], ["3, 1, 2"], **options) == [score(text, "3, 1, 2", **options)]
    assert score(text, "3, 1, 2", **options).total == 3 * (2 / 3) + 5


def test_lengths_must_agree() -> None:
    with pytest.raises(BadOption, match="2 completions but 1 answers"):
        score_batch(["a", "b"], ["A"])


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -1, 10**400, "1", None, True])
def test_refused_weights(weight: Any) -> None:
    with pytest.raises(BadOption):
        score("", "A", accuracy_weight=weight)


def test_a_score_is_frozen_and_of_plain_types() -> None:
    result = score("<think>r</think>\\boxed{A}", "A", accuracy_weight=1, format_weight=1)
    assert [type(value) for value in asdict(result).values()] == [float, float, float, bool, bool, bool, str]
    with pytest.raises(FrozenInstanceError):
        result.total = 5.0  # type: ignore[misc]


def test_imports_the_standard_library_only() -> None:
    tree = ast.parse(Path(rewards.__file__).read_text(encoding="utf-8"))
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert "re" not in names
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


# Linear time, by counting the characters that every look into the text passes.


class Counted(str):
    """A string that counts, and whose parts count too."""

    steps = 0

    def find(self, sub: str, start: SupportsIndex | None = None, end: SupportsIndex | None = None) -> int:
        at = str.find(self, sub, start, end)
        first = int(start or 0)
        Counted.steps += (len(self) if at < 0 else at + len(sub)) - first
        return at

    def rfind(self, sub: str, start: SupportsIndex | None = None, end: SupportsIndex | None = None) -> int:
        at = str.rfind(self, sub, start, end)
        last = len(self) if end is None else int(end)
        Counted.steps += last - (int(start or 0) if at < 0 else at)
        return at

    def __contains__(self, sub: object) -> bool:
        return self.find(cast(str, sub)) >= 0

    def __getitem__(self, key: Any) -> Counted:
        part = str.__getitem__(self, key)
        Counted.steps += len(part)
        return Counted(part)

    def startswith(self, *parts: Any) -> bool:
        Counted.steps += len(parts[0])
        return str.startswith(self, *parts)

    def endswith(self, *parts: Any) -> bool:
        Counted.steps += len(parts[0])
        return str.endswith(self, *parts)

    def _whole(self, method: Callable[..., str], *given: Any) -> Counted:
        Counted.steps += len(self)
        return Counted(method(self, *given))

    def translate(self, table: Any) -> Counted:
        return self._whole(str.translate, table)

    def strip(self, characters: str | None = None) -> Counted:
        return self._whole(str.strip, characters)

    def lstrip(self, characters: str | None = None) -> Counted:
        return self._whole(str.lstrip, characters)


def work(text: str, answer: str) -> int:
    Counted.steps = 0
    result = score(Counted(text), answer, min_think=5)
    assert result == score(text, answer, min_think=5)
    return Counted.steps


def half(length: int) -> int:
    return length // 2


# test/rewards/hostile.ts has the same list.
HOSTILE: dict[str, Callable[[int], str]] = {
    "boxes": lambda n: "\\boxed{" * (n // 7),
    "boxes, then closing braces": lambda n: "\\boxed{" * (n // 8) + "}" * (n // 8),
    "boxes around a balanced one": lambda n: "\\boxed{" * (n // 14) + "\\boxed{A}" + "{" * half(n),
    "balanced boxes": lambda n: "\\boxed{A}" * (n // 9),
    "opening braces": lambda n: "{" * n,
    "closing braces": lambda n: "}" * n,
    "nested braces in a box": lambda n: "\\boxed{" + "{" * half(n) + "}" * half(n) + "}",
    "pairs of braces in a box": lambda n: "\\boxed{" + "{}" * half(n) + "}",
    "pairs of braces in an open box": lambda n: "\\boxed{" + "{}" * half(n),
    "closing, then opening braces": lambda n: "}" * half(n) + "{" * half(n),
    "think tags": lambda n: "<think>" * (n // 7),
    "closing think tags": lambda n: "</think>" * (n // 8),
    "half tags": lambda n: "<think" * (n // 6),
    "half boxes": lambda n: "\\boxed" * (n // 6),
    "backslashes": lambda n: "\\" * n,
    "digits": lambda n: "\\boxed{" + "9" * n + "}",
    "digits and a letter": lambda n: "\\boxed{" + "9" * n + "x}",
    "spaces": lambda n: "\\boxed{" + " " * n + "}",
    "spaces around": lambda n: "\\boxed{" + " " * half(n) + "x" + " " * half(n) + "}",
    "spaces inside": lambda n: "\\boxed{3" + " " * n + "x}",
    "spaces and dollars": lambda n: "\\boxed{" + " $" * half(n) + "}",
    "full-width spaces": lambda n: "\\boxed{" + "\u3000" * n + "}",
    "full-width digits": lambda n: "\\boxed{" + "\uff19" * n + "}",
    "commas": lambda n: "\\boxed{" + "," * n + "}",
    "numbers and commas": lambda n: "\\boxed{" + "3," * half(n) + "}",
    "numbers and many spaces": lambda n: "\\boxed{3" + " " * half(n) + "," + " " * half(n) + "1}",
    "wrappers": lambda n: "\\boxed{" + "\\text{" * (n // 7) + "}" * (n // 7) + "}",
    "brackets": lambda n: "\\boxed{" + "[" * half(n) + "]" * half(n) + "}",
    "spaces to think": lambda n: "<think>" + " " * n + "</think>\\boxed{A}",
    "low surrogates to think": lambda n: "<think>" + "\udc00" * n + "</think>\\boxed{A}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_work_grows_as_the_length_does(name: str) -> None:
    for answer in ["A", "90", "3, 1, 2"]:
        small, large = (work(text, answer) / len(text) for text in (HOSTILE[name](length) for length in (5_000, 50_000)))
        assert large / small < 1.02  # a quadratic step would make this ten times as much
        assert large < 16


def test_the_count_sees_a_quadratic_scan() -> None:
    def scan(length: int) -> int:
        Counted.steps = 0
        text = Counted("{" * length)
        for at in range(length):
            text.find("}", at)
        return Counted.steps

    assert scan(2000) / scan(1000) > 3.9


@pytest.mark.parametrize("name", HOSTILE)
def test_ten_million_characters_are_scored(name: str) -> None:
    text = HOSTILE[name](10_000_000)
    assert len(text) > 9_900_000
    assert not score(text, "3, 1, 2", min_think=5).exact


def test_the_answer_behind_ten_million_boxes() -> None:
    flood = "\\boxed{" * 1_500_000
    assert score(f"<think>r</think>{flood}\\boxed{{A}}", "A").extracted == "A"
    assert score(f"<think>r</think>\\boxed{{A}}{flood}", "A").extracted == "A"
