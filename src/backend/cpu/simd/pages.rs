//! Large pages for large buffers.
//!
//! A batch reads and writes rows of a table in no order, so nearly each of them lies in another page of memory. With
//! pages of 4 KiB the processor finds the place of a row in tables that outgrow its caches too; with pages of 2 MiB it
//! has them at hand. Linux gives them unasked only where it is set to (`always`); the usual `madvise` wants to be asked.

use crate::backend::Elem;
use crate::{Result, memory};

/// Buffers from here on ask: a few large pages, of which the last may be wasted, must not show.
const LARGE: usize = 32 << 20;

/// `len` zeros on the host; in large pages, where they are many and the system has any. Advice after the first write
/// would change little, so buffers that become tables begin here.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub(crate) fn zeros<T: Elem>(len: usize) -> Result<Vec<T>> {
    // Fresh from the system: no page is there before the advice.
    let values = memory::zeros(len, "tables and buffers")?;
    advise(&values);
    Ok(values)
}

#[cfg(target_os = "linux")]
fn advise<T>(values: &[T]) {
    // Large pages begin where their size divides the address, and small ones of every host do so too.
    const PAGE: usize = 2 << 20;
    let bytes = size_of_val(values);
    if bytes < LARGE {
        return;
    }
    let start = values.as_ptr().cast::<u8>();
    let skipped = start.addr().next_multiple_of(PAGE) - start.addr();
    let (first, whole) = (start.wrapping_add(skipped).cast_mut().cast(), (bytes - skipped) / PAGE * PAGE);
    // SAFETY: the pages lie wholly within `values`, and this advice changes no byte of them.
    unsafe { libc::madvise(first, whole, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise<T>(_: &[T]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_of_every_length() {
        for len in [0, 1, 1000, LARGE / 4 - 1, LARGE / 4, LARGE / 4 + 12_345] {
            let mut values = zeros::<u32>(len).unwrap();
            assert!(values.len() == len && values.iter().all(|&value| value == 0));
            // Every one of them can be written.
            values.fill(7);
            assert!(values.iter().all(|&value| value == 7));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn large_buffers_have_large_pages() {
        let enabled = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
        if enabled.is_empty() || enabled.contains("[never]") {
            println!("this system has no large pages");
            return;
        }
        let values = zeros::<f32>(LARGE).unwrap();
        let here = values.as_ptr() as usize;
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        let mut flags = None;
        for line in maps.lines() {
            if let Some((start, end)) = line.split(' ').next().and_then(|range| range.split_once('-'))
                && let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
            {
                inside = (start..end).contains(&(here + LARGE));
            } else if inside && line.starts_with("VmFlags:") {
                flags = Some(line.to_owned());
            }
        }
        // `hg`: the advice was taken.
        assert!(flags.as_deref().is_some_and(|flags| flags.contains(" hg")), "{flags:?}");
    }
}
