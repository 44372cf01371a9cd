//! Module variables, their initialisers, shared and local arrays.

use super::machine::{
    Shape, clean, kernel_text, launch, memory, parse, run_body, run_clean, store_word, upload, words,
};

#[test]
fn initialised_variables() {
    let outside = ".global .align 4 .u32 ints[4] = {1, -2, 0x30, 4};
                   .const .align 4 .f32 reals[2] = {0f3F800000, 0fC0000000};
                   .global .align 8 .u64 wide = 0x123456789abcdef0;
                   .global .align 1 .b8 bytes[6] = {1, 2, 3, 255};
                   .const .align 2 .u16 shorts[3] = {7, 8, 65535};
                   .visible .global .align 4 .b32 zeros[3];\n";
    let body = "ld.global.u32 %r0, [ints]; ld.global.u32 %r1, [ints+4]; ld.global.u32 %r2, [ints+8];
         ld.const.f32 %r3, [reals+4]; ld.global.u64 %q0, [wide]; cvt.u32.u64 %r4, %q0;
         ld.global.u8 %r5, [bytes+3]; ld.global.u8 %r6, [bytes+5]; ld.const.u16 %r7, [shorts+4];
         ld.global.u32 %r8, [zeros+8]; mov.u64 %q1, ints; add.u64 %q1, %q1, 12; ld.global.u32 %r9, [%q1];
         mov.u64 %q2, reals; ld.const.f32 %r10, [%q2]; mov.u64 %q3, ints+8; ld.global.u32 %r11, [%q3];
         st.global.v4.u32 [%out], {%r0, %r1, %r2, %r3}; st.global.v4.u32 [%out+16], {%r4, %r5, %r6, %r7};
         st.global.v4.u32 [%out+32], {%r8, %r9, %r10, %r11};";
    let got = run_clean(outside, body, 1, &[0], 12);
    let minus = (-2.0f32).to_bits();
    assert_eq!(got, [1, -2i32 as u32, 0x30, minus, 0x9abc_def0, 255, 0, 65535, 0, 4, 1.0f32.to_bits(), 0x30]);
}

#[test]
fn variables_live_as_long_as_the_module() {
    let outside = ".global .align 4 .u32 count = 5;\n";
    let body =
        format!("ld.global.u32 %r0, [count]; add.u32 %r0, %r0, 1; st.global.u32 [count], %r0;\n{}", store_word("%r0"));
    let module = parse(&kernel_text(outside, &body));
    let memory = memory();
    let out = upload(&memory, &[0; 4]);
    for want in [6, 7, 8] {
        clean(&launch(&module, "k", &memory, &Shape::new(1, 1), &[0, out]));
        assert_eq!(words(&memory, out, 1), [want]);
    }
    let (at, size) = module.global("count").unwrap();
    assert_eq!((words(&memory, at, 1), size), (vec![8], 4));
    module.unload(&memory).unwrap();
    assert_eq!(memory.live_bytes(), 4);
}

#[test]
fn constant_memory_is_not_written() {
    // Through a generic pointer the text does not show what it is.
    let body = "mov.u64 %q0, c; cvta.const.u64 %q1, %q0; st.u32 [%q1], %tid;";
    let (report, _) = run_body(".const .align 4 .u32 c = 1;\n", body, 1, &[0], 1);
    assert_eq!(report.fault.unwrap().kind, "store to constant memory");
}

#[test]
fn local_arrays_are_each_threads_own() {
    // 8 words per thread, written by rising index, read by a falling one.
    let body = format!(
        ".local .align 4 .b8 depot[32];
         mov.u64 %q0, depot; cvta.local.u64 %q1, %q0; mov.u32 %r0, 0;
         L1: mad.wide.u32 %q2, %r0, 4, %q1; mad.lo.u32 %r1, %tid, 100, %r0; st.u32 [%q2], %r1;
         add.u32 %r0, %r0, 1; setp.lt.u32 %p0, %r0, 8; @%p0 bra L1;
         mov.u32 %r2, 0;
         L2: sub.u32 %r0, %r0, 1; mad.wide.u32 %q2, %r0, 4, %q0; ld.local.u32 %r1, [%q2]; mad.lo.u32 %r2, %r2, 3, %r1;
         setp.gt.u32 %p0, %r0, 0; @%p0 bra L2;\n{}",
        store_word("%r2")
    );
    let got = run_clean("", &body, 96, &[0], 96);
    for t in 0..96u32 {
        let want = (0..8).rev().fold(0u32, |sum, i| sum.wrapping_mul(3).wrapping_add(t * 100 + i));
        assert_eq!(got[t as usize], want);
    }
}

#[test]
fn local_memory_has_bounds() {
    let (report, _) = run_body("", ".local .align 4 .b8 l[16]; st.local.u32 [l+16], %tid;", 32, &[0], 1);
    assert_eq!(report.fault.unwrap().kind, "out of bounds local access");
    let (report, _) = run_body("", ".local .align 4 .b8 l[16]; st.local.u32 [l+2], %tid;", 32, &[0], 1);
    assert_eq!(report.fault.unwrap().kind, "misaligned local access");
}

#[test]
fn shared_arrays() {
    // A module-wide and two local ones; each thread writes all, its neighbour reads them.
    let outside = ".shared .align 4 .u32 wide[64];\n.extern .shared .align 16 .b8 rest[];\n";
    let body = format!(
        ".shared .align 2 .b8 halves[128]; .shared .align 16 .b8 longs[512];
         mov.u32 %r0, wide; mad.lo.u32 %r0, %tid, 4, %r0; st.shared.u32 [%r0], %tid;
         mov.u32 %r1, halves; mad.lo.u32 %r1, %tid, 2, %r1; cvt.u16.u32 %h0, %tid; st.shared.u16 [%r1], %h0;
         mov.u32 %r2, longs; mad.lo.u32 %r2, %tid, 8, %r2; cvt.u64.u32 %q0, %tid; st.shared.u64 [%r2], %q0;
         mov.u32 %r3, rest; add.u32 %r3, %r3, %tid; st.shared.u8 [%r3], %tid;
         bar.sync 0; xor.b32 %r9, %tid, 33;
         mov.u32 %r0, wide; mad.lo.u32 %r0, %r9, 4, %r0; ld.shared.u32 %r4, [%r0];
         mov.u32 %r1, halves; mad.lo.u32 %r1, %r9, 2, %r1; ld.shared.u16 %r5, [%r1];
         mov.u32 %r2, longs; mad.lo.u32 %r2, %r9, 8, %r2; ld.shared.u64 %q1, [%r2]; cvt.u32.u64 %r6, %q1;
         mov.u32 %r3, rest; add.u32 %r3, %r3, %r9; ld.shared.u8 %r7, [%r3];
         add.u32 %r4, %r4, %r5; add.u32 %r4, %r4, %r6; add.u32 %r4, %r4, %r7;\n{}",
        store_word("%r4")
    );
    let module = parse(&kernel_text(outside, &body));
    let memory = memory();
    let out = upload(&memory, &[0; 256]);
    let shape = Shape { dynamic_shared: 64, ..Shape::new(1, 64) };
    clean(&launch(&module, "k", &memory, &shape, &[0, out]));
    let got = words(&memory, out, 64);
    assert!((0..64).all(|t| got[t] == 4 * (t as u32 ^ 33)), "{got:?}");
}
