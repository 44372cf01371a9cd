//! `.arrow`: an Arrow IPC file with the columns `id` (string or int64) and `vector` (fixed-size list of float32).

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field, Schema};

use super::{VectorShape, VectorSink, unfit};
use crate::data::vocabulary::RawId;
use crate::index::Progress;
use crate::index::predictions::columns::{BATCH_BYTES, IdBuilder, from_arrow};

/// Bytes of vectors in a record batch.
const VECTOR_BYTES: usize = 4 << 20;

pub(super) fn start(out: BufWriter<File>, shape: VectorShape) -> io::Result<ArrowVectors> {
    let Ok(dim) = i32::try_from(shape.dim) else {
        return Err(unfit(format!("{} columns are more than an Arrow list has", shape.dim)));
    };
    let element = Arc::new(Field::new("item", DataType::Float32, false));
    let vector = DataType::FixedSizeList(Arc::clone(&element), dim);
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", shape.ids.data_type(), false),
        Field::new("vector", vector, false),
    ]));
    let writer = FileWriter::try_new(out, &schema).map_err(from_arrow)?;
    Ok(ArrowVectors { writer, schema, element, dim, ids: IdBuilder::new(shape.ids), values: Vec::new() })
}

/// Record batches, the last of which is being filled.
pub(super) struct ArrowVectors {
    writer: FileWriter<BufWriter<File>>,
    schema: Arc<Schema>,
    element: Arc<Field>,
    dim: i32,
    ids: IdBuilder,
    values: Vec<f32>,
}

impl ArrowVectors {
    fn write(&mut self) -> io::Result<()> {
        let values = Arc::new(Float32Array::from(std::mem::take(&mut self.values)));
        let vectors =
            FixedSizeListArray::try_new(Arc::clone(&self.element), self.dim, values, None).map_err(from_arrow)?;
        let columns: Vec<ArrayRef> = vec![self.ids.take(), Arc::new(vectors)];
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(from_arrow)?;
        self.writer.write(&batch).map_err(from_arrow)
    }
}

impl VectorSink for ArrowVectors {
    fn push(&mut self, id: RawId<'_>, vector: &[f32]) -> io::Result<()> {
        self.ids.push(id)?;
        self.values.extend_from_slice(vector);
        if size_of_val(&*self.values) >= VECTOR_BYTES || self.ids.bytes() >= BATCH_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, _: &mut dyn FnMut(Progress)) -> io::Result<()> {
        if !self.values.is_empty() {
            self.write()?;
        }
        self.writer.finish().map_err(from_arrow)?;
        self.writer.get_mut().flush()
    }
}
