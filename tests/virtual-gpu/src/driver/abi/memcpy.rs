//! cuMemcpy* and cuMemset*.

use std::ffi::{c_uchar, c_uint, c_ushort, c_void};

use super::super::error::*;
use super::super::state::call;

macro_rules! both {
    ($(#[$doc:meta])* $v2:ident, $plain:ident, ($($arg:ident: $type:ty),*), $body:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As the module says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $v2($($arg: $type),*) -> CUresult {
            let run: fn($($type),*) -> CUresult = $body;
            run($($arg),*)
        }

        #[doc = concat!("As [`", stringify!($v2), "`].")]
        ///
        /// # Safety
        /// As the module says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $plain($($arg: $type),*) -> CUresult {
            // SAFETY: the caller's arguments, as the module says.
            unsafe { $v2($($arg),*) }
        }
    };
}

both! {
    /// Host to device on the default stream; returns once the source may be reused.
    cuMemcpyHtoD_v2, cuMemcpyHtoD, (to: u64, from: *const c_void, bytes: usize),
    |to, from, bytes| call(|driver| {
        driver.refuse_unsafe("cuMemcpyHtoD")?;
        let slot = driver.stream("cuMemcpyHtoD", 0)?;
        driver.copy_to_device("cuMemcpyHtoD", to, from as usize, bytes, slot, true)
    })
}

both! {
    /// Device to host on the default stream.
    cuMemcpyDtoH_v2, cuMemcpyDtoH, (to: *mut c_void, from: u64, bytes: usize),
    |to, from, bytes| call(|driver| {
        driver.refuse_unsafe("cuMemcpyDtoH")?;
        let slot = driver.stream("cuMemcpyDtoH", 0)?;
        driver.copy_to_host("cuMemcpyDtoH", to as usize, from, bytes, slot, true)
    })
}

both! {
    /// Device to device on the default stream; the host does not wait.
    cuMemcpyDtoD_v2, cuMemcpyDtoD, (to: u64, from: u64, bytes: usize),
    |to, from, bytes| call(|driver| {
        driver.refuse_unsafe("cuMemcpyDtoD")?;
        let slot = driver.stream("cuMemcpyDtoD", 0)?;
        driver.copy_on_device("cuMemcpyDtoD", to, from, bytes as u64, slot)
    })
}

both! {
    /// Host to device in a stream's order. Pageable memory is read at once, pinned memory when the copy runs.
    cuMemcpyHtoDAsync_v2, cuMemcpyHtoDAsync, (to: u64, from: *const c_void, bytes: usize, stream: usize),
    |to, from, bytes, stream| call(|driver| {
        let slot = driver.stream("cuMemcpyHtoDAsync", stream)?;
        driver.copy_to_device("cuMemcpyHtoDAsync", to, from as usize, bytes, slot, false)
    })
}

both! {
    /// Device to host in a stream's order. To pageable memory the call waits for the copy.
    cuMemcpyDtoHAsync_v2, cuMemcpyDtoHAsync, (to: *mut c_void, from: u64, bytes: usize, stream: usize),
    |to, from, bytes, stream| call(|driver| {
        let slot = driver.stream("cuMemcpyDtoHAsync", stream)?;
        driver.copy_to_host("cuMemcpyDtoHAsync", to as usize, from, bytes, slot, false)
    })
}

both! {
    /// Device to device in a stream's order.
    cuMemcpyDtoDAsync_v2, cuMemcpyDtoDAsync, (to: u64, from: u64, bytes: usize, stream: usize),
    |to, from, bytes, stream| call(|driver| {
        let slot = driver.stream("cuMemcpyDtoDAsync", stream)?;
        driver.copy_on_device("cuMemcpyDtoDAsync", to, from, bytes as u64, slot)
    })
}

both! {
    /// Sets bytes on the default stream.
    cuMemsetD8_v2, cuMemsetD8, (to: u64, value: c_uchar, count: usize),
    |to, value, count| call(|driver| {
        driver.refuse_unsafe("cuMemsetD8")?;
        let slot = driver.stream("cuMemsetD8", 0)?;
        driver.fill_device("cuMemsetD8", to, u32::from(value), 1, count as u64, slot)
    })
}

both! {
    /// Sets 16-bit words on the default stream.
    cuMemsetD16_v2, cuMemsetD16, (to: u64, value: c_ushort, count: usize),
    |to, value, count| call(|driver| {
        driver.refuse_unsafe("cuMemsetD16")?;
        let slot = driver.stream("cuMemsetD16", 0)?;
        driver.fill_device("cuMemsetD16", to, u32::from(value), 2, count as u64, slot)
    })
}

both! {
    /// Sets 32-bit words on the default stream.
    cuMemsetD32_v2, cuMemsetD32, (to: u64, value: c_uint, count: usize),
    |to, value, count| call(|driver| {
        driver.refuse_unsafe("cuMemsetD32")?;
        let slot = driver.stream("cuMemsetD32", 0)?;
        driver.fill_device("cuMemsetD32", to, value, 4, count as u64, slot)
    })
}

/// Sets bytes in a stream's order.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8Async(to: u64, value: c_uchar, count: usize, stream: usize) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuMemsetD8Async", stream)?;
        driver.fill_device("cuMemsetD8Async", to, u32::from(value), 1, count as u64, slot)
    })
}

/// Sets 16-bit words in a stream's order.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD16Async(to: u64, value: c_ushort, count: usize, stream: usize) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuMemsetD16Async", stream)?;
        driver.fill_device("cuMemsetD16Async", to, u32::from(value), 2, count as u64, slot)
    })
}

/// Sets 32-bit words in a stream's order.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD32Async(to: u64, value: c_uint, count: usize, stream: usize) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuMemsetD32Async", stream)?;
        driver.fill_device("cuMemsetD32Async", to, value, 4, count as u64, slot)
    })
}

/// Device to device between contexts of the one device, in a stream's order.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyPeerAsync(
    to: u64,
    _to_context: usize,
    from: u64,
    _from_context: usize,
    bytes: usize,
    stream: usize,
) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuMemcpyPeerAsync", stream)?;
        driver.copy_on_device("cuMemcpyPeerAsync", to, from, bytes as u64, slot)
    })
}
