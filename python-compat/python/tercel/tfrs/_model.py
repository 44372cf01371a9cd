"""`tfrs.Model`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from .._counts import count, text_of
from .._tables import together
from ..dataset import Dataset as Encoded
from ..errors import ConfigError, KindError, NotWrittenError
from ..evaluation import evaluate
from ..merlin import TRAINING, differs, per_user, unused
from ..merlin._retrieval import History
from ..merlin.models.utils.dataset import last_of_each
from ..model import Model as Trained
from ..tf import keras
from ..tf._plan import Tower
from ..tf.data import Dataset
from ..tf.keras.optimizers import optimizer_settings
from .tasks import Plan


class Model(keras.Model):
    """A two-tower model. Its `compute_loss` returns the result of a retrieval task.

    >>> import tercel, warnings
    >>> import tercel.tf as tf
    >>> import tercel.tfrs as tfrs
    >>> class Shop(tfrs.Model):
    ...     def __init__(self):
    ...         self.user = tf.keras.Sequential([tf.keras.layers.StringLookup(), tf.keras.layers.Embedding(31, 8)])
    ...         self.item = tf.keras.Sequential([tf.keras.layers.StringLookup(), tf.keras.layers.Embedding(21, 8)])
    ...         self.task = tfrs.tasks.Retrieval()
    ...     def compute_loss(self, features, training=False):
    ...         return self.task(self.user(features["user_id"]), self.item(features["item_id"]))
    >>> model = Shop()
    >>> model.compile(optimizer=tf.keras.optimizers.Adagrad(0.5))
    >>> rows = tf.data.Dataset.from_tensor_slices(tercel.demo_purchases())
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # that the loss is a mean here
    ...     losses = model.fit(rows.batch(64), epochs=2, verbose=0).history["loss"]
    >>> losses[0] > losses[1]
    True
    """

    optimizer: Any = None
    tercel: Trained | None = None
    _rows: Dataset | None = None

    def compute_loss(self, inputs: Any, training: bool = False) -> Plan:
        """Implemented by subclasses: `return self.task(query, candidate)`."""
        words = "write compute_loss: it returns self.task(query_embeddings, candidate_embeddings)"
        raise NotWrittenError(f"{type(self).__name__}: {words}")

    def compile(self, optimizer: Any = "adagrad", **others: Any) -> None:
        """Sets the optimizer: one of Keras's or of `tercel.tf`, or its name."""
        unused("compile", others)
        self.optimizer = optimizer

    def fit(
        self,
        x: Dataset,
        epochs: int = 1,
        verbose: Any = "auto",
        validation_data: Dataset | None = None,
        seed: int = 0,
        device: str = "auto",
        threads: int = 0,
        **others: Any,
    ) -> History:
        """Trains on a dataset, with the batch size of the dataset. The loss is the mean over rows; TFRS reports the sum
        over each batch.
        """
        unused("fit", others, TRAINING)
        if validation_data is not None:
            differs("fit: validation_data is encoded, but not evaluated in each epoch: call evaluate")
        plan, columns = self._plan(x)
        data = _encode(x, validation_data, plan, columns)
        config = _config(plan, columns)
        batch_size = x.batch_size or 512
        config["optimizer"] = _of_sums(optimizer_settings(self.optimizer), batch_size)
        numbers = {"epochs": epochs, "seed": seed, "threads": threads}
        config["train"] = {name: count(name, value) for name, value in numbers.items()}
        config["train"]["device"] = text_of(device, "device")
        config["train"]["batch_size"] = batch_size
        # Every epoch is trained, as in Keras.
        config["train"]["early_stop"] = "off"
        differs("fit: the reported loss is a mean over rows; TFRS reports the sum over a batch")
        self._rows = x
        self.tercel = Trained.train(data, config=config, progress=verbose not in (0, False))
        for tower in (plan.query, plan.candidate):
            for layer in tower.layers:
                layer.trained.model, layer.trained.users, layer.trained.items = self.tercel, *columns
        return History({"loss": [event["loss"] for event in self.tercel.history if event["event"] == "epoch"]})

    def evaluate(self, x: Dataset, return_dict: bool = True, **others: Any) -> Any:
        """Computes `factorized_top_k/top_K_categorical_accuracy`: the share of a user's items in these rows that are
        among their top K of the full catalogue, averaged over users. With one row per user this is what TFRS computes.
        """
        unused("evaluate", others)
        if self.tercel is None or self._rows is None:
            raise ConfigError("the model has not been trained: call fit first")
        per_user("evaluate", "TFRS has a row for each interaction, and asks for that one item alone")
        plan, columns = self._plan(x)
        data = _encode(self._rows, x, plan, columns)
        ks = list(plan.task.factorized_metrics.ks)
        found = evaluate(self.tercel, data, "valid", k=ks, view="next", baselines="none", progress=False)
        values = {f"factorized_top_k/top_{k}_categorical_accuracy": found[f"recall@{k}"] for k in ks}
        return values if return_dict else list(values.values())

    def _plan(self, x: Dataset) -> tuple[Plan, tuple[str, str]]:
        if not isinstance(x, Dataset):
            raise KindError(f"dataset: a tercel.tf.data.Dataset is needed, not {type(x).__name__}", path="dataset")
        _, features = x.renamed()
        plan = self.compute_loss(features, training=True)
        if not isinstance(plan, Plan):
            raise ConfigError("compute_loss must return self.task(query_embeddings, candidate_embeddings)")
        return plan, (plan.query.columns[0].name, plan.candidate.columns[0].name)


def _of_sums(settings: dict[str, Any], rows: int) -> dict[str, Any]:
    """Settings that do to the mean of a batch's losses what the given ones do to their sum, which TFRS takes.

    The sum's gradients are `rows` times as large: plain steps grow with them, those of Adagrad and Adam change only by
    what is added to the root.

    >>> _of_sums({"name": "sgd", "lr": 0.5}, rows=100)["lr"]
    50.0
    """
    summed = dict(settings)
    if summed["name"] == "sgd":
        summed["lr"] *= rows
    if "eps" in summed:
        summed["eps"] /= rows
    if "initial_accumulator" in summed:
        summed["initial_accumulator"] /= rows**2
    return summed


def _config(plan: Plan, columns: tuple[str, str]) -> dict[str, Any]:
    towers = []
    for tower in (plan.query, plan.candidate):
        several = bool(tower.hidden) or len(tower.columns) > 1
        read = [column.name for column in tower.columns[1:]]
        words: dict[str, Any] = {"id": True, "history": 0, "features": read, "mlp": list(tower.hidden[:-1])}
        towers.append(words | ({"combine": "concat", "feature_dim": tower.dim} if several else {}))
    if plan.query.width != plan.candidate.width:
        raise ConfigError(f"the towers are {plan.query.width} and {plan.candidate.width} wide; widths must be equal")
    return {
        "model": {
            "dim": plan.query.width,
            "normalize": plan.query.normalize or plan.candidate.normalize,
            "temperature": plan.task.temperature,
            "popularity": 0.0,
            "user": towers[0],
            "item": towers[1],
        },
        "loss": {
            "negatives": "in-batch",
            "logq": "exact" if plan.logq else "off",
            "mask_accidental_hits": plan.task.remove_accidental_hits,
        },
    }


def _encode(rows: Dataset, later: Dataset | None, plan: Plan, columns: tuple[str, str]) -> Encoded:
    tables = [one.renamed()[0] for one in (rows, later) if one is not None]

    def features(tower: Tower) -> pa.Table | None:
        names = [column.name for column in tower.columns]
        if len(names) == 1:
            return None
        # The training rows come last: what they say of an id holds, whatever later rows say.
        rows = [table.select(names) for table in reversed(tables)]
        return last_of_each(together(rows), names[0], names)

    user, item = columns
    return Encoded.build(
        tables[0].select([user, item]),
        user=user,
        item=item,
        valid=tables[1].select([user, item]) if len(tables) > 1 else None,
        user_features=features(plan.query),
        item_features=features(plan.candidate),
        progress=False,
    )
