#!/usr/bin/env python3
"""faiss's IndexFlatIP (its BLAS path: all queries in one call) on the shape of `cargo bench --features bench --bench topk -- night`: the 12
best of 100,000 items of width 64. Prints queries a second, best of three. Needs numpy and faiss-cpu."""
import argparse
import time

import faiss
import numpy as np

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--queries", type=int, default=12288)
parser.add_argument("--items", type=int, default=100_000)
parser.add_argument("--dim", type=int, default=64)
parser.add_argument("--k", type=int, default=12)
parser.add_argument("--threads", default="1,2")
args = parser.parse_args()

random = np.random.default_rng(1)
items, queries = (random.uniform(-0.1, 0.1, (n, args.dim)).astype(np.float32) for n in (args.items, args.queries))
index = faiss.IndexFlatIP(args.dim)
index.add(items)
for threads in map(int, args.threads.split(",")):
    faiss.omp_set_num_threads(threads)
    index.search(queries[:256], args.k)
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        index.search(queries, args.k)
        times.append(time.perf_counter() - begun)
    rate = args.queries / min(times)
    print(f"{threads} threads: {rate:,.0f} queries/s, {2e-9 * rate * args.items * args.dim:.1f} GFLOP/s")
