//! PTX text to executable kernels.

mod call;
pub(crate) mod context;
mod liveness;
pub(crate) mod lower;
mod operand;
pub(crate) mod parser;
pub(crate) mod syntax;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::exec::REGISTERS;
use crate::exec::program::Program;
use crate::memory::{Memory, MemoryError};
use syntax::{Space, Variable};

/// Why a PTX text was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PtxError {
    /// Line of the PTX text, from 1.
    pub line: u32,
    /// The statement.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for PtxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PTX line {}: {}: `{}`", self.line, self.reason, self.text)
    }
}

impl std::error::Error for PtxError {}

/// A module: kernels and the variables they share.
pub struct Module {
    code: Arc<Code>,
    /// Addresses of the variables once they are in memory (0 for shared ones).
    loaded: Mutex<Option<Vec<u64>>>,
}

/// What modules of one text share.
struct Code {
    kernels: Vec<Kernel>,
    variables: Vec<Variable>,
}

/// Texts decoded lately: programs load the same few texts in every context.
static DECODED: Mutex<Vec<(String, Arc<Code>)>> = Mutex::new(Vec::new());

/// How many texts [`DECODED`] keeps.
const DECODED_TEXTS: usize = 16;

/// One kernel parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Offset in the parameter block, bytes.
    pub offset: u32,
    /// Size, bytes.
    pub size: u32,
    /// Alignment, bytes.
    pub align: u32,
}

/// A kernel.
pub struct Kernel {
    /// The name as the PTX has it (mangled for C++).
    pub name: String,
    /// Parameters in order.
    pub params: Vec<Param>,
    /// Threads per block at most: `.maxntid`, else 1024.
    pub max_threads: u32,
    /// `.minnctapersm`, if given.
    pub min_blocks: Option<u32>,
    /// `.maxnreg`, if given.
    pub max_registers: Option<u32>,
    /// Whether `.maxntid` or `.reqntid` bounds the threads.
    bounded: bool,
    pub(crate) program: Program,
}

impl Kernel {
    /// Bytes of the parameter block.
    pub fn param_bytes(&self) -> u32 {
        self.params.last().map_or(0, |p| p.offset + p.size)
    }

    /// Registers of a thread at the start of a kernel that uses `setmaxnreg`: what its directives allow.
    pub fn registers(&self) -> Option<u32> {
        let threads = self.max_threads * self.min_blocks.unwrap_or(1).max(1);
        let most = self.bounded.then(|| (REGISTERS / threads.max(1) / 8 * 8).min(255));
        self.max_registers.or(most)
    }

    /// Bytes of statically declared shared memory.
    pub fn static_shared_bytes(&self) -> u32 {
        self.program.static_shared
    }

    /// Bytes of local memory per thread.
    pub fn local_bytes(&self) -> u32 {
        self.program.local_bytes
    }
}

impl Module {
    /// The kernel of that name.
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.code.kernels.iter().find(|k| k.name == name)
    }

    /// All kernels, in the order of the text.
    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        self.code.kernels.iter()
    }

    /// Allocates and initialises the module's variables, once; a launch does so by itself.
    pub fn load(&self, memory: &Memory) -> Result<(), MemoryError> {
        self.addresses(memory).map(drop)
    }

    /// Addresses of the module's variables, loaded if they were not.
    pub(crate) fn addresses(&self, memory: &Memory) -> Result<Vec<u64>, MemoryError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(addresses) = &*loaded {
            return Ok(addresses.clone());
        }
        let mut addresses = Vec::new();
        for v in &self.code.variables {
            if v.space == Space::Shared {
                addresses.push(0);
                continue;
            }
            let at = memory.alloc_as(v.size, v.space == Space::Const)?;
            let mut bytes = v.init.clone();
            bytes.resize(v.size as usize, 0);
            memory.copy_in(at, &bytes)?;
            addresses.push(at);
        }
        *loaded = Some(addresses.clone());
        Ok(addresses)
    }

    /// Address and size in bytes of a loaded module's variable.
    pub fn global(&self, name: &str) -> Option<(u64, u64)> {
        let at = self.code.variables.iter().position(|v| v.name == name && v.space != Space::Shared)?;
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.as_ref().map(|a| (a[at], self.code.variables[at].size))
    }

    /// Frees the module's variables.
    pub fn unload(&self, memory: &Memory) -> Result<(), MemoryError> {
        let taken = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).take();
        for address in taken.into_iter().flatten().filter(|&a| a != 0) {
            memory.free(address)?;
        }
        Ok(())
    }
}

/// Parses and decodes a PTX text. Anything that the interpreter does not know is an error, here and not at launch.
pub fn parse(text: &str) -> Result<Module, PtxError> {
    let lock = || DECODED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = lock().iter().find(|(t, _)| t == text).map(|(_, code)| Arc::clone(code));
    if let Some(code) = known {
        return Ok(Module { code, loaded: Mutex::new(None) });
    }
    let code = Arc::new(decode(text)?);
    let mut decoded = lock();
    if decoded.len() == DECODED_TEXTS {
        decoded.remove(0);
    }
    decoded.push((text.to_string(), Arc::clone(&code)));
    Ok(Module { code, loaded: Mutex::new(None) })
}

fn decode(text: &str) -> Result<Code, PtxError> {
    let tree = parser::tree(text)?;
    let mut kernels = Vec::new();
    for f in tree.functions.iter().filter(|f| f.entry) {
        let program = lower::kernel(&tree, f)?;
        let mut params = Vec::new();
        let mut offset = 0u32;
        for p in &f.params {
            offset = offset.next_multiple_of(p.align);
            params.push(Param { offset, size: p.size as u32, align: p.align });
            offset += p.size as u32;
        }
        let max_threads = f.max_threads.unwrap_or(1024);
        kernels.push(Kernel {
            name: f.name.clone(),
            params,
            max_threads,
            min_blocks: f.min_blocks,
            max_registers: f.max_registers,
            bounded: f.max_threads.is_some(),
            program,
        });
    }
    Ok(Code { kernels, variables: tree.variables })
}
