//! The counters of a launch against counts by hand: sectors, wavefronts, operations.

#[path = "support/machine.rs"]
mod machine;

use machine::{Shape, clean, kernel_text, launch, memory, parse, run_body, upload};
use virtual_gpu::report::Counters;

/// Runs a body in one block; its counters.
fn count(body: &str, threads: u32) -> Counters {
    let input: Vec<u32> = (0..4096).collect();
    let (report, _) = run_body("", body, threads, &input, 4096);
    clean(&report);
    report.counters
}

/// A load or store of `ty` at `address` bytes behind the array's start, computed from the lane into %r1.
fn global(load: bool, ty: &str, address: &str) -> Counters {
    let registers = match ty {
        "v2.u32" => "{%r10, %r11}",
        "v4.u32" => "{%r10, %r11, %r12, %r13}",
        "v2.u64" => "{%q10, %q11}",
        "u64" => "%q10",
        _ => "%r10",
    };
    let ty = if ty == "u8" && !load { "b8" } else { ty };
    let access = if load {
        format!("ld.global.{ty} {registers}, [%q0];")
    } else {
        let start =
            "mov.u32 %r10, 0; mov.u32 %r11, 0; mov.u32 %r12, 0; mov.u32 %r13, 0; mov.u64 %q10, 0; mov.u64 %q11, 0;";
        format!("{start} st.global.{ty} [%q0], {registers};")
    };
    let base = if load { "%in" } else { "%out" };
    count(&format!("{address} cvt.u64.u32 %q0, %r1; add.u64 %q0, %q0, {base}; {access}"), 32)
}

/// Address, width, and then sectors, fewest sectors.
const GLOBAL: [(&str, &str, u64, u64); 20] = [
    // Consecutive: 32 lanes times the width, 32 bytes a sector.
    ("mov.u32 %r1, %lane;", "u8", 1, 1),
    ("shl.b32 %r1, %lane, 1;", "u16", 2, 2),
    ("shl.b32 %r1, %lane, 2;", "u32", 4, 4),
    ("shl.b32 %r1, %lane, 3;", "u64", 8, 8),
    ("shl.b32 %r1, %lane, 3;", "v2.u32", 8, 8),
    ("shl.b32 %r1, %lane, 4;", "v4.u32", 16, 16),
    ("shl.b32 %r1, %lane, 4;", "v2.u64", 16, 16),
    // One element off a sector's start: one more sector, but no more bytes.
    ("add.u32 %r1, %lane, 1;", "u8", 2, 1),
    ("mad.lo.u32 %r1, %lane, 4, 4;", "u32", 5, 4),
    ("mad.lo.u32 %r1, %lane, 8, 8;", "u64", 9, 8),
    ("mad.lo.u32 %r1, %lane, 16, 16;", "v4.u32", 17, 16),
    // Strides: of 8 bytes, half of each sector; of 32 bytes and more, a sector each.
    ("shl.b32 %r1, %lane, 3;", "u32", 8, 4),
    ("shl.b32 %r1, %lane, 5;", "u32", 32, 4),
    ("shl.b32 %r1, %lane, 6;", "u8", 32, 1),
    ("shl.b32 %r1, %lane, 7;", "v4.u32", 32, 16),
    // The same word for all; two words; rows of a matrix read down its columns.
    ("mov.u32 %r1, 64;", "u32", 1, 1),
    ("mov.u32 %r1, 64;", "v4.u32", 1, 1),
    ("and.b32 %r1, %lane, 1; shl.b32 %r1, %r1, 9;", "u32", 2, 1),
    // Falling order, and a permutation within: the same sectors as rising.
    ("sub.u32 %r1, 31, %lane; shl.b32 %r1, %r1, 2;", "u32", 4, 4),
    ("xor.b32 %r1, %lane, 21; shl.b32 %r1, %r1, 4;", "v4.u32", 16, 16),
];

#[test]
fn sectors_of_loads_and_stores() {
    for (address, ty, sectors, ideal) in GLOBAL {
        let c = global(true, ty, address);
        let got = (c.global_load_requests, c.global_load_sectors, c.global_load_sectors_ideal, c.distinct_sectors_read);
        assert_eq!(got, (1, sectors, ideal, sectors), "ld {ty} {address}");
        assert_eq!((c.global_store_requests, c.distinct_sectors_written), (0, 0));
        let c = global(false, ty, address);
        let got =
            (c.global_store_requests, c.global_store_sectors, c.global_store_sectors_ideal, c.distinct_sectors_written);
        assert_eq!(got, (1, sectors, ideal, sectors), "st {ty} {address}");
    }
}

#[test]
fn only_active_lanes_count() {
    let c = count("setp.lt.u32 %p0, %lane, 9; mad.wide.u32 %q0, %lane, 4, %in; @%p0 ld.global.u32 %r1, [%q0];", 32);
    assert_eq!((c.global_load_requests, c.global_load_sectors, c.global_load_sectors_ideal), (1, 2, 2));
    // No active lane, no request.
    let c = count("setp.gt.u32 %p0, %lane, 40; @%p0 ld.global.u32 %r1, [%in];", 32);
    assert_eq!((c.global_load_requests, c.global_load_sectors), (0, 0));
    // Constants and parameters are no global traffic.
    let c = count("", 32);
    assert_eq!(c.global_load_requests, 0);
}

#[test]
fn distinct_sectors_are_counted_once_per_launch() {
    // Two blocks read the same 128 bytes, twice each; each writes 128 of its own.
    let body = "mad.wide.u32 %q0, %tid, 4, %in; ld.global.u32 %r0, [%q0]; ld.global.u32 %r1, [%q0];
                mov.u32 %r2, %ctaid.x; mad.lo.u32 %r2, %r2, 32, %tid; mad.wide.u32 %q1, %r2, 4, %out;
                 st.global.u32 [%q1], %r0;";
    let module = parse(&kernel_text("", body));
    let memory = memory();
    let (from, to) = (upload(&memory, &[0; 128]), upload(&memory, &[0; 256]));
    let report = launch(&module, "k", &memory, &Shape::new(2, 32), &[from, to]);
    clean(&report);
    let c = report.counters;
    assert_eq!((c.global_load_sectors, c.distinct_sectors_read), (16, 4));
    assert_eq!((c.global_store_sectors, c.distinct_sectors_written), (8, 8));
    assert_eq!((c.blocks, c.threads), (2, 64));
}

/// Shared memory of 16 KiB, written before; the counters of one access at %r1 bytes.
fn shared(load: bool, ty: &str, address: &str) -> (u64, u64) {
    let (registers, values) = match ty {
        "v4.u32" => ("{%r10, %r11, %r12, %r13}", "mov.u32 %r10, 0; mov.u32 %r11, 0; mov.u32 %r12, 0; mov.u32 %r13, 0;"),
        "v2.u32" => ("{%r10, %r11}", "mov.u32 %r10, 0; mov.u32 %r11, 0;"),
        "u64" => ("%q10", "mov.u64 %q10, 0;"),
        _ => ("%r10", "mov.u32 %r10, 0;"),
    };
    let access = if load {
        format!("ld.shared.{ty} {registers}, [%r2];")
    } else {
        format!("st.shared.{ty} [%r2], {registers};")
    };
    let fill = ".shared .align 16 .b8 s[16384]; mov.u32 %r0, s; mov.u32 %r3, 0;
         L: mad.lo.u32 %r4, %r3, 128, %r0; mad.lo.u32 %r4, %lane, 4, %r4; st.shared.u32 [%r4], 0;
         add.u32 %r3, %r3, 1; setp.lt.u32 %p0, %r3, 128; @%p0 bra L; bar.sync 0;";
    let whole = count(&format!("{fill} {values} {address} add.u32 %r2, %r1, %r0; {access}"), 32);
    let before = count(fill, 32);
    let requests = |c: Counters| c.shared_load_requests + c.shared_store_requests;
    assert_eq!(requests(whole) - requests(before), 1);
    (whole.shared_wavefronts - before.shared_wavefronts, whole.shared_wavefronts_ideal - before.shared_wavefronts_ideal)
}

#[test]
fn wavefronts_of_shared_accesses() {
    for (address, ty, wavefronts, ideal) in [
        // No conflict: 32 words in 32 banks.
        ("shl.b32 %r1, %lane, 2;", "u32", 1, 1),
        ("xor.b32 %r1, %lane, 13; shl.b32 %r1, %r1, 2;", "u32", 1, 1),
        ("mad.lo.u32 %r1, %lane, 132, 0;", "u32", 1, 1),
        // A word for all is read once; so are four bytes of a word.
        ("mov.u32 %r1, 40;", "u32", 1, 1),
        ("mov.u32 %r1, %lane;", "u8", 1, 1),
        ("shl.b32 %r1, %lane, 1;", "u16", 1, 1),
        // Strides of 2, 4, 16 and 32 words: as many lanes on a bank.
        ("shl.b32 %r1, %lane, 3;", "u32", 2, 1),
        ("shl.b32 %r1, %lane, 4;", "u32", 4, 1),
        ("shl.b32 %r1, %lane, 6;", "u32", 16, 1),
        ("shl.b32 %r1, %lane, 7;", "u32", 32, 1),
        // An odd stride of words has no conflict.
        ("mad.lo.u32 %r1, %lane, 12, 0;", "u32", 1, 1),
        // Half of the lanes share a word, the others are on the same bank.
        ("and.b32 %r1, %lane, 1; shl.b32 %r1, %r1, 7;", "u32", 2, 1),
        // 8 bytes: a half-warp at a time.
        ("shl.b32 %r1, %lane, 3;", "u64", 2, 2),
        ("shl.b32 %r1, %lane, 3;", "v2.u32", 2, 2),
        ("shl.b32 %r1, %lane, 4;", "u64", 4, 2),
        ("shl.b32 %r1, %lane, 7;", "u64", 32, 2),
        // 16 bytes: a quarter-warp at a time.
        ("shl.b32 %r1, %lane, 4;", "v4.u32", 4, 4),
        ("shl.b32 %r1, %lane, 5;", "v4.u32", 8, 4),
        ("mad.lo.u32 %r1, %lane, 48, 0;", "v4.u32", 4, 4),
        ("mad.lo.u32 %r1, %lane, 144, 0;", "v4.u32", 4, 4),
        ("shl.b32 %r1, %lane, 7;", "v4.u32", 32, 4),
    ] {
        assert_eq!(shared(true, ty, address), (wavefronts, ideal), "ld {ty} {address}");
        let one_place = address.starts_with("mov.u32 %r1, 40") || address.starts_with("and.b32");
        if !one_place {
            let ty = if ty == "u8" { "b8" } else { ty };
            assert_eq!(shared(false, ty, address), (wavefronts, ideal), "st {ty} {address}");
        }
    }
}

#[test]
fn matrix_loads() {
    // Rows of 16 bytes that are 16, 32, 128 or 144 bytes apart: an 8x8 matrix is served at once without conflicts.
    for (stride, matrices, wavefronts) in
        [(16, 4, 4), (144, 4, 4), (80, 4, 4), (32, 4, 8), (128, 4, 32), (128, 2, 16), (16, 1, 1)]
    {
        let registers = ["%r10", "%r11", "%r12", "%r13"][..matrices].join(", ");
        let body = format!(
            ".shared .align 16 .b8 s[8192]; mov.u32 %r0, s; mov.u32 %r3, 0;
             L: mad.lo.u32 %r4, %r3, 128, %r0; mad.lo.u32 %r4, %lane, 4, %r4; st.shared.u32 [%r4], 0;
             add.u32 %r3, %r3, 1; setp.lt.u32 %p0, %r3, 64; @%p0 bra L; bar.sync 0;
              mad.lo.u32 %r1, %lane, {stride}, %r0;"
        );
        let load = format!("ldmatrix.sync.aligned.m8n8.x{matrices}.shared.b16 {{{registers}}}, [%r1];");
        let (before, after) = (count(&body, 32), count(&format!("{body} {load}"), 32));
        assert_eq!((after.ldmatrix, after.ldmatrix_matrices), (1, matrices as u64));
        assert_eq!(after.shared_wavefronts - before.shared_wavefronts, wavefronts, "stride {stride}, x{matrices}");
        assert_eq!(after.shared_wavefronts_ideal - before.shared_wavefronts_ideal, matrices as u64);
        assert_eq!(after.shared_load_requests - before.shared_load_requests, 1);
    }
}

#[test]
fn operations() {
    // 2 m n k for each mma.
    for (shape, types, k) in
        [("m16n8k8", "f32.bf16.bf16.f32", 8u64), ("m16n8k16", "f32.f16.f16.f32", 16), ("m16n8k32", "s32.u8.s8.s32", 32)]
    {
        let a = if k == 8 { "{%r4, %r5}" } else { "{%r4, %r5, %r6, %r7}" };
        let b = if k == 8 { "{%r8}" } else { "{%r8, %r9}" };
        let zero: String = (0..10).map(|i| format!("mov.u32 %r{i}, 0; ")).collect();
        let mma =
            format!("mma.sync.aligned.{shape}.row.col.{types} {{%r0,%r1,%r2,%r3}}, {a}, {b}, {{%r0,%r1,%r2,%r3}};");
        let c = count(&format!("{zero} {mma} {mma}"), 64);
        assert_eq!((c.mma, c.mma_flops), (4, 4 * 2 * 16 * 8 * k));
    }
    // An fma is 2 operations, an add 1; only active lanes work.
    let c = count(
        "mov.f32 %r0, 0f3F800000; fma.rn.f32 %r1, %r0, %r0, %r0; add.f32 %r1, %r1, %r0; mul.f32 %r1, %r1, %r0;",
        32,
    );
    assert_eq!(c.fp32_flops, 32 * 4);
    let c = count("setp.lt.u32 %p0, %lane, 5; mov.f32 %r0, 0f3F800000; @%p0 fma.rn.f32 %r1, %r0, %r0, %r0;", 32);
    assert_eq!(c.fp32_flops, 10);
    let c = count("mov.f64 %q0, 0d3FF0000000000000; fma.rn.f64 %q1, %q0, %q0, %q0; add.f64 %q1, %q1, %q0;", 32);
    assert_eq!((c.fp64_flops, c.fp32_flops), (96, 0));
    let special = [
        "ex2.approx.f32",
        "lg2.approx.f32",
        "rcp.approx.f32",
        "rsqrt.approx.f32",
        "sqrt.approx.f32",
        "sin.approx.f32",
        "cos.approx.f32",
        "tanh.approx.f32",
    ];
    let body: String = special.iter().map(|op| format!("{op} %r1, %r0; ")).collect();
    assert_eq!(count(&format!("mov.f32 %r0, 0f3F800000; {body}"), 32).mufu, 32 * special.len() as u64);
}

#[test]
fn instructions() {
    let empty = count("", 96);
    // 4 instructions before the body and one after, in three warps.
    assert_eq!((empty.warp_instructions, empty.lane_instructions), (15, 480));
    let c = count("setp.lt.u32 %p0, %lane, 5; @%p0 add.u32 %r0, %lane, 1;", 96);
    assert_eq!((c.warp_instructions - 15, c.lane_instructions - 480), (6, 96 + 15));
}

#[test]
fn asynchronous_copies() {
    // 16 bytes a lane: 512 bytes are 16 sectors; with a gap of 16 bytes between them, 32 sectors.
    for (stride, sectors) in [(16, 16), (32, 32)] {
        let body = format!(
            ".shared .align 16 .b8 s[512]; mov.u32 %r0, s; mad.lo.u32 %r0, %lane, 16, %r0;
             mad.wide.u32 %q0, %lane, {stride}, %in;
             cp.async.cg.shared.global [%r0], [%q0], 16; cp.async.wait_all;"
        );
        let c = count(&body, 32);
        assert_eq!((c.cp_async_requests, c.cp_async_sectors, c.cp_async_sectors_ideal), (1, sectors, 16));
        // They are loads of global memory and stores to shared memory as well.
        assert_eq!((c.global_load_requests, c.global_load_sectors, c.global_load_sectors_ideal), (1, sectors, 16));
        assert_eq!((c.shared_store_requests, c.shared_wavefronts, c.shared_wavefronts_ideal), (1, 4, 4));
        assert_eq!(c.distinct_sectors_read, sectors);
    }
}

#[test]
fn atomics() {
    let c = count(
        ".shared .align 4 .b8 s[4]; setp.lt.u32 %p0, %tid, 7; st.shared.u32 [s], 0; bar.sync 0;
         atom.shared.add.u32 %r1, [s], 1; @%p0 red.global.add.u32 [%out], 1;",
        64,
    );
    assert_eq!((c.atomics_shared, c.atomics_global), (64, 7));
    assert_eq!((c.global_store_requests, c.distinct_sectors_written), (0, 1));
}

#[test]
fn branches_barriers_and_shuffles() {
    // One branch that splits a warp, one that all take, one that none takes.
    let c = count(
        "setp.lt.u32 %p0, %lane, 3; @%p0 bra A; A: setp.lt.u32 %p1, %lane, 32; @%p1 bra B; B: @!%p1 bra C;
         C: bra.uni D; D:",
        32,
    );
    assert_eq!(c.divergent_branches, 1);
    // A loop whose lanes leave one by one splits 31 times.
    let c = count("mov.u32 %r0, 0; L: add.u32 %r0, %r0, 1; setp.le.u32 %p0, %r0, %lane; @%p0 bra L;", 32);
    assert_eq!(c.divergent_branches, 31);
    let c = count("bar.sync 0; bar.sync 1; bar.red.popc.u32 %r0, 0, 1; bar.warp.sync -1;", 96);
    assert_eq!(c.barriers, 3);
    let c = count("shfl.sync.bfly.b32 %r0, %lane, 1, 31, -1; shfl.sync.up.b32 %r0, %lane, 1, 0, -1;", 96);
    assert_eq!(c.shuffles, 6);
    let c = count("table: .branchtargets A, B, C; rem.u32 %r0, %lane, 3; brx.idx %r0, table; A: B: C:", 32);
    assert_eq!(c.divergent_branches, 1);
}
