#!/usr/bin/env python3
"""Tercel's index beside faiss, scann and hnswlib: unit vectors about 2,000 centres, inner product, one JSON line each.

  python benches/peers/index.py                       # 1 M x 64, recall@10 of 0.95
  python benches/peers/index.py --exact               # 105,542 x 64, the 12 best, 23 items left out: faiss, implicit
  python benches/peers/index.py --noise 2             # hardly any clusters

Each library runs in a process of its own and takes the fastest of its settings that reach the recall. Needs numpy and
those of faiss-cpu, scann, hnswlib, implicit that are to be compared (others are left out, with a word)."""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--items", type=int)
parser.add_argument("--dim", type=int, default=64)
parser.add_argument("--queries", type=int)
parser.add_argument("--noise", type=float, default=1.0)
parser.add_argument("--recall", type=float, default=0.95)
parser.add_argument("--k", type=int)
parser.add_argument("--threads", default="1,2")
parser.add_argument("--exact", action="store_true")
parser.add_argument("--libraries", help="tercel, faiss, scann, hnswlib, implicit; commas between")
parser.add_argument("--library", help=argparse.SUPPRESS)
parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
args = parser.parse_args()
args.items = args.items or (105_542 if args.exact else 1_000_000)
args.queries = args.queries or (16_384 if args.exact else 1000)
args.k = args.k or (12 if args.exact else 10)
THREADS = [int(n) for n in args.threads.split(",")]
RUNS = 5


def write(folder):
    """items.npy and queries.npy: twice as many queries where a half is held out to set our index."""
    import numpy as np

    random = np.random.default_rng(7)
    centres = random.standard_normal((2000, args.dim), np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    weights = 1 / np.arange(1, 2001) ** 0.5

    def draw(rows):
        points = centres[random.choice(2000, rows, p=weights / weights.sum())]
        points = points + random.standard_normal((rows, args.dim), np.float32) * np.float32(args.noise / args.dim**0.5)
        return np.ascontiguousarray(points / np.linalg.norm(points, axis=1, keepdims=True), np.float32)

    np.save(folder / "items.npy", draw(args.items))
    np.save(folder / "queries.npy", draw(args.queries * (1 if args.exact else 2)))


def search_of(library, items):
    """A function of settings, threads and queries that finds ids, and the settings to try, cheap ones first."""
    import numpy as np

    if library == "faiss":
        import faiss

        faiss.omp_set_num_threads(max(THREADS))
        if args.exact:
            index = faiss.IndexFlatIP(args.dim)
            index.add(items)
            settings = [None]
        else:
            index = faiss.index_factory(args.dim, f"IVF1024,PQ{args.dim // 2}x4fs,RFlat", faiss.METRIC_INNER_PRODUCT)
            index.train(items[np.random.default_rng(1).choice(len(items), min(len(items), 100_000), replace=False)])
            index.add(items)
            settings = [(n, f) for n in (8, 16, 32, 64, 128) for f in (4, 8, 16, 32, 64)]

        def search(setting, threads, queries):
            faiss.omp_set_num_threads(threads)
            if setting:
                faiss.downcast_index(index.base_index).nprobe, index.k_factor = setting
            return index.search(queries, args.k)[1]

    elif library == "scann":
        import scann

        builder = scann.scann_ops_pybind.builder(items, args.k, "dot_product").set_n_training_threads(max(THREADS))
        builder = builder.tree(num_leaves=1024, num_leaves_to_search=32, training_sample_size=100_000)
        index = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100).build()
        settings = [(n, f) for n in (8, 16, 32, 64, 128, 192) for f in (4, 8, 16, 32)]

        def search(setting, threads, queries):
            find = index.search_batched if threads == 1 else index.search_batched_parallel
            leaves, factor = setting
            return find(queries, args.k, leaves_to_search=leaves, pre_reorder_num_neighbors=args.k * factor)[0]

    elif library == "hnswlib":
        import hnswlib

        index = hnswlib.Index("ip", args.dim)
        index.init_index(len(items), M=16, ef_construction=128, random_seed=1)
        index.set_num_threads(max(THREADS))
        index.add_items(items)
        settings = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024]

        def search(setting, threads, queries):
            index.set_num_threads(threads)
            index.set_ef(setting)
            return index.knn_query(queries, args.k)[0]

    else:
        from implicit.cpu.topk import topk
        from scipy.sparse import csr_matrix

        random = np.random.default_rng(1)
        seen = random.integers(0, len(items), (args.queries, 23))
        rows = np.repeat(np.arange(args.queries), 23)
        seen = csr_matrix((np.ones(seen.size, np.float32), (rows, seen.ravel())), (args.queries, len(items)))
        settings = [None]

        def search(_, threads, queries):
            return topk(items, queries, args.k, filter_query_items=seen[: len(queries)], num_threads=threads)[0]

    return search, settings


def measure(library):
    import numpy as np

    items = np.load(args.folder / "items.npy")
    queries = np.load(args.folder / "queries.npy")[: args.queries]
    begun = time.perf_counter()
    search, settings = search_of(library, items)
    build = time.perf_counter() - begun
    best = None
    if not args.exact:
        best = np.concatenate([np.argsort(-(q @ items.T), axis=1)[:, : args.k] for q in np.array_split(queries, 50)])

    def recall(ids):
        return float(np.mean([len(np.intersect1d(a, b)) / args.k for a, b in zip(ids, best)]))

    def timed(setting, threads):
        begun = time.perf_counter()
        ids = search(setting, threads, queries)
        return time.perf_counter() - begun, ids

    chosen = settings[0]
    if not args.exact:
        fits = []
        for setting in settings:
            seconds, ids = timed(setting, 1)
            if recall(ids) >= args.recall:
                fits.append((seconds, setting))
        if not fits:
            print(json.dumps({"lib": library, "recall_not_reached": args.recall}), flush=True)
            return
        chosen = min(fits)[1]
    for threads in THREADS:
        runs = [timed(chosen, threads) for _ in range(RUNS)]
        line = {"lib": library, "threads": threads, "setting": chosen, "build_seconds": round(build, 1)}
        line["recall"] = 1.0 if args.exact else round(recall(runs[0][1]), 4)
        line["queries_per_second"] = round(len(queries) / statistics.median(seconds for seconds, _ in runs))
        line["queries_per_second_best"] = round(len(queries) / min(seconds for seconds, _ in runs))
        if threads == 1:
            alone = []
            for query in queries[:100]:
                begun = time.perf_counter()
                search(chosen, 1, query[None])
                alone.append(time.perf_counter() - begun)
            line["single_query_ms"] = round(1e3 * statistics.median(alone), 3)
        print(json.dumps(line), flush=True)


def main():
    if args.library:
        return measure(args.library)
    default = "tercel,faiss,implicit" if args.exact else "tercel,faiss,scann,hnswlib"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write(folder)
        for library in (args.libraries or default).split(","):
            if library == "tercel":
                kind = "exact" if args.exact else "approx"
                command = ["cargo", "bench", "--quiet", "--features", "cli", "--bench", "index", "--"]
                command += ["--folder", name, "--k", str(args.k), "--recall", str(args.recall)]
                command += ["--threads", args.threads, "--kind", kind]
                subprocess.run(command, check=True, cwd=pathlib.Path(__file__).parents[2])
            else:
                command = [sys.executable, __file__, *sys.argv[1:], "--library", library, "--folder", name]
                if subprocess.run(command).returncode:
                    print(f"{library}: left out", file=sys.stderr)
    return None


if __name__ == "__main__":
    main()
