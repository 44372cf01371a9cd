//! Launching: a kernel takes the arguments that it was declared with, of the size that its PTX declares.

use std::ffi::c_void;

use cudarc::driver::{result, sys};

use super::Cuda;
use super::arguments::KernelArgs;
use super::kernels::Kernel;
use crate::{Error, Result};

/// What a launch hands over: the bytes and the address of each parameter, in the kernel's order.
pub(crate) trait Arguments {
    fn parameters(&self) -> Vec<(usize, *mut c_void)>;
}

impl<A: KernelArgs> Arguments for A {
    fn parameters(&self) -> Vec<(usize, *mut c_void)> {
        vec![(size_of::<A>(), std::ptr::from_ref(self).cast_mut().cast())]
    }
}

/// One argument of a kernel that takes several.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg {
    U32(u32),
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
arg_from!(u32 => U32, u64 => U64, f32 => F32);

/// A list of arguments: u64 for addresses and long sizes, u32 and f32 as they are.
macro_rules! args {
    ($($arg:expr),* $(,)?) => { [$($crate::backend::cuda::launch::Arg::from($arg)),*] };
}
pub(crate) use args;

impl Arguments for [Arg] {
    fn parameters(&self) -> Vec<(usize, *mut c_void)> {
        let parameter = |arg: &Arg| match arg {
            Arg::U32(x) => (4, std::ptr::from_ref(x).cast_mut().cast()),
            Arg::U64(x) => (8, std::ptr::from_ref(x).cast_mut().cast()),
            Arg::F32(x) => (4, std::ptr::from_ref(x).cast_mut().cast()),
        };
        self.iter().map(parameter).collect()
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
    /// [`Error::Cuda`] naming the kernel: when the arguments are not of the sizes that its PTX declares, or when the
    /// driver refuses the launch.
    ///
    /// # Safety
    /// Every address must be valid on this device for all that the kernel reads and writes with these sizes; the
    /// arguments' comments and the kernel's say what that is.
    pub(super) unsafe fn launch<A: Arguments + ?Sized>(
        &self,
        kernel: &Kernel<A>,
        grid: [u32; 3],
        threads: u32,
        shared: u32,
        args: &A,
    ) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        let (given, mut addresses): (Vec<usize>, Vec<*mut c_void>) = args.parameters().into_iter().unzip();
        if given != kernel.params {
            let message = format!("arguments of {given:?} bytes, its PTX declares {:?}", kernel.params);
            return Err(Error::Cuda { op: format!("launch {}", kernel.name), message });
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
        let [x, y, z] = grid;
        // SAFETY: the function is loaded; each address is that of a part of `args` of the declared size (checked above),
        // all its bytes initialised, and outlives the call, which reads and copies it; what the arguments mean is the
        // caller's promise.
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
