//! Inputs, shapes and expected results of the kernels in `ptx/hopper.cu`.

use virtual_gpu::memory::Memory;

use super::machine::{Shape, bytes_of, upload};

/// A launch and what it must give.
pub struct Program {
    /// Parameters but the last, the bug.
    pub args: Vec<u64>,
    pub shape: Shape,
    /// Where the results are, as words.
    pub result: u64,
    pub expected: Vec<u32>,
}

/// Prepares a launch.
pub type Prepare = fn(&Memory) -> Program;

/// The kernels.
pub const KERNELS: [(&str, Prepare); 4] =
    [("multiply", multiply), ("multiply_registers", multiply_registers), ("pipeline", pipeline), ("roles", roles)];

/// Small whole numbers: exact in bf16, and so are their sums in f32.
fn value(row: usize, column: usize) -> f32 {
    ((row * 7 + column * 3) % 11) as f32 - 5.0
}

/// A matrix in bf16, two values a word.
fn matrix(rows: usize, columns: usize, row_words: usize, of: impl Fn(usize, usize) -> f32) -> Vec<u32> {
    let half = |r: usize, c: usize| if c < columns { of(r, c).to_bits() >> 16 } else { 0 };
    let word = |i: usize| {
        let (r, c) = (i / row_words, i % row_words * 2);
        half(r, c) | half(r, c + 1) << 16
    };
    (0..rows * row_words).map(word).collect()
}

fn product(b: impl Fn(usize, usize) -> f32) -> Vec<u32> {
    let sum = |r: usize, c: usize| (0..64).map(|k| value(r, k) * b(k, c)).sum::<f32>();
    (0..64 * 32).map(|i| sum(i / 32, i % 32).to_bits()).collect()
}

fn launch(memory: &Memory, words: usize, inputs: [&[u32]; 2], dynamic: u32) -> (u64, Vec<u64>, Shape) {
    let out = upload(memory, &vec![0; 4 * words]);
    let args = std::iter::once(out).chain(inputs.map(|i| upload(memory, &bytes_of(i)))).collect();
    (out, args, Shape { dynamic_shared: dynamic, ..Shape::new(1, 128) })
}

fn multiply(memory: &Memory) -> Program {
    let (a, b) = (matrix(64, 64, 32, value), matrix(32, 64, 32, |r, c| value(r + 5, c + 1)));
    // A, a group of rows that is never written, B.
    let (result, args, shape) = launch(memory, 64 * 32, [&a, &b], (8 + 1 + 4) * 1024);
    Program { args, shape, result, expected: product(|k, c| value(c + 5, k + 1)) }
}

fn multiply_registers(memory: &Memory) -> Program {
    let (a, b) = (matrix(64, 64, 32, value), matrix(64, 32, 32, |r, c| value(r + 2, c)));
    let (result, args, shape) = launch(memory, 64 * 32, [&a, &b], 8 * 1024);
    Program { args, shape, result, expected: product(|k, c| value(k + 2, c)) }
}

fn pipeline(memory: &Memory) -> Program {
    let n = 7;
    let tiles: Vec<u32> = (0..128 * n).map(|i| i * i + 3).collect();
    let out = upload(memory, &[0; 512]);
    let args = vec![out, upload(memory, &bytes_of(&tiles)), n.into()];
    let sum = |t: usize| tiles.iter().skip(t).step_by(128).sum();
    Program { args, shape: Shape::new(1, 160), result: out, expected: (0..128).map(sum).collect() }
}

fn roles(memory: &Memory) -> Program {
    let words: Vec<u32> = (0..256).map(|i| i * 5 + 1).collect();
    let out = upload(memory, &[0; 512]);
    let args = vec![out, upload(memory, &bytes_of(&words))];
    let expected = (0..128).map(|t| words[127 - t] + words[255 - t]).collect();
    Program { args, shape: Shape::new(1, 256), result: out, expected }
}
