//! Moves, packing, special registers, addresses of state spaces.

use super::instruction::check;
use super::machine::{
    Shape, bytes_of, clean, kernel_text, launch, memory, parse, run_clean, store_word, upload, words,
};
use super::values::Kind::{F32, I16, I32, I64, Pred};

#[test]
fn copies_and_constants() {
    for (ty, k) in [("b16", I16), ("u16", I16), ("b32", I32), ("u32", I32), ("s32", I32), ("b64", I64), ("u64", I64)] {
        check(&format!("mov.{ty}"), k, &[k], &|v| v[0]);
    }
    check("mov.f32", F32, &[F32], &|v| v[0]);
    check("mov.pred", Pred, &[Pred], &|v| v[0]);
    check("mov.u32 %d, -7;", I32, &[I32], &|_| 0xffff_fff9);
    check("mov.f32 %d, 0f3FC00000;", I32, &[I32], &|_| 0x3fc0_0000);
    check("mov.f64 %d, 0d3FF8000000000000;", I64, &[I32], &|_| 0x3ff8_0000_0000_0000);
    check("mov.u64 %d, -1;", I64, &[I32], &|_| u64::MAX);
    check("mov.b16 %d, -1;", I16, &[I16], &|_| 0xffff);
}

#[test]
fn packing() {
    check("mov.b64 %d, {%a, %b};", I64, &[I32, I32], &|v| v[1] << 32 | v[0]);
    check("mov.b32 %d, {%a, %b};", I32, &[I16, I16], &|v| v[1] << 16 | v[0]);
    check("mov.b64 %d, {%a, %b, %c, %e};", I64, &[I16, I16, I16, I16], &|v| {
        v[3] << 48 | v[2] << 32 | v[1] << 16 | v[0]
    });
    check("mov.b64 {%d, %r0}, %a;", I32, &[I64], &|v| v[0] & 0xffff_ffff);
    check("mov.b64 {%r0, %d}, %a;", I32, &[I64], &|v| v[0] >> 32);
    // The newer compilers drop the half that nobody reads.
    check("mov.b64 {_, %d}, %a;", I32, &[I64], &|v| v[0] >> 32);
    check("mov.b64 {%d, _}, %a;", I32, &[I64], &|v| v[0] & 0xffff_ffff);
    check("mov.b32 {%h0, %d}, %a;", I16, &[I32], &|v| v[0] >> 16);
    check("mov.b32 {%d, %h0}, %a;", I16, &[I32], &|v| v[0] & 0xffff);
    check("mov.b64 {%h0, %h1, %d, %h2}, %a;", I16, &[I64], &|v| v[0] >> 32 & 0xffff);
    check("mov.b64 %d, {%a, 5};", I64, &[I32], &|v| 5 << 32 | v[0]);
}

#[test]
fn thread_and_block_indices() {
    // One word per special register, in a grid and a block of three dimensions.
    let names = ["%tid.x", "%tid.y", "%tid.z", "%ctaid.x", "%ctaid.y", "%ctaid.z", "%ntid.x", "%ntid.y", "%ntid.z"];
    let more = ["%nctaid.x", "%nctaid.y", "%nctaid.z", "%laneid", "%warpid", "%nwarpid"];
    let all: Vec<&str> = names.iter().chain(&more).copied().collect();
    let mut body = String::from(
        "mov.u32 %r0, %ctaid.z; mov.u32 %r1, %nctaid.y; mov.u32 %r2, %ctaid.y; mad.lo.u32 %r0, %r0, %r1, %r2;
         mov.u32 %r1, %nctaid.x; mov.u32 %r2, %ctaid.x; mad.lo.u32 %r0, %r0, %r1, %r2;
         mov.u32 %r3, %tid.z; mov.u32 %r4, %ntid.y; mov.u32 %r5, %tid.y; mad.lo.u32 %r3, %r3, %r4, %r5;
         mov.u32 %r4, %ntid.x; mov.u32 %r5, %tid.x; mad.lo.u32 %r3, %r3, %r4, %r5;
         mad.lo.u32 %r0, %r0, 48, %r3; mul.lo.u32 %r0, %r0, 60; cvt.u64.u32 %q0, %r0; add.u64 %q0, %q0, %out;\n",
    );
    for (i, name) in all.iter().enumerate() {
        body += &format!("mov.u32 %r1, {name}; st.global.u32 [%q0+{}], %r1;\n", 4 * i);
    }
    let module = parse(&kernel_text("", &body));
    let memory = memory();
    let (grid, block) = ([2u32, 3, 2], [8u32, 3, 2]);
    let count = 12 * 48 * 15;
    let out = upload(&memory, &vec![0; 4 * count]);
    let shape = Shape { grid, block, ..Shape::new(1, 1) };
    clean(&launch(&module, "k", &memory, &shape, &[0, out]));
    let got = words(&memory, out, count);
    for b in 0..12u32 {
        for t in 0..48u32 {
            let want = [t % 8, t / 8 % 3, t / 24, b % 2, b / 2 % 3, b / 6, 8, 3, 2, 2, 3, 2, t % 32, t / 32, 2];
            let at = (b * 48 + t) as usize * 15;
            assert_eq!(got[at..at + 15], want, "block {b} thread {t}");
        }
    }
}

#[test]
fn lane_masks() {
    let lane = |i: usize| i as u32 % 32;
    for (name, f) in [
        ("eq", (|l| 1 << l) as fn(u32) -> u32),
        ("lt", |l| (1 << l) - 1),
        ("le", |l| ((2u64 << l) - 1) as u32),
        ("gt", |l| !(((2u64 << l) - 1) as u32)),
        ("ge", |l| !((1 << l) - 1)),
    ] {
        let body = format!("mov.u32 %r0, %lanemask_{name};\n{}", store_word("%r0"));
        let got = run_clean("", &body, 64, &[0], 64);
        assert!((0..64).all(|i| got[i] == f(lane(i))), "{name}");
    }
}

#[test]
fn clocks_rise() {
    let body = format!(
        "mov.u64 %q0, %clock64; mov.u32 %r0, %clock; add.u32 %r2, %r0, 1; mov.u32 %r1, %clock; mov.u64 %q1, %clock64;
         setp.lt.u32 %p0, %r0, %r1; setp.lt.and.u64 %p0, %q0, %q1, %p0; selp.u32 %r3, 1, 0, %p0;\n{}",
        store_word("%r3")
    );
    assert_eq!(run_clean("", &body, 32, &[0], 32), [1; 32]);
    let timer = format!("mov.u64 %q0, %globaltimer; cvt.u32.u64 %r3, %q0;\n{}", store_word("%r3"));
    run_clean("", &timer, 32, &[0], 32);
}

#[test]
fn generic_addresses() {
    // A word of each space through a generic pointer, and back again by cvta.to.
    let body = format!(
        ".shared .align 8 .b8 s[256]; .local .align 8 .b8 l[16];
         mov.u32 %r0, s; mad.lo.u32 %r0, %lane, 4, %r0; cvt.u64.u32 %q0, %r0; cvta.shared.u64 %q1, %q0;
         add.u32 %r1, %lane, 100; st.u32 [%q1], %r1; ld.shared.u32 %r2, [%r0];
         cvta.to.shared.u64 %q2, %q1; cvt.u32.u64 %r3, %q2; setp.eq.u32 %p0, %r3, %r0;
         mov.u64 %q3, l; cvta.local.u64 %q4, %q3; st.u32 [%q4+4], %r1; ld.local.u32 %r4, [l+4];
         cvta.to.local.u64 %q5, %q4; setp.eq.and.u64 %p0, %q5, %q3, %p0;
         cvta.global.u64 %q6, %in; setp.eq.and.u64 %p0, %q6, %in, %p0;
         cvta.to.global.u64 %q7, %in; setp.eq.and.u64 %p0, %q7, %in, %p0;
         isspacep.shared %p1, %q1; isspacep.local %p2, %q4; isspacep.global %p3, %in;
         isspacep.global %p4, %q1; isspacep.shared %p5, %in; isspacep.local %p6, %q1;
         and.pred %p0, %p0, %p1; and.pred %p0, %p0, %p2; and.pred %p0, %p0, %p3;
         or.pred %p4, %p4, %p5; or.pred %p4, %p4, %p6; not.pred %p4, %p4; and.pred %p0, %p0, %p4;
         add.u32 %r5, %r2, %r4; selp.u32 %r5, %r5, 0, %p0;\n{}",
        store_word("%r5")
    );
    let got = run_clean("", &body, 32, &[0; 32], 32);
    assert!((0..32).all(|i| got[i] == 2 * (i as u32 + 100)), "{got:?}");
}

#[test]
fn lanes_may_point_to_different_spaces() {
    // Even lanes read shared memory, odd lanes global memory, by one instruction.
    let body = format!(
        ".shared .align 8 .b8 s[128];
         mov.u32 %r0, s; mad.lo.u32 %r0, %lane, 4, %r0; st.shared.u32 [%r0], %lane; cvt.u64.u32 %q0, %r0;
         cvta.shared.u64 %q0, %q0; mad.wide.u32 %q1, %lane, 4, %in; and.b32 %r1, %lane, 1; setp.eq.u32 %p0, %r1, 0;
         selp.u64 %q2, %q0, %q1, %p0; ld.u32 %r2, [%q2];\n{}",
        store_word("%r2")
    );
    let input: Vec<u32> = (0..32).map(|i| 1000 + i).collect();
    let got = run_clean("", &body, 32, &input, 32);
    assert!((0..32).all(|i| got[i] == if i % 2 == 0 { i as u32 } else { 1000 + i as u32 }), "{got:?}");
}

#[test]
fn shared_memory_sizes() {
    let text = kernel_text(
        ".extern .shared .align 16 .b8 dynamic[];\n",
        &format!(
            ".shared .align 4 .b8 fixed[12]; mov.u32 %r0, %dynamic_smem_size; mov.u32 %r1, %total_smem_size;
             mov.u32 %r2, fixed; mov.u32 %r3, dynamic; sub.u32 %r3, %r3, %r2;
             st.shared.u32 [fixed], %r0; st.shared.u32 [dynamic+60], %r0;
             mad.lo.u32 %r4, %r1, 1000, %r0; mad.lo.u32 %r4, %r3, 1000000, %r4;\n{}",
            store_word("%r4")
        ),
    );
    let module = parse(&text);
    let memory = memory();
    let out = upload(&memory, &bytes_of(&[0; 1]));
    let shape = Shape { dynamic_shared: 64, ..Shape::new(1, 1) };
    clean(&launch(&module, "k", &memory, &shape, &[0, out]));
    // The static part is rounded up to 16 bytes, the dynamic one stands behind it.
    assert_eq!(words(&memory, out, 1), [16 * 1_000_000 + 80 * 1000 + 64]);
}

#[test]
fn one_multiprocessor_and_no_clusters() {
    let body = format!(
        "mov.u32 %r0, %smid; mov.u32 %r1, %nsmid; mov.u32 %r2, %cluster_ctarank; mov.u32 %r3, %cluster_nctarank;
         mov.u32 %r4, %clusterid.x; mov.u32 %r5, %nclusterid.x; mov.u32 %r6, %cluster_ctaid.x;
         mov.u32 %r7, %cluster_nctaid.y; mad.lo.u32 %r8, %r1, 10, %r0; mad.lo.u32 %r8, %r3, 100, %r8;
         mad.lo.u32 %r8, %r2, 7, %r8; mad.lo.u32 %r8, %r4, 7, %r8; mad.lo.u32 %r8, %r5, 1000, %r8;
         mad.lo.u32 %r8, %r6, 7, %r8; mad.lo.u32 %r8, %r7, 10000, %r8;\n{}",
        store_word("%r8")
    );
    assert_eq!(run_clean("", &body, 32, &[0], 32), [11_110; 32]);
}
