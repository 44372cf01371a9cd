//! Branches, loops, tables, calls, exits, under divergence.

use super::machine::{
    Shape, clean, kernel_text, launch, memory, parse, run_body, run_clean, store_word, upload, words,
};

#[test]
fn nested_conditions() {
    let body = format!(
        "mov.u32 %r0, 0; setp.lt.u32 %p0, %lane, 16; @!%p0 bra Lelse;
         and.b32 %r1, %lane, 1; setp.eq.u32 %p1, %r1, 0; @%p1 bra Leven; add.u32 %r0, %r0, 100; bra Ldone;
         Leven: add.u32 %r0, %r0, 200; setp.gt.u32 %p2, %lane, 8; @!%p2 bra Ldone; add.u32 %r0, %r0, 1000;
          bra.uni Ldone;
         Lelse: mad.lo.u32 %r0, %lane, 2, %r0; setp.eq.u32 %p3, %lane, 20; @%p3 bra Ldone; add.u32 %r0, %r0, 5;
         Ldone: add.u32 %r0, %r0, 1; activemask.b32 %r2; setp.ne.u32 %p4, %r2, -1; @%p4 add.u32 %r0, %r0, 1000000;\n{}",
        store_word("%r0")
    );
    let got = run_clean("", &body, 32, &[0], 32);
    for lane in 0..32u32 {
        let want = match lane {
            0..16 if lane % 2 == 1 => 100,
            0..16 => 200 + if lane > 8 { 1000 } else { 0 },
            20 => 40,
            _ => 2 * lane + 5,
        };
        // All lanes have met again where the value is stored: the sum of a million is not in it.
        assert_eq!(got[lane as usize], want + 1, "lane {lane}");
    }
}

#[test]
fn loops_of_different_lengths() {
    // Collatz steps of each thread's number: 1 to 96.
    let body = format!(
        "add.u32 %r0, %tid, 1; mov.u32 %r1, 0;
         Lhead: setp.eq.u32 %p0, %r0, 1; @%p0 bra Ldone;
         and.b32 %r2, %r0, 1; setp.eq.u32 %p1, %r2, 0; @%p1 bra Lhalf;
         mad.lo.u32 %r0, %r0, 3, 1; bra Lnext;
         Lhalf: shr.u32 %r0, %r0, 1;
         Lnext: add.u32 %r1, %r1, 1; bra Lhead;
         Ldone:\n{}",
        store_word("%r1")
    );
    let got = run_clean("", &body, 96, &[0], 96);
    for t in 0..96u64 {
        let (mut n, mut steps) = (t + 1, 0);
        while n != 1 {
            n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
            steps += 1;
        }
        assert_eq!(got[t as usize], steps);
    }
}

#[test]
fn breaks_and_continues() {
    // for i in 0..20 { if i % 3 == lane % 3 continue; if i * 2 > lane break; sum += i }
    let body = format!(
        "mov.u32 %r0, 0; mov.u32 %r1, 0; rem.u32 %r5, %lane, 3;
         Lhead: setp.ge.u32 %p0, %r0, 20; @%p0 bra Lend;
         rem.u32 %r4, %r0, 3; setp.eq.u32 %p1, %r4, %r5; @%p1 bra Lcontinue;
         shl.b32 %r6, %r0, 1; setp.gt.u32 %p2, %r6, %lane; @%p2 bra Lend;
         add.u32 %r1, %r1, %r0;
         Lcontinue: add.u32 %r0, %r0, 1; bra Lhead;
         Lend:\n{}",
        store_word("%r1")
    );
    let got = run_clean("", &body, 32, &[0], 32);
    for lane in 0..32u32 {
        let want: u32 = (0..20).filter(|i| i % 3 != lane % 3).take_while(|i| 2 * i <= lane).sum();
        assert_eq!(got[lane as usize], want);
    }
}

#[test]
fn early_exits() {
    // A third of the lanes ends at once, others by `ret` in a loop; the rest goes on, in warps of every fill.
    let body = format!(
        "rem.u32 %r0, %tid, 3; setp.eq.u32 %p0, %r0, 0; @%p0 exit;
         mov.u32 %r1, 0; Lhead: add.u32 %r1, %r1, 1; setp.eq.u32 %p1, %r1, %tid; @%p1 ret;
          setp.lt.u32 %p2, %r1, 40; @%p2 bra Lhead;\n{}",
        store_word("%tid")
    );
    let got = run_clean("", &body, 70, &[0], 70);
    for t in 0..70u32 {
        let ends = t % 3 == 0 || (1..=40).contains(&t);
        assert_eq!(got[t as usize], if ends { 0 } else { t });
    }
}

#[test]
fn tables_of_targets() {
    let body = format!(
        "and.b32 %r0, %tid, 3; mov.u32 %r1, 7;
         table: .branchtargets La, Lb, Lc, Lb;
         brx.idx %r0, table;
         La: add.u32 %r1, %r1, 10; bra Ldone;
         Lb: add.u32 %r1, %r1, 20;
         Lc: add.u32 %r1, %r1, 300;
         Ldone:\n{}",
        store_word("%r1")
    );
    let got = run_clean("", &body, 64, &[0], 64);
    assert!((0..64).all(|t| got[t] == [17, 327, 307, 327][t % 4]), "{got:?}");
    let beyond = "table: .branchtargets La; mov.u32 %r0, 1; brx.idx %r0, table; La:";
    let (report, _) = run_body("", beyond, 32, &[0], 1);
    assert_eq!(report.fault.unwrap().kind, "branch outside its table");
}

#[test]
fn calls() {
    // One function called twice, from both sides of a branch, which itself calls another; both return early.
    let outside = ".func (.param .b32 result) square(.param .b32 x)
        { .reg .b32 %r<4>; .reg .pred %p<2>;
          ld.param.u32 %r1, [x]; setp.gt.u32 %p1, %r1, 20; @%p1 bra Lbig;
          mul.lo.u32 %r2, %r1, %r1; st.param.b32 [result], %r2; ret;
          Lbig: st.param.b32 [result], %r1; ret; }
        .func (.param .b32 result) twice(.param .b32 x, .param .b64 unused)
        { .reg .b32 %r<4>;
          ld.param.u32 %r1, [x];
          { .param .b32 a; .param .b32 b; st.param.b32 [a], %r1; call.uni (b), square, (a); ld.param.b32 %r2, [b]; }
          add.u32 %r2, %r2, %r2; st.param.b32 [result], %r2; ret; }\n";
    let one = |from: &str, to: &str| {
        format!(
            "{{ .param .b32 a; .param .b64 c; .param .b32 b; st.param.b32 [a], {from}; st.param.b64 [c], %in;
             call.uni (b), twice, (a, c); ld.param.b32 {to}, [b]; }}"
        )
    };
    let body = format!(
        "setp.lt.u32 %p0, %lane, 12; @%p0 bra Lfirst; add.u32 %r0, %lane, 1; {} bra Ldone;
         Lfirst: {} add.u32 %r1, %r1, 10000;
         Ldone: activemask.b32 %r2; setp.ne.u32 %p1, %r2, -1; @%p1 mov.u32 %r1, 0;\n{}",
        one("%r0", "%r1"),
        one("%lane", "%r1"),
        store_word("%r1")
    );
    let got = run_clean(outside, &body, 32, &[0], 32);
    let square = |x: u32| if x > 20 { x } else { x * x };
    for lane in 0..32u32 {
        let want = if lane < 12 { 2 * square(lane) + 10_000 } else { 2 * square(lane + 1) };
        assert_eq!(got[lane as usize], want, "lane {lane}");
    }
}

#[test]
fn calls_with_structures() {
    // 12 bytes in, 8 bytes out, by address arithmetic in .param space.
    let outside = ".func (.param .align 4 .b8 result[8]) sums(.param .align 4 .b8 s[12])
        { .reg .b32 %r<8>;
          ld.param.u32 %r1, [s]; ld.param.u32 %r2, [s+4]; ld.param.u32 %r3, [s+8];
          add.u32 %r4, %r1, %r2; add.u32 %r5, %r2, %r3;
          st.param.b32 [result], %r4; st.param.b32 [result+4], %r5; ret; }\n";
    let body = format!(
        "{{ .param .align 4 .b8 a[12]; .param .align 4 .b8 b[8];
           mul.lo.u32 %r0, %tid, 10; st.param.b32 [a], %tid; st.param.b32 [a+4], %r0; st.param.b32 [a+8], 7;
           call.uni (b), sums, (a); ld.param.b32 %r1, [b]; ld.param.b32 %r2, [b+4]; }}
         mad.lo.u32 %r1, %r2, 1000, %r1;\n{}",
        store_word("%r1")
    );
    let got = run_clean(outside, &body, 32, &[0], 32);
    assert!((0..32u32).all(|t| got[t as usize] == (10 * t + 7) * 1000 + 11 * t));
}

#[test]
fn a_trap_ends_the_launch() {
    let (report, _) = run_body("", "setp.eq.u32 %p0, %tid, 37; @%p0 trap;", 64, &[0], 1);
    let fault = report.fault.unwrap();
    assert_eq!((fault.kind.as_str(), fault.place.thread), ("trap", [37, 0, 0]));
}

#[test]
fn a_loop_without_end_ends() {
    let (report, _) =
        run_body("", "L: ld.volatile.global.u32 %r0, [%in]; setp.eq.u32 %p0, %r0, 0; @%p0 bra L;", 32, &[0], 1);
    assert_eq!(report.fault.unwrap().kind, "instruction budget");
}

#[test]
fn warps_take_turns_at_a_flag() {
    // Warp 1 writes what warp 0 waits for behind a barrier: neither starves the other.
    let body = format!(
        ".shared .align 4 .b8 s[4]; setp.lt.u32 %p0, %tid, 32; @%p0 bra Lwait; st.shared.u32 [s], 41;
         Lwait: bar.sync 0; ld.shared.u32 %r0, [s]; add.u32 %r0, %r0, 1;\n{}",
        store_word("%r0")
    );
    // All lanes of warp 1 write the same value, which no reader can tell from one write.
    assert_eq!(run_clean("", &body, 64, &[0], 64), [42; 64]);
}

#[test]
fn blocks_of_every_fill() {
    let body = store_word("%tid");
    let module = parse(&kernel_text("", &body));
    for threads in [1, 31, 32, 33, 63, 64, 65, 1023, 1024] {
        let memory = memory();
        let out = upload(&memory, &vec![0; 4 * threads as usize]);
        clean(&launch(&module, "k", &memory, &Shape::new(1, threads), &[0, out]));
        let got = words(&memory, out, threads as usize);
        assert!((0..threads).all(|t| got[t as usize] == t), "{threads}");
    }
}
