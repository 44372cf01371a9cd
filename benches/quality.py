#!/usr/bin/env python3
"""Quality with the defaults, beside what needs no model (what is popular, at last or at all; item-kNN), implicit's tuned
ALS and BPR, EASE and SASRec: recall@20 / ndcg@20 over the whole catalogue, training items left out, mean over the users
with a test item. Prints a Markdown table.

DATA holds one folder per data set:
  ml-100k, ml-1m     train.tsv.gz and test.tsv.gz with columns user, item (and timestamp, in ml-100k)
  online-retail      transactions.csv.gz with columns invoice_date, customer_id, description
  complete-journey   transactions.csv.gz with columns t_dat, household_id, product_id (in tests/data/complete-journey)
Folders that are not there are left out. Purchases become distinct pairs, split by time; a test pair that was already
bought, and users without training rows, are left out, so that every library answers the same question.

The settings of ALS, BPR and EASE are chosen on a validation part of the training rows (recall@20 + ndcg@20), then
fitted on all of them, at D = 64 where there is a D. EASE needs the square of the catalogue: up to 20,000 items. SASRec is
RecTools's with its own settings but for D = 64 and 30 epochs. Popularity of the last days and SASRec need times. Tercel is
not tuned: `tercel ingest`, `tercel train`, `tercel evaluate`, no flag but the seed and --also's.

Needs numpy and scipy; implicit and threadpoolctl for ALS and BPR, rectools[torch] for SASRec: what is not installed is not
measured, and its column says so."""
import argparse, csv, datetime, gzip, importlib.util, json, os, subprocess, sys, tempfile
import numpy as np
import scipy.sparse as sp

DIM, K = 64, 20
EASE_ITEMS = 20_000
NEAREST, SHRINK = 20, 10  # of item-kNN, as in `tercel evaluate`
NAMES = {'als': 'ALS, tuned', 'bpr': 'BPR, tuned', 'ease': 'EASE, tuned', 'sasrec': 'SASRec'}
NEEDS = {'als': ('implicit', 'threadpoolctl'), 'bpr': ('implicit', 'threadpoolctl'), 'sasrec': ('rectools', 'torch', 'pandas')}
PURCHASES = {  # columns: user, item, time; where validation and test start
    'online-retail': ('customer_id', 'description', 'invoice_date', '2011-11-01', '2011-11-20'),
    'complete-journey': ('household_id', 'product_id', 't_dat', '2017-12-04', '2017-12-11'),
}


def read(path, names, sep):
    with gzip.open(path, 'rt', newline='') as file:
        rows = csv.reader(file, delimiter=sep)
        header = next(rows)
        at = [header.index(name) for name in names]
        return [tuple(row[i] for i in at) for row in rows]


def split(name, folder):
    """Rows (user, item, day) of train, validation and test; validation is a part of the training time. The day is a number,
    or None where there are no times."""
    if name in PURCHASES:
        *columns, valid, test = PURCHASES[name]
        rows = read(f'{folder}/transactions.csv.gz', columns, ',')
        parts = ([], [], [])
        for user, item, time in rows:
            parts[(time >= valid) + (time >= test)].append((user, item, datetime.date.fromisoformat(time[:10]).toordinal()))
        return parts
    held = [(user, item, None) for user, item in read(f'{folder}/test.tsv.gz', ('user', 'item'), '\t')]
    if name == 'ml-100k':  # by time: the last eighth of every user's training rows
        rows = read(f'{folder}/train.tsv.gz', ('user', 'item', 'timestamp'), '\t')
        by_user = {}
        for user, item, time in rows:
            by_user.setdefault(user, []).append((int(time), int(item), item, int(time) / 86_400))
        train, valid = [], []
        for user, own in by_user.items():
            own.sort()
            cut = len(own) - len(own) // 8
            train += [(user, item, day) for *_, item, day in own[:cut]]
            valid += [(user, item, day) for *_, item, day in own[cut:]]
        return train, valid, held
    rows = [(user, item, None) for user, item in read(f'{folder}/train.tsv.gz', ('user', 'item'), '\t')]
    out = np.random.default_rng(1).random(len(rows)) < 0.1
    return [r for r, o in zip(rows, out) if not o], [r for r, o in zip(rows, out) if o], held


def clean(train, held):
    """Distinct training pairs, and the held-out pairs that are new, of users who have training rows."""
    known, users = dict.fromkeys(row[:2] for row in train), {row[0] for row in train}
    new = dict.fromkeys(row[:2] for row in held if row[0] in users and row[:2] not in known)
    return list(known), list(new)


def matrices(train, held):
    users, items = {}, {}
    at = lambda ids, key: ids.setdefault(key, len(ids))
    cells = [np.array([(at(users, u), at(items, i)) for u, i in rows]) for rows in (train, held)]
    shape = (len(users), len(items))
    return [sp.csr_matrix((np.ones(len(c), np.float32), (c[:, 0], c[:, 1])), shape=shape) for c in cells]


def inner(users, items):
    """Scores that are inner products."""
    return lambda rows: users[rows] @ items.T


def of_items(scores):
    """Scores that are the same for everybody."""
    return lambda rows: np.tile(np.asarray(scores, np.float64).reshape(1, -1), (len(rows), 1))


def popular(rows, pairs, days, size):
    """What was bought most often in the last days of the training rows, ties by all of them. `pairs` number the items."""
    items = {item: at for at, item in enumerate(dict.fromkeys(item for _, item in pairs))}
    last = max(day for *_, day in rows)
    recent, all_time = np.zeros(size), np.zeros(size)
    for _, item, day in rows:
        recent[items[item]] += day > last - days
        all_time[items[item]] += 1
    return of_items(recent + all_time / (all_time.sum() + 1))


def item_knn(seen):
    """Sums of the similarities c_ij / (sqrt(c_i c_j) + shrink) to the nearest items of what a user has."""
    both = (seen.T @ seen).tocsr().astype(np.float64)
    count = both.diagonal()
    rows = []
    for item in range(both.shape[0]):
        start, end = both.indptr[item], both.indptr[item + 1]
        others, c = both.indices[start:end], both.data[start:end]
        near = np.where(others == item, 0, c / (np.sqrt(count[item] * count[others]) + SHRINK))
        kept = np.argsort(-near, kind='stable')[:NEAREST]
        rows.append(sp.csr_matrix((near[kept], ([0] * len(kept), others[kept])), shape=(1, both.shape[0])))
    near = sp.vstack(rows).tocsr()
    # Places that no neighbour takes are the popular items'.
    return lambda users: (seen[users] @ near).toarray() + 1e-9 * count / (count.max() + 1)


def ease(seen, weight):
    """Steck 2019: the item-item matrix with a zero diagonal that reconstructs the rows best."""
    gram = (seen.T @ seen).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += weight
    inverse = np.linalg.inv(gram)
    b = inverse / -np.diag(inverse)
    np.fill_diagonal(b, 0)
    return lambda rows: seen[rows] @ b


def sasrec(rows, pairs, held, seeds):
    """RecTools's SASRec: figures of its own lists."""
    import pandas as pd
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel
    frame = pd.DataFrame(rows, columns=[Columns.User, Columns.Item, 'day'])
    frame[Columns.Datetime] = pd.to_datetime(frame.pop('day') * 86_400, unit='s', origin='1970-01-01')
    frame[Columns.Weight] = 1.0
    data, wanted = Dataset.construct(frame), {}
    for user, item in held:
        wanted.setdefault(user, set()).add(item)
    discount = 1 / np.log2(np.arange(2, K + 2))
    figures = []
    for seed in range(seeds):
        import torch
        torch.manual_seed(seed)
        model = SASRecModel(n_factors=DIM, epochs=30, deterministic=True)
        model.fit(data)
        lists = model.recommend(users=list(wanted), dataset=data, k=K, filter_viewed=True)
        lists = lists.sort_values([Columns.User, Columns.Rank]).groupby(Columns.User)[Columns.Item].apply(list).to_dict()
        recall = ndcg = 0.0
        for user, own in wanted.items():
            hits = np.array([item in own for item in lists.get(user, [])] + [False] * K)[:K]
            recall += hits.sum() / len(own)
            ndcg += (hits * discount).sum() / np.cumsum(discount)[min(len(own), K) - 1]
        figures.append((recall / len(wanted), ndcg / len(wanted)))
    return figures


def measure(seen, held, score):
    """recall@20 and ndcg@20 of the scores of all items for some users."""
    who, discount = np.flatnonzero(np.diff(held.indptr)), 1 / np.log2(np.arange(2, K + 2))
    recall = ndcg = 0.0
    for start in range(0, len(who), 512):
        rows = who[start:start + 512]
        scores = np.asarray(score(rows))
        masked = seen[rows].tocoo()
        scores[masked.row, masked.col] = -np.inf
        top = np.argpartition(scores, -K, axis=1)[:, -K:]
        top = np.take_along_axis(top, np.argsort(-np.take_along_axis(scores, top, 1), axis=1, kind='stable'), 1)
        hits = np.take_along_axis(held[rows].toarray() > 0, top, 1)
        n = np.diff(held.indptr)[rows]
        recall += (hits.sum(1) / n).sum()
        ndcg += ((hits * discount).sum(1) / np.cumsum(discount)[np.minimum(n, K) - 1]).sum()
    return recall / len(who), ndcg / len(who)


def fit(kind, settings, seen, seed, threads):
    from implicit.als import AlternatingLeastSquares
    from implicit.bpr import BayesianPersonalizedRanking
    from threadpoolctl import threadpool_limits
    common = dict(factors=DIM, num_threads=threads, random_state=seed, use_gpu=False)
    model = (AlternatingLeastSquares if kind == 'als' else BayesianPersonalizedRanking)(**settings, **common)
    with threadpool_limits(1, 'blas'):
        model.fit(seen, show_progress=False)
    return inner(model.user_factors, model.item_factors)


def grid(kind):
    if kind == 'als':
        return [dict(regularization=r, alpha=a, iterations=15) for r in (1, 10, 30) for a in (1, 5, 20)]
    return [dict(learning_rate=l, regularization=r, iterations=100) for l in (0.02, 0.05) for r in (0.003, 0.01, 0.03)]


def peer(kind, tune, final, seeds, threads):
    if kind == 'ease':
        weight = max((50, 100, 250, 500, 1000), key=lambda w: sum(measure(*tune, ease(tune[0], w))))
        return [measure(*final, ease(final[0], weight))], f'weight {weight}'
    best = max(grid(kind), key=lambda s: sum(measure(*tune, fit(kind, s, tune[0], 0, threads))))
    figures = [measure(*final, fit(kind, best, final[0], seed, threads)) for seed in range(seeds)]
    return figures, ', '.join(f'{k} {v}' for k, v in best.items())


def installed(kind):
    return all(importlib.util.find_spec(name) for name in NEEDS.get(kind, ()))


def tercel(binary, folder, flags, seeds, threads):
    figures = []
    for seed in range(seeds):
        model = f'{folder}/model'
        call = lambda *words: subprocess.run([binary, *words], check=True, capture_output=True, text=True).stdout
        evaluate = ('evaluate', '--data', f'{folder}/data', '--view', 'discovery', '--baselines', 'none', '--k', str(K))
        call('train', '--data', f'{folder}/data', '--out', model, '--seed', str(seed), '--threads', str(threads), *flags, '-q')
        lines = call(*evaluate, '--model', model, '--json', '-q').splitlines()
        found = next(e for e in map(json.loads, lines) if e['event'] == 'evaluate')['metrics']
        figures.append((found[f'recall@{K}']['value'], found[f'ndcg@{K}']['value']))
    return figures


def shown(figures):
    recall, ndcg = np.mean(figures, axis=0)
    return f'{recall:.4f} / {ndcg:.4f}'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', required=True, help='the folder with the data sets')
    parser.add_argument('--tercel', default='target/release/tercel', help='the command (default %(default)s)')
    parser.add_argument('--sets', default='ml-100k,ml-1m,online-retail,complete-journey')
    parser.add_argument('--seeds', type=int, default=3, help='runs of each model; the mean is shown')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--peers', default='als,bpr,ease,sasrec', help='some of them (default %(default)s), or nothing')
    parser.add_argument('--also', action='append', default=[], metavar='NAME=FLAGS',
                        help='a further column: Tercel with flags of `tercel train`, as in "full=--negatives full"')
    a = parser.parse_args()
    peers = [kind for kind in a.peers.split(',') if kind]
    also = [column.split('=', 1) for column in a.also]
    columns = ['popularity', 'of 7 days', 'of 28 days', 'item-kNN', *(NAMES[kind] for kind in peers), 'Tercel, defaults',
               *(name for name, _ in also)]
    print('| data set | ' + ' | '.join(columns) + ' |\n' + '|---' * (len(columns) + 1) + '|', flush=True)
    for name in a.sets.split(','):
        if not os.path.isdir(f'{a.data}/{name}'):
            print(f'{name}: not there', file=sys.stderr)
            continue
        train, valid, test = split(name, f'{a.data}/{name}')
        timed = train + valid
        tune, (rows, held) = matrices(*clean(train, valid)), clean(timed, test)
        final = matrices(rows, held)
        seen = final[0]
        cells = [shown([measure(*final, of_items(seen.sum(0)))])]
        timeless = any(day is None for *_, day in timed)
        for days in (7, 28):
            cells.append('no times' if timeless else shown([measure(*final, popular(timed, rows, days, seen.shape[1]))]))
        cells.append(shown([measure(*final, item_knn(seen))]))
        for kind in peers:
            if not installed(kind):
                cells.append('not installed')
                continue
            if kind == 'ease' and seen.shape[1] > EASE_ITEMS:
                cells.append('catalogue too large')
                continue
            if kind == 'sasrec':
                cells.append('no times' if timeless else shown(sasrec(timed, rows, held, a.seeds)))
                continue
            figures, settings = peer(kind, tune, final, a.seeds, a.threads)
            print(f'{name}: {kind} {settings}', file=sys.stderr, flush=True)
            cells.append(shown(figures))
        with tempfile.TemporaryDirectory() as folder:
            for part, pairs in (('train', rows), ('test', held)):
                with open(f'{folder}/{part}.csv', 'w', newline='') as file:
                    csv.writer(file).writerows([('user', 'item'), *pairs])
            subprocess.run([a.tercel, 'ingest', f'{folder}/train.csv', '--test', f'{folder}/test.csv', '--out',
                            f'{folder}/data', '-q'], check=True, stdout=subprocess.DEVNULL)
            for flags in ([], *(words.split() for _, words in also)):
                cells.append(shown(tercel(a.tercel, folder, flags, a.seeds, a.threads)))
        print(f'| {name} | ' + ' | '.join(cells) + ' |', flush=True)


main()
