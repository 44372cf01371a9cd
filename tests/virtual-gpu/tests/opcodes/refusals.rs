//! What the interpreter does not know is an error when the text is parsed: it names the line and the instruction.

use virtual_gpu::ptx::{PtxError, parse};

use super::machine::kernel_text;

/// The error of a body with `statement` on a line of its own, which the error must name; or that there was none.
fn refusal(statement: &str) -> Result<PtxError, String> {
    let (first, rest) = statement.split_once("; ").unwrap_or((statement.trim_end_matches(';'), ""));
    let text = kernel_text("", &format!("mov.u32 %r0, 1;\n{first};\n{rest}\n"));
    let line = text.lines().position(|l| l == format!("{first};")).unwrap() as u32 + 1;
    let Err(error) = parse(&text) else { return Err(format!("accepted: {statement}")) };
    let words: Vec<&str> = first.split_whitespace().collect();
    if error.line == line && error.text == words.join(" ") { Ok(error) } else { Err(error.to_string()) }
}

/// All must be refused.
fn refused(statements: &[&str]) {
    let wrong: Vec<String> = statements.iter().filter_map(|s| refusal(s).err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unknown_opcodes() {
    refused(&[
        "frobnicate.u32 %r1, %r0;",
        "wgmma.mma_async.sp.sync.aligned;",
        "tex.2d.v4.f32.f32 {%r1, %r2, %r3, %r4}, [%q0, {%r5, %r6}];",
        "mbarrier.pending_count.b64 %r1, %q0;",
        "vadd.s32.s32.s32 %r1, %r2, %r3;",
        "cp.async.bulk.commit_group;",
        "tcgen05.wait;",
        "multimem.red.add.u32 [%q0], %r1;",
    ]);
    assert!(refusal("frobnicate.u32 %r1, %r0;").unwrap().reason.contains("frobnicate"));
}

#[test]
fn unknown_modifiers() {
    let mut wrong = Vec::new();
    for (statement, modifier) in [
        ("add.blue.u32 %r1, %r0, %r0;", "blue"),
        ("add.ftz.u32 %r1, %r0, %r0;", "ftz"),
        ("add.cc.ftz.u32 %r1, %r0, %r0;", "ftz"),
        ("mul.lo.sat.u32 %r1, %r0, %r0;", "sat"),
        ("and.rn.b32 %r1, %r0, %r0;", "rn"),
        ("shl.wrap.b32 %r1, %r0, 3;", "wrap"),
        ("selp.ftz.b32 %r1, %r0, %r0, %p0;", "ftz"),
        ("mov.rn.b32 %r1, %r0;", "rn"),
        ("setp.lt.sat.f32 %p0, %r0, %r1;", "sat"),
        ("ld.global.purple.u32 %r1, [%q0];", "purple"),
        ("st.global.nc.u32 [%q0], %r1;", "nc"),
        ("ld.shared.L9::huge.u32 %r1, [%r0];", "L9::huge"),
        ("atom.global.add.noisy.u32 %r1, [%q0], %r0;", "noisy"),
        ("bar.sync.blue 0;", "blue"),
        ("bra.blue L; L:", "blue"),
        ("shfl.sync.bfly.blue.b32 %r1, %r0, 1, 31, -1;", "blue"),
        ("vote.sync.any.blue.pred %p0, %p1, -1;", "blue"),
        ("ldmatrix.sync.aligned.m8n8.x1.blue.shared.b16 {%r1}, [%r0];", "blue"),
        (
            "mma.sync.aligned.m16n8k8.row.col.blue.f32.bf16.bf16.f32 {%r0, _, _, _}, {%r4,%r5}, {%r6}, {%r0,%r1,%r2,%r3};",
            "blue",
        ),
        ("cvt.rn.blue.f32.s32 %r1, %r0;", "blue"),
        ("ex2.approx.sat.f32 %r1, %r0;", "sat"),
        ("prmt.b32.f5e %r1, %r0, %r0, %r0;", "f5e"),
        ("dp4a.sat.s32.s32 %r1, %r0, %r0, %r0;", "sat"),
        ("cp.async.ca.shared.global.blue [%r0], [%q0], 4;", "blue"),
        ("redux.sync.add.blue.u32 %r1, %r0, -1;", "blue"),
        ("fma.rn.relu.f32 %r1, %r0, %r0, %r0;", "relu"),
        ("min.sat.s32 %r1, %r0, %r0;", "sat"),
    ] {
        match refusal(statement) {
            Ok(e) if e.reason.contains(&format!(".{modifier} ")) => {}
            Ok(e) => wrong.push(e.to_string()),
            Err(e) => wrong.push(e),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn wrong_forms() {
    refused(&[
        "add.u32 %r1, %r0;",
        "add.u32 %r1, %r0, %r0, %r0;",
        "add.u32 %r1, %q0, %r0;",
        "add.u64 %r1, %q0, %q1;",
        "add.u32 %r1, %r0, %unknown;",
        "add.u32 %p0, %r0, %r0;",
        "add %r1, %r0, %r0;",
        "add.u8 %r1, %r0, %r0;",
        "mul.u32 %r1, %r0, %r0;",
        "mul.wide.u64 %q1, %q0, %q0;",
        "setp.zz.u32 %p0, %r0, %r0;",
        "setp.lt.and.u32 %p0, %r0, %r0;",
        "cvt.u32 %r1, %r0;",
        "ld.global.v2.u32 %r1, [%q0];",
        "ld.global.v3.u32 {%r1, %r2, %r3}, [%q0];",
        "ld.global.u64 %r1, [%q0];",
        "ld.global.u32 %r1, %q0;",
        "st.const.u32 [%q0], %r1;",
        "bra Lnowhere;",
        "@%r0 mov.u32 %r1, 1;",
        "@%p0 call.uni nothing;",
        "call.uni nothing;",
        "shfl.bfly.b32 %r1, %r0, 1, 31;",
        "vote.any.pred %p0, %p1;",
        "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r1, %r2}, [%r0];",
        "mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 {%r0, _, _, _}, {%r4,%r5}, {%r6}, {%r0,%r1,%r2,%r3};",
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%r0, _, _, _}, {%r4,%r5}, {%r6,%r7}, {%r0,%r1,%r2,%r3};",
        "cp.async.ca.shared.global [%r0], [%q0], 5;",
        "cp.async.ca.global.shared [%q0], [%r0], 4;",
        "atom.global.add.b8 %r1, [%q0], %r0;",
        "red.global.nand.b32 [%q0], %r0;",
        "bar.arrive 0;",
        "cvt.rm.bf16.f32 %h1, %r0;",
        "div.rz.f64 %q1, %q0, %q0;",
    ]);
}

#[test]
fn wrong_texts() {
    let reason = |text: &str| parse(text).map(|_| ()).unwrap_err();
    assert_eq!(reason("hello").line, 1);
    assert!(reason("").reason.contains(".version"));
    assert!(reason(&kernel_text(".global .align 4 .u32 x = nothing;\n", "")).reason.contains("initialiser"));
    assert!(reason(&kernel_text(".global .align 4 .v7 x;\n", "")).reason.contains("type"));
    assert!(reason(&kernel_text("", ".reg .f80 %x;")).reason.contains("register type"));
    let open = kernel_text("", "").trim_end().trim_end_matches('}').to_string();
    assert!(reason(&open).reason.contains("brace"), "{}", reason(&open));
    let recursive = ".func f() { call.uni f; ret; }\n";
    assert!(reason(&kernel_text(recursive, "call.uni f;")).reason.contains("recursion"));
}
