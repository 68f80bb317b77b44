"""Takes batches from several loaders; prints CPU seconds of each process and the pauses between batches, as one line of JSON.

    python bench/nodes.py URL,URL... PID,PID... WARMUP BATCHES [KILL_AT PACE]

KILL_AT: the batch after which the last loader is killed; PACE: seconds between batches that the trainer computes.
"""

import json
import os
import signal
import statistics
import sys
import time

from client import cpu_of

import ssl_r1


def main() -> None:
    url, pids = sys.argv[1], [int(pid) for pid in sys.argv[2].split(",")]
    warmup, batches = int(sys.argv[3]), int(sys.argv[4])
    kill_at, pace = (int(sys.argv[5]), float(sys.argv[6])) if len(sys.argv) > 5 else (-1, 0.0)
    puzzles, waits, began = 0, [], 0.0
    with ssl_r1.connect(url) as client:
        asked = time.perf_counter()
        for number, batch in enumerate(client.stream(0, warmup + batches)):
            waits.append(time.perf_counter() - asked)
            for puzzle in batch.puzzles:
                puzzles += sum(1 for _ in puzzle.images) > 0
            if number == warmup - 1:
                puzzles, waits = 0, []
                began, mine, theirs = time.perf_counter(), time.process_time(), [cpu_of(pid) for pid in pids]
            if number == kill_at:
                os.kill(pids[-1], signal.SIGKILL)
            time.sleep(pace)
            asked = time.perf_counter()
        seconds = time.perf_counter() - began
        report = {
            "puzzles_per_second": round(puzzles / seconds, 1),
            "median_wait_seconds": round(statistics.median(waits), 3),
            "longest_wait_seconds": round(max(waits), 3),
        }
        if kill_at < 0:
            report["cpu_milliseconds_per_puzzle"] = {
                "loaders": [round((cpu_of(pid) - before) / puzzles * 1000, 3) for pid, before in zip(pids, theirs, strict=True)],
                "client": round((time.process_time() - mine) / puzzles * 1000, 3),
            }
        state = client.state()
    asked = time.perf_counter()
    with ssl_r1.connect(url) as client:
        client.load_state(state)
        next(iter(client.stream(steps=1)))
        report["resume_seconds"] = round(time.perf_counter() - asked, 3)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
