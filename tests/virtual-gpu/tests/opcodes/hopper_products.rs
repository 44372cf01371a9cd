//! `wgmma` against plain sums. Where an element lies in shared memory is written down here once more, from the PTX ISA's
//! figures of the 128-byte swizzle: rows of 128 bytes in groups of 8, the 16-byte chunk `c` of row `r` at `c ^ r % 8`.

use std::fmt::Write;

use half::{bf16, f16};

use super::machine::{clean, run_body};
use super::values::Random;

/// Which operand is where, and how.
#[derive(Clone, Copy, Debug)]
struct Case {
    n: usize,
    /// `bf16`, `f16`, or two of `s8` and `u8` as in the opcode.
    types: &'static str,
    a_in_registers: bool,
    /// A and B by rows of k instead of rows and columns.
    trans: [bool; 2],
    scales: [i32; 2],
    /// Whether the accumulators are added to.
    adds: bool,
    saturate: bool,
    /// Which 16 (32 bytes) of a row's k.
    step: usize,
}

impl Case {
    fn bytes(self) -> bool {
        self.types.contains('8')
    }

    fn k(self) -> usize {
        if self.bytes() { 32 } else { 16 }
    }

    /// The bits of a value.
    fn bits(self, value: f32) -> u32 {
        match self.types {
            "bf16" => bf16::from_f32(value).to_bits().into(),
            "f16" => f16::from_f32(value).to_bits().into(),
            _ => u32::from(value as i32 as u8),
        }
    }

    /// A value of operand `which` (0: A).
    fn random(self, random: &mut Random, which: usize) -> f32 {
        let word = random.word();
        match self.types.split('.').nth(which) {
            Some("s8") => f32::from(word as i8),
            Some("u8") => f32::from(word as u8),
            // Exact in both formats, and so are all sums in f32.
            _ => (word % 33) as f32 * 0.25 - 4.0,
        }
    }
}

/// Where the tiles begin: A at 0, B behind the largest A.
const B_AT: usize = 8192;
/// Between blocks of 64 columns, where k is in rows.
const LEADING: usize = 4096;
const SHARED: usize = B_AT + 32768;

/// Puts element (row or column `i`, `k`) of an operand into the image of shared memory.
fn place(case: Case, image: &mut [u8], tile: usize, i: usize, k: usize, trans: bool, value: f32) {
    let width = if case.bytes() { 1 } else { 2 };
    let (line, byte, block) = match trans {
        false => (i, case.step * 32 + k * width, 0),
        true => (k, i % 64 * 2, i / 64),
    };
    let (chunk, rest) = (byte / 16, byte % 16);
    let at = tile + block * LEADING + line / 8 * 1024 + line % 8 * 128 + (chunk ^ (line % 8)) * 16 + rest;
    image[at..at + width].copy_from_slice(&case.bits(value).to_le_bytes()[..width]);
}

fn descriptor(case: Case, tile: usize, trans: bool) -> u64 {
    let at = tile + if trans { 0 } else { case.step * 32 };
    (at as u64) >> 4 | (LEADING as u64 >> 4) << 16 | (1024 >> 4) << 32 | 1 << 62
}

/// The kernel: thread t has `n / 2` accumulators and 4 registers of A behind the image.
fn text(case: Case) -> String {
    let (d, n) = (case.n / 2, case.n);
    let list = |name: &str, count: usize| {
        let names: Vec<String> = (0..count).map(|i| format!("%{name}{i}")).collect();
        format!("{{{}}}", names.join(", "))
    };
    let mut body = format!(
        ".shared .align 1024 .b8 s[{SHARED}]; .reg .b32 %d<128>; .reg .b32 %a<4>; .reg .b64 %x, %y;
         mov.u32 %r0, %tid;
         L: mad.wide.u32 %q0, %r0, 4, %in; ld.global.u32 %r1, [%q0]; mov.u32 %r2, s; mad.lo.u32 %r2, %r0, 4, %r2;
         st.shared.u32 [%r2], %r1; add.u32 %r0, %r0, 128; setp.lt.u32 %p0, %r0, {}; @%p0 bra L;
         fence.proxy.async.shared::cta; bar.sync 0;
         mad.wide.u32 %q1, %tid, {}, %in; add.u64 %q1, %q1, {SHARED};
         mad.wide.u32 %q2, %tid, {}, %out; mov.u64 %x, {}; mov.u64 %y, {}; setp.ne.u32 %p1, %tid, {};\n",
        SHARED / 4,
        4 * (d + 4),
        4 * d,
        descriptor(case, 0, case.trans[0]),
        descriptor(case, B_AT, case.trans[1]),
        if case.adds { "-1" } else { "%tid" },
    );
    for i in 0..d {
        writeln!(body, "ld.global.b32 %d{i}, [%q1+{}];", 4 * i).unwrap();
    }
    for i in 0..4 {
        writeln!(body, "ld.global.b32 %a{i}, [%q1+{}];", 4 * (d + i)).unwrap();
    }
    let a = if case.a_in_registers { list("a", 4) } else { "%x".into() };
    let (k, result) = (case.k(), if case.bytes() { "s32" } else { "f32" });
    let types = if case.bytes() { case.types.into() } else { format!("{0}.{0}", case.types) };
    let saturate = if case.saturate { ".satfinite" } else { "" };
    let [ta, tb] = case.trans.map(i32::from);
    let modes = match (case.bytes(), case.a_in_registers) {
        (true, _) => String::new(),
        (false, true) => format!(", {}, {}, {tb}", case.scales[0], case.scales[1]),
        (false, false) => format!(", {}, {}, {ta}, {tb}", case.scales[0], case.scales[1]),
    };
    writeln!(
        body,
        "wgmma.fence.sync.aligned;
         wgmma.mma_async.sync.aligned.m64n{n}k{k}.{result}.{types}{saturate} {}, {a}, %y, %p1{modes};
         wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;",
        list("d", d)
    )
    .unwrap();
    for i in 0..d {
        writeln!(body, "st.global.b32 [%q2+{}], %d{i};", 4 * i).unwrap();
    }
    body
}

fn check(case: Case, random: &mut Random) {
    let (n, k) = (case.n, case.k());
    let a: Vec<f32> = (0..64 * k).map(|_| case.random(random, 0)).collect();
    let b: Vec<f32> = (0..n * k).map(|_| case.random(random, 1)).collect();
    // The rest of the image is what no product of these may read: NaN, or large bytes.
    let mut image = vec![0xff; SHARED];
    for j in 0..k {
        (0..64).for_each(|i| place(case, &mut image, 0, i, j, case.trans[0], a[i * k + j]));
        (0..n).for_each(|i| place(case, &mut image, B_AT, i, j, case.trans[1], b[i * k + j]));
    }
    let before = |random: &mut Random| match (case.bytes(), case.saturate) {
        (true, true) => [i32::MAX - 5, i32::MIN + 5, 7][random.word() as usize % 3] as u32,
        (true, false) => random.word(),
        _ => ((random.word() % 100) as f32 - 50.0).to_bits(),
    };
    let c: Vec<u32> = (0..64 * n).map(|_| before(random)).collect();
    // Row and column of accumulator `i` of a thread; row and first k of register `i` of A.
    let of_sum = |t: usize, i: usize| (t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8, i / 4 * 8 + t % 4 * 2 + i % 2);
    let per = 32 / (256 / k);
    let of_a = |t: usize, i: usize| (t / 32 * 16 + t % 32 / 4 + i % 2 * 8, i / 2 * k / 2 + t % 4 * per);
    let mut input: Vec<u32> = image.chunks_exact(4).map(|w| u32::from_le_bytes(w.try_into().unwrap())).collect();
    for t in 0..128 {
        for i in 0..n / 2 {
            let (row, column) = of_sum(t, i);
            input.push(c[row * n + column]);
        }
        for i in 0..4 {
            let (row, first) = of_a(t, i);
            let bits = |e: usize| case.bits(a[row * k + first + e]) << (32 / per * e);
            input.push((0..per).map(bits).sum());
        }
    }
    let (report, got) = run_body("", &text(case), 128, &input, 64 * n);
    clean(&report);
    for t in 0..128 {
        for i in 0..n / 2 {
            let (row, column) = of_sum(t, i);
            let terms = || (0..k).map(|j| f64::from(a[row * k + j]) * f64::from(b[column * k + j]));
            let old = c[row * n + column];
            let want = if case.bytes() {
                let sum = terms().sum::<f64>() as i64 + if case.adds { i64::from(old as i32) } else { 0 };
                if case.saturate { sum.clamp(i32::MIN.into(), i32::MAX.into()) as u32 } else { sum as u32 }
            } else {
                let sign = f64::from(case.scales[0] * case.scales[1]);
                let old = if case.adds { f64::from(f32::from_bits(old)) } else { 0.0 };
                ((old + sign * terms().sum::<f64>()) as f32).to_bits()
            };
            let found = got[t * n / 2 + i];
            // Zeros of both signs are one.
            let same = found == want || (!case.bytes() && (found | want) << 1 == 0);
            assert!(same, "{case:?}: row {row}, column {column} is {found:#x}, not {want:#x}");
        }
    }
    let counters = report.counters;
    let flops = (2 * 64 * n * k) as u64;
    let rows = n as u64 + if case.a_in_registers { 0 } else { 64 };
    assert_eq!((counters.mma, counters.mma_flops), (4, flops), "{case:?}");
    let stores = (SHARED / 128) as u64;
    assert_eq!(counters.shared_wavefronts, stores + (rows * 32).div_ceil(128), "{case:?}");
}

const PLAIN: Case = Case {
    n: 64,
    types: "bf16",
    a_in_registers: false,
    trans: [false; 2],
    scales: [1, 1],
    adds: true,
    saturate: false,
    step: 0,
};

#[test]
fn all_widths() {
    let mut random = Random(90);
    for n in (8..=256).step_by(8) {
        let step = n / 8 % 4;
        check(Case { n, step, a_in_registers: n % 16 == 0, ..PLAIN }, &mut random);
        check(Case { n, trans: [false, true], step, a_in_registers: n % 32 != 0, ..PLAIN }, &mut random);
    }
}

#[test]
fn types_layouts_and_scales() {
    let mut random = Random(91);
    for types in ["bf16", "f16"] {
        for trans in [[false, false], [true, false], [false, true], [true, true]] {
            for (adds, scales) in [(true, [1, 1]), (false, [1, 1]), (true, [-1, 1]), (false, [-1, -1]), (true, [1, -1])]
            {
                check(Case { n: 24, types, trans, adds, scales, ..PLAIN }, &mut random);
                if !trans[0] {
                    check(Case { n: 24, types, trans, adds, scales, a_in_registers: true, ..PLAIN }, &mut random);
                }
            }
        }
    }
}

#[test]
fn products_of_bytes() {
    let mut random = Random(92);
    for types in ["s8.s8", "s8.u8", "u8.s8", "u8.u8"] {
        for n in [8, 24, 32, 96, 256] {
            for (adds, saturate) in [(true, false), (false, false), (true, true)] {
                let case = Case { n, types, adds, saturate, step: n / 8 % 4, ..PLAIN };
                check(case, &mut random);
                check(Case { a_in_registers: true, ..case }, &mut random);
            }
        }
    }
}

#[test]
fn what_is_not_known_is_refused() {
    let with = |from: &str, to: &str| {
        let text = super::machine::kernel_text("", &text(PLAIN).replace(from, to));
        virtual_gpu::ptx::parse(&text).map(drop).map_err(|e| e.reason)
    };
    assert_eq!(with("", ""), Ok(()));
    for (from, to) in [
        ("m64n64k16", "m64n60k16"),
        ("m64n64k16", "m64n264k16"),
        ("m64n64k16", "m64n64k8"),
        ("m64n64k16.f32.bf16.bf16", "m64n64k8.f32.tf32.tf32"),
        ("%p1, 1, 1, 0, 0;", "%p1, 1, 1, 0;"),
        ("%p1, 1, 1, 0, 0;", "%p1, 2, 1, 0, 0;"),
        ("%p1, 1, 1, 0, 0;", "%p1, 1, 1, 0, 2;"),
        ("{%d0, ", "{"),
        ("fence.sync.aligned", "fence.sync"),
        ("wgmma.mma_async.sync", "wgmma.mma_async.sp.sync"),
    ] {
        assert!(with(from, to).is_err(), "{from} -> {to}");
    }
}

#[test]
fn results_are_there_when_they_are_waited_for() {
    // Stored before the wait they are no numbers, whatever they were.
    let early = text(PLAIN).replace("wgmma.wait_group.sync.aligned 0;", "") + "wgmma.wait_group.sync.aligned 0;";
    let words: Vec<u32> = vec![0; SHARED / 4 + 128 * 36];
    let (report, got) = run_body("", &early, 128, &words, 64 * 64);
    assert!(got.iter().all(|&w| f32::from_bits(w).is_nan()));
    let kinds: Vec<&str> = report.warnings.iter().map(|w| w.kind.as_str()).collect();
    assert!(kinds.iter().all(|&k| k == "accumulator of a wgmma under way read") && kinds.len() == 16, "{kinds:?}");
}
