//! Which virtual registers may share a row of lanes.
//!
//! NVRTC writes thousands of registers per kernel, each assigned once. A row per register would not fit the host's
//! caches, so registers whose lives do not overlap share one. A life is the range of statements from the first to the
//! last mention; one that is not inside a basic block reaches over every loop (backward branch) that it touches.
//! Lanes at other places of the program have their own columns, so divergence needs no care.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::syntax::{Arg, Instruction, Statement};

#[cfg(test)]
mod tests;

/// Rows of a body's registers, by width.
#[derive(Default)]
pub(crate) struct Rows {
    /// Row of a register by the statement that declares it and its name.
    pub row: HashMap<(usize, String), u32>,
    /// Rows needed of each [`class`].
    pub counts: [u32; 3],
}

/// The life of one register.
struct Life {
    declared: usize,
    name: String,
    class: usize,
    /// First and last mention.
    range: Option<(usize, usize)>,
    /// All mentions are in this basic block and the first one sets the register.
    block: Option<usize>,
}

/// The class of a register kind: 0 for 32 bits, 1 for 64, 2 for fewer than 32. Predicates need no rows.
pub(crate) fn class(kind: &str) -> Option<usize> {
    Some(match kind {
        "b32" | "u32" | "s32" | "f32" | "f16x2" | "bf16x2" => 0,
        "b64" | "u64" | "s64" | "f64" => 1,
        "b8" | "u8" | "s8" | "b16" | "u16" | "s16" | "f16" | "bf16" => 2,
        _ => return None,
    })
}

/// The names of a register declaration.
pub(crate) fn names(name: &str, count: Option<u32>) -> Vec<String> {
    match count {
        Some(n) => (0..n).map(|i| format!("{name}{i}")).collect(),
        None => vec![name.to_string()],
    }
}

/// Assigns rows to the registers of a body.
pub(crate) fn rows(body: &[Statement]) -> Rows {
    let mut lives = Vec::new();
    let mut scopes: Vec<HashMap<String, usize>> = vec![HashMap::new()];
    let mut block = 0;
    let mut products = Vec::new();
    for (at, statement) in body.iter().enumerate() {
        match statement {
            Statement::Open => scopes.push(HashMap::new()),
            Statement::Close => drop(scopes.pop()),
            Statement::Label(_) => block += 1,
            Statement::Registers { kind, name, count } => {
                let Some(class) = class(kind) else { continue };
                for name in names(name, *count) {
                    if let Some(scope) = scopes.last_mut() {
                        scope.insert(name.clone(), lives.len());
                    }
                    lives.push(Life { declared: at, name, class, range: None, block: None });
                }
            }
            Statement::Instruction(inst) => {
                mention(inst, at, block, &scopes, &mut lives);
                if inst.opcode.starts_with("wgmma.mma") {
                    for arg in &inst.args[..2.min(inst.args.len())] {
                        each_name(arg, &mut |n| products.extend(find(&scopes, n).map(|id| (at, id))));
                    }
                }
                if matches!(base(inst), "bra" | "brx" | "ret" | "exit" | "call") {
                    block += 1;
                }
            }
            _ => {}
        }
    }
    keep_for_products(body, &mut lives, &products);
    let loops = loops(body);
    for life in lives.iter_mut().filter(|l| l.block.is_none()) {
        if let Some(range) = &mut life.range {
            extend(range, &loops);
        }
    }
    assign(lives)
}

/// The registers of a product are its own until it is waited for: at the latest behind as many waits as may leave groups
/// under way, and one more.
fn keep_for_products(body: &[Statement], lives: &mut [Life], products: &[(usize, usize)]) {
    let wait = |(at, s): (usize, &Statement)| match s {
        Statement::Instruction(i) if i.opcode.starts_with("wgmma.wait_group") => match i.args.first() {
            Some(Arg::Int(keep)) => Some((at, *keep as usize)),
            _ => Some((at, 0)),
        },
        _ => None,
    };
    let waits: Vec<(usize, usize)> = body.iter().enumerate().filter_map(wait).collect();
    let most = waits.iter().map(|w| w.1).max().unwrap_or(0);
    for &(at, id) in products {
        let behind = waits.partition_point(|w| w.0 < at);
        let end = waits.get(behind + most).or(waits.last()).map_or(at, |w| w.0);
        let life = &mut lives[id];
        life.block = None;
        if let Some((_, last)) = &mut life.range {
            *last = (*last).max(end);
        }
    }
}

fn find(scopes: &[HashMap<String, usize>], name: &str) -> Option<usize> {
    scopes.iter().rev().find_map(|s| s.get(name)).copied()
}

fn base(inst: &Instruction) -> &str {
    inst.opcode.split('.').next().unwrap_or_default()
}

/// Calls `f` with every name in an operand.
fn each_name<'a>(arg: &'a Arg, f: &mut impl FnMut(&'a str)) {
    match arg {
        Arg::Name(n) | Arg::Not(n) | Arg::Offset(n, _) | Arg::Memory(Some(n), _) => f(n),
        Arg::Vector(list) | Arg::List(list) => list.iter().for_each(|a| each_name(a, f)),
        Arg::Pair(a, b) => {
            each_name(a, f);
            each_name(b, f);
        }
        _ => {}
    }
}

fn mention(inst: &Instruction, at: usize, block: usize, scopes: &[HashMap<String, usize>], lives: &mut [Life]) {
    // Opcodes whose first operand is not a destination.
    let no_result = matches!(
        base(inst),
        "st" | "red"
            | "bra"
            | "brx"
            | "bar"
            | "barrier"
            | "call"
            | "prefetch"
            | "cp"
            | "stmatrix"
            | "nanosleep"
            | "wgmma"
    );
    let mut seen = |name: &str, sets: bool| {
        let Some(id) = find(scopes, name) else { return };
        let life = &mut lives[id];
        match &mut life.range {
            None => {
                life.range = Some((at, at));
                life.block = sets.then_some(block);
            }
            Some((_, last)) => {
                *last = at;
                if life.block != Some(block) {
                    life.block = None;
                }
            }
        }
    };
    // Sources first: a register that is source and destination is used before it is set.
    let sources = if no_result { &inst.args[..] } else { inst.args.get(1..).unwrap_or_default() };
    for arg in sources {
        each_name(arg, &mut |n| seen(n, false));
    }
    if let (false, Some(dest)) = (no_result, inst.args.first()) {
        let sets = inst.guard.is_none() && !matches!(dest, Arg::Memory(..));
        each_name(dest, &mut |n| seen(n, sets));
    }
}

/// The ranges from a label to a branch back to it.
fn loops(body: &[Statement]) -> Vec<(usize, usize)> {
    let mut labels: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut tables: HashMap<&str, &[String]> = HashMap::new();
    for (at, statement) in body.iter().enumerate() {
        match statement {
            Statement::Label(name) => labels.entry(name).or_default().push(at),
            Statement::Targets(name, list) => drop(tables.insert(name, list)),
            _ => {}
        }
    }
    let mut out = Vec::new();
    for (at, statement) in body.iter().enumerate() {
        let Statement::Instruction(inst) = statement else { continue };
        if !matches!(base(inst), "bra" | "brx") {
            continue;
        }
        let mut targets: Vec<&str> = Vec::new();
        for arg in &inst.args {
            each_name(arg, &mut |n| match tables.get(n) {
                Some(list) => targets.extend(list.iter().map(String::as_str)),
                None => targets.push(n),
            });
        }
        // A label name may stand in several scopes: all of them count.
        let back = targets.iter().filter_map(|t| labels.get(t)).flatten().filter(|&&t| t < at);
        out.extend(back.map(|&t| (t, at)));
    }
    out
}

/// Widens a range over every loop it touches.
fn extend(range: &mut (usize, usize), loops: &[(usize, usize)]) {
    loop {
        let before = *range;
        for &(from, to) in loops {
            if range.0 <= to && from <= range.1 {
                // Live before the loop: live through it. First mentioned inside: perhaps carried round it.
                *range = (range.0.min(from), range.1.max(to));
            }
        }
        if *range == before {
            return;
        }
    }
}

/// Linear scan.
fn assign(mut lives: Vec<Life>) -> Rows {
    let mut rows = Rows::default();
    lives.sort_by_key(|l| l.range);
    // Rows in use by their last mention, and free ones, for each class.
    let mut busy: [BinaryHeap<Reverse<(usize, u32)>>; 3] = Default::default();
    let mut free: [Vec<u32>; 3] = Default::default();
    // One row for the registers that are never mentioned.
    let mut counts = [1u32; 3];
    for life in lives {
        let class = life.class;
        let mut row = 0;
        if let Some((first, last)) = life.range {
            while let Some(&Reverse((end, row))) = busy[class].peek()
                && end < first
            {
                busy[class].pop();
                free[class].push(row);
            }
            row = free[class].pop().unwrap_or_else(|| {
                counts[class] += 1;
                counts[class] - 1
            });
            busy[class].push(Reverse((last, row)));
        }
        rows.row.insert((life.declared, life.name), row);
    }
    rows.counts = counts;
    rows
}
