//! Checks of the addresses that a copy or a memset names, at the call.

use super::buffers::Lookup;
use super::error::*;
use super::host::checksum;
use super::settings::StreamMode;
use super::state::Driver;
use super::stream::{Action, Source};

/// What a host address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HostMemory {
    Pageable,
    /// Base of the pinned buffer.
    Pinned(u64),
}

/// Bytes of poison in pinned memory that a queued copy is going to fill: a NaN in every float format.
pub const POISON: u8 = 0xff;

impl Driver {
    /// Checks that `bytes` bytes from `address` lie in one live device allocation. `call` is for the message.
    pub fn check_device(&mut self, call: &str, address: u64, bytes: u64) -> Outcome {
        let (kind, text) = match self.device.look_up(address, bytes) {
            Lookup::Inside(_) => return Ok(()),
            Lookup::PastEnd(words) => ("out of bounds copy", format!("{call}: {words}")),
            Lookup::Freed(words, _) => ("use after free", format!("{call}: {address:#x} is in {words}")),
            Lookup::Nothing if self.probe.readable(address as usize, 1) => (
                "host pointer as device pointer",
                format!("{call}: {address:#x} is host memory where a device address is needed"),
            ),
            Lookup::Nothing => ("invalid device address", format!("{call}: {address:#x} is in no device allocation")),
        };
        self.wrong(kind, text, CUDA_ERROR_INVALID_VALUE)
    }

    fn check_host(&mut self, call: &str, address: usize, bytes: usize) -> Outcome<HostMemory> {
        let (at, length) = (address as u64, bytes as u64);
        if self.device.look_up(at, 1) != Lookup::Nothing {
            let text = format!("{call}: {address:#x} is device memory where a host address is needed");
            return self.wrong("device pointer as host pointer", text, CUDA_ERROR_INVALID_VALUE);
        }
        match self.pinned.look_up(at, length) {
            Lookup::Inside(base) => Ok(HostMemory::Pinned(base)),
            Lookup::PastEnd(words) => {
                self.wrong("out of bounds copy", format!("{call}: {words} (pinned)"), CUDA_ERROR_INVALID_VALUE)
            }
            // The address may have been given to somebody else since: freed pinned memory counts as pageable.
            Lookup::Freed(..) | Lookup::Nothing if self.probe.readable(address, bytes) => Ok(HostMemory::Pageable),
            Lookup::Freed(words, _) => {
                let text = format!("{call}: {address:#x} is in {words} (pinned)");
                self.wrong("use after free", text, CUDA_ERROR_INVALID_VALUE)
            }
            Lookup::Nothing => {
                let text = format!("{call}: {bytes} bytes of host memory at {address:#x} cannot be read");
                self.wrong("invalid host address", text, CUDA_ERROR_INVALID_VALUE)
            }
        }
    }

    /// Host to device. With `wait` the call is the synchronous one, which returns once the source may be reused.
    pub fn copy_to_device(
        &mut self,
        call: &str,
        to: u64,
        from: usize,
        bytes: usize,
        slot: usize,
        wait: bool,
    ) -> Outcome {
        if bytes == 0 {
            return Ok(());
        }
        self.check_device(call, to, bytes as u64)?;
        let memory = self.check_host(call, from, bytes)?;
        self.refuse_pageable(call, memory, slot)?;
        // SAFETY: the caller passes a source of `bytes` bytes, and both ends were found readable above.
        let source = unsafe { std::slice::from_raw_parts(from as *const u8, bytes) };
        let from = match memory {
            HostMemory::Pageable => Source::Staged(source.to_vec()),
            HostMemory::Pinned(base) => Source::Pinned { address: from, bytes, checksum: checksum(source), base },
        };
        self.put(slot, "copy from the host", Action::HostToDevice { to, from })?;
        match (wait, memory) {
            (true, HostMemory::Pinned(_)) => self.wait_for_copy(slot),
            // The staged bytes may still be on their way when the synchronous call returns.
            _ => Ok(()),
        }
    }

    /// Device to host. The call waits for the copy when `wait` is set or the target is pageable.
    pub fn copy_to_host(&mut self, call: &str, to: usize, from: u64, bytes: usize, slot: usize, wait: bool) -> Outcome {
        if bytes == 0 {
            return Ok(());
        }
        let memory = self.check_host(call, to, bytes)?;
        self.check_device(call, from, bytes as u64)?;
        let pinned = match memory {
            HostMemory::Pageable => None,
            HostMemory::Pinned(base) => Some(base),
        };
        self.refuse_pageable(call, memory, slot)?;
        if let Some(base) = pinned
            && !wait
            && self.streams[slot].captured.is_none()
        {
            self.poison_target(to, bytes, base);
        }
        self.put(slot, "copy to the host", Action::DeviceToHost { to, from, bytes, pinned })?;
        match wait || pinned.is_none() {
            true => self.wait_for_copy(slot),
            false => Ok(()),
        }
    }

    fn wait_for_copy(&mut self, slot: usize) -> Outcome {
        self.counts.synchronisations += 1;
        self.synchronise_stream(slot)
    }

    /// What the target of a copy holds until it is done is anybody's guess, so a program that looks gets NaN, unless
    /// other copies need the buffer's bytes. The range is inside the live pinned buffer at `base`.
    pub fn poison_target(&mut self, to: usize, bytes: usize, base: u64) {
        let delayed = matches!(self.settings.streams, StreamMode::Late | StreamMode::Random(_));
        if delayed && !self.pinned_in_use(base) {
            // SAFETY: the range is inside a live pinned buffer that the caller of the copy handed over for writing.
            unsafe { std::slice::from_raw_parts_mut(to as *mut u8, bytes) }.fill(POISON);
        }
    }

    /// Refuses pageable memory in a capture: the graph would read or write it at each launch, when it may be gone.
    fn refuse_pageable(&mut self, call: &str, memory: HostMemory, slot: usize) -> Outcome {
        match memory {
            HostMemory::Pinned(_) => Ok(()),
            HostMemory::Pageable => {
                let text = format!("{call}: pageable host memory in a capture, it has to be pinned");
                self.refuse_captured(slot, "pageable memory in a capture", &text, CUDA_ERROR_NOT_SUPPORTED)
            }
        }
    }

    /// Whether a queued copy reads or writes the pinned buffer.
    fn pinned_in_use(&self, buffer: u64) -> bool {
        self.streams.iter().flat_map(|s| &s.queue).any(|op| match &op.action {
            Action::HostToDevice { from: Source::Pinned { base, .. }, .. } => *base == buffer,
            Action::DeviceToHost { pinned, .. } => *pinned == Some(buffer),
            _ => false,
        })
    }

    /// Device to device.
    pub fn copy_on_device(&mut self, call: &str, to: u64, from: u64, bytes: u64, slot: usize) -> Outcome {
        if bytes == 0 {
            return Ok(());
        }
        self.check_device(call, to, bytes)?;
        self.check_device(call, from, bytes)?;
        self.put(slot, "copy on the device", Action::DeviceToDevice { to, from, bytes }).map(drop)
    }

    /// Memset of `count` elements of `width` bytes.
    pub fn fill_device(&mut self, call: &str, to: u64, value: u32, width: u32, count: u64, slot: usize) -> Outcome {
        if count == 0 {
            return Ok(());
        }
        if !to.is_multiple_of(u64::from(width)) {
            let text = format!("{call}: {to:#x} is not aligned to {width} bytes");
            return self.wrong("misaligned memset", text, CUDA_ERROR_INVALID_VALUE);
        }
        let Some(bytes) = count.checked_mul(u64::from(width)) else {
            return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
        };
        self.check_device(call, to, bytes)?;
        self.put(slot, "memset", Action::Fill { to, value, width, count }).map(drop)
    }
}
