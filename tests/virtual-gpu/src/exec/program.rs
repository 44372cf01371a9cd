//! A decoded kernel: steps that run without looking at text again.

use super::block::Block;
use super::mbarrier::Await;
use super::warp::{LANES, Pred, R32, R64, Row, Warp};

/// Why a block cannot go on.
pub(crate) struct Stop {
    pub kind: &'static str,
    /// The lane it happened in.
    pub lane: u32,
    pub detail: String,
}

/// A step on registers only.
pub(crate) type Alu = Box<dyn Fn(&mut Warp) + Send + Sync>;
/// A step that needs the block.
pub(crate) type Mem = Box<dyn Fn(&mut Warp, &mut Block<'_>) -> Result<(), Stop> + Send + Sync>;

/// What happens to the predicates of a `bar.red`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduce {
    None,
    Popc(R32),
    And(Pred),
    Or(Pred),
}

/// A barrier instruction.
pub(crate) struct BarrierStep {
    pub id: R32,
    pub threads: Option<R32>,
    /// `bar.arrive`: counts, does not wait.
    pub arrive: bool,
    pub reduce: Reduce,
    /// The predicate that is reduced, and whether it is inverted.
    pub input: Option<(Pred, bool)>,
}

/// What a step does.
pub(crate) enum Action {
    Alu(Alu),
    Mem(Mem),
    Branch(u32),
    /// `brx.idx`.
    Table(R32, Vec<u32>),
    Exit,
    Barrier(Box<BarrierStep>),
    /// Waits for the lanes of the member mask, then runs with the lanes that came.
    Collective {
        members: R32,
        run: Mem,
    },
    /// `bar.warp.sync`.
    WarpSync(R32),
    /// `mbarrier.try_wait` and `.test_wait`.
    Await(Box<Await>),
    /// `setmaxnreg`: whether more, and how many.
    Registers {
        more: bool,
        count: u32,
    },
}

/// `@p` and `@!p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    Always,
    If(Pred),
    Unless(Pred),
}

/// Operations per executing lane that a step counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub fp32: u8,
    pub fp64: u8,
    pub mufu: u8,
}

/// One instruction.
pub(crate) struct Step {
    pub guard: Guard,
    pub action: Action,
    pub weight: Weight,
    /// Index of the text and source line in [`Program::lines`].
    pub line: u32,
}

/// Where a step comes from.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub text: String,
    pub file: u32,
    pub source: u32,
}

/// Registers whose value a launch, a block or a warp sets before the first instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Special {
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    LaneId,
    WarpId,
    WarpCount,
    LaneMaskEq,
    LaneMaskLt,
    LaneMaskLe,
    LaneMaskGt,
    LaneMaskGe,
    DynamicShared,
    TotalShared,
    Zero,
    One,
}

/// A kernel, decoded.
#[derive(Default)]
pub(crate) struct Program {
    pub steps: Vec<Step>,
    pub lines: Vec<Line>,
    /// Source files by index.
    pub files: Vec<(u32, String)>,
    pub count32: u32,
    pub count64: u32,
    pub count_pred: u32,
    pub constants32: Vec<(R32, u32)>,
    pub constants64: Vec<(R64, u64)>,
    /// Registers that hold a module variable's address: variable index, offset.
    pub globals: Vec<(R64, usize, u64)>,
    pub specials: Vec<(R32, Special)>,
    pub static_shared: u32,
    pub local_bytes: u32,
    /// Whether barriers order part of a block, or copies and products are asynchronous.
    pub asynchronous: bool,
    /// Whether there is a wgmma.
    pub asynchronous_products: bool,
    /// 32-bit registers that each step reads (2 r) and writes (2 r + 1), where the kernel has asynchronous products.
    pub touched: Vec<Box<[u32]>>,
    /// Whether the order of blocks shows in memory (an atomic's result is used, or floats are added).
    pub ordered: bool,
}

impl Program {
    /// Whether a line is an asynchronous product.
    pub fn is_product(&self, line: u32) -> bool {
        self.lines[line as usize].text.contains("wgmma.mma_async")
    }
}

#[inline(always)]
pub(crate) fn map1<D: Row, A: Row>(d: D, a: A, f: impl Fn(A::Lane) -> D::Lane + Send + Sync + 'static) -> Action {
    Action::Alu(Box::new(move |w: &mut Warp| {
        let x = a.row(w);
        let out: [D::Lane; LANES] = std::array::from_fn(|i| f(x[i]));
        w.put(d, out);
    }))
}

#[inline(always)]
pub(crate) fn map2<D: Row, A: Row, B: Row>(
    d: D,
    a: A,
    b: B,
    f: impl Fn(A::Lane, B::Lane) -> D::Lane + Send + Sync + 'static,
) -> Action {
    Action::Alu(Box::new(move |w: &mut Warp| {
        let (x, y) = (a.row(w), b.row(w));
        let out: [D::Lane; LANES] = std::array::from_fn(|i| f(x[i], y[i]));
        w.put(d, out);
    }))
}

#[inline(always)]
pub(crate) fn map3<D: Row, A: Row, B: Row, C: Row>(
    d: D,
    a: A,
    b: B,
    c: C,
    f: impl Fn(A::Lane, B::Lane, C::Lane) -> D::Lane + Send + Sync + 'static,
) -> Action {
    Action::Alu(Box::new(move |w: &mut Warp| {
        let (x, y, z) = (a.row(w), b.row(w), c.row(w));
        let out: [D::Lane; LANES] = std::array::from_fn(|i| f(x[i], y[i], z[i]));
        w.put(d, out);
    }))
}

/// The lanes of two rows that satisfy a test.
#[inline(always)]
pub(crate) fn test2<A: Row>(w: &Warp, a: A, b: A, f: impl Fn(A::Lane, A::Lane) -> bool) -> u32 {
    let (x, y) = (a.row(w), b.row(w));
    let mut bits = 0;
    for i in 0..LANES {
        bits |= u32::from(f(x[i], y[i])) << i;
    }
    bits
}
