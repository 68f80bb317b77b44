"""The client's share of the wire in Python: bench/wire.ts starts it. Prints one line of JSON."""

import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))

import ssl_r1


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(url: str, batches: int, prefetch: int) -> None:
    with ssl_r1.connect(url) as client, client.stream(prefetch=prefetch) as stream:
        # The first batches make the buffers.
        for _ in range(3):
            batch = next(stream)
        cpu_before, before = cpu(), time.perf_counter()
        puzzles = size = 0
        for _ in range(batches):
            batch = next(stream)
            puzzles += len(batch)
            size += sum(image.nbytes for puzzle in batch for image in puzzle.images)
        seconds, used = time.perf_counter() - before, cpu() - cpu_before
    print(
        json.dumps({"puzzles": puzzles, "bytes": size, "seconds": seconds, "cpu": used})
    )


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
