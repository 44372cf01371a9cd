//! The device that is shown: its attributes.

use std::ffi::c_int;

use super::settings::Settings;

/// Numbers of one generation of data-centre GPUs.
#[derive(Clone, Copy, Debug)]
pub struct DeviceModel {
    /// Compute capability, major.
    pub major: c_int,
    /// Compute capability, minor.
    pub minor: c_int,
    /// Streaming multiprocessors.
    pub multiprocessors: c_int,
    /// Shared memory per block after opting in, bytes.
    pub shared_optin: c_int,
    /// Shared memory per multiprocessor, bytes.
    pub shared_per_multiprocessor: c_int,
    /// L2 cache, bytes.
    pub l2_bytes: c_int,
    /// Clock of the multiprocessors, kHz.
    pub clock_khz: c_int,
    /// Clock of the memory, kHz.
    pub memory_clock_khz: c_int,
    /// Width of the memory bus, bits.
    pub bus_bits: c_int,
    /// Device memory, bytes.
    pub memory_bytes: u64,
}

/// Shared memory per block without opting in, bytes.
pub const SHARED_DEFAULT: c_int = 48 << 10;
/// Shared memory the system takes of each block, bytes.
pub const SHARED_RESERVED: c_int = 1 << 10;
/// Threads per block at most.
pub const MAX_THREADS: c_int = 1024;
/// Threads per multiprocessor at most.
pub const MAX_THREADS_PER_MULTIPROCESSOR: c_int = 2048;
/// Blocks per multiprocessor at most.
pub const MAX_BLOCKS_PER_MULTIPROCESSOR: c_int = 32;
/// Block extents at most.
pub const MAX_BLOCK: [u32; 3] = [1024, 1024, 64];
/// Grid extents at most.
pub const MAX_GRID: [u32; 3] = [0x7fff_ffff, 65535, 65535];
/// The device's name.
pub const NAME: &str = "Virtual GPU";

impl DeviceModel {
    /// The model for the compute capability set: the numbers of an A100, H100 or B200.
    pub fn new(settings: &Settings) -> DeviceModel {
        let (major, minor) = settings.arch;
        let kib = 1 << 10;
        let mib = 1 << 20;
        let (multiprocessors, optin, per_sm, l2, clock, memory_clock, bus) = match major {
            10 => (148, 227 * kib, 228 * kib, 126 * mib, 1_965_000, 3_996_000, 8192),
            9 => (132, 227 * kib, 228 * kib, 50 * mib, 1_980_000, 2_619_000, 5120),
            _ => (108, 163 * kib, 164 * kib, 40 * mib, 1_410_000, 1_215_000, 5120),
        };
        DeviceModel {
            major,
            minor,
            multiprocessors,
            shared_optin: optin,
            shared_per_multiprocessor: per_sm,
            l2_bytes: l2,
            clock_khz: clock,
            memory_clock_khz: memory_clock,
            bus_bits: bus,
            memory_bytes: settings.memory_bytes,
        }
    }

    /// The value of a `CUdevice_attribute`; `None` where CUDA knows no such attribute. Textures, surfaces, managed
    /// memory, cooperative launches and sharing between processes or devices are not offered, so their attributes
    /// are 0.
    pub fn attribute(&self, attribute: c_int) -> Option<c_int> {
        Some(match attribute {
            1 => MAX_THREADS,
            2 => MAX_BLOCK[0] as c_int,
            3 => MAX_BLOCK[1] as c_int,
            4 => MAX_BLOCK[2] as c_int,
            5 => MAX_GRID[0] as c_int,
            6 => MAX_GRID[1] as c_int,
            7 => MAX_GRID[2] as c_int,
            8 => SHARED_DEFAULT,
            9 => 64 << 10,
            10 => 32,
            11 => c_int::MAX,
            12 | 82 => 65536,
            13 => self.clock_khz,
            14 => 512,
            15 | 31 | 41 | 78 | 79 | 80 | 90 | 115 => 1,
            16 => self.multiprocessors,
            33 => 1,
            36 => self.memory_clock_khz,
            37 => self.bus_bits,
            38 => self.l2_bytes,
            39 => MAX_THREADS_PER_MULTIPROCESSOR,
            40 => 3,
            75 => self.major,
            76 => self.minor,
            81 => self.shared_per_multiprocessor,
            87 => 2,
            97 => self.shared_optin,
            106 => MAX_BLOCKS_PER_MULTIPROCESSOR,
            111 => SHARED_RESERVED,
            _ if (1..=160).contains(&attribute) => 0,
            _ => return None,
        })
    }
}
