//! What a test in the process may ask of the stand-in, which no driver of CUDA has.

use std::ffi::{c_char, c_uchar};

use super::super::state;

/// Writes the totals so far, [`super::super::counts::Counts::json`] as text without a nul byte, to `text`, which has
/// room for `room` bytes. Returns the bytes that the text has: where they are more than `room`, nothing was written.
/// 0 before cuInit. The call itself does not count.
///
/// # Safety
/// `text` is valid for writes of `room` bytes; it may be null when `room` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn virtual_gpu_counts(text: *mut c_char, room: usize) -> usize {
    let Ok(json) = state::with(|driver| Ok(driver.counts.json().to_string())) else { return 0 };
    if json.len() <= room && !text.is_null() {
        // SAFETY: `text` has room for as many bytes, as the function says, and a string of ours lies elsewhere.
        unsafe { text.cast::<c_uchar>().copy_from_nonoverlapping(json.as_ptr(), json.len()) };
    }
    json.len()
}
