//! Inputs, shapes and expected results of the kernels in `ptx/seeded.cu`.

use virtual_gpu::memory::Memory;

use super::machine::{Shape, bytes_of, upload};

/// A kernel's inputs, shape, and where its results are.
pub struct Program {
    pub shape: Shape,
    pub args: Vec<u64>,
    pub results: Vec<(u64, usize)>,
    /// The words of the results, one after the other.
    pub expected: Vec<u32>,
}

fn floats(values: impl IntoIterator<Item = f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

/// Whole numbers small enough that every sum of them is exact.
fn number(i: usize) -> f32 {
    (i * 7 % 23) as f32 - 11.0
}

/// 13 of 20 rows of 50 columns: neither fills its blocks or warps.
pub fn gather(memory: &Memory) -> Program {
    let (n, dim, rows) = (13, 50, 20);
    let x: Vec<f32> = (0..rows * dim).map(|i| i as f32).collect();
    let list: Vec<u32> = (0..n as u32).map(|i| i * 11 % rows as u32).collect();
    let expected = list.iter().flat_map(|&r| x[r as usize * dim..(r as usize + 1) * dim].to_vec());
    let y = upload(memory, &vec![0; 4 * n * dim]);
    let args =
        vec![y, upload(memory, &bytes_of(&floats(x.clone()))), upload(memory, &bytes_of(&list)), n as u64, dim as u64];
    let shape = Shape { block: [32, 4, 1], ..Shape::new(4, 1) };
    Program { shape, args, results: vec![(y, n * dim)], expected: floats(expected) }
}

fn segment_sum(memory: &Memory) -> Program {
    let offsets = [0u32, 300, 300, 301, 500, 777];
    let x: Vec<f32> = (0..777).map(number).collect();
    let sums: Vec<f32> =
        offsets.windows(2).map(|w| x[w[0] as usize..w[1] as usize].iter().fold(0.0, |s, v| s + v)).collect();
    let total: f32 = sums.iter().sum();
    let (out, all) = (upload(memory, &[0; 20]), upload(memory, &[0; 4]));
    let args = vec![out, all, upload(memory, &bytes_of(&floats(x))), upload(memory, &bytes_of(&offsets))];
    let expected = floats(sums.into_iter().chain([total]));
    Program { shape: Shape::new(5, 128), args, results: vec![(out, 5), (all, 1)], expected }
}

pub fn product(memory: &Memory) -> Program {
    let (m, n, k) = (37, 21, 35);
    let a: Vec<f32> = (0..m * k).map(number).collect();
    let b: Vec<f32> = (0..n * k).map(|i| number(i + 5)).collect();
    let dot = |i: usize| (0..k).map(|p| a[i / n * k + p] * b[i % n * k + p]).sum::<f32>();
    let expected = floats((0..m * n).map(dot));
    let c = upload(memory, &vec![0; 4 * m * n]);
    let (a, b) = (upload(memory, &bytes_of(&floats(a))), upload(memory, &bytes_of(&floats(b))));
    let args = vec![c, a, b, m as u64, n as u64, k as u64];
    let shape = Shape { grid: [2, 3, 1], block: [16, 16, 1], dynamic_shared: 2 * 16 * 17 * 4, ..Shape::new(1, 1) };
    Program { shape, args, results: vec![(c, m * n)], expected }
}

fn spill(memory: &Memory) -> Program {
    let y = upload(memory, &[0; 4 * 40]);
    let args = vec![y, upload(memory, &bytes_of(&[3, 1, 4, 0, 5, 2, 7, 6]))];
    let expected = floats((0..40).map(|t| t as f32 * 8.0 + 3.5));
    Program { shape: Shape::new(1, 40), args, results: vec![(y, 40)], expected }
}

fn tensor_product(memory: &Memory) -> Program {
    // 2.5 tiles deep: the last copy is half zeros.
    let k = 40;
    let a: Vec<f32> = (0..16 * k).map(number).collect();
    let b: Vec<f32> = (0..16 * k).map(|i| number(i + 3)).collect();
    let packed = |v: &[f32]| -> Vec<u32> {
        let half = |x: f32| x.to_bits() >> 16;
        v.chunks_exact(2).map(|p| half(p[0]) | half(p[1]) << 16).collect()
    };
    let dot = |i: usize| (0..k).map(|p| a[i / 16 * k + p] * b[i % 16 * k + p]).sum::<f32>();
    let expected = floats((0..256).map(dot));
    let c = upload(memory, &[0; 1024]);
    let args = vec![c, upload(memory, &bytes_of(&packed(&a))), upload(memory, &bytes_of(&packed(&b))), k as u64];
    Program { shape: Shape::new(1, 64), args, results: vec![(c, 256)], expected }
}

fn sort(memory: &Memory) -> Program {
    let keys: Vec<u32> = (0..384u32).map(|i| i.wrapping_mul(2_654_435_761) >> 8).collect();
    let mut expected = keys.clone();
    expected.chunks_mut(128).for_each(|c| c.sort_unstable_by(|a, b| b.cmp(a)));
    let at = upload(memory, &bytes_of(&keys));
    Program { shape: Shape::new(3, 128), args: vec![at], results: vec![(at, 384)], expected }
}

fn histogram(memory: &Memory) -> Program {
    let keys: Vec<u32> = (0..1000u32).map(|i| i.wrapping_mul(2_654_435_761) >> 9).collect();
    let mut expected = vec![0; 16];
    keys.iter().for_each(|k| expected[(k >> 4 & 15) as usize] += 1);
    let counts = upload(memory, &[0; 64]);
    let args = vec![counts, upload(memory, &bytes_of(&keys)), 1000];
    Program { shape: Shape::new(3, 96), args, results: vec![(counts, 16)], expected }
}

fn join(memory: &Memory) -> Program {
    let x: Vec<f32> = (0..4 * 64).map(number).collect();
    let expected = floats((0..64).map(|t| (0..4).map(|s| x[s * 64 + t]).sum()));
    let (out, parts, taken) = (upload(memory, &[0; 256]), memory.alloc(1024).unwrap(), memory.alloc(8).unwrap());
    memory.copy_in(taken, &[0; 4]).unwrap();
    let args = vec![out, parts, taken, upload(memory, &bytes_of(&floats(x)))];
    Program { shape: Shape::new(4, 64), args, results: vec![(out, 64)], expected }
}

/// Makes a kernel's inputs.
pub type Prepare = fn(&Memory) -> Program;
/// The kernels by name.
pub const KERNELS: [(&str, Prepare); 8] = [
    ("gather", gather),
    ("segment_sum", segment_sum),
    ("product", product),
    ("spill", spill),
    ("tensor_product", tensor_product),
    ("sort", sort),
    ("histogram", histogram),
    ("join", join),
];
