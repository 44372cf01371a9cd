//! One instruction under decoding: its modifiers and operands.

use super::PtxError;
use super::lower::{FRAME, Lower, Symbol};
use super::parser::type_bytes;
use super::syntax::{Arg, Instruction};
use crate::exec::program::{Special, Weight};
use crate::exec::warp::{Pred, R32, R64, Reg};

/// An address: a register and an offset in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub base: Reg,
    pub offset: i64,
}

/// An instruction under decoding. Every modifier must be taken by [`Context::has`] or a relative, else
/// [`Context::finish`] refuses the instruction: a modifier is never ignored in silence.
pub(crate) struct Context<'c, 't> {
    pub lower: &'c mut Lower<'t>,
    pub inst: &'t Instruction,
    mods: Vec<(&'t str, bool)>,
    pub weight: Weight,
    /// 32-bit registers that the instruction names: 2 r where it reads, 2 r + 1 where it writes.
    pub touched: Vec<u32>,
}

type Result<T> = std::result::Result<T, PtxError>;

impl<'c, 't> Context<'c, 't> {
    pub fn new(lower: &'c mut Lower<'t>, inst: &'t Instruction) -> Self {
        let mods = inst.opcode.split('.').skip(1).map(|m| (m, false)).collect();
        Context { lower, inst, mods, weight: Weight::default(), touched: Vec::new() }
    }

    /// The opcode without modifiers.
    pub fn base(&self) -> &'t str {
        self.inst.opcode.split('.').next().unwrap_or_default()
    }

    /// An error about this instruction.
    pub fn fail<T>(&self, reason: impl Into<String>) -> Result<T> {
        Err(PtxError { line: self.inst.line, text: self.inst.text.clone(), reason: reason.into() })
    }

    /// Takes a modifier; whether it is there.
    pub fn has(&mut self, name: &str) -> bool {
        match self.mods.iter_mut().find(|(m, used)| !used && *m == name) {
            Some(m) => {
                m.1 = true;
                true
            }
            None => false,
        }
    }

    /// Takes the first modifier that is one of `names`.
    pub fn pick(&mut self, names: &[&str]) -> Option<&'t str> {
        let m = self.mods.iter_mut().find(|(m, used)| !used && names.contains(m))?;
        m.1 = true;
        Some(m.0)
    }

    /// Takes the modifiers that are types, in order.
    pub fn types(&mut self) -> Vec<&'t str> {
        let mut out = Vec::new();
        for (m, used) in &mut self.mods {
            if !*used && (type_bytes(m).is_some() || matches!(*m, "pred" | "tf32")) {
                *used = true;
                out.push(*m);
            }
        }
        out
    }

    /// Takes the only type.
    pub fn ty(&mut self) -> Result<&'t str> {
        match self.types().as_slice() {
            [t] => Ok(t),
            _ => self.fail("one type is needed"),
        }
    }

    /// Refuses what was not taken.
    pub fn finish(&self) -> Result<()> {
        match self.mods.iter().find(|(_, used)| !used) {
            Some((m, _)) => self.fail(format!("modifier .{m} is not supported here")),
            None => Ok(()),
        }
    }

    /// Refuses another number of operands.
    pub fn count(&self, n: usize) -> Result<()> {
        if self.inst.args.len() == n { Ok(()) } else { self.fail(format!("{n} operands are needed")) }
    }

    /// The operand's syntax.
    pub fn arg(&self, i: usize) -> Result<&'t Arg> {
        match self.inst.args.get(i) {
            Some(a) => Ok(a),
            None => self.fail("an operand is missing"),
        }
    }

    /// Whether there is an operand `i`.
    pub fn given(&self, i: usize) -> bool {
        i < self.inst.args.len()
    }

    /// The `i`-th operand as a source of 32 bits or fewer.
    pub fn r32(&mut self, i: usize) -> Result<R32> {
        let arg = self.arg(i)?;
        self.source32(arg)
    }

    /// The `i`-th operand as a source of 64 bits.
    pub fn r64(&mut self, i: usize) -> Result<R64> {
        let arg = self.arg(i)?;
        self.source64(arg)
    }

    /// The `i`-th operand as a destination of 32 bits or fewer.
    pub fn d32(&mut self, i: usize) -> Result<R32> {
        let arg = self.arg(i)?;
        match self.any_dest(arg, 4)? {
            Reg::W32(r) => Ok(r),
            Reg::W64(_) => self.fail("a 32-bit destination is needed"),
        }
    }

    /// The `i`-th operand as a destination of 64 bits.
    pub fn d64(&mut self, i: usize) -> Result<R64> {
        let arg = self.arg(i)?;
        match self.any_dest(arg, 8)? {
            Reg::W64(r) => Ok(r),
            Reg::W32(_) => self.fail("a 64-bit destination is needed"),
        }
    }

    /// A destination as it is declared; a sink has the width `bytes`.
    pub fn any_dest(&mut self, arg: &Arg, bytes: u32) -> Result<Reg> {
        match arg {
            Arg::Sink if bytes > 4 => Ok(Reg::W64(self.lower.new64())),
            Arg::Sink => Ok(Reg::W32(self.lower.new32())),
            Arg::Name(n) => match self.lower.symbol(n) {
                Some(&Symbol::R32(r)) => {
                    self.touched.push(2 * r.0 + 1);
                    Ok(Reg::W32(r))
                }
                Some(&Symbol::R64(r)) => Ok(Reg::W64(r)),
                _ => self.fail(format!("{n} is not a register")),
            },
            _ => self.fail("a register is needed as destination"),
        }
    }

    /// A source as it is declared; a constant has the width `bytes`.
    pub fn any_source(&mut self, arg: &Arg, bytes: u32) -> Result<Reg> {
        if let Arg::Name(n) = arg {
            match self.lower.symbol(n) {
                Some(&Symbol::R32(r)) => {
                    self.touched.push(2 * r.0);
                    return Ok(Reg::W32(r));
                }
                Some(&Symbol::R64(r)) => return Ok(Reg::W64(r)),
                _ => {}
            }
        }
        if bytes > 4 { Ok(Reg::W64(self.source64(arg)?)) } else { Ok(Reg::W32(self.source32(arg)?)) }
    }

    /// A source of 32 bits or fewer.
    pub fn source32(&mut self, arg: &Arg) -> Result<R32> {
        match arg {
            Arg::Int(v) => Ok(self.lower.constant32(*v as u32)),
            Arg::F32(v) => Ok(self.lower.constant32(*v)),
            Arg::Decimal(v) => Ok(self.lower.constant32((*v as f32).to_bits())),
            Arg::Name(n) => self.named32(n, 0),
            Arg::Offset(n, o) => self.named32(n, *o),
            _ => self.fail("a 32-bit source is needed"),
        }
    }

    fn named32(&mut self, name: &str, offset: i64) -> Result<R32> {
        let add = |v: u32| v.wrapping_add(offset as u32);
        let symbol = self.lower.symbol(name).cloned().or_else(|| self.lower.shared_variable(name));
        match symbol {
            Some(Symbol::R32(r)) if offset == 0 => {
                self.touched.push(2 * r.0);
                Ok(r)
            }
            Some(Symbol::Shared(v) | Symbol::Local(v) | Symbol::KernelParam(v)) => Ok(self.lower.constant32(add(v))),
            Some(Symbol::DynamicShared) => Ok(self.lower.dynamic_shared(offset as u32)),
            Some(_) => self.fail(format!("{name} is not a 32-bit source")),
            None => match special(name) {
                Some(s) => Ok(self.lower.special(s)),
                None => self.fail(format!("unknown name {name}")),
            },
        }
    }

    /// A source of 64 bits.
    pub fn source64(&mut self, arg: &Arg) -> Result<R64> {
        match arg {
            Arg::Int(v) | Arg::F64(v) => Ok(self.lower.constant64(*v)),
            Arg::Decimal(v) => Ok(self.lower.constant64(v.to_bits())),
            Arg::Name(n) => self.named64(n, 0),
            Arg::Offset(n, o) => self.named64(n, *o),
            _ => self.fail("a 64-bit source is needed"),
        }
    }

    fn named64(&mut self, name: &str, offset: i64) -> Result<R64> {
        let add = |v: u64| v.wrapping_add(offset as u64);
        let symbol = self.lower.symbol(name).cloned().or_else(|| self.lower.shared_variable(name));
        match symbol {
            Some(Symbol::R64(r)) if offset == 0 => Ok(r),
            Some(Symbol::Shared(v) | Symbol::Local(v) | Symbol::KernelParam(v)) => {
                Ok(self.lower.constant64(add(v.into())))
            }
            Some(Symbol::FrameParam(v)) => Ok(self.lower.constant64(add(FRAME + u64::from(v)))),
            Some(Symbol::DynamicShared) => Ok(self.lower.dynamic_shared64(offset as u32)),
            Some(_) => self.fail(format!("{name} is not a 64-bit source")),
            None => match self.lower.global(name, offset as u64) {
                Some(r) => Ok(r),
                None => self.fail(format!("unknown name {name}")),
            },
        }
    }

    /// The `i`-th operand as a predicate source, and whether it is inverted.
    pub fn pred(&mut self, i: usize) -> Result<(Pred, bool)> {
        let (name, inverted) = match self.arg(i)? {
            Arg::Name(n) => (n, false),
            Arg::Not(n) => (n, true),
            // A constant predicate: a register that nothing writes, inverted for true.
            Arg::Int(v) => return Ok((self.lower.new_pred(), *v != 0)),
            _ => return self.fail("a predicate is needed"),
        };
        match self.lower.symbol(name) {
            Some(&Symbol::Pred(p)) => Ok((p, inverted)),
            _ => self.fail(format!("{name} is not a predicate")),
        }
    }

    /// A predicate destination.
    pub fn dest_pred(&mut self, arg: &Arg) -> Result<Pred> {
        match arg {
            Arg::Sink => Ok(self.lower.new_pred()),
            Arg::Name(n) => match self.lower.symbol(n) {
                Some(&Symbol::Pred(p)) => Ok(p),
                _ => self.fail(format!("{n} is not a predicate")),
            },
            _ => self.fail("a predicate destination is needed"),
        }
    }

    /// The `i`-th operand as `a` or `a|b`.
    pub fn pair(&self, i: usize) -> Result<(&'t Arg, Option<&'t Arg>)> {
        Ok(match self.arg(i)? {
            Arg::Pair(a, b) => (&**a, Some(&**b)),
            a => (a, None),
        })
    }

    /// The `i`-th operand as a constant.
    pub fn int(&self, i: usize) -> Result<u64> {
        match self.arg(i)? {
            Arg::Int(v) => Ok(*v),
            _ => self.fail("a constant is needed"),
        }
    }

    /// The `i`-th operand as the elements of a vector; a scalar counts as one element.
    pub fn vector(&self, i: usize) -> Result<&'t [Arg]> {
        Ok(match self.arg(i)? {
            Arg::Vector(v) => v,
            a => std::slice::from_ref(a),
        })
    }

    /// The `i`-th operand as `[base+offset]`.
    pub fn address(&mut self, i: usize) -> Result<Address> {
        let Arg::Memory(base, offset) = self.arg(i)? else { return self.fail("an address is needed") };
        let Some(name) = base else {
            return Ok(Address { base: Reg::W64(self.lower.constant64(*offset as u64)), offset: 0 });
        };
        match self.lower.symbol(name) {
            Some(&Symbol::R32(r)) => {
                self.touched.push(2 * r.0);
                Ok(Address { base: Reg::W32(r), offset: *offset })
            }
            Some(&Symbol::R64(r)) => Ok(Address { base: Reg::W64(r), offset: *offset }),
            _ => Ok(Address { base: Reg::W64(self.named64(name, *offset)?), offset: 0 }),
        }
    }

    /// The label number of the `i`-th operand.
    pub fn label(&self, i: usize) -> Result<u32> {
        match self.arg(i)? {
            Arg::Name(n) => self.label_named(n),
            _ => self.fail("a label is needed"),
        }
    }

    fn label_named(&self, name: &str) -> Result<u32> {
        match self.lower.symbol(name) {
            Some(&Symbol::Label(id)) => Ok(id),
            _ => self.fail(format!("unknown label {name}")),
        }
    }

    /// The label numbers of the `.branchtargets` that the `i`-th operand names.
    pub fn targets(&self, i: usize) -> Result<Vec<u32>> {
        let Arg::Name(n) = self.arg(i)? else { return self.fail("a list of targets is needed") };
        match self.lower.symbol(n) {
            Some(Symbol::Targets(list)) => list.iter().map(|t| self.label_named(t)).collect(),
            _ => self.fail(format!("unknown list of targets {n}")),
        }
    }
}

fn special(name: &str) -> Option<Special> {
    let axis = |rest: &str| match rest {
        "x" => Some(0),
        "y" => Some(1),
        "z" => Some(2),
        _ => None,
    };
    if let Some((base, rest)) = name.split_once('.') {
        let axis = axis(rest)?;
        return match base {
            "%tid" => Some(Special::Tid(axis)),
            "%ntid" => Some(Special::Ntid(axis)),
            "%ctaid" => Some(Special::Ctaid(axis)),
            "%nctaid" => Some(Special::Nctaid(axis)),
            // Without clusters a cluster is one block.
            "%clusterid" => Some(Special::Ctaid(axis)),
            "%nclusterid" => Some(Special::Nctaid(axis)),
            "%cluster_ctaid" => Some(Special::Zero),
            "%cluster_nctaid" => Some(Special::One),
            _ => None,
        };
    }
    Some(match name {
        "%laneid" => Special::LaneId,
        "%warpid" => Special::WarpId,
        "%nwarpid" => Special::WarpCount,
        "%lanemask_eq" => Special::LaneMaskEq,
        "%lanemask_lt" => Special::LaneMaskLt,
        "%lanemask_le" => Special::LaneMaskLe,
        "%lanemask_gt" => Special::LaneMaskGt,
        "%lanemask_ge" => Special::LaneMaskGe,
        "%dynamic_smem_size" => Special::DynamicShared,
        "%total_smem_size" => Special::TotalShared,
        // One multiprocessor.
        "%smid" | "%cluster_ctarank" => Special::Zero,
        "%nsmid" | "%cluster_nctarank" => Special::One,
        _ => return None,
    })
}
