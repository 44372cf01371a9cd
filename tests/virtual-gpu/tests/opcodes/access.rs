//! Loads and stores of every width, in every space, and their hints.

use super::machine::{
    Shape, bytes_of, clean, download, kernel_text, launch, memory, parse, run_clean, store_word, upload,
};

/// Runs a body on 4 KiB of random bytes; the output's bytes.
fn run_bytes(body: &str, threads: u32, count: usize) -> (Vec<u8>, Vec<u8>) {
    let mut random = super::values::Random(3);
    let input: Vec<u8> = (0..4096).map(|_| random.next() as u8).collect();
    let module = parse(&kernel_text("", body));
    let memory = memory();
    let (from, to) = (upload(&memory, &input), upload(&memory, &vec![0; count]));
    clean(&launch(&module, "k", &memory, &Shape::new(1, threads), &[from, to]));
    let out = download(&memory, to, count);
    (input, out)
}

/// Every scalar type and vector, with the register letter and bytes of an element.
fn widths() -> Vec<(String, &'static str, usize, usize)> {
    let mut out = Vec::new();
    for (types, register, bytes) in [
        (&["b8", "u8", "s8"][..], "%h", 1),
        (&["b16", "u16", "s16"], "%h", 2),
        (&["b32", "u32", "s32", "f32"], "%r", 4),
        (&["b64", "u64", "s64", "f64"], "%q", 8),
    ] {
        for ty in types {
            for n in [1, 2, 4] {
                if n * bytes > 16 {
                    continue;
                }
                let vector = if n == 1 { String::new() } else { format!("v{n}.") };
                out.push((format!("{vector}{ty}"), register, bytes, n));
            }
        }
    }
    out
}

fn list(register: &str, n: usize) -> String {
    // Registers from 8 on: the lower ones hold addresses.
    let names: Vec<String> = (0..n).map(|i| format!("{register}{}", i + 8)).collect();
    if n == 1 { names[0].clone() } else { format!("{{{}}}", names.join(", ")) }
}

#[test]
fn vectors_of_every_width() {
    for (ty, register, bytes, n) in widths() {
        let (regs, all) = (list(register, n), bytes * n);
        let body = format!(
            "mad.wide.u32 %q0, %tid, {all}, %in; mad.wide.u32 %q1, %tid, {all}, %out;
             ld.global.{ty} {regs}, [%q0]; st.global.{ty} [%q1], {regs};"
        );
        let (input, out) = run_bytes(&body, 64, 64 * all);
        assert_eq!(out, input[..64 * all], "global {ty}");
        // Through shared and local memory, at a constant offset.
        let body = format!(
            ".shared .align 16 .b8 s[2048]; .local .align 16 .b8 l[64];
             mad.wide.u32 %q0, %tid, {all}, %in; mad.wide.u32 %q1, %tid, {all}, %out;
             mov.u32 %r0, s; mad.lo.u32 %r0, %tid, {all}, %r0;
             ld.global.{ty} {regs}, [%q0]; st.shared.{ty} [%r0+16], {regs}; ld.shared.{ty} {regs}, [%r0+16];
             st.local.{ty} [l+32], {regs}; ld.local.{ty} {regs}, [l+32];
             st.{ty} [%q1], {regs};"
        );
        let (input, out) = run_bytes(&body, 64, 64 * all);
        assert_eq!(out, input[..64 * all], "shared, local, generic {ty}");
    }
}

#[test]
fn narrow_loads_are_extended() {
    for (ty, bytes, wide) in [
        ("u8", 1, (|b| b as u8 as u32) as fn(u16) -> u32),
        ("s8", 1, |b| b as i8 as u32),
        ("u16", 2, |b| b.into()),
        ("s16", 2, |b| b as i16 as u32),
    ] {
        let body = format!(
            "mad.wide.u32 %q0, %tid, {bytes}, %in; mad.wide.u32 %q1, %tid, 4, %out;
             ld.global.{ty} %r1, [%q0]; st.global.u32 [%q1], %r1;"
        );
        let (input, out) = run_bytes(&body, 64, 256);
        for i in 0..64 {
            let raw = u16::from_le_bytes([input[i * bytes], input[i * bytes + 1]]);
            assert_eq!(out[4 * i..4 * i + 4], wide(raw).to_le_bytes(), "{ty} {i}");
        }
    }
    let body = "mad.wide.u32 %q0, %tid, 4, %in; mad.wide.u32 %q1, %tid, 8, %out;
                ld.global.s32 %q2, [%q0]; st.global.u64 [%q1], %q2;";
    let (input, out) = run_bytes(body, 64, 512);
    for i in 0..64 {
        let v = i32::from_le_bytes(input[4 * i..4 * i + 4].try_into().unwrap());
        assert_eq!(out[8 * i..8 * i + 8], i64::from(v).to_le_bytes());
    }
}

#[test]
fn negative_and_register_offsets() {
    let body = "add.u64 %q0, %in, 128; mad.wide.u32 %q0, %tid, 4, %q0; mad.wide.u32 %q1, %tid, 4, %out;
                ld.global.u32 %r1, [%q0+-128]; ld.global.u32 %r2, [%q0+4]; add.u32 %r1, %r1, %r2;
                st.global.u32 [%q1], %r1;";
    let (input, out) = run_bytes(body, 32, 128);
    let word = |i: usize| u32::from_le_bytes(input[4 * i..4 * i + 4].try_into().unwrap());
    for i in 0..32 {
        let want = word(i).wrapping_add(word(i + 33));
        assert_eq!(out[4 * i..4 * i + 4], want.to_le_bytes());
    }
}

#[test]
fn cache_hints_change_nothing() {
    let loads = [
        "ld.global.nc.u32",
        "ld.global.ca.u32",
        "ld.global.cg.u32",
        "ld.global.cs.u32",
        "ld.global.lu.u32",
        "ld.global.cv.u32",
        "ld.global.nc.L1::no_allocate.L2::128B.u32",
        "ld.global.L1::evict_last.u32",
        "ld.global.nc.L1::evict_first.u32",
        "ld.global.L2::64B.u32",
        "ld.volatile.global.u32",
        "ld.relaxed.gpu.global.u32",
        "ld.acquire.sys.global.u32",
        "ld.weak.global.u32",
        "ldu.global.u32",
    ];
    let stores = [
        "st.global.wb.u32",
        "st.global.cg.u32",
        "st.global.cs.u32",
        "st.global.wt.u32",
        "st.global.L1::no_allocate.u32",
        "st.volatile.global.u32",
        "st.relaxed.gpu.global.u32",
        "st.release.cta.global.u32",
        "st.weak.global.u32",
    ];
    for i in 0..loads.len().max(stores.len()) {
        let (load, store) = (loads[i % loads.len()], stores[i % stores.len()]);
        let body = format!(
            "mad.wide.u32 %q0, %tid, 4, %in; mad.wide.u32 %q1, %tid, 4, %out;
             prefetch.global.L2 [%q0]; prefetch.global.L1 [%q0]; prefetchu.L1 [%q0];
             applypriority.global.L2::evict_normal [%q0], 128;
             {load} %r1, [%q0]; {store} [%q1], %r1;"
        );
        let (input, out) = run_bytes(&body, 32, 128);
        assert_eq!(out, input[..128], "{load} {store}");
    }
}

#[test]
fn cache_policies_change_nothing() {
    let body = "mad.wide.u32 %q0, %tid, 16, %in; mad.wide.u32 %q1, %tid, 16, %out;
                createpolicy.fractional.L2::evict_last.b64 %q2, 0f3F800000;
                ld.global.nc.L2::cache_hint.v4.u32 {%r1, %r2, %r3, %r4}, [%q0], %q2;
                st.global.L2::cache_hint.v4.u32 [%q1], {%r1, %r2, %r3, %r4}, %q2;";
    let (input, out) = run_bytes(body, 32, 512);
    assert_eq!(out, input[..512]);
}

#[test]
fn predicated_accesses() {
    let body = "mad.wide.u32 %q0, %tid, 4, %in; mad.wide.u32 %q1, %tid, 4, %out; mov.u32 %r1, 9;
                setp.lt.u32 %p0, %lane, 10; @%p0 ld.global.u32 %r1, [%q0]; @!%p0 add.u32 %r1, %r1, %lane;
                setp.gt.u32 %p1, %lane, 2; @%p1 st.global.u32 [%q1], %r1;";
    let (input, out) = run_bytes(body, 32, 128);
    for i in 0..32usize {
        let word = u32::from_le_bytes(input[4 * i..4 * i + 4].try_into().unwrap());
        let want = if i <= 2 {
            0
        } else if i < 10 {
            word
        } else {
            9 + i as u32
        };
        assert_eq!(out[4 * i..4 * i + 4], want.to_le_bytes(), "{i}");
    }
}

#[test]
fn parameters_of_every_size() {
    let header = super::machine::HEADER;
    let text = format!(
        "{header}.visible .entry k(.param .u8 a, .param .u16 b, .param .u32 c, .param .f32 d, .param .u64 out,
            .param .align 8 .b8 e[24], .param .u8 f)
        {{ .reg .b16 %h<4>; .reg .b32 %r<8>; .reg .b64 %q<8>;
        ld.param.u8 %r0, [a]; ld.param.u16 %r1, [b]; ld.param.u32 %r2, [c]; ld.param.f32 %r3, [d];
        ld.param.u64 %q0, [out]; ld.param.u64 %q1, [e]; ld.param.u32 %r4, [e+16]; ld.param.s8 %r5, [f];
        st.global.u32 [%q0], %r0; st.global.u32 [%q0+4], %r1; st.global.u32 [%q0+8], %r2; st.global.u32 [%q0+12], %r3;
        st.global.u64 [%q0+16], %q1; st.global.u32 [%q0+24], %r4; st.global.u32 [%q0+28], %r5; ret; }}"
    );
    let module = parse(&text);
    let kernel = module.kernel("k").unwrap();
    let layout: Vec<(u32, u32)> = kernel.params.iter().map(|p| (p.offset, p.size)).collect();
    assert_eq!(layout, [(0, 1), (2, 2), (4, 4), (8, 4), (16, 8), (24, 24), (48, 1)]);
    let memory = memory();
    let out = upload(&memory, &[0; 32]);
    let mut params = vec![0u8; kernel.param_bytes() as usize];
    params[0] = 200;
    params[2..4].copy_from_slice(&40_000u16.to_le_bytes());
    params[4..8].copy_from_slice(&77u32.to_le_bytes());
    params[8..12].copy_from_slice(&1.5f32.to_le_bytes());
    params[16..24].copy_from_slice(&out.to_le_bytes());
    params[24..32].copy_from_slice(&0x0123_4567_89ab_cdefu64.to_le_bytes());
    params[40..44].copy_from_slice(&5u32.to_le_bytes());
    params[48] = 0x80;
    let options = virtual_gpu::exec::Options::default();
    let launch = virtual_gpu::exec::Launch {
        kernel,
        module: &module,
        grid: [1; 3],
        block: [1; 3],
        dynamic_shared: 0,
        params: &params,
        memory: &memory,
        options: &options,
    };
    clean(&virtual_gpu::exec::run(&launch));
    let want = [200, 40_000, 77, 1.5f32.to_bits(), 0x89ab_cdef, 0x0123_4567, 5, 0xffff_ff80];
    assert_eq!(download(&memory, out, 32), bytes_of(&want));
}

#[test]
fn sinks_take_what_nobody_reads() {
    let body = format!(
        "mad.wide.u32 %q0, %tid, 16, %in; ld.global.v4.b32 {{%r1, _, %r2, _}}, [%q0]; xor.b32 %r1, %r1, %r2;\n{}",
        store_word("%r1")
    );
    let input: Vec<u32> = (0..128).map(|i| i * i).collect();
    let got = run_clean("", &body, 32, &input, 32);
    assert!((0..32).all(|i| got[i] == input[4 * i] ^ input[4 * i + 2]));
}

#[test]
fn vectors_of_32_bytes() {
    // Blackwell's widest global accesses.
    for (ty, registers) in [
        ("v8.b32", "{%r8, %r9, %r10, %r11, %r12, %r13, %r14, %r15}"),
        ("v8.f32", "{%r8, %r9, %r10, %r11, %r12, %r13, %r14, %r15}"),
        ("v4.b64", "{%q8, %q9, %q10, %q11}"),
        ("v4.f64", "{%q8, %q9, %q10, %q11}"),
    ] {
        let body = format!(
            "mad.wide.u32 %q0, %tid, 32, %in; mad.wide.u32 %q1, %tid, 32, %out;
             ld.global.{ty} {registers}, [%q0]; st.global.{ty} [%q1], {registers};"
        );
        let (input, out) = run_bytes(&body, 64, 2048);
        assert_eq!(out, input[..2048], "{ty}");
    }
}

#[test]
fn parameters_by_a_generic_pointer() {
    let body = format!(
        "mov.b64 %q0, p0; cvta.param.u64 %q1, %q0; ld.u64 %q2, [%q1]; setp.eq.u64 %p0, %q2, %in;
         ld.u64 %q3, [%q1+8]; setp.eq.and.u64 %p0, %q3, %out, %p0; selp.u32 %r1, 1, 0, %p0;\n{}",
        store_word("%r1")
    );
    assert_eq!(run_clean("", &body, 32, &[0], 32), [1; 32]);
}

/// A structure as NVRTC reads it: by name and offset, by a register that holds the parameter's address, in vectors. What
/// its pointers lead to is checked as behind any other pointer.
#[test]
fn a_structure_of_arguments() {
    let text = format!(
        "{}.visible .entry k(.param .align 8 .b8 k_param_0[24])
        {{ .reg .b32 %r<8>; .reg .b64 %q<8>;
        mov.b64 %q0, k_param_0; mov.u64 %q1, %q0;
        ld.param.v2.u32 {{%r0, %r1}}, [k_param_0+16]; ld.param.u64 %q2, [%q1+8]; ld.param.u64 %q3, [%q1];
        ld.global.u32 %r2, [%q3+4]; add.u32 %r3, %r0, %r2;
        mad.wide.u32 %q4, %r1, 4, %q2; st.global.u32 [%q4], %r3; ret; }}",
        super::machine::HEADER
    );
    let module = parse(&text);
    let kernel = module.kernel("k").unwrap();
    assert_eq!(kernel.params.iter().map(|p| (p.offset, p.size)).collect::<Vec<_>>(), [(0, 24)]);
    let memory = memory();
    let (from, out) = (upload(&memory, &bytes_of(&[7, 8])), upload(&memory, &[0; 8]));
    let options = virtual_gpu::exec::Options::default();
    let run = |place: u32| {
        let mut params = vec![0u8; 24];
        params[..8].copy_from_slice(&from.to_le_bytes());
        params[8..16].copy_from_slice(&out.to_le_bytes());
        params[16..20].copy_from_slice(&100u32.to_le_bytes());
        params[20..].copy_from_slice(&place.to_le_bytes());
        virtual_gpu::exec::run(&virtual_gpu::exec::Launch {
            kernel,
            module: &module,
            grid: [1; 3],
            block: [1; 3],
            dynamic_shared: 0,
            params: &params,
            memory: &memory,
            options: &options,
        })
    };
    clean(&run(1));
    assert_eq!(download(&memory, out, 8), bytes_of(&[0, 108]));
    let fault = run(2).fault.expect("the third word is outside");
    assert!(fault.kind.contains("out of bounds"), "{}", fault.kind);
}
