"""A model's scores from `model.safetensors` alone, with PyTorch or NumPy and nothing of Tercel's.

`scores.py torch|numpy FOLDER`: reads FOLDER/model.safetensors and FOLDER/ask.json (settings, codes, counts), writes the
scores of every user and item, row by row, as 32-bit floats to FOLDER/scores.bin.

What the file holds: `SIDE.id.weight` and `SIDE.FEATURE.weight`, tables whose row 0 stands for unknown values;
`SIDE.mlp.N.weight` and `.bias`, layers with a ReLU between them; `log_scale`, the logarithm of 1 / temperature.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path
from typing import Any


def with_torch(folder: Path, ask: dict[str, Any]) -> None:
    torch: Any = importlib.import_module("torch")
    tensors = importlib.import_module("safetensors.torch").load_file(folder / "model.safetensors")

    def tower(side: str) -> Any:
        codes: dict[str, list[int]] = ask[side]
        tables = {name: torch.nn.Embedding.from_pretrained(tensors[f"{side}.{name}.weight"]) for name in codes}
        out = sum(table(torch.tensor(codes[name])) for name, table in tables.items())
        for layer in range(sum(name.startswith(f"{side}.mlp.") for name in tensors) // 2):
            out = torch.relu(out) if layer else out
            weight, bias = (tensors[f"{side}.mlp.{layer}.{part}"] for part in ("weight", "bias"))
            out = torch.nn.functional.linear(out, weight, bias)
        return torch.nn.functional.normalize(out, dim=1) if ask["normalize"] else out

    with torch.no_grad():
        counts = torch.tensor(ask["counts"], dtype=torch.float64)
        popular = ask["popularity"] * torch.log(len(counts) * counts / counts.sum())
        temperature = torch.exp(-tensors["log_scale"])
        scores = tower("user") @ tower("item").T + temperature * popular.to(torch.float32)
    scores.contiguous().numpy().tofile(folder / "scores.bin")
    print(f"PyTorch {torch.__version__}")


def with_numpy(folder: Path, ask: dict[str, Any]) -> None:
    import numpy as np
    from safetensors.numpy import load_file

    tensors = load_file(folder / "model.safetensors")

    def tower(side: str) -> Any:
        out = sum(tensors[f"{side}.{name}.weight"][codes] for name, codes in ask[side].items())
        for layer in range(sum(name.startswith(f"{side}.mlp.") for name in tensors) // 2):
            out = np.maximum(out, 0) if layer else out
            out = out @ tensors[f"{side}.mlp.{layer}.weight"].T + tensors[f"{side}.mlp.{layer}.bias"]
        return out / np.linalg.norm(out, axis=1, keepdims=True) if ask["normalize"] else out

    counts = np.array(ask["counts"], dtype=np.float64)
    popular = ask["popularity"] * np.log(len(counts) * counts / counts.sum())
    temperature = math.exp(-float(tensors["log_scale"][0]))
    scores = tower("user") @ tower("item").T + (temperature * popular).astype(np.float32)
    np.ascontiguousarray(scores, dtype=np.float32).tofile(folder / "scores.bin")
    print(f"NumPy {np.__version__}")


if __name__ == "__main__":
    place = Path(sys.argv[2])
    {"torch": with_torch, "numpy": with_numpy}[sys.argv[1]](place, json.loads((place / "ask.json").read_text()))
