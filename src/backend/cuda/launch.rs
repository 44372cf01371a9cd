//! Launching: arguments by type, checked against what the kernel's PTX declares.

use std::ffi::c_void;

use cudarc::driver::{result, sys};

use super::Cuda;
use super::kernels::Kernel;
use crate::{Error, Result};

/// One argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg {
    U32(u32),
    I32(i32),
    U64(u64),
    F32(f32),
}

macro_rules! arg_from {
    ($($rust:ty => $variant:ident),*) => {
        $(impl From<$rust> for Arg {
            fn from(x: $rust) -> Arg {
                Arg::$variant(x)
            }
        })*
    };
}
arg_from!(u32 => U32, i32 => I32, u64 => U64, f32 => F32);

/// A list of arguments: u64 for addresses and long sizes, u32, i32 and f32 as they are.
macro_rules! args {
    ($($arg:expr),* $(,)?) => { [$($crate::backend::cuda::launch::Arg::from($arg)),*] };
}
pub(crate) use args;

impl Arg {
    fn bytes(&self) -> u8 {
        match self {
            Arg::U32(_) | Arg::I32(_) | Arg::F32(_) => 4,
            Arg::U64(_) => 8,
        }
    }

    fn address(&mut self) -> *mut c_void {
        match self {
            Arg::U32(x) => std::ptr::from_mut(x).cast(),
            Arg::I32(x) => std::ptr::from_mut(x).cast(),
            Arg::U64(x) => std::ptr::from_mut(x).cast(),
            Arg::F32(x) => std::ptr::from_mut(x).cast(),
        }
    }
}

/// Blocks of `threads` threads so that there is one for each of `items`, as many as a grid's x may have at most.
pub(crate) fn blocks(items: usize, threads: usize) -> u32 {
    items.div_ceil(threads).min(i32::MAX as usize) as u32
}

impl Cuda {
    /// Queues a kernel on the compute stream, behind the copies of what was staged. An empty grid does nothing.
    ///
    /// # Errors
    /// [`Error::Cuda`] naming the kernel: when the arguments are not those that its PTX declares, or when the driver
    /// refuses the launch.
    ///
    /// # Safety
    /// The arguments must mean to the kernel what they mean to the caller, in the kernel's order: every address must be
    /// valid on this device for all that the kernel reads and writes with these sizes.
    pub(super) unsafe fn launch(
        &self,
        kernel: &Kernel,
        grid: [u32; 3],
        threads: u32,
        shared: u32,
        args: &[Arg],
    ) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        let error = |message: String| Error::Cuda { op: format!("launch {}", kernel.name), message };
        let given = args.iter().map(Arg::bytes);
        if !given.clone().eq(kernel.params.iter().copied()) {
            let given: Vec<u8> = given.collect();
            return Err(error(format!("arguments of {given:?} bytes, its PTX declares {:?}", kernel.params)));
        }
        self.flush()?;
        let context = &self.context;
        context.bind()?;
        // More than 48 KiB must be asked for, and the kernel's static memory counts too.
        if shared > 32 << 10 {
            let what = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let set = kernel.function.set_attribute(what, shared as i32);
            context.check(&format!("give {shared} bytes of shared memory to {}", kernel.name), set)?;
        }
        let mut args = args.to_vec();
        let mut addresses: Vec<*mut c_void> = args.iter_mut().map(Arg::address).collect();
        let [x, y, z] = grid;
        // SAFETY: the function is loaded; each address is that of an argument of the declared size (checked above) and
        // outlives the call, which copies them; what they mean is the caller's promise.
        let launched = unsafe {
            result::launch_kernel(
                kernel.function.cu_function(),
                (x, y, z),
                (threads, 1, 1),
                shared,
                context.compute.cu_stream(),
                &mut addresses,
            )
        };
        context.check(&format!("launch {}", kernel.name), launched)
    }
}
