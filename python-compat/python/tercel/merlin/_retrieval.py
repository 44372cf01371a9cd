"""`TwoTowerModelV2` and `MatrixFactorizationModelV2`: models with Keras's methods, trained by Tercel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from .._counts import count, text_of
from .._tables import path_of, raw_ids
from ..errors import ConfigError
from ..evaluation import Evaluation, evaluate
from ..model import Model
from ..tf.keras.optimizers import optimizer_settings
from . import TRAINING, differs, per_user, unused
from ._blocks import EmbeddingOptions, Encoder, InputBlockV2, MLPBlock, schema_of
from ._encode import Columns, encode
from ._loader import Loader, as_dataset
from ._metrics import DEFAULT, TopKMetric, top_k_metrics
from ._outputs import ContrastiveOutput, uniform_of
from ._topk import TopKEncoder
from .io import Dataset
from .schema import Schema, Tags


class History:
    """The result of `fit`: the values of each epoch.

    >>> from tercel.merlin._retrieval import History
    >>> History({"loss": [2.5, 2.25]}).history["loss"][-1]
    2.25
    """

    def __init__(self, history: dict[str, list[float]]) -> None:
        """Takes lists of losses and validation metrics, by name."""
        self.history = history


class RetrievalModel:
    """Base class: two towers and an output."""

    def __init__(self, query: Encoder, candidate: Encoder, output: ContrastiveOutput) -> None:
        """Called by the subclasses."""
        self.query, self.candidate, self.output = query, candidate, output
        self.optimizer: Any = None
        self.metrics: list[TopKMetric] = list(DEFAULT)
        self.tercel: Model | None = None
        self._train: Dataset | None = None

    def compile(
        self, optimizer: Any = "adam", loss: Any = None, metrics: Iterable[Any] | None = None, **others: Any
    ) -> None:
        """Sets the optimizer (one of Keras's, or its name) and the metrics (Merlin's)."""
        unused("compile", others)
        if loss is not None and loss != "categorical_crossentropy":
            differs(f"compile: the loss is the softmax over candidates here, not {loss!r}")
        self.optimizer = optimizer
        if metrics is not None:
            self.metrics = top_k_metrics(metrics)

    def fit(
        self,
        x: Dataset | Loader | Any,
        *,
        validation_data: Dataset | Loader | Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        seed: int = 0,
        device: str = "auto",
        threads: int = 0,
        out: str | None = None,
        **others: Any,
    ) -> History:
        """Trains the model. Validation metrics are computed over the full catalogue with one row per user, and without
        the items of the user's training rows (`evaluate` includes them). Merlin's are in-batch, so that they depend on
        the batch size.

        Args:
            x: The training rows.
            validation_data: Held-out rows, on which every epoch is validated.
            batch_size: Rows per batch; by default that of the loader.
            epochs: The number of passes over the rows.
            verbose: 0 hides the progress bar.
            seed: The seed of all random draws.
            device: `auto`, `cpu` or `cuda:N`.
            threads: 0 for every core.
            out: The model folder; by default a temporary one.
            others: Keras's other arguments, which have no effect.
        """
        unused("fit", others, TRAINING)
        if batch_size is None:
            batch_size = x.batch_size if isinstance(x, Loader) else None
        self._train = as_dataset(x)
        columns = self._columns()
        held_out = None if validation_data is None else as_dataset(validation_data)
        data = encode(self._train, held_out, columns)
        config = self._config(columns)
        numbers = {"epochs": epochs, "seed": seed, "threads": threads}
        config["train"] = {name: count(name, value) for name, value in numbers.items()}
        config["train"]["device"] = text_of(device, "device")
        # Every epoch is trained, as in Keras.
        config["train"]["early_stop"] = "off"
        if batch_size is not None:
            config["train"]["batch_size"] = count("batch_size", batch_size)
        if held_out is not None and self.metrics:
            # Patience without end: every epoch is validated, the best is kept.
            config["train"]["early_stop"] = f"{self.metrics[0].metric},{epochs + 1}"
            differs(
                "fit: validation metrics are of the full catalogue, one row per user, without the items that a user "
                "has had in training (Merlin's are in-batch and change with the batch size), and the best epoch by the "
                "first of them is kept (Merlin keeps the last)"
            )
        self.tercel = Model.train(data, out, config=config, progress=verbose not in (0, False))
        history: dict[str, list[float]] = {"loss": []}
        for event in self.tercel.history:
            if event["event"] == "epoch":
                history["loss"].append(event["loss"])
            elif event["event"] == "validation":
                for metric in self.metrics:
                    value = event["metrics"].get(metric.metric)
                    if value is not None:
                        history.setdefault(f"val_{metric.key}", []).append(value)
        return History(history)

    def evaluate(
        self, x: Dataset | Loader | Any, *, batch_size: int | None = None, return_dict: bool = True, **others: Any
    ) -> Any:
        """Computes the metrics on held-out rows, over the full catalogue with one row per user, whatever the batch
        size.
        """
        unused("evaluate", others)
        found = self._evaluation(as_dataset(x))
        per_user("evaluate", "Merlin has a row for each interaction, ranked among the items of its batch")
        values = {metric.key: found[metric.metric] for metric in self.metrics}
        return values if return_dict else list(values.values())

    def _evaluation(self, held_out: Dataset) -> Evaluation:
        train = self._trained_on()
        data = encode(train, held_out, self._columns())
        ks = sorted({metric.k for metric in self.metrics})
        return evaluate(self.trained, data, "valid", k=ks, view="next", baselines="none", progress=False)

    def to_top_k_encoder(
        self,
        candidates: Dataset | Any = None,
        candidate_id: Tags | str = Tags.ITEM_ID,
        strategy: str = "brute-force-topk",
        k: int = 10,
        batch_size: int | None = None,
        **others: Any,
    ) -> TopKEncoder:
        """Returns an encoder that finds the top `k` of the candidates (by default all items of the catalogue)."""
        unused("to_top_k_encoder", others)
        return TopKEncoder(self, None if candidates is None else as_dataset(candidates), strategy=strategy, k=k)

    to_top_k_recommender = to_top_k_encoder

    def query_embeddings(self, dataset: Dataset | Any = None, *_: Any, **__: Any) -> Dataset:
        """Returns the ids and embeddings of the users in the dataset, or of all users."""
        return self._embeddings("user", dataset)

    def candidate_embeddings(self, dataset: Dataset | Any = None, *_: Any, **__: Any) -> Dataset:
        """Returns the ids and embeddings of the items in the dataset, or of all items."""
        return self._embeddings("item", dataset)

    def _embeddings(self, side: str, dataset: Dataset | Any = None) -> Dataset:
        model, columns = self.trained, self._columns()
        name = columns.user if side == "user" else columns.item
        ids = model.user_ids if side == "user" else model.item_ids
        asked = None
        if dataset is not None:
            ids = as_dataset(dataset).column(name).unique()
            asked = raw_ids(ids, f"{side}s")
        values = model.user_embeddings(asked) if side == "user" else model.item_embeddings(asked)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
        tag = Tags.USER_ID if side == "user" else Tags.ITEM_ID
        schema = Schema([self._trained_on().schema[name].with_tags(tag), "embedding"])
        return Dataset(pa.table({name: ids, "embedding": lists}), schema=schema)

    def save(self, path: str, **others: Any) -> None:
        """Saves the trained model. Open it with `tercel.Model.from_pretrained`."""
        unused("save", others, ("include_optimizer", "overwrite"))
        self.trained.save_pretrained(path_of(path, "path"))

    @property
    def trained(self) -> Model:
        """The trained model as a `tercel.Model`.

        Raises:
            ConfigError: If the model has not been trained.
        """
        if self.tercel is None:
            raise ConfigError("the model has not been trained: call fit first")
        return self.tercel

    def _trained_on(self) -> Dataset:
        if self._train is None:
            raise ConfigError("the model has not been trained: call fit first")
        return self._train

    def _columns(self) -> Columns:
        return Columns.of(self._trained_on().schema, self.query.schema, self.candidate.schema)

    def _config(self, columns: Columns) -> dict[str, Any]:
        widths = [tower.hidden for tower in (self.query, self.candidate)]
        features = [columns.user_features, columns.item_features]
        last = {hidden[-1] for hidden in widths if hidden}
        if len(last) > 1:
            raise ConfigError(f"the towers end in {' and '.join(map(str, sorted(last)))} values; widths must be equal")
        wide = [tower.inputs.dim for tower in (self.query, self.candidate) if tower.inputs.dim]
        dim = last.pop() if last else (wide[0] if wide else 64)
        towers: list[dict[str, Any]] = []
        for tower, hidden, read in zip((self.query, self.candidate), widths, features, strict=True):
            plan: dict[str, Any] = {"id": True, "history": 0, "features": [column.name for column in read]}
            plan["mlp"] = hidden[:-1]
            if hidden:
                plan |= {"combine": "concat", "feature_dim": tower.inputs.dim or dim}
            towers.append(plan)
        output = self.output
        return {
            "model": {
                "dim": dim,
                "normalize": self.query.normalize or self.candidate.normalize,
                "temperature": output.logits_temperature,
                "popularity": 0.0,
                "user": towers[0],
                "item": towers[1],
            },
            "loss": {
                "negatives": f"in-batch+uniform:{output.uniform}" if output.uniform else "in-batch",
                "logq": "exact" if output.logq else "off",
                "mask_accidental_hits": output.downscore_false_negatives,
            },
            "optimizer": optimizer_settings(self.optimizer),
        }


class TwoTowerModelV2(RetrievalModel):
    """Two encoders trained with in-batch softmax. The defaults are Merlin's: temperature 1, no logQ correction, no L2
    norm.

    >>> import tercel, warnings
    >>> import tercel.merlin.models.tf as mm
    >>> from tercel.merlin.io import Dataset
    >>> from tercel.merlin.schema import ColumnSchema, Schema, Tags
    >>> schema = Schema([ColumnSchema("user_id", tags=[Tags.USER_ID]), ColumnSchema("item_id", tags=[Tags.ITEM_ID])])
    >>> train = Dataset(tercel.demo_purchases(), schema=schema)
    >>> mlp = mm.MLPBlock([16], no_activation_last_layer=True)
    >>> towers = [mm.Encoder(mm.InputBlockV2(schema.select_by_tag(tag)), mlp) for tag in (Tags.USER, Tags.ITEM)]
    >>> model = mm.TwoTowerModelV2(*towers)
    >>> model.compile(optimizer="adam", metrics=[mm.RecallAt(5)])
    >>> losses = model.fit(train, batch_size=64, epochs=3, verbose=0).history["loss"]
    >>> losses[0] > losses[-1]
    True
    """

    def __init__(
        self,
        query_tower: Encoder,
        candidate_tower: Encoder,
        candidate_id_tag: Tags = Tags.ITEM_ID,
        outputs: ContrastiveOutput | None = None,
        logits_temperature: float = 1.0,
        negative_samplers: Any = None,
        **others: Any,
    ) -> None:
        """Merlin's arguments."""
        unused("TwoTowerModelV2", others, ("schema",))
        if outputs is None:
            outputs = ContrastiveOutput(negative_samplers=negative_samplers, logits_temperature=logits_temperature)
        super().__init__(query_tower, candidate_tower, outputs)


class MatrixFactorizationModelV2(RetrievalModel):
    """Matrix factorization: an embedding of width `dim` for each user id and item id.

    >>> import tercel.merlin.models.tf as mm
    >>> from tercel.merlin.schema import ColumnSchema, Schema
    >>> schema = Schema([ColumnSchema("user_id", ["user_id"]), ColumnSchema("item_id", ["item_id"])])
    >>> mm.MatrixFactorizationModelV2(schema, dim=32).query.inputs.dim
    32
    """

    def __init__(
        self,
        schema: Schema,
        dim: int,
        candidate_id_tag: Tags = Tags.ITEM_ID,
        logits_temperature: float = 1.0,
        outputs: ContrastiveOutput | None = None,
        negative_samplers: Any = None,
        **others: Any,
    ) -> None:
        """Merlin's arguments."""
        unused("MatrixFactorizationModelV2", others)
        schema, dim = schema_of(schema, "MatrixFactorizationModelV2"), count("dim", dim)
        towers = [Encoder(InputBlockV2(schema.select_by_tag(tag), dim=dim)) for tag in (Tags.USER_ID, Tags.ITEM_ID)]
        if outputs is None:
            outputs = ContrastiveOutput(negative_samplers=negative_samplers, logits_temperature=logits_temperature)
        super().__init__(towers[0], towers[1], outputs)


class TwoTowerModel(TwoTowerModelV2):
    """The older interface of `TwoTowerModelV2`: a schema, and a block for each tower or for both. Embeddings are
    divided by their L2 norm by default.

    >>> import tercel.merlin.models.tf as mm
    >>> from tercel.merlin.schema import ColumnSchema, Schema
    >>> schema = Schema([ColumnSchema("user_id", ["user_id"]), ColumnSchema("item_id", ["item_id"])])
    >>> mm.TwoTowerModel(schema, mm.MLPBlock([64], no_activation_last_layer=True)).query.normalize
    True
    """

    def __init__(
        self,
        schema: Schema,
        query_tower: MLPBlock,
        item_tower: MLPBlock | None = None,
        l2_normalization: bool = True,
        logits_temperature: float = 1.0,
        samplers: Sequence[Any] = (),
        embedding_options: EmbeddingOptions | None = None,
        post: Any = None,
        **others: Any,
    ) -> None:
        """Merlin's arguments."""
        unused("TwoTowerModel", others)
        schema = schema_of(schema, "TwoTowerModel")
        dim = embedding_options.embedding_dim_default if embedding_options else None
        encoders = [
            Encoder(InputBlockV2(schema.select_by_tag(tag), dim=dim), block)
            for tag, block in ((Tags.USER, query_tower), (Tags.ITEM, item_tower or query_tower))
        ]
        for encoder in encoders:
            encoder.normalize = l2_normalization
        output = ContrastiveOutput(logits_temperature=logits_temperature, post=post)
        output.uniform = uniform_of(list(samplers))
        super().__init__(encoders[0], encoders[1], outputs=output)


class MatrixFactorizationModel(MatrixFactorizationModelV2):
    """The older interface of `MatrixFactorizationModelV2`.

    >>> from tercel.merlin.models.tf import MatrixFactorizationModel
    >>> from tercel.merlin.schema import ColumnSchema, Schema
    >>> schema = Schema([ColumnSchema("user_id", ["user_id"]), ColumnSchema("item_id", ["item_id"])])
    >>> MatrixFactorizationModel(schema, dim=16).candidate.schema.column_names
    ['item_id']
    """
