//! `wgmma`: products of a warpgroup, under way until they are waited for.
//!
//! Each of the four warps computes its 16 rows when it waits (or when it issues, where [`Landing`] says so), and its
//! accumulators hold NaN in between.

mod descriptor;
mod product;

use super::Landing;
use super::block::Block;
use super::half_float::Format;
use super::program::{Action, Mem, Stop};
use super::warp::{LANES, Pred, R32, R64, Reg, Row, Warp};
use crate::ptx::PtxError;
use crate::ptx::context::Context;
use descriptor::Descriptor;
use product::{ByteTile, ROWS, Sums, Tile};

type Result<T> = std::result::Result<T, PtxError>;

/// What an accumulator under way holds: a NaN, and far from any sum in whole numbers.
const POISON: u32 = 0x7fff_dead;

/// How the inputs are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Half(Format),
    Byte { a_signed: bool, b_signed: bool, saturate: bool },
}

/// Where A comes from.
enum Rows {
    Registers(Vec<R32>),
    Shared(R64),
}

/// A decoded product.
struct Wgmma {
    n: usize,
    input: Input,
    d: Vec<R32>,
    a: Rows,
    b: R64,
    /// Whether the accumulators are added to.
    add: (Pred, bool),
    negate: (bool, bool),
    mn_major: (bool, bool),
}

/// A product under way: its operands, and which accumulators it adds to.
struct Product {
    group: u64,
    accumulator: usize,
    operands: Operands,
}

enum Operands {
    /// Not read yet: A's rows, descriptors of A and B.
    Waiting { a: Rows, a_at: Descriptor, b_at: Descriptor, step: Shape },
    Float(Box<Tile>),
    Byte(Box<ByteTile>, bool),
    /// A product that begins from zero, in order with the others.
    Done,
}

/// What is needed to read operands.
#[derive(Clone, Copy)]
struct Shape {
    n: usize,
    input: Input,
    negate: (bool, bool),
    mn_major: (bool, bool),
}

/// Accumulators under way.
struct Accumulator {
    registers: Vec<R32>,
    n: usize,
    sums: Sums,
    /// Products that have not been added.
    left: u32,
}

/// A warp's products under way.
#[derive(Default)]
pub(crate) struct Flight {
    products: std::collections::VecDeque<Product>,
    accumulators: Vec<Accumulator>,
    /// Groups committed.
    committed: u64,
}

impl Flight {
    /// Forgets the block before.
    pub fn reset(&mut self) {
        self.products.clear();
        self.accumulators.clear();
        self.committed = 0;
    }
}

/// Decodes `wgmma`.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action> {
    let Some(kind) = cx.pick(&["mma_async", "fence", "commit_group", "wait_group"]) else {
        return cx.fail("unknown operation");
    };
    if !cx.has("sync") || !cx.has("aligned") {
        return cx.fail("wgmma is .sync.aligned");
    }
    let run: Mem = match kind {
        "fence" => Box::new(|_, _| Ok(())),
        "commit_group" => Box::new(|w: &mut Warp, _: &mut Block<'_>| {
            w.flight.committed += 1;
            Ok(())
        }),
        "wait_group" => {
            cx.count(1)?;
            let keep = cx.int(0)?;
            Box::new(move |w: &mut Warp, b: &mut Block<'_>| b.wait_group(w, keep))
        }
        _ => {
            let step = product_of(cx)?;
            Box::new(move |w: &mut Warp, b: &mut Block<'_>| b.begin_product(w, &step))
        }
    };
    let members = cx.lower.constant32(!0);
    Ok(Action::Collective { members, run })
}

fn product_of(cx: &mut Context<'_, '_>) -> Result<Wgmma> {
    let shape = cx.inst.opcode.split('.').find(|m| m.starts_with("m64n"));
    let Some((shape, (n, k))) = shape.and_then(|s| Some((s, s.strip_prefix("m64n")?.split_once('k')?))) else {
        return cx.fail("unknown shape");
    };
    cx.has(shape);
    let saturate = cx.has("satfinite");
    let types = cx.types();
    let input = match types.as_slice() {
        ["f32", "bf16", "bf16"] => Input::Half(Format::Bf16),
        ["f32", "f16", "f16"] => Input::Half(Format::F16),
        ["s32", a @ ("s8" | "u8"), b @ ("s8" | "u8")] => {
            Input::Byte { a_signed: *a == "s8", b_signed: *b == "s8", saturate }
        }
        _ => return cx.fail("these types are not supported"),
    };
    let half = matches!(input, Input::Half(_));
    let n: usize = n.parse().unwrap_or(0);
    let bytes_skip = !half && n > 32 && !n.is_multiple_of(16);
    if !n.is_multiple_of(8) || n == 0 || n > 256 || bytes_skip || k != if half { "16" } else { "32" } {
        return cx.fail("this shape is not supported for these types");
    }
    let d = registers(cx, 0, n / 2, true)?;
    let in_registers = matches!(cx.arg(1)?, crate::ptx::syntax::Arg::Vector(_));
    let a = if in_registers { Rows::Registers(registers(cx, 1, 4, false)?) } else { Rows::Shared(cx.r64(1)?) };
    let b = cx.r64(2)?;
    let add = cx.pred(3)?;
    let mut scales = [1u64; 2];
    let mut trans = [0u64; 2];
    if half {
        cx.count(if in_registers { 7 } else { 8 })?;
        scales = [cx.int(4)?, cx.int(5)?];
        trans = if in_registers { [0, cx.int(6)?] } else { [cx.int(6)?, cx.int(7)?] };
    } else {
        cx.count(4)?;
    }
    if scales.iter().any(|&s| s != 1 && s != u64::MAX) || trans.iter().any(|&t| t > 1) {
        return cx.fail("scales are 1 or -1, transpositions 0 or 1");
    }
    let [negate, mn_major] = [scales.map(|s| s != 1), trans.map(|t| t == 1)].map(|[a, b]| (a, b));
    Ok(Wgmma { n, input, d, a, b, add, negate, mn_major })
}

fn registers(cx: &mut Context<'_, '_>, at: usize, count: usize, dest: bool) -> Result<Vec<R32>> {
    let args = cx.vector(at)?;
    if args.len() != count {
        return cx.fail(format!("operand {at} needs {count} registers"));
    }
    let mut out = Vec::new();
    for arg in args {
        out.push(match dest {
            true => match cx.any_dest(arg, 4)? {
                Reg::W32(r) => r,
                Reg::W64(_) => return cx.fail("32-bit registers are needed"),
            },
            false => cx.source32(arg)?,
        });
    }
    Ok(out)
}

/// Row and column of accumulator `j` of a lane.
fn place(lane: usize, j: usize) -> (usize, usize) {
    (lane / 4 + 8 * (j / 2 % 2), 8 * (j / 4) + 2 * (lane % 4) + j % 2)
}

impl Accumulator {
    /// Takes the accumulators out of their registers.
    fn take(w: &mut Warp, registers: &[R32], n: usize) -> Accumulator {
        let mut sums = vec![0; ROWS * n];
        for (j, &r) in registers.iter().enumerate() {
            for (lane, &bits) in r.row(w).iter().enumerate() {
                let (row, column) = place(lane, j);
                sums[row * n + column] = bits;
            }
            *r.row_mut(w) = [POISON; LANES];
        }
        Accumulator { registers: registers.to_vec(), n, sums, left: 0 }
    }

    /// Puts them back.
    fn put(&self, w: &mut Warp) {
        for (j, &r) in self.registers.iter().enumerate() {
            *r.row_mut(w) = std::array::from_fn(|lane| {
                let (row, column) = place(lane, j);
                self.sums[row * self.n + column]
            });
        }
    }
}

impl Block<'_> {
    fn begin_product(&mut self, w: &mut Warp, step: &Wgmma) -> std::result::Result<(), Stop> {
        let lane = w.mask.trailing_zeros();
        let descriptor = |r: R64| {
            Descriptor::read(r.row(w)[lane as usize]).map_err(|detail| Stop { kind: "wgmma descriptor", lane, detail })
        };
        let b_at = descriptor(step.b)?;
        let (a, a_at) = match &step.a {
            Rows::Shared(r) => (Rows::Shared(*r), descriptor(*r)?),
            Rows::Registers(list) => (Rows::Registers(list.clone()), b_at),
        };
        let k = if matches!(step.input, Input::Half(_)) { 16 } else { 32 };
        self.counters.mma += 1;
        self.counters.mma_flops += (2 * ROWS * step.n * k) as u64;
        let shape = Shape { n: step.n, input: step.input, negate: step.negate, mn_major: step.mn_major };
        let adds = (w.pred(step.add.0) ^ super::bits::invert(step.add.1)) >> lane & 1 != 0;
        let at = w.flight.accumulators.iter().position(|a| a.left > 0 && a.registers == step.d);
        let at = match at {
            Some(at) => at,
            None => {
                let fresh = Accumulator::take(w, &step.d, step.n);
                match w.flight.accumulators.iter().position(|a| a.left == 0) {
                    Some(at) => {
                        w.flight.accumulators[at] = fresh;
                        at
                    }
                    None => {
                        w.flight.accumulators.push(fresh);
                        w.flight.accumulators.len() - 1
                    }
                }
            }
        };
        let group = w.flight.committed;
        if !adds {
            w.flight.accumulators[at].left += 1;
            w.flight.products.push_back(Product { group, accumulator: at, operands: Operands::Done });
        }
        let mut operands = Operands::Waiting { a, a_at, b_at, step: shape };
        let now = match self.grid.landing {
            Landing::Early => true,
            Landing::Late => false,
            Landing::Random(seed) => (seed ^ u64::from(self.pc)).count_ones().is_multiple_of(2),
        };
        if now {
            operands = self.read_operands(w, operands);
        }
        w.flight.accumulators[at].left += 1;
        w.flight.products.push_back(Product { group, accumulator: at, operands });
        Ok(())
    }

    /// Reads the operands of a product.
    fn read_operands(&self, w: &Warp, operands: Operands) -> Operands {
        let Operands::Waiting { a, a_at, b_at, step } = operands else { return operands };
        let shared = &self.shared.bytes;
        let first = w.index % 4 * ROWS as u32;
        let n = step.n as u32;
        match step.input {
            Input::Half(format) => {
                let sign = |negate: bool| if negate { -1.0 } else { 1.0 };
                let mut rows = match &a {
                    Rows::Shared(_) => product::load_a(shared, a_at, first, step.mn_major.0, format),
                    Rows::Registers(list) => {
                        let mut rows = [[0.0; 16]; ROWS];
                        for (j, r) in list.iter().enumerate() {
                            for (lane, &bits) in r.row(w).iter().enumerate() {
                                let (row, k) = (lane / 4 + 8 * (j % 2), 2 * (lane % 4) + 8 * (j / 2));
                                rows[row][k] = format.widen(bits as u16);
                                rows[row][k + 1] = format.widen((bits >> 16) as u16);
                            }
                        }
                        rows
                    }
                };
                let factor = sign(step.negate.0) * sign(step.negate.1);
                if factor < 0.0 {
                    rows.iter_mut().flatten().for_each(|v| *v = -*v);
                }
                let b = product::load_b(shared, b_at, n, step.mn_major.1, format);
                Operands::Float(Box::new(Tile { a: rows, b }))
            }
            Input::Byte { a_signed, b_signed, saturate } => {
                let of = |signed: bool| -> fn(u8) -> i32 {
                    if signed { |v| i32::from(v as i8) } else { |v| i32::from(v) }
                };
                let rows = match &a {
                    Rows::Shared(_) => product::load_a_bytes(shared, a_at, first, of(a_signed)),
                    Rows::Registers(list) => {
                        let mut rows = [[0; 32]; ROWS];
                        for (j, r) in list.iter().enumerate() {
                            for (lane, &bits) in r.row(w).iter().enumerate() {
                                let (row, k) = (lane / 4 + 8 * (j % 2), 4 * (lane % 4) + 16 * (j / 2));
                                for (e, byte) in bits.to_le_bytes().into_iter().enumerate() {
                                    rows[row][k + e] = of(a_signed)(byte);
                                }
                            }
                        }
                        rows
                    }
                };
                let b = product::load_b_bytes(shared, b_at, n, of(b_signed));
                Operands::Byte(Box::new(ByteTile { a: rows, b }), saturate)
            }
        }
    }

    /// Completes all groups but the last `keep` committed.
    fn wait_group(&mut self, w: &mut Warp, keep: u64) -> std::result::Result<(), Stop> {
        let due = w.flight.committed.saturating_sub(keep);
        while w.flight.products.front().is_some_and(|p| p.group < due) {
            let Some(product) = w.flight.products.pop_front() else { break };
            let operands = self.read_operands(w, product.operands);
            let accumulator = &mut w.flight.accumulators[product.accumulator];
            let n = accumulator.n;
            match &operands {
                Operands::Float(tile) => product::multiply(tile, &mut accumulator.sums, n),
                Operands::Byte(tile, saturate) => product::multiply_bytes(tile, &mut accumulator.sums, n, *saturate),
                _ => accumulator.sums.fill(0),
            }
            accumulator.left -= 1;
            if accumulator.left == 0 {
                let done = std::mem::take(&mut accumulator.sums);
                let done = Accumulator { registers: accumulator.registers.clone(), n, sums: done, left: 0 };
                done.put(w);
            }
        }
        Ok(())
    }
}
