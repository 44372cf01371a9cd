//! Matrix moves and `mma.sync`. The fragments are written down from the PTX ISA's tables: element `i` of a lane in
//! group `g = lane / 4` with number `t = lane % 4` in its group.

use super::machine::{run_body, run_clean};
use super::values::Random;

/// Rows of 8 elements, in the order in which `ldmatrix` is given their addresses.
fn tiles() -> Vec<u32> {
    let mut random = Random(21);
    (0..4 * 8 * 4).map(|_| random.word()).collect()
}

/// Element (row, column) of matrix `m` of [`tiles`].
fn element(words: &[u32], m: usize, row: usize, column: usize) -> u32 {
    words[(m * 8 + row) * 4 + column / 2] >> (16 * (column % 2)) & 0xffff
}

/// Copies 512 bytes into shared memory, rows 48 bytes apart, then loads matrices from there.
fn load_matrices(form: &str, count: usize) -> String {
    let registers: Vec<String> = (10..10 + count).map(|i| format!("%r{i}")).collect();
    let mut body = format!(
        ".shared .align 16 .b8 s[1536]; mov.u32 %r0, s; mad.lo.u32 %r0, %lane, 48, %r0;
         mad.wide.u32 %q0, %lane, 16, %in;
         ld.global.v4.u32 {{%r1, %r2, %r3, %r4}}, [%q0]; st.shared.v4.u32 [%r0], {{%r1, %r2, %r3, %r4}}; bar.sync 0;
         ldmatrix.sync.aligned.m8n8.{form}.b16 {{{}}}, [%r0];
         mad.wide.u32 %q1, %lane, 16, %out;\n",
        registers.join(", ")
    );
    for (i, r) in registers.iter().enumerate() {
        body += &format!("st.global.u32 [%q1+{}], {r};\n", 4 * i);
    }
    body
}

#[test]
fn loads_of_matrices() {
    let words = tiles();
    for (x, count) in [("x1", 1), ("x2", 2), ("x4", 4)] {
        for trans in [false, true] {
            for space in ["shared", "shared::cta"] {
                let form = format!("{x}{}.{space}", if trans { ".trans" } else { "" });
                let got = run_clean("", &load_matrices(&form, count), 32, &words, 128);
                for lane in 0..32 {
                    let (g, t) = (lane / 4, lane % 4);
                    for m in 0..count {
                        let pair = |i: usize| match trans {
                            false => element(&words, m, g, 2 * t + i),
                            true => element(&words, m, 2 * t + i, g),
                        };
                        assert_eq!(got[4 * lane + m], pair(0) | pair(1) << 16, "{form} lane {lane} matrix {m}");
                    }
                }
            }
        }
    }
}

#[test]
fn only_the_lanes_of_the_matrices_give_addresses() {
    // For x1 the addresses of lanes 8 to 31 are not used: they may be anything.
    let body =
        load_matrices("x1.shared", 1).replace("ldmatrix", "setp.gt.u32 %p0, %lane, 7; @%p0 mov.u32 %r0, -1; ldmatrix");
    let words = tiles();
    let got = run_clean("", &body, 32, &words, 128);
    assert!((0..32).all(|l| got[4 * l] == words[l]));
    // Lane 5's is.
    let body =
        load_matrices("x1.shared", 1).replace("ldmatrix", "setp.eq.u32 %p0, %lane, 5; @%p0 mov.u32 %r0, -16; ldmatrix");
    let (report, _) = run_body("", &body, 32, &words, 128);
    let fault = report.fault.unwrap();
    assert_eq!((fault.kind.as_str(), fault.place.thread[0]), ("out of bounds shared load", 5));
    let body = load_matrices("x1.shared", 1).replace("ldmatrix", "add.u32 %r0, %r0, 8; ldmatrix");
    let (report, _) = run_body("", &body, 32, &words, 128);
    assert_eq!(report.fault.unwrap().kind, "misaligned shared load");
}

#[test]
fn stores_of_matrices() {
    // Stored as fragments, read back as rows.
    let words = tiles();
    for trans in [false, true] {
        let form = if trans { "x4.trans.shared" } else { "x4.shared" };
        let body = format!(
            ".shared .align 16 .b8 s[512]; mov.u32 %r0, s; mad.lo.u32 %r0, %lane, 16, %r0;
             mad.wide.u32 %q0, %lane, 16, %in;
             ld.global.v4.u32 {{%r1, %r2, %r3, %r4}}, [%q0];
             stmatrix.sync.aligned.m8n8.{form}.b16 [%r0], {{%r1, %r2, %r3, %r4}}; bar.sync 0;
             ld.shared.v4.u32 {{%r1, %r2, %r3, %r4}}, [%r0]; mad.wide.u32 %q1, %lane, 16, %out;
             st.global.v4.u32 [%q1], {{%r1, %r2, %r3, %r4}};"
        );
        let got = run_clean("", &body, 32, &words, 128);
        for m in 0..4 {
            for lane in 0..32 {
                let (g, t) = (lane / 4, lane % 4);
                for i in 0..2 {
                    let given = words[4 * lane + m] >> (16 * i) & 0xffff;
                    let (row, column) = if trans { (2 * t + i, g) } else { (g, 2 * t + i) };
                    assert_eq!(element(&got, m, row, column), given, "{form}");
                }
            }
        }
    }
}

#[test]
fn transposes() {
    let words = tiles();
    let body =
        "mad.wide.u32 %q0, %lane, 4, %in; ld.global.u32 %r0, [%q0]; movmatrix.sync.aligned.m8n8.trans.b16 %r1, %r0;
                mad.wide.u32 %q1, %lane, 4, %out; st.global.u32 [%q1], %r1;";
    let got = run_clean("", body, 32, &words, 32);
    for row in 0..8 {
        for column in 0..8 {
            assert_eq!(element(&got, 0, row, column), element(&words, 0, column, row));
        }
    }
}

/// How an `mma` shape spreads its matrices: k, bits of an input, row and column of A's element `i`, row (k) of B's
/// element `i`; B's column is the group, and C's elements are at (g + 8 * (i / 2), 2 * t + i % 2) in all shapes.
struct Layout {
    name: &'static str,
    k: usize,
    bits: usize,
    a: fn(usize, usize, usize) -> (usize, usize),
    b: fn(usize, usize) -> usize,
}

const LAYOUTS: [Layout; 6] = [
    Layout {
        name: "m16n8k8 16-bit",
        k: 8,
        bits: 16,
        a: |g, t, i| (if i < 2 { g } else { g + 8 }, t * 2 + (i & 1)),
        b: |t, i| t * 2 + i,
    },
    Layout {
        name: "m16n8k16 16-bit",
        k: 16,
        bits: 16,
        a: |g, t, i| {
            (if i < 2 || (4..6).contains(&i) { g } else { g + 8 }, t * 2 + (i & 1) + if i < 4 { 0 } else { 8 })
        },
        b: |t, i| t * 2 + (i & 1) + if i < 2 { 0 } else { 8 },
    },
    Layout { name: "m16n8k4 tf32", k: 4, bits: 32, a: |g, t, i| (if i == 0 { g } else { g + 8 }, t), b: |t, _| t },
    Layout {
        name: "m16n8k8 tf32",
        k: 8,
        bits: 32,
        a: |g, t, i| (if i == 0 || i == 2 { g } else { g + 8 }, if i < 2 { t } else { t + 4 }),
        b: |t, i| if i == 0 { t } else { t + 4 },
    },
    Layout {
        name: "m16n8k16 8-bit",
        k: 16,
        bits: 8,
        a: |g, t, i| (if i < 4 { g } else { g + 8 }, t * 4 + (i & 3)),
        b: |t, i| t * 4 + (i & 3),
    },
    Layout {
        name: "m16n8k32 8-bit",
        k: 32,
        bits: 8,
        a: |g, t, i| {
            (if i < 4 || (8..12).contains(&i) { g } else { g + 8 }, t * 4 + (i & 3) + if i < 8 { 0 } else { 16 })
        },
        b: |t, i| t * 4 + (i & 3) + if i < 4 { 0 } else { 16 },
    },
];

fn layout(name: &str) -> &'static Layout {
    LAYOUTS.iter().find(|l| l.name == name).unwrap()
}

/// Runs one `mma` on matrices of raw bits: a[row][k], b[k][column], c[row][column]; D's bits. `half_sum`: C and D are
/// pairs of f16.
fn mma(text: &str, l: &Layout, a: &[Vec<u32>], b: &[Vec<u32>], c: &[Vec<u32>], half_sum: bool) -> Vec<Vec<u32>> {
    let per = 32 / l.bits;
    let (na, nb) = (16 * l.k * l.bits / 32 / 32, 8 * l.k * l.bits / 32 / 32);
    let nc = if half_sum { 2 } else { 4 };
    let mut input = Vec::new();
    for lane in 0..32 {
        let (g, t) = (lane / 4, lane % 4);
        let gather = |n: usize, per: usize, bits: usize, at: &dyn Fn(usize) -> u32| -> Vec<u32> {
            let word = |r: usize| (0..per).map(|e| at(r * per + e) << (bits * e)).sum();
            (0..n).map(word).collect()
        };
        input.extend(gather(na, per, l.bits, &|i| {
            let (row, column) = (l.a)(g, t, i);
            a[row][column]
        }));
        input.extend(gather(nb, per, l.bits, &|i| b[(l.b)(t, i)][g]));
        let (per_c, bits_c) = if half_sum { (2, 16) } else { (1, 32) };
        input.extend(gather(nc, per_c, bits_c, &|i| c[g + 8 * (i / 2)][2 * t + i % 2]));
    }
    let list = |from: usize, n: usize| {
        let names: Vec<String> = (from..from + n).map(|i| format!("%r{i}")).collect();
        format!("{{{}}}", names.join(", "))
    };
    let mut body = format!("mad.wide.u32 %q0, %lane, {}, %in;\n", 4 * (na + nb + nc));
    for i in 0..na + nb + nc {
        body += &format!("ld.global.u32 %r{i}, [%q0+{}];\n", 4 * i);
    }
    body += &format!("{text} {}, {}, {}, {};\n", list(20, nc), list(0, na), list(na, nb), list(na + nb, nc));
    body += &format!("mad.wide.u32 %q1, %lane, {}, %out;\n", 4 * nc);
    for i in 0..nc {
        body += &format!("st.global.u32 [%q1+{}], %r{};\n", 4 * i, 20 + i);
    }
    let out = run_clean("", &body, 32, &input, 32 * nc);
    let mut d = vec![vec![0; 8]; 16];
    for lane in 0..32 {
        let (g, t) = (lane / 4, lane % 4);
        for i in 0..4 {
            let bits = if half_sum { out[lane * nc + i / 2] >> (16 * (i % 2)) & 0xffff } else { out[lane * nc + i] };
            d[g + 8 * (i / 2)][2 * t + i % 2] = bits;
        }
    }
    d
}

fn matrix(rows: usize, columns: usize, mut value: impl FnMut() -> u32) -> Vec<Vec<u32>> {
    (0..rows).map(|_| (0..columns).map(|_| value()).collect()).collect()
}

/// A float's bits in an input type.
fn encode(ty: &str, x: f32) -> u32 {
    match ty {
        "bf16" => half::bf16::from_f32(x).to_bits().into(),
        "f16" => half::f16::from_f32(x).to_bits().into(),
        _ => x.to_bits(),
    }
}

fn decode(ty: &str, bits: u32) -> f64 {
    match ty {
        "bf16" => half::bf16::from_bits(bits as u16).to_f64(),
        "f16" => half::f16::from_bits(bits as u16).to_f64(),
        _ => f32::from_bits(bits).into(),
    }
}

#[test]
fn float_products() {
    for (shape, ty) in [
        ("m16n8k8", "bf16"),
        ("m16n8k8", "f16"),
        ("m16n8k16", "bf16"),
        ("m16n8k16", "f16"),
        ("m16n8k4", "tf32"),
        ("m16n8k8", "tf32"),
    ] {
        let l = layout(&format!("{shape} {}", if ty == "tf32" { "tf32" } else { "16-bit" }));
        let text = format!("mma.sync.aligned.{shape}.row.col.f32.{ty}.{ty}.f32");
        for whole in [true, false] {
            let mut random = Random(33);
            let mut number = || {
                let n = (random.next() % 17) as f32 - 8.0;
                if whole { n } else { (n + random.word() as f32 / 4.0e9) * 0.3 }
            };
            // tf32 inputs keep 10 bits of fraction; the hardware ignores the rest, which must not be set here.
            let clean = |x: f32| if ty == "tf32" { f32::from_bits(x.to_bits() & !0x1fff) } else { x };
            let a = matrix(16, l.k, || encode(ty, clean(number())));
            let b = matrix(l.k, 8, || encode(ty, clean(number())));
            let c = matrix(16, 8, || number().to_bits());
            let d = mma(&text, l, &a, &b, &c, false);
            for m in 0..16 {
                for n in 0..8 {
                    let products = (0..l.k).map(|k| decode(ty, a[m][k]) * decode(ty, b[k][n]));
                    let want = products.sum::<f64>() + f64::from(f32::from_bits(c[m][n]));
                    let got = f64::from(f32::from_bits(d[m][n]));
                    // Sums of whole numbers are exact; others may be rounded at each step.
                    let tolerance = if whole { 0.0 } else { 1e-5 };
                    assert!((got - want).abs() <= tolerance, "{text} ({m}, {n}): {got}, not {want}");
                }
            }
        }
    }
}

#[test]
fn sums_in_f16() {
    for shape in ["m16n8k8", "m16n8k16"] {
        let l = layout(&format!("{shape} 16-bit"));
        let mut random = Random(35);
        let mut number = || encode("f16", (random.next() % 9) as f32 - 4.0);
        let (a, b, c) = (matrix(16, l.k, &mut number), matrix(l.k, 8, &mut number), matrix(16, 8, &mut number));
        let d = mma(&format!("mma.sync.aligned.{shape}.row.col.f16.f16.f16.f16"), l, &a, &b, &c, true);
        for m in 0..16 {
            for n in 0..8 {
                let want = (0..l.k).map(|k| decode("f16", a[m][k]) * decode("f16", b[k][n])).sum::<f64>()
                    + decode("f16", c[m][n]);
                assert_eq!(decode("f16", d[m][n]), want, "{shape} ({m}, {n})");
            }
        }
    }
}

#[test]
fn integer_products() {
    for shape in ["m16n8k16", "m16n8k32"] {
        let l = layout(&format!("{shape} 8-bit"));
        for (ta, tb) in [("s8", "s8"), ("u8", "u8"), ("s8", "u8"), ("u8", "s8")] {
            for satfinite in ["", ".satfinite"] {
                let mut random = Random(37);
                let a = matrix(16, l.k, || random.word() & 0xff);
                let b = matrix(l.k, 8, || random.word() & 0xff);
                // Sums near the ends of the range show wrapping and saturation.
                let c = matrix(16, 8, || if random.word() & 1 == 0 { 0x7fff_fff0 } else { 0x8000_0010 });
                let text = format!("mma.sync.aligned.{shape}.row.col{satfinite}.s32.{ta}.{tb}.s32");
                let d = mma(&text, l, &a, &b, &c, false);
                let value = |ty: &str, v: u32| if ty == "s8" { i64::from(v as u8 as i8) } else { i64::from(v) };
                for m in 0..16 {
                    for n in 0..8 {
                        let sum = (0..l.k).map(|k| value(ta, a[m][k]) * value(tb, b[k][n])).sum::<i64>();
                        let exact = sum + i64::from(c[m][n] as i32);
                        let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
                        let want = if satfinite.is_empty() {
                            exact as i32
                        } else {
                            exact.clamp(*range.start(), *range.end()) as i32
                        };
                        assert_eq!(d[m][n] as i32, want, "{text} ({m}, {n})");
                    }
                }
            }
        }
    }
}

#[test]
fn mma_needs_all_lanes() {
    let body = "setp.eq.u32 %p0, %lane, 9; @%p0 exit;
         mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32
         {%r0, %r1, %r2, %r3}, {%r4, %r5}, {%r6}, {%r0, %r1, %r2, %r3};";
    let (report, _) = run_body("", body, 32, &[0], 1);
    assert_eq!(report.warnings.iter().map(|w| w.kind.as_str()).collect::<Vec<_>>(), ["mma.sync without all lanes"]);
}
