//! safetensors files: written from borrowed buffers, read tensor by tensor, so that neither needs a second copy.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use xxhash_rust::xxh3::Xxh3Default;

use crate::backend::{Elem, host_zeros};
use crate::data::dataset::FileInfo;
use crate::data::shard::ipc::ByteSource;
use crate::files::OpenedFile;
use crate::finite::all_finite;
use crate::{Error, Result};

/// No header of ours comes near this; it bounds what a damaged length can make us allocate.
const MAX_HEADER: u64 = 16 << 20;

/// An element type and its name in the file.
pub(crate) trait TensorElem: Elem {
    const DTYPE: Dtype;
    /// Whether none of the values is infinite or NaN.
    fn all_finite(values: &[Self]) -> bool;
}

impl TensorElem for f32 {
    const DTYPE: Dtype = Dtype::F32;
    fn all_finite(values: &[f32]) -> bool {
        all_finite(values)
    }
}
impl TensorElem for u32 {
    const DTYPE: Dtype = Dtype::U32;
    fn all_finite(_: &[u32]) -> bool {
        true
    }
}
impl TensorElem for half::bf16 {
    const DTYPE: Dtype = Dtype::BF16;
    fn all_finite(values: &[half::bf16]) -> bool {
        values.iter().all(|x| x.is_finite())
    }
}
impl TensorElem for half::f16 {
    const DTYPE: Dtype = Dtype::F16;
    fn all_finite(values: &[half::f16]) -> bool {
        values.iter().all(|x| x.is_finite())
    }
}

/// A tensor to be written.
pub(crate) struct Tensor<'a> {
    pub name: String,
    shape: Vec<usize>,
    dtype: Dtype,
    data: Cow<'a, [u8]>,
}

impl<'a> Tensor<'a> {
    pub(crate) fn new<T: TensorElem>(name: impl Into<String>, shape: &[usize], data: Cow<'a, [T]>) -> Tensor<'a> {
        let data = match data {
            Cow::Borrowed(values) => Cow::Borrowed(bytemuck::cast_slice(values)),
            Cow::Owned(values) => Cow::Owned(bytemuck::cast_slice(&values).to_vec()),
        };
        Tensor { name: name.into(), shape: shape.to_vec(), dtype: T::DTYPE, data }
    }
}

/// Writes the tensors to `path`, durable when this returns. Whoever calls renames.
pub(crate) fn write_tensors(path: &Path, name: &str, tensors: &[Tensor<'_>]) -> Result<FileInfo> {
    let failed = |e: std::io::Error| Error::io(path, e);
    let bad = |e: &dyn std::fmt::Display| Error::checkpoint(path, format!("cannot be written: {e}"));
    // Wide elements first, so that each lies at a multiple of its size.
    let mut tensors: Vec<&Tensor<'_>> = tensors.iter().collect();
    tensors.sort_by(|a, b| (b.dtype.bitsize(), &a.name).cmp(&(a.dtype.bitsize(), &b.name)));
    let mut at = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = at;
        at += tensor.data.len();
        let info = TensorInfo { dtype: tensor.dtype, shape: tensor.shape.clone(), data_offsets: (start, at) };
        (tensor.name.clone(), info)
    });
    let metadata = Metadata::new(None, infos.collect()).map_err(|e| bad(&e))?;
    let mut header = serde_json::to_vec(&metadata).map_err(|e| bad(&e))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() as u64 > MAX_HEADER {
        return Err(bad(&"its header is too long"));
    }
    let mut file = File::create(path).map_err(failed)?;
    let mut hasher = Xxh3Default::new();
    let mut bytes = 0;
    for part in
        [&(header.len() as u64).to_le_bytes(), &header[..]].into_iter().chain(tensors.iter().map(|t| &t.data[..]))
    {
        file.write_all(part).map_err(failed)?;
        hasher.update(part);
        bytes += part.len() as u64;
    }
    file.sync_all().map_err(failed)?;
    let xxh3 = Some(format!("{:016x}", hasher.digest()));
    Ok(FileInfo { name: name.into(), rows: tensors.len() as u64, bytes, xxh3, footer: None })
}

/// An opened safetensors file.
pub(crate) struct TensorFile {
    file: OpenedFile,
    metadata: Metadata,
    data_start: u64,
}

impl TensorFile {
    /// # Errors
    /// [`Error::Checkpoint`] when the header does not describe the file.
    pub(crate) fn open(path: &Path) -> Result<TensorFile> {
        Self::of(OpenedFile::open(path)?)
    }

    /// [`open`](TensorFile::open) of a file that is open.
    pub(crate) fn of(file: OpenedFile) -> Result<TensorFile> {
        let path = file.path();
        let bad = |reason: String| Error::checkpoint(path, format!("{reason}; the file is damaged, train again"));
        let len = file.bytes();
        let mut prefix = [0; 8];
        file.read(0, &mut prefix).map_err(|_| bad(format!("{len} bytes, too short for a header")))?;
        let header_len = u64::from_le_bytes(prefix);
        if header_len > MAX_HEADER || header_len > len - 8 {
            return Err(bad(format!("a header of {header_len} bytes in a file of {len}")));
        }
        let mut header = vec![0; header_len as usize];
        file.read(8, &mut header).map_err(|e| Error::io(path, e))?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| bad(format!("header: {e}")))?;
        let data_len = len - 8 - header_len;
        if metadata.data_len() as u64 != data_len {
            return Err(bad(format!("{data_len} bytes of data, the header says {}", metadata.data_len())));
        }
        Ok(TensorFile { file, metadata, data_start: 8 + header_len })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.metadata.info(name).is_some()
    }

    /// The shape of a tensor.
    pub(crate) fn shape(&self, name: &str) -> Result<&[usize]> {
        self.metadata
            .info(name)
            .map(|info| info.shape.as_slice())
            .ok_or_else(|| Error::checkpoint(self.file.path(), format!("there is no tensor `{name}`")))
    }

    /// The values of a tensor, which must have this shape and element type.
    pub(crate) fn read<T: TensorElem>(&self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        let found = self.shape(name)?;
        let bad = |reason: String| Err(Error::checkpoint(self.file.path(), format!("tensor `{name}` {reason}")));
        let Some(info) = self.metadata.info(name) else { return bad("is missing".into()) };
        if found != shape || info.dtype != T::DTYPE {
            return bad(format!(
                "is {:?} {found:?}, expected {:?} {shape:?}: the configuration differs",
                info.dtype,
                T::DTYPE
            ));
        }
        let (start, end) = info.data_offsets;
        let bytes = shape.iter().try_fold(size_of::<T>(), |n, &d| n.checked_mul(d));
        if start > end || end > self.metadata.data_len() || bytes != Some(end - start) {
            return bad(format!("spans bytes {start} to {end}, which do not fit its shape {shape:?}"));
        }
        let mut values: Vec<T> = host_zeros((end - start) / size_of::<T>())?;
        self.file
            .read(self.data_start + start as u64, bytemuck::cast_slice_mut(&mut values))
            .map_err(|e| Error::io(self.file.path(), e))?;
        Ok(values)
    }

    /// # Errors
    /// [`Error::Checkpoint`] naming the tensor where a value is not finite: a model that holds one scores nothing, or
    /// everything alike.
    pub(crate) fn need_finite<T: TensorElem>(&self, name: &str, values: &[T]) -> Result<()> {
        if T::all_finite(values) {
            return Ok(());
        }
        let reason = format!("tensor `{name}` contains NaN or infinity; the model cannot be used, train again");
        Err(Error::checkpoint(self.file.path(), reason))
    }
}
