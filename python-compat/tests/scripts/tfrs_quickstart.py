# mypy: ignore-errors
"""A first script with TensorFlow Recommenders, with its imports: who rated what, and the best titles of somebody.

It finds `TABLE`, rows of user_id and movie_title, in its globals, where its readers would call `tensorflow_datasets`.
`tests/test_merlin_scripts.py` runs it with its import lines rewritten and nothing else.
"""

import tensorflow as tf
import tensorflow_recommenders as tfrs

ratings = tf.data.Dataset.from_tensor_slices(TABLE)  # noqa: F821
movies = tf.data.Dataset.from_tensor_slices(sorted(set(TABLE["movie_title"])))  # noqa: F821
ratings = ratings.map(lambda row: {"movie_title": row["movie_title"], "user_id": row["user_id"]})

users_seen = tf.keras.layers.StringLookup(mask_token=None)
users_seen.adapt(ratings.map(lambda row: row["user_id"]))
titles_seen = tf.keras.layers.StringLookup(mask_token=None)
titles_seen.adapt(movies)


class RatingsModel(tfrs.Model):
    """Two tables of embeddings."""

    def __init__(self, user_model, movie_model, task):
        super().__init__()
        self.user_model = user_model
        self.movie_model = movie_model
        self.task = task

    def compute_loss(self, features, training=False):
        """The task, of both embeddings."""
        return self.task(self.user_model(features["user_id"]), self.movie_model(features["movie_title"]))


user_model = tf.keras.Sequential([users_seen, tf.keras.layers.Embedding(users_seen.vocabulary_size(), 32)])
movie_model = tf.keras.Sequential([titles_seen, tf.keras.layers.Embedding(titles_seen.vocabulary_size(), 32)])
task = tfrs.tasks.Retrieval(metrics=tfrs.metrics.FactorizedTopK(movies.batch(128).map(movie_model)))

shuffled = ratings.shuffle(100_000, seed=42, reshuffle_each_iteration=False)
train = shuffled.take(4_800)
test = shuffled.skip(4_800).take(800)

model = RatingsModel(user_model, movie_model, task)
model.compile(optimizer=tf.keras.optimizers.Adagrad(0.5))
history = model.fit(train.batch(256), epochs=20)
metrics = model.evaluate(test.batch(128).cache(), return_dict=True)

index = tfrs.layers.factorized_top_k.BruteForce(model.user_model, k=10)
index.index_from_dataset(movies.batch(100).map(lambda title: (title, model.movie_model(title))))
scores, titles = index(tf.constant(["42"]))
best = titles[0, :3]
