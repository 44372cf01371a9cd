//! Checks the shared rows by what a compiler does: live registers by data flow over the control flow graph.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::ptx::parser;

/// Registers that an instruction reads and sets, as numbers of their declarations.
struct Effect {
    reads: Vec<usize>,
    sets: Vec<usize>,
    /// The instruction may leave the old value: it is guarded.
    partly: bool,
    next: Vec<usize>,
}

/// Finds two registers of one row, one set while the other is live.
fn clash(body: &[Statement]) -> Option<(usize, String, String)> {
    let rows = rows(body);
    let mut registers: Vec<(usize, u32, String)> = Vec::new();
    let mut scopes: Vec<HashMap<String, usize>> = vec![HashMap::new()];
    let mut labels: HashMap<&str, usize> = HashMap::new();
    let mut tables: HashMap<&str, &[String]> = HashMap::new();
    for (at, s) in body.iter().enumerate() {
        match s {
            Statement::Label(name) => drop(labels.insert(name, at)),
            Statement::Targets(name, list) => drop(tables.insert(name, list)),
            _ => {}
        }
    }
    let mut effects = Vec::new();
    for (at, s) in body.iter().enumerate() {
        let mut e = Effect { reads: vec![], sets: vec![], partly: false, next: vec![at + 1] };
        match s {
            Statement::Open => scopes.push(HashMap::new()),
            Statement::Close => drop(scopes.pop()),
            Statement::Registers { kind, name, count } => {
                let Some(class) = class(kind) else {
                    effects.push(e);
                    continue;
                };
                for name in names(name, *count) {
                    scopes.last_mut().unwrap().insert(name.clone(), registers.len());
                    registers.push((class, rows.row[&(at, name.clone())], name));
                }
            }
            Statement::Instruction(inst) => {
                let find = |n: &str| scopes.iter().rev().find_map(|s| s.get(n)).copied();
                let result = !matches!(
                    base(inst),
                    "st" | "red" | "bra" | "brx" | "bar" | "barrier" | "call" | "prefetch" | "cp" | "stmatrix"
                );
                e.partly = inst.guard.is_some();
                for (i, arg) in inst.args.iter().enumerate() {
                    each_name(arg, &mut |n| {
                        if let Some(id) = find(n) {
                            if result && i == 0 { e.sets.push(id) } else { e.reads.push(id) }
                        }
                    });
                }
                let mut targets = Vec::new();
                if matches!(base(inst), "bra" | "brx") {
                    for arg in &inst.args {
                        each_name(arg, &mut |n| match tables.get(n) {
                            Some(list) => targets.extend(list.iter().map(|t| labels[t.as_str()])),
                            None => targets.extend(labels.get(n)),
                        });
                    }
                }
                let ends = matches!(base(inst), "bra" | "brx" | "ret" | "exit") && inst.guard.is_none();
                if ends {
                    e.next.clear();
                }
                e.next.extend(targets);
            }
            _ => {}
        }
        effects.push(e);
    }
    // Live registers after each statement, to the fixed point.
    let mut live: Vec<HashSet<usize>> = vec![HashSet::new(); body.len() + 1];
    let before = |live: &[HashSet<usize>], at: usize| -> HashSet<usize> {
        let Some(e) = effects.get(at) else { return HashSet::new() };
        let mut set = live[at].clone();
        if !e.partly {
            e.sets.iter().for_each(|r| {
                set.remove(r);
            });
        }
        set.extend(&e.reads);
        set
    };
    let mut changed = true;
    while changed {
        changed = false;
        for at in (0..body.len()).rev() {
            let mut after = HashSet::new();
            for &n in &effects[at].next {
                after.extend(before(&live, n));
            }
            changed |= after.len() != live[at].len();
            live[at] = after;
        }
    }
    // Registers that some path has set before each statement: what none has set holds no value to lose.
    let mut set: Vec<HashSet<usize>> = vec![HashSet::new(); body.len() + 1];
    changed = true;
    while changed {
        changed = false;
        for (at, e) in effects.iter().enumerate() {
            let mut after = set[at].clone();
            after.extend(&e.sets);
            for &n in &e.next {
                let before = set[n].len();
                set[n].extend(&after);
                changed |= set[n].len() != before;
            }
        }
    }
    for (at, e) in effects.iter().enumerate() {
        for &r in &e.sets {
            let (class, row, name) = &registers[r];
            let shares = |o: usize| o != r && registers[o].0 == *class && registers[o].1 == *row;
            let other = live[at].iter().find(|&&o| shares(o) && set[at].contains(&o));
            if let Some(&o) = other {
                return Some((at, name.clone(), registers[o].2.clone()));
            }
        }
    }
    None
}

/// A value that goes round a loop without being set in each turn, next to short lives.
const CARRIED: &str = "
.version 7.8
.target sm_80
.address_size 64
.visible .entry k(.param .u64 k_param_0)
{
    .reg .pred %p<4>; .reg .b32 %r<12>; .reg .b64 %rd<4>;
    ld.param.u64 %rd1, [k_param_0];
    mov.u32 %r1, 0;
    $L1:
    setp.ne.s32 %p1, %r1, 0;
    @%p1 bra $L2;
    mov.u32 %r2, 7;
    $L2:
    add.s32 %r3, %r2, %r1;
    st.global.u32 [%rd1], %r3;
    add.s32 %r4, %r3, 1;
    { .reg .b32 t; add.s32 t, %r4, 5; st.global.u32 [%rd1+4], t; }
    add.s32 %r1, %r1, 1;
    setp.lt.s32 %p2, %r1, 10;
    @%p2 bra $L1;
    mov.u32 %r5, 1;
    st.global.u32 [%rd1+8], %r5;
    ret;
}
";

#[test]
fn live_registers_never_share_a_row() {
    let tree = parser::tree(CARRIED).unwrap();
    assert_eq!(clash(&tree.functions[0].body), None);
    let counts = rows(&tree.functions[0].body).counts;
    assert!(counts[0] < 7, "rows are shared: {counts:?}");
    let kernels = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/kernels.ptx");
    let extra = std::env::var("LIVENESS_PTX").unwrap_or_default();
    for path in std::iter::once(kernels).chain(extra.split_whitespace()) {
        let tree = parser::tree(&std::fs::read_to_string(path).unwrap()).unwrap();
        for f in &tree.functions {
            assert_eq!(clash(&f.body), None, "{path} {}", f.name);
        }
    }
}

#[test]
fn registers_of_a_product_are_its_own_until_it_is_waited_for() {
    let text = ".version 8.0
.target sm_90a
.address_size 64
.visible .entry k()
{
    .reg .b32 %d<4>, %a<4>, %x<16>;
    .reg .b64 %b;
    mov.b32 %a0, 1; mov.b32 %a1, 1; mov.b32 %a2, 1; mov.b32 %a3, 1;
    wgmma.fence.sync.aligned;
    wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%d0, %d1, %d2, %d3}, {%a0, %a1, %a2, %a3}, %b, 1, 1, 1, 0;
    wgmma.commit_group.sync.aligned;
    mov.b32 %x0, 1; add.u32 %x1, %x0, 1; mov.b32 %x2, 3; add.u32 %x3, %x2, %x1;
    wgmma.wait_group.sync.aligned 1;
    mov.b32 %x4, 1; add.u32 %x5, %x4, 1;
    wgmma.wait_group.sync.aligned 0;
    mov.b32 %x6, 1; mov.b32 %x7, 1; mov.b32 %x8, 1; mov.b32 %x9, 1; mov.b32 %x10, 1; mov.b32 %x11, 1;
    mad.lo.u32 %x12, %x6, %x7, %x8; mad.lo.u32 %x13, %x9, %x10, %x11; mad.lo.u32 %x14, %x12, %x13, %d0;
    ret;
}
";
    let tree = parser::tree(text).unwrap();
    let body = &tree.functions[0].body;
    let rows = rows(body);
    let row = |name: &str| rows.row.iter().find(|((_, n), _)| n == name).map(|(_, &row)| row).unwrap();
    let products = ["%d0", "%d1", "%d2", "%d3", "%a0", "%a1", "%a2", "%a3"].map(row);
    for name in ["%x0", "%x1", "%x2", "%x3", "%x4", "%x5"] {
        assert!(!products.contains(&row(name)), "{name}");
    }
    // Behind the last wait A's rows are free again.
    let behind = ["%x6", "%x7", "%x8", "%x9", "%x10", "%x11"].map(row);
    assert!(behind.iter().any(|row| products[4..].contains(row)));
}
