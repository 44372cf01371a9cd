#!/usr/bin/env python3
"""Quality with the defaults, and with what `tercel tune` found, beside what needs no model (what is popular, at last or at
all; item-kNN), implicit's tuned ALS and BPR, EASE and SASRec: recall@20 / ndcg@20 over the whole catalogue, training items
left out, mean over the users with a test item and over the seeds. Prints a Markdown table, then how far Tercel is ahead of
the best of the others, with 95 % bootstrap intervals over the users (both sides' figures of the same users).

DATA holds one folder per data set:
  ml-100k, ml-1m     train.tsv.gz and test.tsv.gz with columns user, item (and timestamp, in ml-100k)
  online-retail      transactions.csv.gz with columns invoice_date, customer_id, description
  complete-journey   transactions.csv.gz with columns t_dat, household_id, product_id (in tests/data/complete-journey)
Folders that are not there are left out. Purchases become distinct pairs, split by time; a test pair that was already
bought, and users without training rows, are left out, so that every library answers the same question. A name that ends
in `:random` holds out a random fifth of the distinct pairs in place of the last ones.

The settings of ALS, BPR and EASE are chosen on a validation part of the training rows (recall@20 + ndcg@20), then
fitted on all of them, at D = 64 where there is a D. EASE needs the square of the catalogue: up to 20,000 items. SASRec is
RecTools's with its own settings but for D = 64 and 30 epochs. Popularity of the last days and SASRec need times. Tercel is
given all training rows, with their times: `tercel ingest`, `tercel train`, `tercel recommend`, no flag but the seed and
--also's; with --minutes a further column has the settings of `tercel tune`, trained anew with each seed.

Needs numpy and scipy; implicit and threadpoolctl for ALS and BPR, rectools[torch] for SASRec: what is not installed is not
measured, and its column says so."""
import argparse, csv, datetime, gzip, importlib.util, os, subprocess, sys, tempfile
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


def seconds(text):
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc).timestamp())


def split(name, folder):
    """Rows (user, item, time) of train, validation and test; validation is a part of the training time. The time is in
    seconds, or None where there are none."""
    if name in PURCHASES:
        *columns, valid, test = PURCHASES[name]
        rows = read(f'{folder}/transactions.csv.gz', columns, ',')
        parts = ([], [], [])
        for user, item, time in rows:
            parts[(time >= valid) + (time >= test)].append((user, item, seconds(time)))
        return parts
    if name == 'ml-100k':  # by time: the last eighth of every user's training rows
        rows, held = ([(user, item, int(time)) for user, item, time in read(f'{folder}/{part}.tsv.gz', columns, '\t')]
                      for part in ('train', 'test') for columns in [('user', 'item', 'timestamp')])
        by_user = {}
        for row in rows:
            by_user.setdefault(row[0], []).append(row)
        train, valid = [], []
        for own in by_user.values():
            own.sort(key=lambda row: (row[2], int(row[1])))
            cut = len(own) - len(own) // 8
            train += own[:cut]
            valid += own[cut:]
        return train, valid, held
    rows, held = ([(user, item, None) for user, item in read(f'{folder}/{part}.tsv.gz', ('user', 'item'), '\t')]
                  for part in ('train', 'test'))
    out = np.random.default_rng(1).random(len(rows)) < 0.1
    return [r for r, o in zip(rows, out) if not o], [r for r, o in zip(rows, out) if o], held


def by_chance(parts):
    """The same rows, a fifth of the distinct pairs held out by chance, and a tenth of the others for validation."""
    rows = list({row[:2]: row for part in parts for row in part}.values())
    draw = np.random.default_rng(2).random(len(rows))
    return [[row for row, d in zip(rows, draw) if low <= d < high] for low, high in ((0.28, 1), (0.2, 0.28), (0, 0.2))]


def clean(train, held):
    """Distinct training pairs, and the held-out pairs that are new, of users who have training rows; each with its
    time, the last one where a pair comes back."""
    known, users = {row[:2]: row[2] for row in train}, {row[0] for row in train}
    new = {row[:2]: row[2] for row in held if row[0] in users and row[:2] not in known}
    return known, new


def numbered(train, held):
    """Every user and every item by its row in the matrices."""
    users, items = {}, {}
    for user, item in [*train, *held]:
        users.setdefault(user, len(users)), items.setdefault(item, len(items))
    return users, items


def matrices(train, held):
    users, items = numbered(train, held)
    cells = [np.array([(users[u], items[i]) for u, i in rows]).reshape(-1, 2) for rows in (train, held)]
    shape = (len(users), len(items))
    return [sp.csr_matrix((np.ones(len(c), np.float32), (c[:, 0], c[:, 1])), shape=shape) for c in cells]


def inner(users, items):
    """Scores that are inner products."""
    return lambda rows: users[rows] @ items.T


def of_items(scores):
    """Scores that are the same for everybody."""
    return lambda rows: np.tile(np.asarray(scores, np.float64).reshape(1, -1), (len(rows), 1))


def popular(rows, items, days):
    """What was bought most often in the last days of the training rows, ties by all of them."""
    last = max(time for *_, time in rows) // 86_400
    recent, all_time = np.zeros(len(items)), np.zeros(len(items))
    for _, item, time in rows:
        recent[items[item]] += time // 86_400 > last - days
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


def sasrec(rows, held, users, items, seed):
    """The lists of RecTools's SASRec, by row of the matrices."""
    import pandas as pd
    import torch
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel
    frame = pd.DataFrame(rows, columns=[Columns.User, Columns.Item, Columns.Datetime])
    frame[Columns.Datetime] = pd.to_datetime(frame[Columns.Datetime], unit='s')
    frame[Columns.Weight] = 1.0
    torch.manual_seed(seed)
    model = SASRecModel(n_factors=DIM, epochs=30, deterministic=True)
    data = Dataset.construct(frame)
    model.fit(data)
    lists = model.recommend(users=list({user for user, _ in held}), dataset=data, k=K, filter_viewed=True)
    lists = lists.sort_values([Columns.User, Columns.Rank])
    return as_rows(zip(lists[Columns.User], lists[Columns.Item]), users, items)


def as_rows(pairs, users, items):
    """Lists of items, best first, by user: for `figures`."""
    lists = {}
    for user, item in pairs:
        lists.setdefault(users[str(user)], []).append(items[str(item)])
    return lambda who: np.array([(lists.get(user, []) + [-1] * K)[:K] for user in who])


def best(seen, score):
    """The top items of users by the scores of all items, seen ones left out: for `figures`."""
    def top(rows):
        scores = np.asarray(score(rows))
        masked = seen[rows].tocoo()
        scores[masked.row, masked.col] = -np.inf
        found = np.argpartition(scores, -K, axis=1)[:, -K:]
        return np.take_along_axis(found, np.argsort(-np.take_along_axis(scores, found, 1), axis=1, kind='stable'), 1)
    return top


def figures(held, top):
    """recall@20 and ndcg@20 of every user with a held-out item, by the users' lists."""
    who, discount = np.flatnonzero(np.diff(held.indptr)), 1 / np.log2(np.arange(2, K + 2))
    found = []
    for start in range(0, len(who), 512):
        rows = who[start:start + 512]
        lists = top(rows)
        hits = np.take_along_axis(held[rows].toarray() > 0, np.maximum(lists, 0), 1) & (lists >= 0)
        n = np.diff(held.indptr)[rows]
        ndcg = (hits * discount).sum(1) / np.cumsum(discount)[np.minimum(n, K) - 1]
        found.append(np.stack([hits.sum(1) / n, ndcg]))
    return np.concatenate(found, axis=1)


def scored(seen, held, score):
    return figures(held, best(seen, score))


def ahead(ours, theirs):
    """How far the means are apart, as shares of theirs, with the ends of the middle 95 % of resampled users."""
    draw = np.random.default_rng(0).integers(0, ours.shape[1], (2000, ours.shape[1]))
    words = []
    for us, them in zip(ours, theirs):
        low, high = np.percentile((us - them)[draw].mean(1), (2.5, 97.5)) / them.mean() * 100
        words.append(f'{(us.mean() / them.mean() - 1) * 100:+.1f} % ({low:+.1f} to {high:+.1f})')
    return ' / '.join(words)


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
    quality = lambda score: scored(*tune, score).mean(1).sum()
    if kind == 'ease':
        weight = max((50, 100, 250, 500, 1000), key=lambda w: quality(ease(tune[0], w)))
        return scored(*final, ease(final[0], weight)), f'weight {weight}'
    found = max(grid(kind), key=lambda settings: quality(fit(kind, settings, tune[0], 0, threads)))
    runs = [scored(*final, fit(kind, found, final[0], seed, threads)) for seed in range(seeds)]
    return np.mean(runs, axis=0), ', '.join(f'{k} {v}' for k, v in found.items())


def installed(kind):
    return all(importlib.util.find_spec(name) for name in NEEDS.get(kind, ()))


class Tercel:
    """The command on one data set."""

    def __init__(self, binary, folder, rows, held, threads):
        self.binary, self.folder, self.threads = binary, folder, ('--threads', str(threads))
        self.users, self.items = numbered(rows, held)
        self.held = matrices(rows, held)[1]
        times = all(time is not None for time in rows.values())
        for part, pairs in (('train', rows), ('test', held)):
            with open(f'{folder}/{part}.csv', 'w', newline='') as file:
                header = ('user', 'item', 'time') if times else ('user', 'item')
                csv.writer(file).writerows([header, *((*pair, time)[:len(header)] for pair, time in pairs.items())])
        columns = ('--time', 'time', '--time-unit', 's') if times else ()
        self('ingest', f'{folder}/train.csv', '--test', f'{folder}/test.csv', '--out', f'{folder}/data', *columns)

    def __call__(self, *words):
        subprocess.run([self.binary, *words, '-q'], check=True, stdout=subprocess.DEVNULL)

    def figures(self, flags, seeds):
        runs = []
        for seed in range(seeds):
            model, lists = f'{self.folder}/model', f'{self.folder}/lists.csv'
            self('train', '--data', f'{self.folder}/data', '--out', model, '--seed', str(seed), *self.threads, *flags)
            self('recommend', '--model', model, '--out', lists, '--k', str(K))
            with open(lists, newline='') as file:
                pairs = ((row['user'], row['item']) for row in csv.DictReader(file))
                runs.append(figures(self.held, as_rows(pairs, self.users, self.items)))
        return np.mean(runs, axis=0)

    def tuned(self, minutes):
        """The flags that a search comes to."""
        out = f'{self.folder}/tuned'
        self('tune', '--data', f'{self.folder}/data', '--out', out, '--minutes', str(minutes), *self.threads)
        with open(f'{out}/tuned.toml') as file:
            print(file.read(), file=sys.stderr, flush=True)
        return '--config', f'{out}/tuned.toml'


def shown(found):
    recall, ndcg = found.mean(1)
    return f'{recall:.4f} / {ndcg:.4f}'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', required=True, help='the folder with the data sets')
    parser.add_argument('--tercel', default='target/release/tercel', help='the command (default %(default)s)')
    parser.add_argument('--sets', default='ml-100k,ml-1m,online-retail,complete-journey',
                        help='some of them, each with or without `:random` (default %(default)s)')
    parser.add_argument('--seeds', type=int, default=3, help='runs of each model; the mean is shown')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--peers', default='als,bpr,ease,sasrec', help='some of them (default %(default)s), or nothing')
    parser.add_argument('--minutes', type=float, help='a further column: Tercel with the settings of a search of so long')
    parser.add_argument('--also', action='append', default=[], metavar='NAME=FLAGS',
                        help='a further column: Tercel with flags of `tercel train`, as in "full=--negatives full"')
    a = parser.parse_args()
    peers = [kind for kind in a.peers.split(',') if kind]
    also = [column.split('=', 1) for column in a.also]
    others = ['popularity', 'of 7 days', 'of 28 days', 'item-kNN', *(NAMES[kind] for kind in peers)]
    ours = ['Tercel, defaults', *(['Tercel, tuned'] if a.minutes else []), *(name for name, _ in also)]
    print('| data set | ' + ' | '.join(others + ours) + ' |\n' + '|---' * (len(others + ours) + 1) + '|', flush=True)
    compared = []
    for name in a.sets.split(','):
        base, _, chance = name.partition(':')
        if not os.path.isdir(f'{a.data}/{base}'):
            print(f'{name}: not there', file=sys.stderr)
            continue
        train, valid, test = by_chance(split(base, f'{a.data}/{base}')) if chance else split(base, f'{a.data}/{base}')
        timed = train + valid
        tune, (rows, held) = matrices(*clean(train, valid)), clean(timed, test)
        final, (users, items) = matrices(rows, held), numbered(rows, held)
        timeless = any(time is None for *_, time in timed)
        found = {'popularity': scored(*final, of_items(final[0].sum(0)))}
        for days in (7, 28):
            found[f'of {days} days'] = 'no times' if timeless else scored(*final, popular(timed, items, days))
        found['item-kNN'] = scored(*final, item_knn(final[0]))
        for kind in peers:
            if not installed(kind):
                found[NAMES[kind]] = 'not installed'
            elif kind == 'ease' and len(items) > EASE_ITEMS:
                found[NAMES[kind]] = 'catalogue too large'
            elif kind != 'sasrec':
                found[NAMES[kind]], settings = peer(kind, tune, final, a.seeds, a.threads)
                print(f'{name}: {kind} {settings}', file=sys.stderr, flush=True)
            elif timeless:
                found[NAMES[kind]] = 'no times'
            else:
                runs = [figures(final[1], sasrec(timed, held, users, items, seed)) for seed in range(a.seeds)]
                found[NAMES[kind]] = np.mean(runs, axis=0)
        with tempfile.TemporaryDirectory() as folder:
            tercel = Tercel(a.tercel, folder, rows, held, a.threads)
            found[ours[0]] = tercel.figures((), a.seeds)
            if a.minutes:
                found[ours[1]] = tercel.figures(tercel.tuned(a.minutes), a.seeds)
            for column, flags in also:
                found[column] = tercel.figures(flags.split(), a.seeds)
        cells = [found[column] for column in others + ours]
        print(f'| {name} | ' + ' | '.join(c if isinstance(c, str) else shown(c) for c in cells) + ' |', flush=True)
        measured = {column: found[column] for column in others if not isinstance(found[column], str)}
        first = max(measured, key=lambda column: measured[column].mean(1).sum())
        compared.append(f'| {name} | {first} | ' + ' | '.join(ahead(found[c], measured[first]) for c in ours) + ' |')
    print('\n| data set | best of the others | ' + ' | '.join(ours) + ' |\n' + '|---' * (len(ours) + 2) + '|')
    print('\n'.join(compared))


main()
