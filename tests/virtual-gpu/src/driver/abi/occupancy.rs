//! cuOccupancy*: from threads, shared memory and blocks per multiprocessor. Registers are left out, since only ptxas
//! knows them, so these are upper bounds.

use std::ffi::{c_int, c_uint};

use super::super::device::{MAX_BLOCKS_PER_MULTIPROCESSOR, MAX_THREADS_PER_MULTIPROCESSOR, SHARED_RESERVED};
use super::super::error::*;
use super::super::state::{Driver, call};
use super::put;

/// CUoccupancyB2DSize: dynamic shared memory for a block size.
pub type BlockToShared = Option<extern "C" fn(c_int) -> usize>;

/// What a function needs of a multiprocessor.
struct Needs {
    max_threads: c_int,
    static_shared: usize,
    dynamic_limit: usize,
}

impl Driver {
    fn needs(&mut self, function: usize) -> Outcome<Needs> {
        self.current()?;
        let found = self.function("cuOccupancy", function)?;
        let module = self.modules[&found.module].module.clone();
        let kernel = module.ptx.kernel(&found.name).expect("the function was found by this name in this module");
        let static_shared = kernel.static_shared_bytes();
        Ok(Needs {
            max_threads: kernel.max_threads as c_int,
            static_shared: static_shared as usize,
            dynamic_limit: self.dynamic_shared_limit(&found, static_shared) as usize,
        })
    }

    fn blocks(&self, needs: &Needs, threads: c_int, dynamic: usize) -> c_int {
        if threads <= 0 || threads > needs.max_threads || dynamic > needs.dynamic_limit {
            return 0;
        }
        let warps = (threads + 31) / 32;
        let by_threads = MAX_THREADS_PER_MULTIPROCESSOR / 32 / warps;
        let per_block = needs.static_shared + dynamic + SHARED_RESERVED as usize;
        let by_shared = (self.model.shared_per_multiprocessor as usize / per_block) as c_int;
        by_threads.min(by_shared).min(MAX_BLOCKS_PER_MULTIPROCESSOR)
    }

    /// Block size with the most threads in flight, the larger of equals, and the grid that fills the device.
    fn best_block(
        &mut self,
        function: usize,
        shared: &dyn Fn(c_int) -> usize,
        limit: c_int,
    ) -> Outcome<(c_int, c_int)> {
        let needs = self.needs(function)?;
        let most = if limit > 0 { limit.min(needs.max_threads) } else { needs.max_threads };
        let sizes = (1..=most / 32).map(|warps| warps * 32);
        let best = sizes.max_by_key(|&size| (self.blocks(&needs, size, shared(size)) * size, size));
        let size = best.ok_or(CudaError(CUDA_ERROR_INVALID_VALUE))?;
        Ok((self.blocks(&needs, size, shared(size)) * self.model.multiprocessors, size))
    }
}

/// Blocks that fit on a multiprocessor.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
    blocks: *mut c_int,
    function: usize,
    threads: c_int,
    dynamic: usize,
) -> CUresult {
    call(|driver| {
        let needs = driver.needs(function)?;
        let found = driver.blocks(&needs, threads, dynamic);
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(blocks, found) }
    })
}

/// As [`cuOccupancyMaxActiveBlocksPerMultiprocessor`].
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    blocks: *mut c_int,
    function: usize,
    threads: c_int,
    dynamic: usize,
    _flags: c_uint,
) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    unsafe { cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, dynamic) }
}

/// The block size with the most threads in flight.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxPotentialBlockSize(
    grid: *mut c_int,
    block: *mut c_int,
    function: usize,
    shared: BlockToShared,
    dynamic: usize,
    limit: c_int,
) -> CUresult {
    call(|driver| {
        let of = |threads| shared.map_or(dynamic, |f| f(threads));
        let (blocks, threads) = driver.best_block(function, &of, limit)?;
        // SAFETY: the caller's pointers, as the module says.
        unsafe {
            put(grid, blocks)?;
            put(block, threads)
        }
    })
}

/// As [`cuOccupancyMaxPotentialBlockSize`].
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyMaxPotentialBlockSizeWithFlags(
    grid: *mut c_int,
    block: *mut c_int,
    function: usize,
    shared: BlockToShared,
    dynamic: usize,
    limit: c_int,
    _flags: c_uint,
) -> CUresult {
    // SAFETY: the caller's pointers, as the module says.
    unsafe { cuOccupancyMaxPotentialBlockSize(grid, block, function, shared, dynamic, limit) }
}

/// Dynamic shared memory left to each of `blocks` blocks on a multiprocessor, bytes.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuOccupancyAvailableDynamicSMemPerBlock(
    dynamic: *mut usize,
    function: usize,
    blocks: c_int,
    threads: c_int,
) -> CUresult {
    call(|driver| {
        let needs = driver.needs(function)?;
        if blocks <= 0 || blocks > driver.blocks(&needs, threads, 0) {
            return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
        }
        let per_block = driver.model.shared_per_multiprocessor as usize / blocks as usize;
        let left = per_block.saturating_sub(needs.static_shared + SHARED_RESERVED as usize);
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(dynamic, left.min(needs.dynamic_limit)) }
    })
}
