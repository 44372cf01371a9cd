//! Barriers of a block and of a warp, fences.

use super::machine::{run_body, run_clean, store_word};

/// Each thread stores its index in shared memory; after `barrier` it reads its neighbour's, half a block away.
fn exchange(barrier: &str, threads: u32) -> String {
    format!(
        ".shared .align 4 .b8 s[4096]; mov.u32 %r0, s; mad.lo.u32 %r1, %tid, 4, %r0; st.shared.u32 [%r1], %tid;
         {barrier} xor.b32 %r2, %tid, {}; mad.lo.u32 %r1, %r2, 4, %r0; ld.shared.u32 %r3, [%r1];\n{}",
        threads / 2,
        store_word("%r3")
    )
}

#[test]
fn whole_blocks() {
    let forms = [
        "bar.sync 0;",
        "bar.sync 15;",
        "bar.sync 3, 128;",
        "barrier.sync 0;",
        "barrier.sync.aligned 1;",
        "bar.cta.sync 0;",
        "mov.u32 %r9, 2; bar.sync %r9;",
        "mov.u32 %r9, 128; barrier.sync 5, %r9;",
        "bar.sync 0; membar.cta; membar.gl; membar.sys; fence.acq_rel.gpu; fence.sc.cta; fence.proxy.async;
         bar.sync 1;",
        "barrier.cta.sync.aligned 0;",
        "setp.ne.u32 %p7, %tid, 2000; @%p7 bar.sync 0;",
    ];
    for form in forms {
        let got = run_clean("", &exchange(form, 128), 128, &[0], 128);
        assert!((0..128).all(|t| got[t] == t as u32 ^ 64), "{form}");
        // The epilogue that every kernel has: exited threads are not waited for.
        let early = format!("setp.eq.u32 %p1, %tid, 200; @%p1 exit; {}", exchange(form, 128));
        run_clean("", &early, 128, &[0], 128);
    }
}

#[test]
fn parts_of_a_block() {
    // Two halves of the block, each with a barrier of its own.
    let body = format!(
        ".shared .align 4 .b8 s[512]; mov.u32 %r0, s; mad.lo.u32 %r1, %tid, 4, %r0; shr.u32 %r5, %tid, 6;
         add.u32 %r6, %r5, 1;
         st.shared.u32 [%r1], %tid; bar.sync %r6, 64; xor.b32 %r2, %tid, 32; mad.lo.u32 %r1, %r2, 4, %r0;
         ld.shared.u32 %r3, [%r1];\n{}",
        store_word("%r3")
    );
    let got = run_clean("", &body, 128, &[0], 128);
    assert!((0..128).all(|t| got[t] == t as u32 ^ 32));
}

#[test]
fn producers_and_consumers() {
    // Warp 0 produces and only arrives; warp 1 waits for it.
    let body = format!(
        ".shared .align 4 .b8 s[128]; mov.u32 %r0, s; mad.lo.u32 %r1, %lane, 4, %r0; mov.u32 %r2, 0;
         setp.ge.u32 %p0, %tid, 32; @%p0 bra Lconsume; mul.lo.u32 %r3, %tid, 3; st.shared.u32 [%r1], %r3;
          bar.arrive 1, 64; bra Ldone;
         Lconsume: bar.sync 1, 64; ld.shared.u32 %r2, [%r1]; Ldone:\n{}",
        store_word("%r2")
    );
    let got = run_clean("", &body, 64, &[0], 64);
    assert!((0..64).all(|t| got[t] == if t < 32 { 0 } else { 3 * (t as u32 - 32) }), "{got:?}");
}

#[test]
fn reductions() {
    for (threads, count) in [("", 96u32), (", 96", 96)] {
        for (limit, name) in [(10u32, "some"), (0, "none"), (200, "all")] {
            let body = format!(
                "setp.lt.u32 %p0, %tid, {limit}; bar.red.popc.u32 %r0, 0{threads}, %p0;
                 bar.red.and.pred %p1, 1{threads}, %p0;
                 bar.red.or.pred %p2, 0{threads}, %p0; bar.red.popc.u32 %r1, 2{threads}, !%p0;
                 selp.u32 %r2, 1000, 0, %p1; @%p2 add.u32 %r2, %r2, 2000; add.u32 %r2, %r2, %r0;
                  mad.lo.u32 %r2, %r1, 10000, %r2;\n{}",
                store_word("%r2")
            );
            let got = run_clean("", &body, count, &[0], count as usize);
            let n = limit.min(count);
            let want = n + 10_000 * (count - n) + if n == count { 1000 } else { 0 } + if n > 0 { 2000 } else { 0 };
            assert_eq!(got, vec![want; count as usize], "{name}");
        }
    }
}

#[test]
fn warps() {
    // Lanes exchange within the warp; a barrier of the warp orders them.
    let body = format!(
        ".shared .align 4 .b8 s[256]; mov.u32 %r0, s; mad.lo.u32 %r1, %tid, 4, %r0; st.shared.u32 [%r1], %tid;
         bar.warp.sync -1; xor.b32 %r2, %tid, 1; mad.lo.u32 %r1, %r2, 4, %r0; ld.shared.u32 %r3, [%r1];\n{}",
        store_word("%r3")
    );
    let got = run_clean("", &body, 64, &[0], 64);
    assert!((0..64).all(|t| got[t] == t as u32 ^ 1));
    let without = body.replace("bar.warp.sync -1;", "");
    let (report, _) = run_body("", &without, 64, &[0], 64);
    assert!(report.warnings.iter().any(|w| w.kind == "shared memory race"), "{report:?}");
}

#[test]
fn warp_barriers_meet_at_different_places() {
    // Both sides of a branch have their own bar.warp.sync: legal, and they meet.
    let body = format!(
        ".shared .align 4 .b8 s[128]; mov.u32 %r0, s; mad.lo.u32 %r1, %lane, 4, %r0; setp.lt.u32 %p0, %lane, 16;
         @%p0 bra Lone;
         st.shared.u32 [%r1], %lane; bar.warp.sync -1; bra Lread;
         Lone: st.shared.u32 [%r1], 99; bar.warp.sync -1;
         Lread: xor.b32 %r2, %lane, 16; mad.lo.u32 %r1, %r2, 4, %r0; ld.shared.u32 %r3, [%r1];\n{}",
        store_word("%r3")
    );
    let got = run_clean("", &body, 32, &[0], 32);
    assert!((0..32).all(|l| got[l] == if l < 16 { l as u32 + 16 } else { 99 }), "{got:?}");
}

#[test]
fn time_and_dependencies_pass_without_effect() {
    let body =
        format!("nanosleep.u32 100; griddepcontrol.wait; griddepcontrol.launch_dependents;\n{}", store_word("%tid"));
    run_clean("", &body, 32, &[0], 32);
}

#[test]
fn wrong_barriers_are_faults() {
    let fault = |body: &str| {
        let (report, _) = run_body("", body, 64, &[0], 1);
        report.fault.map(|f| f.kind).unwrap_or_default()
    };
    let wrong = "barrier number above 15 or a count that is no multiple of 32";
    assert_eq!(fault("bar.sync 16;"), wrong);
    assert_eq!(fault("bar.sync 0, 40;"), wrong);
    // More threads than the block has never come.
    assert_eq!(fault("bar.sync 0, 96;"), "deadlock");
    // One warp at barrier 0, the other at barrier 1.
    assert_eq!(fault("shr.u32 %r0, %tid, 5; bar.sync %r0;"), "deadlock");
}
