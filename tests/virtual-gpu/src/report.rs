//! What a launch reports: the fault that ended it, warnings, counters.

use serde::Serialize;

/// Where a fault or a warning happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The kernel's name.
    pub kernel: String,
    /// Source file from the line information, empty when the PTX has none.
    pub file: String,
    /// Source line, 0 when the PTX has none.
    pub line: u32,
    /// The text of the PTX instruction.
    pub instruction: String,
    /// Block index (x, y, z).
    pub block: [u32; 3],
    /// Thread index in the block (x, y, z).
    pub thread: [u32; 3],
}

/// The program did something a GPU would stop for (or never return from): the launch ended here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// What happened, a short fixed phrase such as `out of bounds global load`.
    pub kind: String,
    /// Where.
    pub place: Place,
    /// The numbers: address, distance from the nearest allocation, shared offset and size.
    pub detail: String,
}

/// The program did something that is wrong although the launch went on: a race, a read of unwritten memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Warning {
    /// What happened, a short fixed phrase such as `shared memory race`.
    pub kind: String,
    /// Where (the later of the two accesses of a race).
    pub place: Place,
    /// The numbers, and the other party of a race.
    pub detail: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ([bx, by, bz], [tx, ty, tz]) = (self.block, self.thread);
        write!(f, "{} at {}:{}, block ({bx},{by},{bz}) thread ({tx},{ty},{tz})", self.kernel, self.file, self.line)?;
        write!(f, ", `{}`", self.instruction)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.kind, self.detail, self.place)
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.kind, self.detail, self.place)
    }
}

/// The result of one launch.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What ended the launch early, if anything did.
    pub fault: Option<Fault>,
    /// The first warnings, sorted; at most [`Report::MAX_WARNINGS`].
    pub warnings: Vec<Warning>,
    /// How many warnings there were in all (those of one instruction and kind count once).
    pub warnings_total: u64,
    /// What the launch did.
    pub counters: Counters,
    /// Which device memory the launch touched, by allocation, in no order. The driver looks for stream hazards in it.
    #[serde(skip)]
    pub touched: Vec<Touched>,
}

/// What a launch touched of one allocation: the smallest ranges of device addresses that hold all its accesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Device address of the allocation.
    pub allocation: u64,
    /// Addresses read (cp.async and atomics included), `None` when none was.
    pub read: Option<std::ops::Range<u64>>,
    /// Addresses written (atomics included), `None` when none was.
    pub written: Option<std::ops::Range<u64>>,
}

impl Report {
    /// How many warnings a report keeps.
    pub const MAX_WARNINGS: usize = 16;
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts of one launch, summed over blocks. Instructions are PTX instructions.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        impl std::ops::AddAssign for Counters {
            fn add_assign(&mut self, other: Counters) { $(self.$name += other.$name;)* }
        }
    };
}

counters! {
    /// Instructions issued, one per warp.
    warp_instructions,
    /// Instructions issued times active lanes.
    lane_instructions,
    /// Warp-wide loads of global memory, cp.async included.
    global_load_requests,
    /// 32-byte sectors those loads touch.
    global_load_sectors,
    /// The fewest sectors the same bytes would need.
    global_load_sectors_ideal,
    /// Warp-wide stores to global memory.
    global_store_requests,
    /// 32-byte sectors those stores touch.
    global_store_sectors,
    /// The fewest sectors the same bytes would need.
    global_store_sectors_ideal,
    /// Different sectors read by the launch: the DRAM reads with an infinite cache that starts cold.
    distinct_sectors_read,
    /// Different sectors written by the launch.
    distinct_sectors_written,
    /// Warp-wide loads of shared memory, ldmatrix included.
    shared_load_requests,
    /// Warp-wide stores to shared memory, cp.async included.
    shared_store_requests,
    /// Passes over the 32 banks that the shared requests take.
    shared_wavefronts,
    /// The fewest passes the same bytes would need.
    shared_wavefronts_ideal,
    /// ldmatrix instructions.
    ldmatrix,
    /// 8x8 matrices loaded by ldmatrix.
    ldmatrix_matrices,
    /// cp.async instructions.
    cp_async_requests,
    /// Sectors read by cp.async.
    cp_async_sectors,
    /// The fewest sectors the same bytes would need.
    cp_async_sectors_ideal,
    /// Bulk copies to shared memory (`cp.async.bulk`).
    bulk_copies,
    /// Sectors read by bulk copies.
    bulk_copy_sectors,
    /// Lane-wide atomics on global memory.
    atomics_global,
    /// Lane-wide atomics on shared memory.
    atomics_shared,
    /// Lane-wide f32 operations (an fma counts 2).
    fp32_flops,
    /// Lane-wide f64 operations (an fma counts 2).
    fp64_flops,
    /// Operations of mma.sync (2 m n k each).
    mma_flops,
    /// mma.sync instructions, one per warp.
    mma,
    /// Lane-wide operations of the special function unit (ex2, lg2, rcp, rsqrt, sqrt, sin, cos, tanh).
    mufu,
    /// Branches that part of a warp's lanes took.
    divergent_branches,
    /// Barriers of a block completed.
    barriers,
    /// shfl.sync instructions, one per warp.
    shuffles,
    /// Blocks run.
    blocks,
    /// Threads run.
    threads,
}
