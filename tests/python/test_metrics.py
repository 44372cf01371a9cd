"""Tercel's metrics against ir-measures (pytrec_eval underneath): two programs, one set of lists, the same figures.

Run with pytest, or as a script. TERCEL_METRICS names the built example `metrics`; without it cargo builds and runs it.
Needs: ir-measures.

What differs by definition, and how it is mapped:
- AP@k of trec_eval divides by |R|, Tercel's map@k by min(k, |R|): each user's value is multiplied by |R| / min(k, |R|).
- trec_eval sorts by score and breaks ties by document name: the lists go in with distinct scores, -rank.
- trec_eval leaves out users without a list; Tercel gives them 0. The mean is taken over the users of the truth.
- R@k (not capped), P@k (over k, also for short lists), nDCG@k (ideal of min(k, |R|), 1/log2(rank+1)), RR@k and
  Success@k are the same.
"""

import csv
import json
import os
import pathlib
import random
import subprocess
import tempfile

import ir_measures
from ir_measures import AP, RR, P, R, Success, nDCG

ROOT = pathlib.Path(__file__).resolve().parents[2]
KS = [1, 5, 12, 40]
SAME = {"recall": R, "ndcg": nDCG, "mrr": RR, "hit_rate": Success, "precision": P}


def tercel(run, truth):
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, header, rows in [("run", ["user", "rank", "item"], run), ("truth", ["user", "item"], truth)]:
            paths.append(f"{folder}/{name}.csv")
            with open(paths[-1], "w", newline="") as file:
                csv.writer(file).writerows([header, *rows])
        program = os.environ.get("TERCEL_METRICS")
        command = [program] if program else ["cargo", "run", "--quiet", "--example", "metrics", "--"]
        ks = ",".join(map(str, KS))
        return json.loads(subprocess.run([*command, *paths, ks], cwd=ROOT, check=True, capture_output=True).stdout)


def peer(run, truth):
    qrels = [ir_measures.Qrel(user, item, 1) for user, item in truth]
    scored = [ir_measures.ScoredDoc(user, item, -rank) for user, rank, item in run]
    sizes = {}
    for user, _ in truth:
        sizes[user] = sizes.get(user, 0) + 1
    measures = {f"{name}@{k}": measure @ k for name, measure in SAME.items() for k in KS}
    measures |= {f"map@{k}": AP @ k for k in KS}
    sums = dict.fromkeys(measures, 0.0)
    names = {measure: name for name, measure in measures.items()}
    for value in ir_measures.iter_calc(list(measures.values()), qrels, scored):
        name = names[value.measure]
        size = sizes[value.query_id]
        scale = size / min(int(name.split("@")[1]), size) if name.startswith("map") else 1
        sums[name] += value.value * scale
    return {name: total / len(sizes) for name, total in sums.items()}


def random_lists(seed):
    """Users with 1 to 30 relevant items, some of them outside the catalogue, and lists of 0 to 40 items."""
    draw = random.Random(seed)
    catalogue = [f"i{n}" for n in range(200)]
    run, truth = [], []
    for user in range(300):
        liked = draw.sample(catalogue[: draw.choice([20, 60, 200])], draw.randint(1, 20))
        liked += [f"new{n}" for n in range(draw.choice([0, 0, 3]))]
        truth += [(f"u{user}", item) for item in liked]
        # Every other list prefers what is liked, so that hits come at all ranks.
        items = draw.sample(catalogue, draw.choice([0, 3, 40, 40, 40]))
        if user % 2:
            items.sort(key=lambda item: (item not in liked) + draw.random() * 2)
        run += [(f"u{user}", rank, item) for rank, item in enumerate(items, 1)]
    draw.shuffle(run)
    draw.shuffle(truth)
    return run, truth


def test_metrics_are_those_of_ir_measures():
    for seed in range(3):
        run, truth = random_lists(seed)
        ours, theirs = tercel(run, truth), peer(run, truth)
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert abs(ours[name] - value) < 1e-9, (seed, name, ours[name], value)
            assert 0 < value < 1, (name, value)


if __name__ == "__main__":
    test_metrics_are_those_of_ir_measures()
    print("the same figures")
