//! Syntax tree to program: scopes, registers, memory layout, labels, and calls, which are expanded where they stand.
//!
//! Expanding calls keeps one program counter order for all lanes, so that running the lowest lanes first reconverges
//! them across calls too. Recursion is refused.

use std::collections::{HashMap, HashSet};

use super::PtxError;
use super::context::Context;
use super::liveness;
use super::syntax::{Function, Instruction, Space, Statement, Tree, Variable};
use crate::exec::decode::decode;
use crate::exec::program::{Action, Guard, Line, Program, Special, Step, Weight};
use crate::exec::warp::{Pred, R32, R64};

/// Addresses at and above this in `.param` space are offsets in the thread's local memory: parameters of calls.
pub(crate) const FRAME: u64 = 1 << 32;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(crate) enum Symbol {
    R32(R32),
    R64(R64),
    Pred(Pred),
    Shared(u32),
    DynamicShared,
    Local(u32),
    KernelParam(u32),
    FrameParam(u32),
    Label(u32),
    Targets(Vec<String>),
}

/// The program under construction.
pub(crate) struct Lower<'t> {
    pub(super) tree: &'t Tree,
    pub program: Program,
    constants32: HashMap<u32, R32>,
    constants64: HashMap<u64, R64>,
    specials: HashMap<Special, R32>,
    globals: HashMap<(usize, u64), R64>,
    pub(super) scopes: Vec<HashMap<String, Symbol>>,
    /// Positions of labels by label number.
    pub(super) labels: Vec<u32>,
    /// Functions being expanded, and the label behind the innermost expansion.
    pub(super) calls: Vec<(String, u32)>,
    /// Registers that hold the address of the dynamic shared memory plus an offset.
    dynamic: Vec<(R32, u32)>,
    dynamic64: Vec<(R64, u32)>,
    module_shared: HashMap<String, u32>,
    /// Registers declared with fewer than 32 bits: they hold zero-extended values.
    narrow: HashSet<R32>,
}

/// Lowers one kernel.
pub(crate) fn kernel(tree: &Tree, function: &Function) -> Result<Program, PtxError> {
    let mut lower = Lower {
        tree,
        // Predicate 0 is the carry flag.
        program: Program { files: tree.files.clone(), count_pred: 1, ..Program::default() },
        constants32: HashMap::new(),
        constants64: HashMap::new(),
        specials: HashMap::new(),
        globals: HashMap::new(),
        scopes: vec![HashMap::new()],
        labels: Vec::new(),
        calls: Vec::new(),
        dynamic: Vec::new(),
        dynamic64: Vec::new(),
        module_shared: HashMap::new(),
        narrow: HashSet::new(),
    };
    let mut offset = 0u32;
    for p in &function.params {
        offset = offset.next_multiple_of(p.align);
        lower.define(&p.name, Symbol::KernelParam(offset));
        offset += p.size as u32;
    }
    lower.body(function)?;
    let line = lower.add_line(Line { text: "(end of the kernel)".into(), file: 0, source: 0 });
    lower.program.steps.push(Step { guard: Guard::Always, action: Action::Exit, weight: Weight::default(), line });
    Ok(lower.finish())
}

impl<'t> Lower<'t> {
    fn finish(mut self) -> Program {
        let at = |id: u32| self.labels[id as usize];
        for step in &mut self.program.steps {
            match &mut step.action {
                Action::Branch(t) => *t = at(*t),
                Action::Table(_, targets) => targets.iter_mut().for_each(|t| *t = at(*t)),
                _ => {}
            }
        }
        if self.program.asynchronous_products {
            self.program.touched.resize(self.program.steps.len(), Box::default());
        } else {
            self.program.touched = Vec::new();
        }
        // Dynamic shared memory starts behind the static one.
        self.program.static_shared = self.program.static_shared.next_multiple_of(16);
        let base = self.program.static_shared;
        for (slot, offset) in self.dynamic {
            self.program.constants32.push((slot, base.wrapping_add(offset)));
        }
        for (slot, offset) in self.dynamic64 {
            self.program.constants64.push((slot, u64::from(base.wrapping_add(offset))));
        }
        self.program
    }

    fn add_line(&mut self, line: Line) -> u32 {
        self.program.lines.push(line);
        self.program.lines.len() as u32 - 1
    }

    fn define(&mut self, name: &str, symbol: Symbol) {
        self.scopes.last_mut().expect("a scope is open").insert(name.into(), symbol);
    }

    /// What a name stands for here.
    pub fn symbol(&self, name: &str) -> Option<&Symbol> {
        self.scopes.iter().rev().find_map(|s| s.get(name))
    }

    /// A fresh 32-bit register.
    pub fn new32(&mut self) -> R32 {
        self.program.count32 += 1;
        R32(self.program.count32 - 1)
    }

    /// A fresh 64-bit register.
    pub fn new64(&mut self) -> R64 {
        self.program.count64 += 1;
        R64(self.program.count64 - 1)
    }

    /// A fresh predicate register.
    pub fn new_pred(&mut self) -> Pred {
        self.program.count_pred += 1;
        Pred(self.program.count_pred - 1)
    }

    /// Whether a register was declared with fewer than 32 bits.
    pub fn is_narrow(&self, r: R32) -> bool {
        self.narrow.contains(&r)
    }

    /// A register that holds a constant.
    pub fn constant32(&mut self, value: u32) -> R32 {
        if let Some(&slot) = self.constants32.get(&value) {
            return slot;
        }
        let slot = self.new32();
        self.constants32.insert(value, slot);
        self.program.constants32.push((slot, value));
        slot
    }

    /// A register that holds a constant.
    pub fn constant64(&mut self, value: u64) -> R64 {
        if let Some(&slot) = self.constants64.get(&value) {
            return slot;
        }
        let slot = self.new64();
        self.constants64.insert(value, slot);
        self.program.constants64.push((slot, value));
        slot
    }

    /// The register of a special register.
    pub fn special(&mut self, special: Special) -> R32 {
        if let Some(&slot) = self.specials.get(&special) {
            return slot;
        }
        let slot = self.new32();
        self.specials.insert(special, slot);
        self.program.specials.push((slot, special));
        slot
    }

    /// The register that holds the address of the dynamic shared memory plus an offset.
    pub fn dynamic_shared(&mut self, offset: u32) -> R32 {
        let slot = self.new32();
        self.dynamic.push((slot, offset));
        slot
    }

    /// The same, 64 bits wide.
    pub fn dynamic_shared64(&mut self, offset: u32) -> R64 {
        let slot = self.new64();
        self.dynamic64.push((slot, offset));
        slot
    }

    /// The register that holds a module variable's address plus an offset.
    pub fn global(&mut self, name: &str, offset: u64) -> Option<R64> {
        let of_device = |v: &Variable| v.name == name && matches!(v.space, Space::Global | Space::Const);
        let index = self.tree.variables.iter().position(of_device)?;
        if let Some(&slot) = self.globals.get(&(index, offset)) {
            return Some(slot);
        }
        let slot = self.new64();
        self.globals.insert((index, offset), slot);
        self.program.globals.push((slot, index, offset));
        Some(slot)
    }

    /// The place of a module-wide shared variable, laid out at its first use.
    pub fn shared_variable(&mut self, name: &str) -> Option<Symbol> {
        let v = self.tree.variables.iter().find(|v| v.space == Space::Shared && v.name == name)?;
        if v.size == 0 {
            return Some(Symbol::DynamicShared);
        }
        if let Some(&at) = self.module_shared.get(name) {
            return Some(Symbol::Shared(at));
        }
        let at = self.place_shared(v);
        self.module_shared.insert(name.into(), at);
        Some(Symbol::Shared(at))
    }

    fn place_shared(&mut self, v: &Variable) -> u32 {
        let at = self.program.static_shared.next_multiple_of(v.align);
        self.program.static_shared = at + v.size as u32;
        at
    }

    fn place_local(&mut self, v: &Variable) -> u32 {
        let at = self.program.local_bytes.next_multiple_of(v.align.max(1));
        self.program.local_bytes = at + v.size as u32;
        at
    }

    /// A new label number.
    pub fn new_label(&mut self) -> u32 {
        self.labels.push(u32::MAX);
        self.labels.len() as u32 - 1
    }

    pub(super) fn body(&mut self, function: &'t Function) -> Result<(), PtxError> {
        let body = &function.body;
        let rows = liveness::rows(body);
        let [wide, double, narrow] = rows.counts;
        let base = [self.program.count32, self.program.count64, self.program.count32 + wide];
        self.program.count32 += wide + narrow;
        self.program.count64 += double;
        self.narrow.extend((base[2]..base[2] + narrow).map(R32));
        for (i, statement) in body.iter().enumerate() {
            match statement {
                Statement::Open => {
                    self.scopes.push(HashMap::new());
                    self.declare_labels(&body[i + 1..]);
                }
                Statement::Close => drop(self.scopes.pop()),
                Statement::Label(name) => {
                    if let Some(&Symbol::Label(id)) = self.symbol(name) {
                        self.labels[id as usize] = self.program.steps.len() as u32;
                    }
                }
                Statement::Targets(name, list) => self.define(name, Symbol::Targets(list.clone())),
                Statement::Registers { kind, name, count } => {
                    for name in liveness::names(name, *count) {
                        let row = rows.row.get(&(i, name.clone())).copied().unwrap_or_default();
                        self.register(kind, &name, base.map(|b| b + row), function)?;
                    }
                }
                Statement::Variable(v) => {
                    let symbol = match v.space {
                        Space::Shared if v.size == 0 => Symbol::DynamicShared,
                        Space::Shared => Symbol::Shared(self.place_shared(v)),
                        Space::Local => Symbol::Local(self.place_local(v)),
                        Space::Param => Symbol::FrameParam(self.place_local(v)),
                        Space::Global | Space::Const => {
                            let (line, text) = (function.line, v.name.clone());
                            return Err(PtxError { line, text, reason: "a global variable inside a function".into() });
                        }
                    };
                    self.define(&v.name, symbol);
                }
                Statement::Instruction(inst) => self.instruction(inst)?,
            }
        }
        Ok(())
    }

    /// Labels may be used before they stand: declare those of the scope that begins here.
    fn declare_labels(&mut self, rest: &'t [Statement]) {
        let mut depth = 0;
        for statement in rest {
            match statement {
                Statement::Open => depth += 1,
                Statement::Close if depth == 0 => return,
                Statement::Close => depth -= 1,
                Statement::Label(name) if depth == 0 => {
                    let id = self.new_label();
                    self.define(name, Symbol::Label(id));
                }
                Statement::Targets(name, list) if depth == 0 => self.define(name, Symbol::Targets(list.clone())),
                _ => {}
            }
        }
    }

    /// Declares a register; `rows` has its row for each class it could be of.
    fn register(&mut self, kind: &str, name: &str, rows: [u32; 3], f: &Function) -> Result<(), PtxError> {
        let symbol = match liveness::class(kind) {
            Some(1) => Symbol::R64(R64(rows[1])),
            Some(class) => Symbol::R32(R32(rows[class])),
            None if kind == "pred" => Symbol::Pred(self.new_pred()),
            None => {
                let text = format!(".reg .{kind} {name}");
                return Err(PtxError { line: f.line, text, reason: "unknown register type".into() });
            }
        };
        self.define(name, symbol);
        Ok(())
    }

    fn instruction(&mut self, inst: &'t Instruction) -> Result<(), PtxError> {
        let fail = |reason: String| PtxError { line: inst.line, text: inst.text.clone(), reason };
        let guard = match &inst.guard {
            None => Guard::Always,
            Some((name, inverted)) => match self.symbol(name) {
                Some(&Symbol::Pred(p)) if *inverted => Guard::Unless(p),
                Some(&Symbol::Pred(p)) => Guard::If(p),
                _ => return Err(fail(format!("guard {name} is not a predicate"))),
            },
        };
        let base = inst.opcode.split('.').next().unwrap_or_default();
        let line = Line { text: inst.text.clone(), file: inst.source.0, source: inst.source.1 };
        let line = self.add_line(line);
        if base == "call" {
            // A predicated call is expanded behind a branch around it.
            let around = match guard {
                Guard::Always => return self.call(inst),
                Guard::If(p) => Guard::Unless(p),
                Guard::Unless(p) => Guard::If(p),
            };
            let behind = self.new_label();
            let action = Action::Branch(behind);
            self.program.steps.push(Step { guard: around, action, weight: Weight::default(), line });
            self.call(inst)?;
            self.labels[behind as usize] = self.program.steps.len() as u32;
            return Ok(());
        }
        let (action, weight) = if base == "ret" || base == "exit" {
            if !matches!(inst.opcode.as_str(), "ret" | "ret.uni" | "exit") {
                return Err(fail("unknown modifier".into()));
            }
            let action = match self.calls.last() {
                Some(&(_, end)) if base == "ret" => Action::Branch(end),
                _ => Action::Exit,
            };
            (action, Weight::default())
        } else {
            let mut cx = Context::new(self, inst);
            let action = decode(&mut cx)?;
            let weight = cx.weight;
            cx.finish()?;
            let touched = std::mem::take(&mut cx.touched);
            if !base.starts_with("wgmma") {
                self.program.touched.resize(self.program.steps.len(), Box::default());
                self.program.touched.push(touched.into_boxed_slice());
            }
            (action, weight)
        };
        self.program.steps.push(Step { guard, action, weight, line });
        Ok(())
    }
}
