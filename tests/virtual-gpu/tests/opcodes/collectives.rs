//! Shuffles, votes, matches and reductions of a warp.

use super::machine::{load_word, run_body, run_clean, store_word};
use super::values::Random;

/// 64 random words: two warps.
fn input() -> Vec<u32> {
    let mut random = Random(11);
    (0..64).map(|_| random.word()).collect()
}

#[test]
fn shuffles() {
    let input = input();
    // Segments of 32, 16, 8, 4: the mask in bits 8 to 12, the clamp in bits 0 to 4.
    for mode in ["up", "down", "bfly", "idx"] {
        for b in [0u32, 1, 2, 3, 5, 8, 16, 17, 31, 33] {
            for c in [0x1f, 0, 0x101f, 0x1000, 0x181f, 0x1800, 0x1c1f, 0x1c00, 0x1c03, 0x000f] {
                let body = format!(
                    "{}shfl.sync.{mode}.b32 %r1|%p0, %r0, {b}, {c}, -1; selp.u32 %r2, 1, 0, %p0;
                     mad.wide.u32 %q0, %tid, 8, %out; st.global.v2.u32 [%q0], {{%r1, %r2}};",
                    load_word("%r0")
                );
                let got = run_clean("", &body, 64, &input, 128);
                for t in 0..64usize {
                    let lane = t as i32 % 32;
                    let (b, clamp, segment) = ((b & 31) as i32, c & 31, c >> 8 & 31);
                    let (low, high) = (lane & segment, (lane & segment) | (clamp & !segment));
                    let (from, inside) = match mode {
                        "up" => (lane - b, lane - b >= high),
                        "down" => (lane + b, lane + b <= high),
                        "bfly" => (lane ^ b, (lane ^ b) <= high),
                        _ => (low | (b & !segment), (low | (b & !segment)) <= high),
                    };
                    let from = if inside { from } else { lane } as usize;
                    let want = [input[t / 32 * 32 + from], u32::from(inside)];
                    assert_eq!(got[2 * t..2 * t + 2], want, "{mode} {b} {c:#x} thread {t}");
                }
            }
        }
    }
}

#[test]
fn shuffles_by_a_register() {
    let input = input();
    let body = format!(
        "{}mul.lo.u32 %r3, %lane, 7; shfl.sync.idx.b32 %r1, %r0, %r3, 31, 0xffffffff;\n{}",
        load_word("%r0"),
        store_word("%r1")
    );
    let got = run_clean("", &body, 64, &input, 64);
    assert!((0..64).all(|t| got[t] == input[t / 32 * 32 + t % 32 * 7 % 32]));
}

#[test]
fn shuffles_among_some_lanes() {
    // The lower half reduces under its own mask while the upper half does something else.
    let body = format!(
        "{}setp.ge.u32 %p0, %lane, 16; @%p0 bra Ldone;
         shfl.sync.bfly.b32 %r1, %r0, 8, 31, 0xffff; add.u32 %r0, %r0, %r1;
          shfl.sync.bfly.b32 %r1, %r0, 4, 31, 0xffff; add.u32 %r0, %r0, %r1;
         shfl.sync.bfly.b32 %r1, %r0, 2, 31, 0xffff; add.u32 %r0, %r0, %r1;
          shfl.sync.bfly.b32 %r1, %r0, 1, 31, 0xffff; add.u32 %r0, %r0, %r1;
         Ldone:\n{}",
        load_word("%r0"),
        store_word("%r0")
    );
    let input = input();
    let got = run_clean("", &body, 64, &input, 64);
    for t in 0..64 {
        let first = t / 32 * 32;
        let sum = input[first..first + 16].iter().fold(0u32, |s, v| s.wrapping_add(*v));
        assert_eq!(got[t], if t % 32 < 16 { sum } else { input[t] });
    }
}

#[test]
fn both_halves_under_their_own_masks() {
    // One instruction, two disjoint masks at once: what tiles of 16 threads do.
    let body = format!(
        "{}setp.ge.u32 %p0, %lane, 16; selp.b32 %r9, 0xffff0000, 0xffff, %p0;
         shfl.sync.bfly.b32 %r1, %r0, 1, 31, %r9;\n{}",
        load_word("%r0"),
        store_word("%r1")
    );
    let input = input();
    let got = run_clean("", &body, 64, &input, 64);
    assert!((0..64).all(|t| got[t] == input[t ^ 1]));
}

#[test]
fn votes() {
    let numbers: Vec<u32> = (0..128).collect();
    for (test, lanes) in [
        ("setp.lt.u32 %p0, %lane, 10", (|l| l < 10) as fn(u32) -> bool),
        ("setp.lt.u32 %p0, %lane, 32", |_| true),
        ("setp.gt.u32 %p0, %lane, 40", |_| false),
    ] {
        let body = format!(
            "{test}; vote.sync.ballot.b32 %r0, %p0, -1; vote.sync.ballot.b32 %r1, !%p0, -1;
             vote.sync.all.pred %p1, %p0, -1; vote.sync.any.pred %p2, %p0, -1; vote.sync.uni.pred %p3, %p0, -1;
             selp.u32 %r2, 1, 0, %p1; @%p2 or.b32 %r2, %r2, 2; @%p3 or.b32 %r2, %r2, 4;
             mad.wide.u32 %q0, %tid, 16, %out; st.global.v4.u32 [%q0], {{%r0, %r1, %r2, %tid}};"
        );
        let got = run_clean("", &body, 32, &numbers, 128);
        let ballot: u32 = (0..32).filter(|&l| lanes(l)).map(|l| 1 << l).sum();
        let flags = u32::from(ballot == !0) | u32::from(ballot != 0) << 1 | u32::from(ballot == 0 || ballot == !0) << 2;
        for t in 0..32 {
            assert_eq!(got[4 * t..4 * t + 4], [ballot, !ballot, flags, t as u32]);
        }
    }
}

#[test]
fn votes_among_some_lanes() {
    // The predicates of the lanes that do not vote are true, and count for nothing.
    let body = format!(
        "and.b32 %r1, %lane, 1; setp.eq.u32 %p1, %r1, 1; setp.ge.u32 %p2, %lane, 20;
         mov.u32 %r0, 0; setp.ge.u32 %p0, %lane, 20; @%p0 bra Ldone;
         vote.sync.ballot.b32 %r0, %p1, 0xfffff; vote.sync.any.pred %p3, %p2, 0xfffff;
         vote.sync.all.pred %p4, !%p2, 0xfffff;
         @%p3 mov.u32 %r0, 1; @!%p4 mov.u32 %r0, 2; Ldone:\n{}",
        store_word("%r0")
    );
    let got = run_clean("", &body, 32, &[0], 32);
    assert!((0..32).all(|l| got[l] == if l < 20 { 0xa_aaaa } else { 0 }), "{got:x?}");
}

#[test]
fn matches() {
    let body = format!(
        "and.b32 %r0, %lane, 3; match.any.sync.b32 %r1, %r0, -1; cvt.u64.u32 %q0, %r0; match.any.sync.b64 %r2, %q0, -1;
         setp.eq.u32 %p9, %r1, %r2; selp.b32 %r1, %r1, 0, %p9;\n{}",
        store_word("%r1")
    );
    let got = run_clean("", &body, 32, &[0], 32);
    assert!((0..32).all(|l| got[l] == 0x1111_1111 << (l % 4)), "{got:x?}");
    for (value, all) in [("7", true), ("%lane", false)] {
        let body = format!(
            "mov.u32 %r0, {value}; match.all.sync.b32 %r1|%p0, %r0, -1; selp.u32 %r2, 1, 0, %p0;
             xor.b32 %r1, %r1, %r2;\n{}",
            store_word("%r1")
        );
        let got = run_clean("", &body, 32, &[0], 32);
        assert_eq!(got, [if all { 0xffff_fffe } else { 0 }; 32]);
    }
}

type Fold = fn(u32, u32) -> u32;

#[test]
fn reductions() {
    let input = input();
    let halves = [&input[..32], &input[32..]];
    let cases: [(&str, Fold); 9] = [
        ("add.u32", u32::wrapping_add),
        ("add.s32", u32::wrapping_add),
        ("min.u32", u32::min),
        ("max.u32", u32::max),
        ("min.s32", |a, b| (a as i32).min(b as i32) as u32),
        ("max.s32", |a, b| (a as i32).max(b as i32) as u32),
        ("and.b32", |a, b| a & b),
        ("or.b32", |a, b| a | b),
        ("xor.b32", |a, b| a ^ b),
    ];
    for (op, f) in cases {
        let body = format!("{}redux.sync.{op} %r1, %r0, -1;\n{}", load_word("%r0"), store_word("%r1"));
        let got = run_clean("", &body, 64, &input, 64);
        for (warp, half) in halves.iter().enumerate() {
            let want = half.iter().copied().reduce(f).unwrap();
            assert_eq!(got[32 * warp..32 * warp + 32], [want; 32], "{op}");
        }
    }
}

#[test]
fn active_masks() {
    let body = format!(
        "mov.u32 %r0, 0; setp.lt.u32 %p0, %lane, 5; @!%p0 bra Lelse; activemask.b32 %r0; bra Ldone;
         Lelse: activemask.b32 %r0; Ldone:\n{}",
        store_word("%r0")
    );
    let got = run_clean("", &body, 32, &[0], 32);
    assert!((0..32).all(|l| got[l] == if l < 5 { 0x1f } else { 0xffff_ffe0 }), "{got:x?}");
}

#[test]
fn one_lane_is_elected() {
    let body =
        format!("elect.sync %r0|%p0, -1; selp.u32 %r1, 100, 0, %p0; add.u32 %r1, %r1, %r0;\n{}", store_word("%r1"));
    let got = run_clean("", &body, 32, &[0], 32);
    assert_eq!(got[0], 100);
    assert!(got[1..].iter().all(|&v| v == 0));
}

#[test]
fn lanes_that_are_not_there_are_reported() {
    // Lane 3 has left; a shuffle still reads it.
    let body = "setp.eq.u32 %p0, %lane, 3; @%p0 exit; shfl.sync.idx.b32 %r0, %lane, 3, 31, -1;";
    let (report, _) = run_body("", body, 32, &[0], 1);
    assert!(report.warnings.iter().any(|w| w.kind == "shuffle from an inactive lane"), "{report:?}");
    // A lane that executes a vote it is not a member of.
    let (report, _) = run_body("", "setp.lt.u32 %p0, %lane, 4; vote.sync.ballot.b32 %r0, %p0, 0xff;", 32, &[0], 1);
    assert!(report.warnings.iter().any(|w| w.kind == "lane outside its member mask"), "{report:?}");
}

#[test]
fn reductions_of_floats() {
    let values: Vec<f32> = (0..64).map(|i| (i as f32 - 40.0) * 1.5).collect();
    let numbers: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
    let mut holes = numbers.clone();
    holes[5] = f32::NAN.to_bits();
    holes[40] = f32::NAN.to_bits();
    for (op, max) in [("min", false), ("max", true)] {
        for abs in [false, true] {
            for nan in [false, true] {
                let form = format!("{op}{}{}", if abs { ".abs" } else { "" }, if nan { ".NaN" } else { "" });
                let body = format!("{}redux.sync.{form}.f32 %r1, %r0, -1;\n{}", load_word("%r0"), store_word("%r1"));
                let got = run_clean("", &body, 64, &holes, 64);
                for warp in 0..2 {
                    let rest = (32 * warp..32 * warp + 32).filter(|i| !f32::from_bits(holes[*i]).is_nan());
                    let list = rest.map(|i| if abs { values[i].abs() } else { values[i] });
                    let number = list.reduce(|a, b| if max { a.max(b) } else { a.min(b) }).unwrap();
                    let value = f32::from_bits(got[32 * warp + 7]);
                    assert!(if nan { value.is_nan() } else { value == number }, "{form}: {value}");
                }
            }
        }
    }
}
