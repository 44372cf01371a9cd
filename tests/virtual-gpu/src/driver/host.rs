//! Looks at host memory that a caller named, without faulting on it.

use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::AsRawFd;

/// A pipe: the kernel refuses to write from an address that cannot be read.
#[derive(Debug)]
pub struct HostProbe {
    reader: PipeReader,
    writer: PipeWriter,
}

impl HostProbe {
    /// Opens the pipe.
    pub fn new() -> std::io::Result<HostProbe> {
        let (reader, writer) = std::io::pipe()?;
        Ok(HostProbe { reader, writer })
    }

    /// The `N` bytes at `address`, or `None` where the host cannot read them.
    pub fn read<const N: usize>(&mut self, address: usize) -> Option<[u8; N]> {
        // SAFETY: write checks the address itself and answers EFAULT where it cannot be read; N is far below the
        // pipe's 64 KiB and the pipe is empty, so the call never blocks.
        let sent = unsafe { libc::write(self.writer.as_raw_fd(), address as *const libc::c_void, N) };
        let mut bytes = [0; N];
        let sent = usize::try_from(sent).ok()?;
        self.reader.read_exact(&mut bytes[..sent]).ok()?;
        (sent == N).then_some(bytes)
    }

    /// Whether the first and last of `bytes` bytes at `address` can be read.
    pub fn readable(&mut self, address: usize, bytes: usize) -> bool {
        let Some(last) = address.checked_add(bytes.saturating_sub(1)) else { return false };
        self.read::<1>(address).is_some() && self.read::<1>(last).is_some()
    }
}

/// A checksum of host bytes.
pub fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = 0x9e37_79b9_7f4a_7c15_u64 ^ bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks of 8"));
        sum = (sum ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    }
    for &byte in chunks.remainder() {
        sum = (sum ^ u64::from(byte)).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    }
    sum ^ (sum >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_tells_readable_memory() {
        let mut probe = HostProbe::new().unwrap();
        let words = [1_u64, 2];
        assert_eq!(probe.read::<8>(words.as_ptr() as usize + 8), Some(2_u64.to_le_bytes()));
        assert_eq!(probe.read::<8>(0), None);
        assert!(!probe.readable(16, 1));
    }

    #[test]
    fn a_checksum_sees_each_byte() {
        let mut bytes = vec![7_u8; 37];
        let before = checksum(&bytes);
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert_ne!(checksum(&bytes), before);
            bytes[at] ^= 1;
        }
    }
}
