//! `mbarrier` and bulk copies: what they count, and when a phase has ended.

use super::machine::{clean, run_body, run_clean, store_word};

/// Thread 0 initialises a barrier of `count` arrivals; `body` follows behind the block's barrier. `%r0` is its address,
/// `%r1` that of 4,096 bytes of shared memory.
fn barrier(count: u32, body: &str) -> String {
    format!(
        ".shared .align 8 .b8 bar[8]; .shared .align 16 .b8 s[4096]; mov.u32 %r0, bar; mov.u32 %r1, s;
         setp.ne.u32 %p15, %tid, 0; @%p15 bra READY;
         mbarrier.init.shared::cta.b64 [%r0], {count}; fence.mbarrier_init.release.cluster;
         READY: bar.sync 0;\n{body}"
    )
}

/// A wait for a parity.
fn wait(label: &str, parity: u32) -> String {
    format!("{label}: mbarrier.try_wait.parity.shared::cta.b64 %p0, [%r0], {parity}; @!%p0 bra {label};\n")
}

#[test]
fn a_phase_ends_with_its_last_arrival() {
    // Threads write, arrive, wait, and read what the others wrote; three phases.
    let mut body = String::new();
    for phase in 0..3 {
        body += &format!(
            "add.u32 %r2, %tid, {phase}; mad.lo.u32 %r3, %tid, 4, %r1; st.shared.u32 [%r3+{}], %r2;
             mbarrier.arrive.shared::cta.b64 _, [%r0];
             {}
             xor.b32 %r4, %tid, 63; mad.lo.u32 %r4, %r4, 4, %r1; ld.shared.u32 %r5, [%r4+{}]; add.u32 %r6, %r6, %r5;\n",
            1024 * phase,
            wait(&format!("W{phase}"), phase % 2),
            1024 * phase,
        );
    }
    let got = run_clean("", &barrier(64, &format!("mov.u32 %r6, 0;\n{body}{}", store_word("%r6"))), 64, &[0], 64);
    assert!((0..64).all(|t| got[t] == 3 * (63 - t as u32) + 3));
}

#[test]
fn tests_do_not_wait() {
    // Before the arrivals the phase is under way; the one before counts as ended.
    let body = "mbarrier.test_wait.parity.shared::cta.b64 %p0, [%r0], 0; selp.u32 %r2, 1, 0, %p0;
                mbarrier.test_wait.parity.acquire.cta.shared::cta.b64 %p1, [%r0], 1; selp.u32 %r3, 2, 0, %p1;
                bar.sync 0;
                mbarrier.arrive.release.cta.shared::cta.b64 %q0, [%r0];
                T: mbarrier.try_wait.shared::cta.b64 %p2, [%r0], %q0; @!%p2 bra T;
                mbarrier.test_wait.shared.b64 %p2, [%r0], %q0; selp.u32 %r4, 4, 0, %p2;
                mbarrier.test_wait.parity.shared.b64 %p3, [%r0], 1; selp.u32 %r5, 8, 0, %p3;
                add.u32 %r2, %r2, %r3; add.u32 %r2, %r2, %r4; add.u32 %r2, %r2, %r5;\n";
    let got = run_clean("", &barrier(64, &(body.to_owned() + &store_word("%r2"))), 64, &[0], 64);
    assert_eq!(got, [2 + 4; 64]);
}

#[test]
fn counts_of_arrivals() {
    // Warp 0 arrives 3 times each at once, warp 1 once each: 128 in all.
    let body = format!(
        "setp.lt.u32 %p1, %tid, 32; @%p1 mbarrier.arrive.shared::cta.b64 _, [%r0], 3;
         @!%p1 mbarrier.arrive.shared::cta.b64 _, [%r0];\n{}mov.u32 %r2, 7;\n{}",
        wait("W", 0),
        store_word("%r2")
    );
    assert_eq!(run_clean("", &barrier(128, &body), 64, &[0], 64), [7; 64]);
    // One that is missing is waited for, for ever; more at once than are missing are told.
    let kind = |count: u32| run_body("", &barrier(count, &body), 64, &[0], 64).0.fault.map(|f| (f.kind, f.detail));
    let (missing, detail) = kind(129).unwrap();
    assert!(missing == "deadlock" && detail.contains("1 of 129 arrivals and 0 bytes missing"), "{detail}");
    // Both warps are named.
    assert!(detail.contains("warp 0 ") && detail.contains("warp 1 "), "{detail}");
    assert_eq!(kind(95).unwrap().0, "more arrivals than the mbarrier counts");
    assert_eq!(kind(0).unwrap().0, "mbarrier count out of range");
}

#[test]
fn bulk_copies_are_counted_in_bytes() {
    let input: Vec<u32> = (0..1024).map(|i| i * 77 + 5).collect();
    // Copies of 16, 48 and 4,032 bytes; expected in two parts.
    for form in ["shared::cluster", "shared::cta"] {
        let copy = |to: u32, bytes: u32| {
            format!(
                "add.u32 %r8, %r1, {to}; add.u64 %q1, %in, {to};
                 cp.async.bulk.{form}.global.mbarrier::complete_tx::bytes [%r8], [%q1], {bytes}, [%r0];\n"
            )
        };
        let body = format!(
            "@%p15 bra WAIT;
             mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r0], 64;
             {}{}{}
             mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r0], 4032;
             WAIT: {}
             mov.u32 %r9, 0; mov.u32 %r10, %tid;
             S: mad.lo.u32 %r11, %r10, 4, %r1; ld.shared.u32 %r12, [%r11]; mad.lo.u32 %r9, %r9, 31, %r12;
             add.u32 %r10, %r10, 64; setp.lt.u32 %p4, %r10, 1024; @%p4 bra S;\n{}",
            copy(0, 16),
            copy(16, 48),
            copy(64, 4032),
            wait("W", 0),
            store_word("%r9"),
        );
        let (report, got) = run_body("", &barrier(1, &body), 64, &input, 64);
        clean(&report);
        for (t, got) in got.into_iter().enumerate() {
            let want = input.iter().skip(t).step_by(64).fold(0u32, |s, w| s.wrapping_mul(31).wrapping_add(*w));
            assert_eq!(got, want, "{form} thread {t}");
        }
        let counters = report.counters;
        assert_eq!((counters.bulk_copies, counters.bulk_copy_sectors), (3, 1 + 2 + 126));
        assert_eq!(counters.distinct_sectors_read, 128);
    }
}

#[test]
fn barriers_that_are_not_there() {
    let kind = |body: &str| run_body("", body, 32, &[0], 32).0.fault.map(|f| f.kind);
    let start = ".shared .align 16 .b8 bar[32]; mov.u32 %r0, bar;";
    let unknown = Some("mbarrier used before it was initialised".to_owned());
    assert_eq!(kind(&format!("{start} mbarrier.arrive.shared::cta.b64 _, [%r0];")), unknown);
    let gone = "mbarrier.init.shared.b64 [%r0], 1; mbarrier.inval.shared.b64 [%r0]; mbarrier.inval.shared.b64 [%r0];";
    assert_eq!(kind(&format!("{start} setp.ne.u32 %p0, %tid, 0; @%p0 bra E; {gone} E:")), unknown);
    let crooked = format!("{start} mbarrier.init.shared.b64 [%r0+4], 1;");
    assert_eq!(kind(&crooked).unwrap(), "misaligned shared atomic");
    let outside = format!("{start} mbarrier.init.shared.b64 [%r0+32], 1;");
    assert_eq!(kind(&outside).unwrap(), "out of bounds shared atomic");
}

#[test]
fn a_poller_that_gets_nowhere_is_a_deadlock() {
    let body = "T: mbarrier.test_wait.parity.shared::cta.b64 %p0, [%r0], 0; @!%p0 bra T;";
    assert_eq!(run_body("", &barrier(1, body), 64, &[0], 64).0.fault.unwrap().kind, "deadlock");
}
