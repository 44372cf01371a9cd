//! One instruction against a plain function, over [`THREADS`] inputs.

use std::fmt::Write;

use super::machine::{HEADER, Shape, clean, download, launch, memory, parse, upload};
use super::values::{Kind, THREADS, inputs};

const NAMES: [&str; 4] = ["%a", "%b", "%c", "%e"];

/// Runs `text` for every set of inputs. `text` is an opcode, for `opcode %d, %a, %b, ...;` with as many operands as
/// there are sources, or whole statements over these registers.
pub fn results(text: &str, dest: Kind, sources: &[Kind], values: &[Vec<u64>]) -> Vec<u64> {
    let mut body = String::new();
    let mut params = String::from(".param .u64 out");
    for (i, kind) in sources.iter().enumerate() {
        let (name, bytes) = (NAMES[i], kind.bytes());
        write!(params, ", .param .u64 in{i}").unwrap();
        writeln!(body, "ld.param.u64 %base, [in{i}]; mad.wide.u32 %at, %tid, {bytes}, %base;").unwrap();
        match kind {
            Kind::Pred => writeln!(body, "ld.global.u32 %w, [%at]; setp.ne.u32 {name}, %w, 0;").unwrap(),
            k => writeln!(body, "ld.global.{} {name}, [%at];", k.register()).unwrap(),
        }
    }
    if text.contains('%') {
        writeln!(body, "{text}").unwrap();
    } else {
        writeln!(body, "{text} %d, {};", NAMES[..sources.len()].join(", ")).unwrap();
    }
    writeln!(body, "ld.param.u64 %base, [out]; mad.wide.u32 %at, %tid, {}, %base;", dest.bytes()).unwrap();
    match dest {
        Kind::Pred => writeln!(body, "selp.u32 %w, 1, 0, %d; st.global.u32 [%at], %w;").unwrap(),
        k => writeln!(body, "st.global.{} [%at], %d;", k.register()).unwrap(),
    }
    let mut registers = format!(".reg .{} %d; .reg .b64 %base, %at; .reg .b32 %tid, %w;", dest.register());
    for (i, kind) in sources.iter().enumerate() {
        write!(registers, " .reg .{} {};", kind.register(), NAMES[i]).unwrap();
    }
    registers.push_str(" .reg .b16 %h<8>; .reg .b32 %r<8>; .reg .b64 %q<8>; .reg .pred %p<8>; .reg .b8 %y<4>;");
    let ptx = format!("{HEADER}.visible .entry k({params})\n{{\n{registers}\nmov.u32 %tid, %tid.x;\n{body}ret;\n}}\n");
    let module = parse(&ptx);
    let memory = memory();
    let out = upload(&memory, &vec![0xa5; THREADS * dest.bytes()]);
    let mut args = vec![out];
    for (kind, list) in sources.iter().zip(values) {
        let bytes: Vec<u8> = list.iter().flat_map(|v| v.to_le_bytes()[..kind.bytes()].to_vec()).collect();
        args.push(upload(&memory, &bytes));
    }
    clean(&launch(&module, "k", &memory, &Shape::new(1, THREADS as u32), &args));
    let bytes = download(&memory, out, THREADS * dest.bytes());
    let wide = |b: &[u8]| {
        let mut v = [0; 8];
        v[..b.len()].copy_from_slice(b);
        u64::from_le_bytes(v)
    };
    bytes.chunks_exact(dest.bytes()).map(wide).collect()
}

/// Whether two results are the same: bit for bit, but any NaN is as good as another.
pub fn same(kind: Kind, got: u64, want: u64) -> bool {
    let half = |nan: u64, v: u64| v & 0x7fff > nan;
    match kind {
        _ if got == want => true,
        Kind::F32 => f32::from_bits(got as u32).is_nan() && f32::from_bits(want as u32).is_nan(),
        Kind::F64 => f64::from_bits(got).is_nan() && f64::from_bits(want).is_nan(),
        Kind::F16 => half(0x7c00, got) && half(0x7c00, want),
        Kind::Bf16 => half(0x7f80, got) && half(0x7f80, want),
        Kind::F16x2 | Kind::Bf16x2 => {
            let one = if kind == Kind::F16x2 { Kind::F16 } else { Kind::Bf16 };
            same(one, got & 0xffff, want & 0xffff) && same(one, got >> 16, want >> 16)
        }
        _ => false,
    }
}

/// Compares an instruction with a plain function of its inputs' bits.
pub fn check(text: &str, dest: Kind, sources: &[Kind], expected: &dyn Fn(&[u64]) -> u64) {
    compare(text, dest, sources, expected, &|got, want| same(dest, got, want));
}

/// Compares an f32 instruction with a function, within a relative error or an absolute one. Infinities, zeros' signs
/// and NaN must agree; results below the smallest normal number may be flushed.
pub fn check_near(text: &str, sources: &[Kind], relative: f64, absolute: f64, expected: &dyn Fn(&[f32]) -> f64) {
    let values = |v: &[u64]| -> Vec<f32> { v.iter().map(|&v| f32::from_bits(v as u32)).collect() };
    let near = |got: u64, want: u64| {
        let (got, want) = (f32::from_bits(got as u32), f32::from_bits(want as u32));
        let (g, w) = (f64::from(got), f64::from(want));
        if want.is_nan() || want.is_infinite() || got.is_nan() || got.is_infinite() {
            return same(Kind::F32, got.to_bits().into(), want.to_bits().into())
                || (w - g).abs() <= relative * f64::from(f32::MAX);
        }
        (got - want).abs() < f32::MIN_POSITIVE || (g - w).abs() <= (relative * w.abs()).max(absolute)
    };
    let bits = |v: &[u64]| u64::from((expected(&values(v)) as f32).to_bits());
    compare(text, Kind::F32, sources, &bits, &near);
}

fn compare(
    text: &str,
    dest: Kind,
    sources: &[Kind],
    expected: &dyn Fn(&[u64]) -> u64,
    good: &dyn Fn(u64, u64) -> bool,
) {
    let values = inputs(sources);
    let got = results(text, dest, sources, &values);
    let mut wrong = String::new();
    let mut count = 0;
    for (i, &got) in got.iter().enumerate() {
        let one: Vec<u64> = values.iter().map(|v| v[i]).collect();
        let want = expected(&one);
        if !good(got, want) {
            count += 1;
            if count <= 8 {
                writeln!(wrong, "  {one:#x?} gives {got:#x}, not {want:#x}").unwrap();
            }
        }
    }
    assert!(count == 0, "{text}: {count} of {THREADS} results are wrong\n{}", wrong.replace("\n    ", " "));
}
