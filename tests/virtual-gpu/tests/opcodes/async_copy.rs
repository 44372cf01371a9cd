//! `cp.async`: widths, zero fill, groups.

use super::machine::{run_body, run_clean, store_word};

fn input() -> Vec<u32> {
    (0..1024).map(|i| i * 2_654_435 + 1).collect()
}

/// Each thread copies `bytes` from its place, waits, and adds the words up.
fn copy(instruction: &str, bytes: u32, wait: &str) -> String {
    let mut body = format!(
        ".shared .align 16 .b8 s[2048]; mov.u32 %r0, s; mad.lo.u32 %r0, %tid, {bytes}, %r0;
         mad.wide.u32 %q0, %tid, {bytes}, %in;
         {instruction} {wait} mov.u32 %r5, 0;\n"
    );
    for word in 0..bytes / 4 {
        body += &format!("ld.shared.u32 %r4, [%r0+{}]; mad.lo.u32 %r5, %r5, 31, %r4;\n", 4 * word);
    }
    body + &store_word("%r5")
}

fn sum(words: &[u32]) -> u32 {
    words.iter().fold(0, |s: u32, w| s.wrapping_mul(31).wrapping_add(*w))
}

#[test]
fn widths_and_waits() {
    let input = input();
    for (form, bytes) in [
        ("cp.async.ca.shared.global [%r0], [%q0], 4;", 4),
        ("cp.async.ca.shared.global [%r0], [%q0], 8;", 8),
        ("cp.async.ca.shared.global [%r0], [%q0], 16;", 16),
        ("cp.async.cg.shared.global [%r0], [%q0], 16;", 16),
        ("cp.async.cg.shared.global.L2::128B [%r0], [%q0], 16;", 16),
        ("cp.async.ca.shared::cta.global.L2::64B [%r0], [%q0], 4, 4;", 4),
        (
            "createpolicy.fractional.L2::evict_first.b64 %q5, 0f3F800000;
             cp.async.cg.shared.global.L2::cache_hint [%r0], [%q0], 16, %q5;",
            16,
        ),
    ] {
        for wait in [
            "cp.async.wait_all;",
            "cp.async.commit_group; cp.async.wait_group 0;",
            "cp.async.commit_group; cp.async.wait_all;",
        ] {
            let got = run_clean("", &copy(form, bytes, wait), 64, &input, 64);
            let n = bytes as usize / 4;
            assert!((0..64).all(|t| got[t] == sum(&input[t * n..(t + 1) * n])), "{form} {wait}");
        }
    }
}

#[test]
fn the_rest_is_filled_with_zeros() {
    let input = input();
    // Thread t reads t % 17 bytes of 16.
    let form = "rem.u32 %r9, %tid, 17; cp.async.cg.shared.global [%r0], [%q0], 16, %r9;";
    let got = run_clean("", &copy(form, 16, "cp.async.wait_all;"), 64, &input, 64);
    for t in 0..64usize {
        let mut bytes: Vec<u8> = input[4 * t..4 * t + 4].iter().flat_map(|w| w.to_le_bytes()).collect();
        bytes[t % 17..].fill(0);
        let words: Vec<u32> = bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
        assert_eq!(got[t], sum(&words), "thread {t}");
    }
    // Nothing is read for size 0: any address will do.
    let nothing = "mov.u64 %q0, 0; cp.async.ca.shared.global [%r0], [%q0], 16, 0;";
    assert_eq!(run_clean("", &copy(nothing, 16, "cp.async.wait_all;"), 64, &input, 64), [0; 64]);
}

#[test]
fn groups_complete_in_order() {
    // Three groups of one copy each; after `wait_group 1` the first two may be read, after 0 the third.
    let text = |first_wait: &str| {
        format!(
            ".shared .align 16 .b8 s[1024]; mov.u32 %r0, s; mad.lo.u32 %r0, %tid, 4, %r0;
             mad.wide.u32 %q0, %tid, 4, %in;
             cp.async.ca.shared.global [%r0], [%q0], 4; cp.async.commit_group;
             cp.async.ca.shared.global [%r0+128], [%q0+128], 4; cp.async.commit_group;
             cp.async.ca.shared.global [%r0+256], [%q0+256], 4; cp.async.commit_group;
             cp.async.wait_group {first_wait}; ld.shared.u32 %r1, [%r0]; ld.shared.u32 %r2, [%r0+128];
             cp.async.wait_group 0; ld.shared.u32 %r3, [%r0+256]; add.u32 %r1, %r1, %r2; add.u32 %r1, %r1, %r3;\n{}",
            store_word("%r1")
        )
    };
    let input = input();
    let got = run_clean("", &text("1"), 32, &input, 32);
    assert!((0..32).all(|t| got[t] == input[t].wrapping_add(input[t + 32]).wrapping_add(input[t + 64])));
    // One group too few: the second copy has not arrived.
    let (report, got) = run_body("", &text("2"), 32, &input, 32);
    let late = "shared memory read before cp.async completed";
    assert_eq!(report.warnings.iter().map(|w| w.kind.as_str()).collect::<Vec<_>>(), [late]);
    assert!(report.warnings[0].place.instruction.contains("[%r0+128]"), "{:?}", report.warnings);
    assert!((0..32).all(|t| got[t] != input[t].wrapping_add(input[t + 32]).wrapping_add(input[t + 64])));
}

#[test]
fn a_wait_is_each_threads_own() {
    // Thread t reads what thread t ^ 1 copied: waiting is not enough, a barrier is needed.
    let text = |barrier: &str| {
        format!(
            ".shared .align 16 .b8 s[1024]; mov.u32 %r0, s; mad.lo.u32 %r1, %tid, 4, %r0;
             mad.wide.u32 %q0, %tid, 4, %in;
             cp.async.ca.shared.global [%r1], [%q0], 4; cp.async.wait_all; {barrier}
             xor.b32 %r2, %tid, 33; mad.lo.u32 %r1, %r2, 4, %r0; ld.shared.u32 %r3, [%r1];\n{}",
            store_word("%r3")
        )
    };
    let input = input();
    let got = run_clean("", &text("bar.sync 0;"), 64, &input, 64);
    assert!((0..64).all(|t| got[t] == input[t ^ 33]));
    let (report, _) = run_body("", &text(""), 64, &input, 64);
    assert!(!report.warnings.is_empty());
}

#[test]
fn bounds_of_copies() {
    let fault = |instruction: &str| {
        let (report, _) = run_body("", &copy(instruction, 16, "cp.async.wait_all;"), 32, &input()[..64], 32);
        report.fault.map(|f| f.kind).unwrap_or_default()
    };
    // 64 words hold 16 threads' 16 bytes; the seventeenth reads past the end.
    assert_eq!(fault("cp.async.cg.shared.global [%r0], [%q0], 16;"), "out of bounds global load");
    assert_eq!(fault("cp.async.ca.shared.global [%r0+2], [%in], 4;"), "misaligned shared store");
    assert_eq!(fault("cp.async.ca.shared.global [%r0], [%in+2], 4;"), "misaligned global load");
    assert_eq!(fault("cp.async.ca.shared.global [%r0], [%in+2], 4, 2;"), "misaligned global load");
    assert_eq!(fault("cp.async.ca.shared.global [%r0+2048], [%in], 4;"), "out of bounds shared store");
}
