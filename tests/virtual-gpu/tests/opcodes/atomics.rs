//! `atom` and `red`: every operation and type, in global, shared and generic space.

use super::instruction::same;
use super::machine::{Shape, clean, download, kernel_text, launch, memory, parse, run_body, upload};
use super::reals::{BRAIN, HALF, Rounding, add};
use super::values::{Kind, Random};

/// One operation: text, operand type, and the new value from the old one and the operands.
type Case = (&'static str, &'static str, Kind, fn(u64, u64, u64) -> u64);

fn f(v: u64) -> f32 {
    f32::from_bits(v as u32)
}

fn halves(format: super::reals::Format, a: u64, b: u64) -> u64 {
    let one = |s: u32| add(format, a >> s & 0xffff, b >> s & 0xffff, Rounding::Nearest, false);
    one(0) | one(16) << 16
}

fn cases() -> Vec<Case> {
    vec![
        ("add", "u32", Kind::I32, |o, x, _| (o + x) & 0xffff_ffff),
        ("add", "s32", Kind::I32, |o, x, _| (o + x) & 0xffff_ffff),
        ("add", "u64", Kind::I64, |o, x, _| o.wrapping_add(x)),
        ("add", "f32", Kind::F32, |o, x, _| (f(o) + f(x)).to_bits().into()),
        ("add", "f64", Kind::F64, |o, x, _| (f64::from_bits(o) + f64::from_bits(x)).to_bits()),
        ("add.noftz", "f16", Kind::F16, |o, x, _| add(HALF, o, x, Rounding::Nearest, false)),
        ("add.noftz", "bf16", Kind::Bf16, |o, x, _| add(BRAIN, o, x, Rounding::Nearest, false)),
        ("add.noftz", "f16x2", Kind::F16x2, |o, x, _| halves(HALF, o, x)),
        ("add.noftz", "bf16x2", Kind::Bf16x2, |o, x, _| halves(BRAIN, o, x)),
        ("min", "u32", Kind::I32, |o, x, _| o.min(x)),
        ("max", "u32", Kind::I32, |o, x, _| o.max(x)),
        ("min", "s32", Kind::I32, |o, x, _| ((o as i32).min(x as i32) as u32).into()),
        ("max", "s32", Kind::I32, |o, x, _| ((o as i32).max(x as i32) as u32).into()),
        ("min", "u64", Kind::I64, |o, x, _| o.min(x)),
        ("max", "u64", Kind::I64, |o, x, _| o.max(x)),
        ("min", "s64", Kind::I64, |o, x, _| (o as i64).min(x as i64) as u64),
        ("max", "s64", Kind::I64, |o, x, _| (o as i64).max(x as i64) as u64),
        ("and", "b32", Kind::I32, |o, x, _| o & x),
        ("or", "b32", Kind::I32, |o, x, _| o | x),
        ("xor", "b32", Kind::I32, |o, x, _| o ^ x),
        ("and", "b64", Kind::I64, |o, x, _| o & x),
        ("or", "b64", Kind::I64, |o, x, _| o | x),
        ("xor", "b64", Kind::I64, |o, x, _| o ^ x),
        ("exch", "b32", Kind::I32, |_, x, _| x),
        ("exch", "b64", Kind::I64, |_, x, _| x),
        ("inc", "u32", Kind::I32, |o, x, _| if o >= x { 0 } else { o + 1 }),
        ("dec", "u32", Kind::I32, |o, x, _| if o == 0 || o > x { x } else { o - 1 }),
        ("cas", "b32", Kind::I32, |o, x, y| if o == x { y } else { o }),
        ("cas", "b64", Kind::I64, |o, x, y| if o == x { y } else { o }),
        ("exch", "u32", Kind::I32, |_, x, _| x),
        ("exch", "f32", Kind::I32, |_, x, _| x),
        ("exch", "u64", Kind::I64, |_, x, _| x),
        ("cas", "u32", Kind::I32, |o, x, y| if o == x { y } else { o }),
        ("cas", "u64", Kind::I64, |o, x, y| if o == x { y } else { o }),
        ("add", "s64", Kind::I64, |o, x, _| o.wrapping_add(x)),
        ("cas", "b16", Kind::I16, |o, x, y| if o == x { y } else { o }),
    ]
}

const THREADS: usize = 96;

/// Inputs of which some equal others, so that `cas`, `inc` and `dec` go both ways.
fn inputs(kind: Kind) -> [Vec<u64>; 3] {
    let list = super::values::inputs(&[kind, kind, kind]);
    let mut random = Random(5);
    let mut out = [0, 1, 2].map(|i: usize| list[i][512..512 + THREADS].to_vec());
    let [old, first, _] = &mut out;
    for (old, first) in old.iter_mut().zip(first) {
        if random.next().is_multiple_of(3) {
            *first = *old;
        } else if random.next().is_multiple_of(2) {
            *old &= 0xff;
            *first &= 0xff;
        }
    }
    out
}

/// Runs `instruction` on a word of each thread's own; what it returned and what it left.
fn run(instruction: &str, kind: Kind, space: &str, returns: bool) -> (Vec<u64>, Vec<u64>) {
    let (ty, bytes) = (kind.register(), kind.bytes());
    let input = inputs(kind);
    // Words of each thread: old value, two operands. Results: what came back, what is left.
    let address = match space {
        "global" => "mov.u64 %q5, %q0;".to_string(),
        "shared" => format!("ld.global.{ty} %h, [%q0]; st.shared.{ty} [%s], %h;"),
        _ => {
            format!("ld.global.{ty} %h, [%q0]; st.shared.{ty} [%s], %h; cvt.u64.u32 %q5, %s; cvta.shared.u64 %q5, %q5;")
        }
    };
    let place = if space == "shared" { "%s" } else { "%q5" };
    let back = match space {
        "shared" => format!("ld.shared.{ty} %left, [%s];"),
        _ => format!("ld.{ty} %left, [%q5];"),
    };
    let returned = if returns { "" } else { "mov.u32 %r20, 0;" };
    let body = format!(
        ".reg .{ty} %h, %x, %y, %old, %left; .reg .b32 %s; .shared .align 8 .b8 sm[1024];
         mad.wide.u32 %q0, %tid, {b3}, %in; ld.global.{ty} %x, [%q0+{bytes}]; ld.global.{ty} %y, [%q0+{b2}];
          mov.u32 %s, sm; mad.lo.u32 %s, %tid, {bytes}, %s;
         {address} ld.global.{ty} %old, [%q0+{bytes}]; {returned} {}; {back}
         mad.wide.u32 %q1, %tid, {b2}, %out; st.global.{ty} [%q1], %old; st.global.{ty} [%q1+{bytes}], %left;",
        instruction.replace("PLACE", place),
        b2 = 2 * bytes,
        b3 = 3 * bytes,
    );
    let module = parse(&kernel_text("", &body));
    let memory = memory();
    let mut data = Vec::new();
    for t in 0..THREADS {
        for list in &input {
            data.extend_from_slice(&list[t].to_le_bytes()[..bytes]);
        }
    }
    let (from, to) = (upload(&memory, &data), upload(&memory, &vec![0; 2 * bytes * THREADS]));
    clean(&launch(&module, "k", &memory, &Shape::new(1, THREADS as u32), &[from, to]));
    let out = download(&memory, to, 2 * bytes * THREADS);
    let read = |at: usize| {
        let mut v = [0; 8];
        v[..bytes].copy_from_slice(&out[at * bytes..(at + 1) * bytes]);
        u64::from_le_bytes(v)
    };
    ((0..THREADS).map(|t| read(2 * t)).collect(), (0..THREADS).map(|t| read(2 * t + 1)).collect())
}

#[test]
fn every_operation_and_space() {
    for (op, ty, kind, update) in cases() {
        let third = if op == "cas" { ", %y" } else { "" };
        let [old, x, y] = inputs(kind);
        for (space, modifier) in [("global", ".global"), ("shared", ".shared"), ("generic", "")] {
            let text = format!("atom{modifier}.{op}.{ty} %old, [PLACE], %x{third}");
            let (returned, left) = run(&text, kind, space, true);
            for t in 0..THREADS {
                let want = update(old[t], x[t], y[t]);
                assert_eq!(returned[t], old[t], "{text} returns, thread {t}");
                assert!(
                    same(kind, left[t], want),
                    "{text} of {:#x}, {:#x} leaves {:#x}, not {want:#x}",
                    old[t],
                    x[t],
                    left[t]
                );
            }
            if matches!(op, "exch" | "cas") {
                continue;
            }
            let text = format!("red{modifier}.{op}.{ty} [PLACE], %x");
            let (_, left) = run(&text, kind, space, false);
            assert!((0..THREADS).all(|t| same(kind, left[t], update(old[t], x[t], y[t]))), "{text}");
        }
    }
}

#[test]
fn orders_and_scopes() {
    // The newer compilers write order and scope out.
    for prefix in [
        "atom.relaxed.gpu.global",
        "atom.acquire.cta.global",
        "atom.release.sys.global",
        "atom.acq_rel.gpu.global",
        "atom.global.gpu",
    ] {
        let (returned, left) = run(&format!("{prefix}.add.u32 %old, [PLACE], %x"), Kind::I32, "global", true);
        let [old, x, _] = inputs(Kind::I32);
        assert!((0..THREADS).all(|t| returned[t] == old[t] && left[t] == (old[t] + x[t]) & 0xffff_ffff), "{prefix}");
    }
    for prefix in ["atom.relaxed.gpu.shared", "atom.shared::cta.cta"] {
        let (_, left) = run(&format!("{prefix}.add.u32 _, [PLACE], %x"), Kind::I32, "shared", true);
        let [old, x, _] = inputs(Kind::I32);
        assert!((0..THREADS).all(|t| left[t] == (old[t] + x[t]) & 0xffff_ffff), "{prefix}");
    }
}

#[test]
fn many_threads_on_one_word() {
    // 4 blocks of 96 threads; the counter's old values are all different.
    for (space, outside) in [("global", ".global .align 4 .u32 n = 0;\n"), ("shared", ".shared .align 4 .u32 n;\n")] {
        let start =
            if space == "shared" { "setp.eq.u32 %p0, %tid, 0; @%p0 st.shared.u32 [n], 0; bar.sync 0;" } else { "" };
        let body = format!(
            "{start} atom.{space}.add.u32 %r0, [n], 1; mov.u32 %r1, %ctaid.x; mad.lo.u32 %r1, %r1, 96, %tid;
             mad.wide.u32 %q0, %r1, 4, %out; st.global.u32 [%q0], %r0;"
        );
        let module = parse(&kernel_text(outside, &body));
        let memory = memory();
        let out = upload(&memory, &vec![0; 4 * 4 * 96]);
        let mut shape = Shape::new(4, 96);
        shape.options.threads = 2;
        clean(&launch(&module, "k", &memory, &shape, &[0, out]));
        let mut got = super::machine::words(&memory, out, 4 * 96);
        got.sort_unstable();
        let want: Vec<u32> = (0..384).map(|i| if space == "shared" { i / 4 } else { i }).collect();
        assert_eq!(got, want, "{space}");
    }
}

#[test]
fn predicated_atomics() {
    let body =
        "setp.lt.u32 %p0, %lane, 7; @%p0 red.global.add.u32 [%out], 3; @!%p0 atom.global.max.u32 %r0, [%out+4], %lane;";
    let (report, out) = run_body("", body, 32, &[0], 2);
    clean(&report);
    assert_eq!(out, [21, 31]);
    assert_eq!(report.counters.atomics_global, 32);
}
