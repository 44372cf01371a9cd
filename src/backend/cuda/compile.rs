//! From a kernel's source to a module on the device: the PTX that is committed, or NVRTC for the device's own
//! architecture.
//!
//! `TERCEL_PTX=embedded` takes the committed PTX (sm_80; the driver translates it for newer devices). `TERCEL_PTX=nvrtc`
//! compiles, and is an error where that fails. Unset: NVRTC where its library is found, and the committed PTX where it is
//! not, or where the driver is too old for what NVRTC wrote.

use std::path::PathBuf;
use std::sync::Arc;

use cudarc::driver::{CudaModule, sys};
use cudarc::nvrtc::{CompileError, CompileOptions, Ptx, compile_ptx_with_opts};

use super::context::{Context, cuda_error};
use super::source::{expand, only_for, options, program_name};
use crate::{Error, Result};

/// The first NVRTC that compiles for compute_90a.
const SM_90A_NVRTC: i32 = 12;

/// What `kernels/` holds of a stem.
pub(super) struct KernelSource {
    pub stem: &'static str,
    pub cuda: &'static str,
    /// Packed with zstd: a fifteenth of its size.
    pub ptx: &'static [u8],
}

/// A module and the PTX that it came from.
pub(super) struct CompiledModule {
    pub module: Arc<CudaModule>,
    pub ptx: String,
}

/// Where PTX comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PtxFrom {
    Embedded,
    Nvrtc,
}

/// Headers by the names that sources include them by: their paths below `kernels/`.
macro_rules! headers {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../kernels/", $name)))),*]
    };
}

/// The headers that sources include.
const HEADERS: &[(&str, &str)] = headers![
    "core/arguments.cuh",
    "core/convert.cuh",
    "core/copy.cuh",
    "core/fragments.cuh",
    "core/mma.cuh",
    "core/random.cuh",
    "core/reduce.cuh",
    "core/rounding.cuh",
    "core/rows.cuh",
    "core/shared.cuh",
    "core/shared_words.cuh",
    "core/sm90a/barrier.cuh",
    "core/sm90a/panel.cuh",
    "core/sm90a/product.cuh",
    "core/sm90a/product_int8.cuh",
    "core/sm90a/ticket.cuh",
    "core/sm90a/warpgroup.cuh",
    "core/split.cuh",
    "core/status.cuh",
    "core/tile.cuh",
    "core/types.cuh",
    "embedding/arguments.cuh",
    "embedding/fwd.cuh",
    "embedding/step.cuh",
    "linear/arguments.cuh",
    "linear/gemm.cuh",
    "loss/arguments.cuh",
    "loss/common.cuh",
    "loss/finish.cuh",
    "loss/narrow.cuh",
    "loss/narrow_bwd.cuh",
    "loss/narrow_fwd.cuh",
    "loss/operands.cuh",
    "loss/prepare.cuh",
    "loss/reference.cuh",
    "loss/rows.cuh",
    "loss/sm90a/arguments.cuh",
    "loss/sm90a/backward.cuh",
    "loss/sm90a/call.cuh",
    "loss/sm90a/consumer.cuh",
    "loss/sm90a/finish.cuh",
    "loss/sm90a/forward.cuh",
    "loss/sm90a/prepare.cuh",
    "loss/weights.cuh",
    "loss/wide.cuh",
    "loss/wide_bwd.cuh",
    "loss/wide_fwd.cuh",
    "norm/arguments.cuh",
    "optim/arguments.cuh",
    "optim/rule.cuh",
    "tiles/arguments.cuh",
    "topk/arguments.cuh",
    "topk/bounds.cuh",
    "topk/exact.cuh",
    "topk/hits.cuh",
    "topk/keys.cuh",
    "topk/narrow.cuh",
    "topk/prepare.cuh",
    "topk/rank.cuh",
    "topk/scan.cuh",
    "topk/sm90a/arguments.cuh",
    "topk/sm90a/codes.cuh",
    "topk/sm90a/lane_list.cuh",
    "topk/sm90a/lists.cuh",
    "topk/sm90a/panels.cuh",
    "topk/sm90a/rank.cuh",
    "topk/sm90a/scan.cuh",
    "topk/sm90a/scatter.cuh",
    "topk/wide.cuh",
];

/// The text of a header.
fn header(name: &str) -> Option<String> {
    HEADERS.iter().find(|(header, _)| *header == name).map(|(_, text)| (*text).to_owned())
}

/// What `TERCEL_PTX` asks for; `None` when it is not set.
///
/// # Errors
/// [`Error::Config`] for another word.
fn asked() -> Result<Option<PtxFrom>> {
    match std::env::var("TERCEL_PTX").as_deref() {
        Err(_) | Ok("") => Ok(None),
        Ok("embedded") => Ok(Some(PtxFrom::Embedded)),
        Ok("nvrtc") => Ok(Some(PtxFrom::Nvrtc)),
        Ok(other) => Err(Error::config("TERCEL_PTX", format!("`{other}` is not one of embedded, nvrtc"))),
    }
}

/// Where PTX comes from on this host.
///
/// # Errors
/// As [`asked`].
pub(super) fn choice() -> Result<PtxFrom> {
    Ok(asked()?.unwrap_or(if nvrtc_present() { PtxFrom::Nvrtc } else { PtxFrom::Embedded }))
}

/// Whether NVRTC's library can be found.
fn nvrtc_present() -> bool {
    // SAFETY: the call opens the library by name and closes it again; it calls no function of it.
    unsafe { cudarc::nvrtc::sys::is_culib_present() }
}

/// Loads a stem.
///
/// # Errors
/// [`Error::KernelCompile`] with NVRTC's log, [`Error::Cuda`] with the driver's words, [`Error::Config`].
pub(super) fn load(context: &Context, source: &KernelSource) -> Result<CompiledModule> {
    let asked = asked()?;
    if choice()? == PtxFrom::Nvrtc {
        let old = asked.is_none() && only_for(source.stem).is_some() && nvrtc_version().0 < SM_90A_NVRTC;
        if old {
            tracing::warn!("NVRTC is older than {SM_90A_NVRTC}.0, which {} needs: using the embedded PTX", source.stem);
        } else {
            let ptx = compiled(context, source)?;
            match context.cuda.load_module(Ptx::from_src(ptx.as_str())) {
                Ok(module) => return Ok(CompiledModule { module, ptx }),
                Err(e) if asked.is_none() && e.0 == sys::CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
                    tracing::warn!(
                        "the driver is older than NVRTC and rejects its PTX for {}: using the embedded PTX",
                        source.stem
                    );
                }
                Err(e) => return Err(cuda_error(&format!("load {} as NVRTC compiled it", source.stem), e)),
            }
        }
    }
    let ptx = embedded(source)?;
    let module = context.cuda.load_module(Ptx::from_src(ptx.as_str()));
    let module = module.map_err(|e| cuda_error(&format!("load the embedded PTX of {}", source.stem), e))?;
    Ok(CompiledModule { module, ptx })
}

/// The committed PTX of a stem.
///
/// # Errors
/// [`Error::KernelCompile`] where the build is damaged.
fn embedded(source: &KernelSource) -> Result<String> {
    let read = zstd::decode_all(source.ptx);
    let text = read.and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other));
    text.map_err(|e| Error::KernelCompile {
        stem: source.stem.into(),
        log: format!("the embedded PTX cannot be unpacked: {e}; build again"),
    })
}

/// PTX for the device's architecture, from the cache where it has been compiled before.
fn compiled(context: &Context, source: &KernelSource) -> Result<String> {
    if !nvrtc_present() {
        let reason = "TERCEL_PTX=nvrtc, but libnvrtc was not found; install it or set TERCEL_PTX=embedded";
        return Err(Error::CudaUnavailable { reason: reason.into() });
    }
    let text = expand(source.cuda, source.stem, &header);
    let own = format!("compute_{}", context.info.compute_capability);
    let arch = only_for(source.stem).map_or(own, str::to_owned);
    let (major, minor) = nvrtc_version();
    let key = xxhash_rust::xxh3::xxh3_64(format!("{major}.{minor}\n{arch}\n{text}").as_bytes());
    let cached = cache_folder().map(|folder| folder.join(format!("{}-{arch}-{key:016x}.ptx", source.stem)));
    if let Some(ptx) = cached.as_ref().and_then(|path| std::fs::read_to_string(path).ok()) {
        return Ok(ptx);
    }
    let options =
        CompileOptions { name: Some(program_name(source.stem)), options: options(&arch), ..Default::default() };
    let compiled = compile_ptx_with_opts(&text, options).map_err(|e| Error::KernelCompile {
        stem: source.stem.into(),
        log: match e {
            CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
            other => format!("{other:?}"),
        },
    })?;
    let ptx = compiled.to_src();
    if let Some(path) = cached {
        // A cache that cannot be written costs time at the next start, nothing else.
        if let Err(e) = store(&path, &ptx) {
            tracing::debug!("{}: {e}", path.display());
        }
    }
    Ok(ptx)
}

/// NVRTC's version. The library must be there ([`nvrtc_present`]).
fn nvrtc_version() -> (i32, i32) {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is there (every caller looked); the call writes two integers to the addresses that it is given.
    let _ = unsafe { cudarc::nvrtc::sys::nvrtcVersion(&mut major, &mut minor) };
    (major, minor)
}

fn store(path: &std::path::Path, ptx: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, ptx.as_bytes())?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// `$XDG_CACHE_HOME/tercel`, or `~/.cache/tercel`.
fn cache_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).map(|folder| folder.join("tercel"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_pasted_once_and_lines_keep_their_numbers() {
        let text = expand("#include \"core/mma.cuh\"\n#include \"core/mma.cuh\"\nint x;\n", "a", &header);
        assert_eq!(text.matches("void mma_bf16(").count(), 1);
        assert!(!text.contains("#include") && !text.contains("#pragma once"));
        assert!(text.ends_with("#line 3 \"kernels/a/a.cu\"\nint x;\n"), "{}", &text[text.len() - 80..]);
    }

    #[test]
    fn every_header_is_embedded() {
        let kernels = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        let (mut found, mut folders) = (Vec::new(), vec![kernels.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "cuh") {
                    found.push(path.strip_prefix(&kernels).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort_unstable();
        let listed: Vec<_> = HEADERS.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, found, "HEADERS lists the headers of kernels/ in the order of their names");
    }
}
