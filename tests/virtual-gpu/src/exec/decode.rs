//! Which module decodes which opcode.

use super::program::Action;
use super::{
    access, async_copy, atomic, barrier, bits, bulk_copy, collective, compare, convert, float, half_float, int,
    ldmatrix, mbarrier, mma, movement, sfu, wgmma,
};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

/// Decodes one instruction.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action, PtxError> {
    match cx.base() {
        "add" | "sub" | "mul" | "mad" | "fma" | "div" | "rem" | "abs" | "neg" | "min" | "max" | "sad" | "addc"
        | "subc" | "madc" | "mul24" | "mad24" => arithmetic(cx),
        "and" | "or" | "xor" | "not" | "cnot" | "lop3" | "shl" | "shr" | "shf" | "bfe" | "bfi" | "bfind" | "brev"
        | "popc" | "clz" | "prmt" | "bmsk" | "szext" | "dp4a" | "dp2a" | "fns" => bits::decode(cx),
        "rcp" | "sqrt" | "rsqrt" | "sin" | "cos" | "ex2" | "lg2" | "tanh" => sfu::decode(cx),
        "set" | "setp" | "selp" | "slct" | "testp" | "copysign" => compare::decode(cx),
        "cvt" => convert::decode(cx),
        "mov" | "cvta" | "isspacep" => movement::decode(cx),
        "ld" | "ldu" | "st" | "prefetch" | "prefetchu" | "applypriority" | "discard" | "createpolicy" => {
            access::decode(cx)
        }
        "atom" | "red" => atomic::decode(cx),
        "bra" | "brx" | "trap" | "brkpt" | "bar" | "barrier" | "membar" | "fence" | "nanosleep" | "griddepcontrol"
        | "pmevent" | "setmaxnreg" => barrier::decode(cx),
        "shfl" | "vote" | "match" | "redux" | "activemask" | "elect" => collective::decode(cx),
        "cp" if cx.inst.opcode.starts_with("cp.async.bulk") => bulk_copy::decode(cx),
        "cp" => async_copy::decode(cx),
        "ldmatrix" | "stmatrix" | "movmatrix" => ldmatrix::decode(cx),
        "mma" => mma::decode(cx),
        "wgmma" => wgmma::decode(cx),
        "mbarrier" => mbarrier::decode(cx),
        other => cx.fail(format!("opcode {other} is not supported")),
    }
}

/// The opcodes that integers and floats share.
fn arithmetic(cx: &mut Context<'_, '_>) -> Result<Action, PtxError> {
    let types = cx.types();
    match types.as_slice() {
        ["f32" | "f64"] => float::decode(cx, types[0]),
        ["f16" | "bf16" | "f16x2" | "bf16x2"] => half_float::decode(cx, types[0]),
        [t] => int::decode(cx, t),
        _ => cx.fail("one type is needed"),
    }
}
