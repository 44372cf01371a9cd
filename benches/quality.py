#!/usr/bin/env python3
"""Quality with the defaults, beside implicit's tuned ALS and BPR: recall@20 / ndcg@20 over the whole catalogue, training
items left out, mean over the users with a test item. Prints a Markdown table.

DATA holds one folder per data set:
  ml-100k, ml-1m     train.tsv.gz and test.tsv.gz with columns user, item (and timestamp, in ml-100k)
  online-retail      transactions.csv.gz with columns invoice_date, customer_id, description
  complete-journey   transactions.csv.gz with columns t_dat, household_id, product_id (in tests/data/complete-journey)
Folders that are not there are left out. Purchases become distinct pairs, split by time; a test pair that was already
bought, and users without training rows, are left out, so that every library answers the same question.

The peers' settings are chosen on a validation part of the training rows (recall@20 + ndcg@20), then fitted on all of
them at D = 64. Tercel is not tuned: `tercel ingest`, `tercel train`, `tercel evaluate`, no flag but the seed and --also's.

Needs numpy and scipy; implicit and threadpoolctl for the peers."""
import argparse, csv, gzip, json, os, subprocess, sys, tempfile
import numpy as np
import scipy.sparse as sp

DIM, K = 64, 20
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
    """Rows (user, item) of train, validation and test; validation is a part of the training time."""
    if name in PURCHASES:
        *columns, valid, test = PURCHASES[name]
        rows = read(f'{folder}/transactions.csv.gz', columns, ',')
        parts = ([], [], [])
        for user, item, time in rows:
            parts[(time >= valid) + (time >= test)].append((user, item))
        return parts
    held = read(f'{folder}/test.tsv.gz', ('user', 'item'), '\t')
    if name == 'ml-100k':  # by time: the last eighth of every user's training rows
        rows = read(f'{folder}/train.tsv.gz', ('user', 'item', 'timestamp'), '\t')
        by_user = {}
        for user, item, time in rows:
            by_user.setdefault(user, []).append((int(time), int(item), item))
        train, valid = [], []
        for user, own in by_user.items():
            own.sort()
            cut = len(own) - len(own) // 8
            train += [(user, item) for _, _, item in own[:cut]]
            valid += [(user, item) for _, _, item in own[cut:]]
        return train, valid, held
    rows = read(f'{folder}/train.tsv.gz', ('user', 'item'), '\t')
    out = np.random.default_rng(1).random(len(rows)) < 0.1
    return [r for r, o in zip(rows, out) if not o], [r for r, o in zip(rows, out) if o], held


def clean(train, held):
    """Distinct training pairs, and the held-out pairs that are new, of users who have training rows."""
    known, users = set(train), {user for user, _ in train}
    new = dict.fromkeys(pair for pair in held if pair[0] in users and pair not in known)
    return list(dict.fromkeys(train)), list(new)


def matrices(train, held):
    users, items = {}, {}
    at = lambda ids, key: ids.setdefault(key, len(ids))
    cells = [np.array([(at(users, u), at(items, i)) for u, i in rows]) for rows in (train, held)]
    shape = (len(users), len(items))
    return [sp.csr_matrix((np.ones(len(c), np.float32), (c[:, 0], c[:, 1])), shape=shape) for c in cells]


def measure(seen, held, users, items):
    """recall@20 and ndcg@20 of users x items inner products."""
    who, discount = np.flatnonzero(np.diff(held.indptr)), 1 / np.log2(np.arange(2, K + 2))
    recall = ndcg = 0.0
    for start in range(0, len(who), 512):
        rows = who[start:start + 512]
        scores = users[rows] @ items.T
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
    return model.user_factors, model.item_factors


def grid(kind):
    if kind == 'als':
        return [dict(regularization=r, alpha=a, iterations=15) for r in (1, 10, 30) for a in (1, 5, 20)]
    return [dict(learning_rate=l, regularization=r, iterations=100) for l in (0.02, 0.05) for r in (0.003, 0.01, 0.03)]


def peer(kind, tune, final, seeds, threads):
    best = max(grid(kind), key=lambda s: sum(measure(*tune, *fit(kind, s, tune[0], 0, threads))))
    figures = [measure(*final, *fit(kind, best, final[0], seed, threads)) for seed in range(seeds)]
    return figures, ', '.join(f'{k} {v}' for k, v in best.items())


def tercel(binary, folder, flags, seeds, threads):
    figures = []
    for seed in range(seeds):
        model = f'{folder}/model'
        call = lambda *words: subprocess.run([binary, *words], check=True, capture_output=True, text=True).stdout
        call('train', '--data', f'{folder}/data', '--out', model, '--seed', str(seed), '--threads', str(threads), *flags, '-q')
        lines = call('evaluate', '--model', model, '--data', f'{folder}/data', '--k', str(K), '--json', '-q').splitlines()
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
    parser.add_argument('--peers', default='als,bpr', help='als, bpr, both or nothing')
    parser.add_argument('--also', action='append', default=[], metavar='NAME=FLAGS',
                        help='a further column: Tercel with flags of `tercel train`, as in "full=--negatives full"')
    a = parser.parse_args()
    peers = [kind for kind in a.peers.split(',') if kind]
    also = [column.split('=', 1) for column in a.also]
    columns = ['popularity', *(f'{kind.upper()}, tuned' for kind in peers), 'Tercel, defaults', *(name for name, _ in also)]
    print('| data set | ' + ' | '.join(columns) + ' |\n' + '|---' * (len(columns) + 1) + '|', flush=True)
    for name in a.sets.split(','):
        if not os.path.isdir(f'{a.data}/{name}'):
            print(f'{name}: not there', file=sys.stderr)
            continue
        train, valid, test = split(name, f'{a.data}/{name}')
        tune, (rows, held) = matrices(*clean(train, valid)), clean(train + valid, test)
        final = matrices(rows, held)
        seen = final[0]
        cells = [shown([measure(*final, np.ones((seen.shape[0], 1), np.float32), np.asarray(seen.sum(0)).reshape(-1, 1))])]
        for kind in peers:
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
