//! Whole training steps: what they ask of the driver, and that a replayed step is the step.

use std::process::Command;

use super::super::architecture::Architecture;
use super::*;
use crate::backend::{Backend, OptimizerStep, Queue, TableData};
use crate::config::{Config, Dtype, OptimizerKind, Resolved};
use crate::data::batch::{Cursor, Prepare, Rows};
use crate::data::dataset::{EntityInfo, Feature, FeatureKind, FileInfo};
use crate::data::shape::Shape;
use crate::data::vocabulary::FeatureColumn;
use crate::model::core::{Core, Fresh};
use crate::model::features::FeatureRows;
use crate::model::inputs::{ModelBatch, ModelInputs};
use crate::model::negatives::NegativeSampler;
use crate::model::spec::ModelSpec;
use crate::model::step::Stepper;
use crate::threads::Threads;

const BATCH: usize = 64;
const USERS: u32 = 90;
const ITEMS: u32 = 70;
const VALUES: usize = 9;

/// A model in training, and what its batches are made from.
struct Training<B: Backend> {
    config: Resolved,
    core: Core<B>,
    stepper: Stepper<B>,
    inputs: ModelInputs,
    number: u64,
}

pub(super) fn entities(rows: u32, features: &[Feature]) -> EntityInfo {
    let file = FileInfo { name: "none.arrow".into(), rows: rows.into(), bytes: 0, xxh3: None, footer: None };
    EntityInfo { rows, unseen: 0, unseen_valid: 0, file, unseen_file: None, features: features.to_vec() }
}

/// `count` features of `rows` entities, every third a list of up to four values.
pub(super) fn features(random: &mut Random, rows: u32, count: usize) -> (Vec<Feature>, Vec<FeatureColumn>) {
    let values: Vec<String> = (1..VALUES).map(|value| format!("v{value}")).collect();
    let one = |n: usize| {
        if n % 3 < 2 {
            let codes = (0..rows).map(|_| random.below(VALUES) as u32).collect();
            let kind = FeatureKind::Categorical { values: values.clone() };
            return (Feature { name: format!("f{n}"), kind }, FeatureColumn::Codes(codes));
        }
        let lists = random_bags(random, rows as usize, VALUES);
        let kind = FeatureKind::MultiHot { separator: "|".into(), values: values.clone() };
        let column = FeatureColumn::Lists { offsets: offsets(&lists), codes: lists.concat() };
        (Feature { name: format!("f{n}"), kind }, column)
    };
    (0..count).map(one).unzip()
}

impl<B: Backend> Training<B> {
    /// With so many features on each side.
    fn new(backend: B, config: &Config, per_side: usize) -> Training<B> {
        let mut random = Random(7);
        let (user_features, user_columns) = features(&mut random, USERS, per_side);
        let (item_features, item_columns) = features(&mut random, ITEMS, per_side);
        let mut config = config.clone();
        config.train.batch_size = Some(BATCH);
        let config = config.for_shape(&Shape::default());
        let (users, items) = (entities(USERS, &user_features), entities(ITEMS, &item_features));
        let spec = ModelSpec::new(&config, &users, &items).expect("a model");
        let counts: Vec<u64> = (0..u64::from(ITEMS)).collect();
        let inputs = ModelInputs {
            spec: spec.clone(),
            user_features: FeatureRows::new(&spec.user, user_columns).expect("fits"),
            item_features: item_columns,
            history: None,
            sampler: NegativeSampler::new(config.negatives(), config.loss.logq, 3, &counts),
            negatives: config.negatives(),
            mask_known: false,
        };
        let threads = Threads::new(1).expect("a thread");
        let mut fresh = Fresh { config: &config, seed: 5, threads: &threads };
        let optimizer = Some(&config.optimizer);
        let core = Core::new(backend, spec, &config, &mut fresh, optimizer, &counts).expect("fits");
        let stepper = Stepper::new(&core, &config, USERS as usize, ITEMS as usize).expect("fits");
        Training { config, core, stepper, inputs, number: 0 }
    }

    /// Some steps, on batches that follow from their numbers: the losses that came meanwhile.
    fn steps(&mut self, steps: u64) -> Vec<f32> {
        let mut losses = Vec::new();
        let mut batch = ModelBatch::default();
        for _ in 0..steps {
            self.number += 1;
            let mut random = Random(self.number);
            let mut draw = |below: u32| (0..BATCH).map(|_| 1 + random.below(below as usize - 1) as u32).collect();
            let (users, items): (Vec<u32>, Vec<u32>) = (draw(USERS), draw(ITEMS));
            let rows = Rows { users: &users, items: &items, timestamps: None, weights: None };
            let at = Cursor { epoch: 0, batch: self.number };
            self.inputs.prepare(at, rows, &mut batch).expect("a batch");
            let optimizer = &self.config.optimizer;
            let step = OptimizerStep {
                kind: optimizer.name,
                lr: 0.1 / self.number as f32,
                beta1: optimizer.beta1,
                beta2: optimizer.beta2,
                eps: optimizer.eps,
                weight_decay: 0.01,
                number: self.number,
                seed: 3,
                grad_scale: 1.0,
            };
            let (core, sampler) = (&mut self.core, &self.inputs.sampler);
            self.stepper.step(core, sampler, &mut batch, &step, optimizer.clip_norm).expect("goes on");
            self.core.backend.arrived(false, &mut losses).expect("goes on");
        }
        losses
    }

    /// The bits of all parameters.
    fn bits(&self) -> Vec<u32> {
        let backend = &self.core.backend;
        let host = |buf: &B::Buf<f32>| bits(&backend.host(buf, backend.len(buf)).expect("there"));
        let mut all = Vec::new();
        for table in &self.core.tables {
            let len = table.rows * table.dim;
            match &table.data {
                TableData::F32(x) => all.extend(host(x)),
                TableData::Bf16(x) => {
                    all.extend(backend.host(x, len).expect("there").iter().map(|x| u32::from(x.to_bits())));
                }
                TableData::F16(x) => {
                    all.extend(backend.host(x, len).expect("there").iter().map(|x| u32::from(x.to_bits())));
                }
            }
        }
        let dense = self.core.user.dense().chain(self.core.item.dense()).chain([&self.core.log_scale]);
        dense.for_each(|dense| all.extend(host(&dense.value)));
        all
    }
}

fn config(change: impl Fn(&mut Config)) -> Config {
    let mut config = Config::default();
    config.model.dim = 16;
    change(&mut config);
    config
}

/// What the virtual GPU has counted so far; `None` on another device.
pub(super) fn counts() -> Option<serde_json::Value> {
    type Counts = unsafe extern "C" fn(*mut std::ffi::c_char, usize) -> usize;
    // SAFETY: the library is loaded already, or this finds nothing; the names end in a null.
    let found = unsafe {
        let library = libc::dlopen(c"libcuda.so.1".as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_NOW);
        if library.is_null() {
            return None;
        }
        libc::dlsym(library, c"virtual_gpu_counts".as_ptr())
    };
    if found.is_null() {
        return None;
    }
    // SAFETY: the stand-in's function of this name has this signature.
    let counts: Counts = unsafe { std::mem::transmute(found) };
    let mut text = vec![0u8; 1 << 16];
    // SAFETY: the buffer has the room that is claimed.
    let length = unsafe { counts(text.as_mut_ptr().cast(), text.len()) };
    Some(serde_json::from_slice(&text[..length]).expect("it is JSON"))
}

/// Runs this test of a module in a process of its own, where nothing else is counted; false in that process.
pub(super) fn alone(name: &str) -> bool {
    const KEY: &str = "TERCEL_TEST_ALONE";
    if std::env::var_os(KEY).is_some() {
        return false;
    }
    let name = format!("backend::cuda::parity::{name}");
    let tests = std::env::current_exe().expect("this program");
    let run = Command::new(tests).args(["--exact", &name, "--nocapture"]).env(KEY, "1").output().expect("it starts");
    let text = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    print!("{text}");
    assert!(run.status.success() && text.contains("1 passed"), "{text}");
    true
}

#[test]
fn a_steady_step_is_one_copy_and_one_launch_cuda() {
    if device(Precision::Bf16).is_none() || alone("step::a_steady_step_is_one_copy_and_one_launch_cuda") {
        return;
    }
    type Change = fn(&mut Config);
    let ways: [(&str, usize, u64, Change); 5] = [
        ("ids alone", 0, 12, |_| {}),
        ("48 features", 24, 12, |_| {}),
        ("bf16, row-wise Adagrad", 3, 12, |c| {
            (c.model.dtype, c.optimizer.name) = (Dtype::Bf16, OptimizerKind::RowwiseAdagrad);
        }),
        // A step of dense parameters, and two kernels that clip.
        ("clipped, learned temperature", 3, 15, |c| {
            (c.optimizer.clip_norm, c.model.learn_temperature) = (Some(0.5), true);
        }),
        // Rows of 7 and 16 values side by side, and two layers on top.
        ("layers", 3, 27, |c| (c.model.user.mlp, c.model.user.feature_dim) = (vec![24], Some(7))),
    ];
    for (way, per_side, kernels, change) in ways {
        let cuda = device(Precision::Bf16).expect("there");
        // Their loss is three kernels, split or not, where the others' are six, and seven where it is split.
        let kernels = kernels - if cuda.architecture() == Architecture::Sm90a { 4 } else { 0 };
        let mut training = Training::new(cuda, &config(change), per_side);
        training.steps(8);
        let Some(before) = counts() else {
            println!("skipped: this device does not count");
            return;
        };
        let steps = 6;
        training.steps(steps);
        let after = counts().expect("as before");
        let more = |name: &str| after[name].as_u64().unwrap_or(0) - before[name].as_u64().unwrap_or(0);
        let calls: Vec<(&String, u64)> = after["calls"]
            .as_object()
            .expect("calls by name")
            .iter()
            .map(|(name, n)| (name, n.as_u64().unwrap_or(0) - before["calls"][name].as_u64().unwrap_or(0)))
            .filter(|&(_, n)| n > 0)
            .collect();
        println!(
            "{way}: {} kernels a step; {} driver calls a step, {calls:?}",
            more("graph_kernels") / steps,
            more("driver_calls") / steps
        );
        assert_eq!(more("graph_launches"), steps, "{way}: {after}");
        assert_eq!(more("kernel_launches"), 0, "{way}");
        assert_eq!(more("allocations") + more("frees"), 0, "{way}");
        assert!(more("graph_kernels") <= kernels * steps, "{way}: {} kernels a step", more("graph_kernels") / steps);
        assert!(more("driver_calls") <= 8 * steps, "{way}: {} calls a step", more("driver_calls") / steps);
    }
}

#[test]
fn a_replayed_step_is_the_step_cuda() {
    let ways: [fn(&mut Config); 3] = [
        |_| {},
        |c| (c.optimizer.clip_norm, c.model.learn_temperature) = (Some(0.5), true),
        |c| (c.model.dtype, c.optimizer.name) = (Dtype::Bf16, OptimizerKind::Adagrad),
    ];
    for change in ways {
        let config = config(change);
        let run = |captures: bool| {
            let cuda = device(Precision::Bf16)?;
            cuda.replays.lock().expect("nobody has it").captures = captures;
            let mut training = Training::new(cuda, &config, 3);
            let mut losses = training.steps(12);
            training.core.backend.arrived(true, &mut losses).expect("goes on");
            assert_eq!(losses.len(), 12);
            Some((bits(&losses), training.bits()))
        };
        assert!(run(true) == run(false), "replayed and launched");
    }
}
