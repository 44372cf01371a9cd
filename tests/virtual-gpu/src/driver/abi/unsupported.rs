//! What the virtual GPU does not offer. A program that needs it gets CUDA_ERROR_NOT_SUPPORTED and a finding, so that
//! it is not taken for tested.

use std::ffi::{c_int, c_uint, c_void};

use super::super::error::*;
use super::super::state::call;

macro_rules! unsupported {
    ($($name:ident($($type:ty),*);)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "` is not offered.")]
            ///
            /// # Safety
            /// Nothing is read or written.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($(_: $type),*) -> CUresult {
                call(|driver| {
                    let text = concat!(stringify!($name), " is not offered by the virtual GPU").to_owned();
                    driver.wrong("unsupported call", text, CUDA_ERROR_NOT_SUPPORTED)
                })
            }
        )*
    };
}

unsupported! {
    cuStreamBeginCaptureToGraph(usize, usize, *const usize, *const c_void, usize, c_int);
    cuStreamUpdateCaptureDependencies(usize, *mut usize, usize, c_uint);
    cuGraphAddMemcpyNode(*mut usize, usize, *const usize, usize, *const c_void, usize);
    cuGraphAddMemsetNode(*mut usize, usize, *const usize, usize, *const c_void, usize);
    cuGraphAddHostNode(*mut usize, usize, *const usize, usize, *const c_void);
    cuGraphAddChildGraphNode(*mut usize, usize, *const usize, usize, usize);
    cuGraphAddEmptyNode(*mut usize, usize, *const usize, usize);
    cuGraphAddDependencies(usize, *const usize, *const usize, usize);
    cuGraphClone(*mut usize, usize);
    cuLaunchCooperativeKernel(
        usize, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, usize, *mut *mut c_void
    );
    cuOccupancyMaxActiveClusters(*mut c_int, usize, *const c_void);
    cuOccupancyMaxPotentialClusterSize(*mut c_int, usize, *const c_void);
    cuMemAllocManaged(*mut u64, usize, c_uint);
    // A CUmemLocation is two ints, passed in one register.
    cuMemPrefetchAsync_v2(u64, usize, u64, c_uint, usize);
    cuMemAdvise_v2(u64, usize, c_int, u64);
    cuStreamAttachMemAsync(usize, u64, usize, c_uint);
    cuMemHostGetDevicePointer_v2(*mut u64, *mut c_void, c_uint);
    cuMemHostGetDevicePointer(*mut u64, *mut c_void, c_uint);
    cuMemHostRegister_v2(*mut c_void, usize, c_uint);
    cuMemHostUnregister(*mut c_void);
    cuImportExternalMemory(*mut usize, *const c_void);
    cuExternalMemoryGetMappedBuffer(*mut u64, usize, *const c_void);
    cuDestroyExternalMemory(usize);
}

/// There is no profiler to start.
#[unsafe(no_mangle)]
pub extern "C" fn cuProfilerStart() -> CUresult {
    CUDA_SUCCESS
}

/// There is no profiler to stop.
#[unsafe(no_mangle)]
pub extern "C" fn cuProfilerStop() -> CUresult {
    CUDA_SUCCESS
}
