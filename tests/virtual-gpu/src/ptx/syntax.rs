//! The syntax tree of a PTX text.

/// An operand as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Arg {
    /// A register, special register, label, variable or function.
    Name(String),
    /// A predicate register read inverted.
    Not(String),
    /// An integer, two's complement.
    Int(u64),
    /// `0f...`: the bits of an f32.
    F32(u32),
    /// `0d...`: the bits of an f64.
    F64(u64),
    /// A decimal fraction.
    Decimal(f64),
    /// `[base+offset]`.
    Memory(Option<String>, i64),
    /// `name+offset`.
    Offset(String, i64),
    /// `{a, b, ...}`.
    Vector(Vec<Arg>),
    /// `a|b`.
    Pair(Box<Arg>, Box<Arg>),
    /// `(a, b, ...)`.
    List(Vec<Arg>),
    /// `_`.
    Sink,
}

/// One instruction.
#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    /// `@p` or `@!p`: the register and whether it is inverted.
    pub guard: Option<(String, bool)>,
    /// The full mnemonic.
    pub opcode: String,
    pub args: Vec<Arg>,
    /// Line of the PTX text.
    pub line: u32,
    /// The statement's text, white space squeezed.
    pub text: String,
    /// Index of the source file and the line in it.
    pub source: (u32, u32),
}

/// State spaces of variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Global,
    Const,
    Shared,
    Local,
    Param,
}

/// A variable.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub space: Space,
    pub name: String,
    pub align: u32,
    /// Size in bytes, 0 for `extern .shared x[]`.
    pub size: u64,
    /// Initial bytes; zeros follow.
    pub init: Vec<u8>,
}

/// A statement of a function's body.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    Open,
    Close,
    Label(String),
    /// `label: .branchtargets a, b;`
    Targets(String, Vec<String>),
    /// Registers `name0 .. name{count-1}`, or `name` alone; the type name.
    Registers {
        kind: String,
        name: String,
        count: Option<u32>,
    },
    Variable(Variable),
    Instruction(Instruction),
}

/// A kernel or a device function.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub entry: bool,
    pub name: String,
    pub results: Vec<Variable>,
    pub params: Vec<Variable>,
    pub body: Vec<Statement>,
    pub max_threads: Option<u32>,
    pub min_blocks: Option<u32>,
    pub max_registers: Option<u32>,
    pub line: u32,
}

/// A whole text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub variables: Vec<Variable>,
    pub functions: Vec<Function>,
    /// Source file names by index.
    pub files: Vec<(u32, String)>,
}
