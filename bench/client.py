"""Takes batches from a loader and drops them; prints CPU seconds of both processes, as one line of JSON.

    python bench/client.py URL LOADER_PID FORMAT WARMUP BATCHES
"""

import json
import os
import resource
import sys
import time

import ssl_r1


def cpu_of(pid: int) -> float:
    """CPU seconds of a process, all threads (Linux)."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_of(pid: int) -> float:
    """Highest resident memory so far, MiB."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def main() -> None:
    url, pid, image_format, warmup, batches = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    with ssl_r1.connect(url, image_format=image_format) as loader:
        opened = time.perf_counter()
        puzzles = size = 0
        first = began = 0.0
        mine = theirs = 0.0
        for number, batch in enumerate(loader.stream(start=0, steps=warmup + batches)):
            if number == 0:
                first = time.perf_counter() - opened
            if number >= warmup:
                for puzzle in batch.puzzles:
                    puzzles += 1
                    images = puzzle.images if image_format == "raw" else [image.data for image in puzzle.shown]
                    for image in images:
                        size += image.nbytes
            if number == warmup - 1:
                began, mine, theirs = time.perf_counter(), time.process_time(), cpu_of(pid)
        seconds = time.perf_counter() - began
        mine, theirs = time.process_time() - mine, cpu_of(pid) - theirs
        print(
        json.dumps(
            {
                "puzzles": puzzles,
                "puzzles_per_second": round(puzzles / seconds, 1),
                "puzzles_per_cpu_second": round(puzzles / (mine + theirs), 1),
                "cpu_seconds_per_1000": {
                    "all": round((mine + theirs) / puzzles * 1000, 3),
                    "loader": round(theirs / puzzles * 1000, 3),
                    "client": round(mine / puzzles * 1000, 3),
                },
                "megabytes_per_second": round(size / seconds / 1e6, 1),
                "first_batch_seconds": round(first, 3),
                "peak_rss_mebibytes": {
                    "loader": round(rss_of(pid)),
                    "client": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                },
            }
        )
    )


if __name__ == "__main__":
    main()
