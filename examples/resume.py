"""Stops, and goes on where it stopped: all that a checkpoint needs is the next step and the fingerprint.

    python examples/resume.py tcp://127.0.0.1:7531 checkpoint.json [steps]

Run it several times: each takes the next steps, and their digests are those of a run that never stopped.
"""

import json
import sys
from pathlib import Path

import ssl_r1


def main() -> None:
    url, file = sys.argv[1], Path(sys.argv[2])
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    checkpoint = json.loads(file.read_text() if file.exists() else '{"step": 0, "fingerprint": null}')
    # With a fingerprint, a loader with other data or options is refused (OtherStream) instead of quietly training on something else.
    with ssl_r1.connect(url, fingerprint=checkpoint["fingerprint"]) as loader, loader.stream(start=checkpoint["step"], steps=steps) as stream:
        for batch in stream:
            print(f"{batch.step} {batch.digest()}")
            # After the optimiser's step. stream.step is the step that comes next, whatever was received ahead.
            checkpoint = {"step": stream.step, "fingerprint": loader.info.fingerprint}
            file.write_text(json.dumps(checkpoint))


if __name__ == "__main__":
    main()
