//! Launching: a kernel takes the structure that it was declared with, of the size that its PTX declares.

use std::ffi::c_void;

use cudarc::driver::{result, sys};

use super::Cuda;
use super::arguments::KernelArgs;
use super::kernels::Kernel;
use crate::{Error, Result};

/// Blocks of `threads` threads so that there is one for each of `items`, as many as a grid's x may have at most.
pub(crate) fn blocks(items: usize, threads: usize) -> u32 {
    items.div_ceil(threads).min(i32::MAX as usize) as u32
}

impl Cuda {
    /// Queues a kernel on the compute stream, behind the copies of what was staged. An empty grid does nothing.
    ///
    /// # Errors
    /// [`Error::Cuda`] naming the kernel: when the arguments are not of the size that its PTX declares, or when the
    /// driver refuses the launch.
    ///
    /// # Safety
    /// Every address must be valid on this device for all that the kernel reads and writes with these sizes; the
    /// arguments' comments and the kernel's say what that is.
    pub(super) unsafe fn launch<A: KernelArgs>(
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
        let size = size_of::<A>();
        if kernel.param != Some(size) {
            let message = format!("arguments of {size} bytes, its PTX declares {:?}", kernel.param);
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
        let mut addresses: [*mut c_void; 1] = [std::ptr::from_ref(args).cast_mut().cast()];
        // SAFETY: the function is loaded; its one parameter's address is that of `args`, of the declared size (checked
        // above), all bytes initialised, which outlives the call, which reads and copies it; what the arguments mean is
        // the caller's promise.
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
