"""The plan in TypeScript against the second implementation, over random streams; and that one against the published vectors."""

from __future__ import annotations

import json
import random
import subprocess
from itertools import pairwise
from math import lcm
from pathlib import Path

import pytest
from reference_plan import Plan, Random, Refused, default_partitions, key_bytes, listing_order, philox, reduced, round_robin, siphash128

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / "node_modules" / ".bin" / "node"
VECTORS = ROOT / "test" / "vectors" / "random"


def vectors(name: str) -> dict:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def test_siphash_is_the_published_one() -> None:
    for length, output in enumerate(vectors("siphash")["outputs"]):
        assert siphash128(bytes(range(16)), bytes(range(length))).hex() == output


def test_philox_is_the_published_one() -> None:
    def words(texts: list[str]) -> tuple[int, ...]:
        return tuple(int(text, 16) for text in texts)

    for row in vectors("philox")["rows"]:
        assert philox(words(row["counter"]), words(row["key"])) == words(row["output"])


@pytest.mark.parametrize("case", vectors("derive")["cases"], ids=lambda case: f"{case['seed']}-{len(case['parts'])}")
def test_draws(case: dict) -> None:
    def fresh() -> Random:
        return Random(case["seed"], *case["parts"])

    assert key_bytes(*case["parts"]).hex() == case["message"]
    drawn = fresh()
    assert [drawn.uint32() for _ in case["uint32"]] == case["uint32"]
    drawn = fresh()
    assert [[bound, drawn.below(bound)] for bound, _ in case["below"]] == case["below"]
    drawn = fresh()
    assert [[low, high, drawn.between(low, high)] for low, high, _ in case["between"]] == case["between"]
    drawn = fresh()
    assert [[low, high, drawn.uniform(low, high)] for low, high, _ in case["uniform"]] == case["uniform"]
    drawn = fresh()
    assert [[p, drawn.chance(p)] for p, _ in case["chance"]] == case["chance"]
    assert fresh().shuffle(list(range(12))) == case["shuffle"]


def some_mix(rng: random.Random, names: list[str]) -> list[dict]:
    chosen = rng.sample(names, rng.randint(1, len(names)))
    heavy = rng.choice([1, 4, 30])
    return [{"name": name, "weight": rng.randint(1, heavy)} for name in chosen]


def some_stream(rng: random.Random) -> dict:
    partitions = rng.randint(1, 8)
    batch = partitions * rng.randint(1, 40)
    most = rng.choice([8, 60, 300])
    rows = [rng.choice([0, rng.randint(0, most), rng.randint(0, most)]) for _ in range(rng.randint(1, 24))]
    rows += [4 * partitions] * max(1, rng.choice([0, 1, partitions]))
    names = ["rotation", "similarity", "inpainting", "ordering-2x2", "Größe 🧩"]
    spec: dict = {
        "seed": rng.choice([0, rng.randint(0, 2**53 - 1), rng.randint(0, 100)]),
        "batch": batch,
        "partitions": partitions,
        "entries": some_mix(rng, names),
        "deal": rng.choice(["rows", "shards"]),
        "window": rng.choice([1, 64, 100, 512, 4096]),
        "order": rng.choice(["independent", "shared"]),
    }
    if rng.random() < 0.4:
        sources = rng.randint(2, min(5, len(rows)))
        cuts = [0, *sorted(rng.sample(range(1, len(rows)), sources - 1)), len(rows)]
        heavy = rng.choice([1, 5, 60])
        spec["sources"] = [{"weight": rng.randint(1, heavy), "shards": b - a} for a, b in pairwise(cuts)]
        for source in spec["sources"]:
            if rng.random() < 0.3:
                source["deal"] = rng.choice(["rows", "shards"])
    far = rng.choice([1, 30, 2000, 10**9, (2**53 - 1) // batch - 1])
    if rng.random() < 0.4:
        steps = sorted(rng.sample(range(1, 4000), rng.randint(1, 4)))
        spec["log"] = [{"step": step, "entries": some_mix(rng, names)} for step in steps]
    if rng.random() < 0.2:
        spec["passes"] = rng.randint(1, 3)
        far = rng.randint(0, 3 * sum(rows) // batch + 1)
    mixes = [spec["entries"], *(change["entries"] for change in spec.get("log", []))]
    turns = lcm(*(len(round_robin(reduced([entry["weight"] for entry in mix]))) for mix in mixes))
    if spec["order"] == "shared" and turns < 100 and rng.random() < 0.7:  # Batches of whole turns
        batch = spec["batch"] = partitions * turns * rng.randint(1, 1 + 40 // turns)
        far = min(far, (2**53 - 1) // batch - 1)
    try:
        plan = Plan(spec, rows)
    except Refused:
        return {"spec": spec, "rows": rows, "ask": []}
    if min(min(total) for total in plan.total) < 4:
        return some_stream(rng)
    ask = [{"step": rng.randint(0, far), "slot": rng.randrange(batch), "attempt": rng.randint(0, 5)} for _ in range(3)]
    return {"spec": spec, "rows": rows, "ask": ask}


def expected(question: dict) -> dict:
    spec, rows = question["spec"], question["rows"]
    try:
        plan = Plan(spec, rows)
    except Refused:
        return {"refused": "BAD_OPTION"}
    answers = []
    for ask in question["ask"]:
        step, slot = ask["step"], ask["slot"]
        located = plan.locate(step, slot)
        exists = plan.exists(step, slot)
        attempt = min(ask["attempt"], located["rows"])
        offset, size = located["offset"], located["rows"]
        tried = offset if attempt == 0 else (offset + size // 2 + attempt - 1) % size
        cells = [plan.cell(step, cell) for cell in range(plan.cells * plan.partitions)]
        others, offsets = plan.strangers(step, slot, attempt) if exists else (None, None)
        answers.append(
            {
                **located,
                "at": list(located["at"]),
                "substitutes": [list(row) for row in located["substitutes"]],
                "tried": tried,
                "exists": exists,
                "cell": next((cell for cell in cells if slot in cell), None),
                "others": others,
                "offsets": offsets,
            }
        )
    return {
        "answers": answers,
        "totals": plan.total,
        "partitions": default_partitions(spec["batch"], spec["order"], spec["entries"]),
        "listing": listing_order(spec["seed"], len(rows)),
        "listings": [listing_order(spec["seed"], len(rows), source) for source in range(len(plan.deals))],
    }


def last_step(plan: Plan) -> int:
    """Steps of a finite stream, by looking at each until nothing can come any more."""
    quiet, step, steps = 0, 0, 0
    settled = plan.log[-1][0]
    turn = max(len(cycle) for _, cycle in plan.log)
    if plan.sources:
        turn *= len(plan.sources[0].cycle) * plan.partitions
    while step <= settled or quiet <= turn:
        some = any(plan.exists(step, slot) for slot in range(plan.batch))
        quiet = 0 if some else quiet + 1
        step += 1
        steps = step if some else steps
    return steps


def test_both_implementations_plan_the_same_streams() -> None:
    rng = random.Random(20604)
    questions = [some_stream(rng) for _ in range(2000)]
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    command = [str(NODE), str(ROOT / "test" / "plan" / "dump.ts")]
    run = subprocess.run(command, input=lines, capture_output=True, encoding="utf-8", check=True, timeout=300)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(answers) == len(questions)
    finite = mixed = refused = turned = 0
    for question, answer in zip(questions, answers, strict=True):
        wanted = expected(question)
        if "refused" in wanted:
            refused += 1
            assert answer == wanted, question["spec"]
            continue
        for ask, got, want in zip(question["ask"], answer["answers"], wanted["answers"], strict=True):
            if not want["exists"]:
                want.update({key: got[key] for key in ("cell", "others", "offsets")})
            assert got == want, (question["spec"], ask)
        weights = [source["weight"] for source in question["spec"].get("sources", [])]
        mixed += len(weights) > 1
        turned += question["spec"]["order"] == "shared" and len(weights) > 2 and len(set(weights)) > 1
        for key in ("totals", "partitions", "listing", "listings"):
            assert answer[key] == wanted[key], (question["spec"], key)
        few = all(source["weight"] < 6 for source in question["spec"].get("sources", []))
        small = few and question["spec"].get("log", [{"step": 0}])[-1]["step"] < 500 and sum(question["rows"]) < 300
        if "passes" in question["spec"] and small:
            finite += 1
            assert answer["steps"] == last_step(Plan(question["spec"], question["rows"])), question["spec"]
    assert finite > 20
    assert mixed > 300
    assert refused > 50
    assert turned > 40
