"""A trainer on a Ray cluster, with a pool of loaders beside it. Without a cluster Ray starts one on this machine.

    python examples/ray_trainer.py [steps] [loaders]
"""

import sys
from pathlib import Path

import ray

import ssl_r1.ray


@ray.remote(num_cpus=0)
class Trainer:
    """Finds the pool by its name, wherever Ray has put it."""

    def __init__(self) -> None:
        self.client = ssl_r1.ray.connect()

    def train(self, steps: int) -> list[str]:
        # A real one generates answers here, scores them (ssl_r1.rewards) and updates its policy.
        return [f"{batch.step} {batch.digest()}" for batch in self.client.stream(start=0, steps=steps)]


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    loaders = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    root = Path(__file__).resolve().parent.parent
    ray.init(num_cpus=max(2, loaders), include_dashboard=False, log_to_driver=False)
    with ssl_r1.ray.start(str(root / "shards"), seed=7, loaders=loaders) as pool:
        pool.autoscale(min=1, max=loaders)
        for line in ray.get(Trainer.remote().train.remote(steps)):
            print(line)
    ray.shutdown()


if __name__ == "__main__":
    main()
