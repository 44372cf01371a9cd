//! Launches PTX on the interpreter, without the driver: kernels by name, and bodies of a kernel.
#![allow(dead_code)] // Each test file uses its part.

use virtual_gpu::exec::{Launch, Options, run};
use virtual_gpu::memory::Memory;
use virtual_gpu::ptx::{self, Module};
use virtual_gpu::report::Report;

/// What stands before the kernels of a PTX text.
pub const HEADER: &str = ".version 8.0\n.target sm_90\n.address_size 64\n";

/// Device memory for a test.
pub fn memory() -> Memory {
    Memory::new(1 << 28)
}

/// Device memory that holds `bytes`, and their address.
pub fn upload(memory: &Memory, bytes: &[u8]) -> u64 {
    let at = memory.alloc(bytes.len() as u64).unwrap();
    memory.copy_in(at, bytes).unwrap();
    at
}

/// `count` bytes of device memory, written or not.
pub fn download(memory: &Memory, at: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    memory.copy_out(&mut bytes, at).unwrap();
    bytes
}

/// `count` words of device memory.
pub fn words(memory: &Memory, at: u64, count: usize) -> Vec<u32> {
    let bytes = download(memory, at, 4 * count);
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// The bytes of words.
pub fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// A launch's shape.
#[derive(Clone)]
pub struct Shape {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared: u32,
    pub options: Options,
}

impl Shape {
    /// Blocks of threads along x.
    pub fn new(blocks: u32, threads: u32) -> Shape {
        let options = Options { instruction_budget: 1 << 20, ..Options::default() };
        Shape { grid: [blocks, 1, 1], block: [threads, 1, 1], dynamic_shared: 0, options }
    }
}

/// Runs a kernel of a module; parameters are 8-byte values.
pub fn launch(module: &Module, name: &str, memory: &Memory, shape: &Shape, args: &[u64]) -> Report {
    let kernel = module.kernel(name).unwrap_or_else(|| panic!("no kernel {name}"));
    let mut params = Vec::new();
    for (p, v) in kernel.params.iter().zip(args) {
        params.resize(p.offset as usize, 0);
        params.extend_from_slice(&v.to_le_bytes()[..p.size as usize]);
    }
    let (grid, block, dynamic_shared) = (shape.grid, shape.block, shape.dynamic_shared);
    run(&Launch { kernel, module, grid, block, dynamic_shared, params: &params, memory, options: &shape.options })
}

/// Parses a text that is expected to be right.
pub fn parse(text: &str) -> Module {
    ptx::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Panics unless the launch did nothing wrong.
pub fn clean(report: &Report) {
    assert!(report.fault.is_none(), "{}", report.fault.as_ref().unwrap());
    assert!(report.warnings.is_empty(), "{:#?}", report.warnings);
}

/// Registers that every kernel body below may use.
const REGISTERS: &str = "
    .reg .pred %p<16>;
    .reg .b16 %h<16>;
    .reg .b32 %r<32>;
    .reg .b64 %q<32>;
    .reg .b32 %tid, %lane;
    .reg .b64 %in, %out, %tmp;
";

/// A kernel `k(in, out)` around `body`. `%tid` is the thread's index, `%lane` its lane; `%in` and `%out` are the
/// parameters. `outside` stands before the kernel.
pub fn kernel_text(outside: &str, body: &str) -> String {
    format!(
        "{HEADER}{outside}
.visible .entry k(.param .u64 p0, .param .u64 p1)
{{{REGISTERS}
    mov.u32 %tid, %tid.x;
    mov.u32 %lane, %laneid;
    ld.param.u64 %in, [p0];
    ld.param.u64 %out, [p1];
{body}
    ret;
}}
"
    )
}

/// Runs `body` (see [`kernel_text`]) in one block of `threads`; `input` words in, `count` words out (zero before).
pub fn run_body(outside: &str, body: &str, threads: u32, input: &[u32], count: usize) -> (Report, Vec<u32>) {
    let module = parse(&kernel_text(outside, body));
    let memory = memory();
    let from = upload(&memory, &bytes_of(input));
    let to = upload(&memory, &vec![0; 4 * count]);
    let report = launch(&module, "k", &memory, &Shape::new(1, threads), &[from, to]);
    (report, words(&memory, to, count))
}

/// The same, which must do nothing wrong; the words out.
pub fn run_clean(outside: &str, body: &str, threads: u32, input: &[u32], count: usize) -> Vec<u32> {
    let (report, out) = run_body(outside, body, threads, input, count);
    clean(&report);
    out
}

/// Stores `register` (32 bits) at the thread's word of the output.
pub fn store_word(register: &str) -> String {
    format!("    mad.wide.u32 %tmp, %tid, 4, %out;\n    st.global.b32 [%tmp], {register};\n")
}

/// Loads the thread's word of the input into `register`.
pub fn load_word(register: &str) -> String {
    format!("    mad.wide.u32 %tmp, %tid, 4, %in;\n    ld.global.b32 {register}, [%tmp];\n")
}
