"""Training through Python beside `tercel train`: the same settings and data, in turn; examples a second of the epochs.

    cargo build --release --features cli
    pip install ./python-compat
    tercel synth hm --out hm --scale 0.05 && tercel ingest hm --out data --split time:2020-09-08,2020-09-15
    python benches/peers/from_python.py --data data --tercel target/release/tercel --pairs 9
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHILD = """
import json, sys, tercel
data, out, epochs = sys.argv[1:]
model = tercel.Model.train(tercel.Dataset(data), out, epochs=int(epochs), device="cpu", progress=False)
print(*(json.dumps(event) for event in model.history), sep="\\n")
"""


def run(command: list[str]) -> tuple[float, float]:
    """Seconds of the epochs, and of the whole process."""
    begun = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    whole = time.perf_counter() - begun
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return sum(event["seconds"] for event in events if event["event"] == "epoch"), whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a dataset folder")
    parser.add_argument("--tercel", default="tercel", help="the command, built with --release")
    parser.add_argument("--epochs", default="2")
    parser.add_argument("--pairs", type=int, default=9)
    given = parser.parse_args()
    data = str(given.data)
    pairs = []
    for pair in range(given.pairs + 1):
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = (Path(folder) / name for name in ("python", "command"))
            python = run([sys.executable, "-c", CHILD, data, str(ours), given.epochs])
            train = [given.tercel, "train", "--data", data, "--out", str(theirs), "--json", "--quiet"]
            command = run([*train, "--epochs", given.epochs, "--device", "cpu"])
            models = [(folder / "model.safetensors").read_bytes() for folder in (ours, theirs)]
            assert models[0] == models[1], "the models differ"
        if pair:  # The first one warms the caches.
            pairs.append((python, command))
    for at, what in enumerate(("epochs", "whole process")):
        python, command = ([one[side][at] for one in pairs] for side in (0, 1))
        ratios = sorted(b / a for a, b in zip(python, command, strict=True))
        print(
            f"{what:14} Python {statistics.median(python):7.2f} s, command {statistics.median(command):7.2f} s (medians), "
            f"speed {statistics.median(ratios):.3f} of the command's ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )


if __name__ == "__main__":
    main()
