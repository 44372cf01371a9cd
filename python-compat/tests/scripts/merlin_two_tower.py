# mypy: ignore-errors
"""A two-tower script for Merlin, with Merlin's imports: what somebody has who comes from there.

It reads train.parquet and valid.parquet of the current folder. `tests/test_merlin_scripts.py` runs it with its import
lines rewritten and nothing else.
"""

import merlin.models.tf as mm
import tensorflow as tf
from merlin.io.dataset import Dataset
from merlin.models.utils.dataset import unique_rows_by_features
from merlin.schema import ColumnSchema, Schema
from merlin.schema.tags import Tags

schema = Schema(
    [
        ColumnSchema("user_id", tags=[Tags.USER, Tags.USER_ID, Tags.CATEGORICAL]),
        ColumnSchema("age_group", tags=[Tags.USER, Tags.CATEGORICAL]),
        ColumnSchema("item_id", tags=[Tags.ITEM, Tags.ITEM_ID, Tags.CATEGORICAL]),
        ColumnSchema("category", tags=[Tags.ITEM, Tags.CATEGORICAL]),
        ColumnSchema("price", tags=[Tags.ITEM, Tags.CONTINUOUS]),
        ColumnSchema("timestamp", tags=[Tags.TIME]),
    ]
)
train = Dataset("train.parquet", schema=schema)
valid = Dataset("valid.parquet", schema=schema)


def tower(tag):
    """Embeddings of all columns with a tag, then two layers."""
    inputs = mm.InputBlockV2(schema.select_by_tag(tag))
    return mm.Encoder(inputs, mm.MLPBlock([32, 16], no_activation_last_layer=True))


model = mm.TwoTowerModelV2(tower(Tags.USER), tower(Tags.ITEM))
model.compile(
    optimizer=tf.keras.optimizers.Adagrad(learning_rate=0.1),
    run_eagerly=False,
    metrics=[mm.RecallAt(10), mm.NDCGAt(10)],
)
history = model.fit(train, validation_data=valid, batch_size=128, epochs=8)

candidates = unique_rows_by_features(train, Tags.ITEM, Tags.ITEM_ID)
topk = model.to_top_k_encoder(candidates, k=10, batch_size=128)
topk.compile(run_eagerly=False)
loader = mm.Loader(valid, batch_size=1024).map(mm.ToTarget(schema, "item_id"))
metrics = topk.evaluate(loader, return_dict=True)

users = unique_rows_by_features(train, Tags.USER, Tags.USER_ID)
recommended = topk.batch_predict(mm.Loader(users, batch_size=64, shuffle=False), batch_size=64)
answers = recommended.to_ddf().compute()
item_vectors = model.candidate_embeddings(candidates, index=Tags.ITEM_ID, batch_size=128).compute()
