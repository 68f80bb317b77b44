"""The same trainer in Python: client.py '{"address": "tcp://...", "steps": 100}'."""

import json
import logging
import os
import sys
import threading

import ssl_r1

logging.disable()
given = json.loads(sys.argv[1])
stopped = threading.Event()


def say(line: object) -> None:
    print(json.dumps(line), flush=True)


def handles() -> dict[str, int]:
    return {"descriptors": len(os.listdir("/proc/self/fd")), "handles": threading.active_count()}


def wait_for_end() -> None:
    sys.stdin.read()
    stopped.set()


threading.Thread(target=wait_for_end, daemon=True).start()
before = None
try:
    with ssl_r1.connect(given["address"], **{"checksum": True, **given.get("options", {})}) as client, client.stream(0, given.get("steps")) as stream:
        for batch in stream:
            if stopped.is_set():
                break
            say({"step": batch.step, "digest": batch.digest()})
            before = before or handles()
except ssl_r1.Error as error:
    say({"error": error.code, "message": str(error)})
say({"end": True, "before": before, "after": handles()})
os._exit(0)
