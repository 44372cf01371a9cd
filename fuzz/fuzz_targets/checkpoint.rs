//! Whatever stands in the files of a model folder, or of an unfinished run's: a model, or an error; never a panic and no
//! memory out of bounds.
//!
//! The first byte chooses a file and whether the rest is the whole file (0 to 3) or patches to a good one (4 to 7):
//! three bytes a patch, two for the place and one for the value. Checksums are made to fit, so that what is behind
//! them is reached.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use libfuzzer_sys::fuzz_target;
use tercel::data::dataset::Dataset;
use tercel::data::ingest::{IngestConfig, ingest};
use tercel::files::{accept_json, hash_file};
use tercel::index::{Ranker, UserBlock};
use tercel::model::checkpoint::{TrainerState, accept};
use tercel::train::{TrainEvent, train, train_until};
use tercel::{Config, Model};

const FILES: [&str; 4] = ["config.json", "trainer.json", "model.safetensors", "trainer.safetensors"];

struct Good {
    dataset: Dataset,
    config: Config,
    /// A finished model, and its files.
    model: PathBuf,
    finished: [Vec<u8>; 4],
    /// Where an unfinished run's model will be, the run's folder, and its files.
    out: PathBuf,
    run: PathBuf,
    unfinished: [Vec<u8>; 4],
    _folder: tempfile::TempDir,
}

fn good() -> &'static Good {
    static GOOD: OnceLock<Good> = OnceLock::new();
    GOOD.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temp folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("in.csv"), "user_id,item_id\na,x\na,y\nb,y\nb,z\nc,x\n").expect("written");
        let ingested = ingest(&[at("in.csv")], &at("data"), &IngestConfig { threads: 1, ..Default::default() }, &|_| ());
        ingested.expect("a dataset");
        let dataset = Dataset::open(at("data")).expect("a dataset");
        let mut config = Config::default();
        config.model.dim = 4;
        config.model.user.history = Some(2);
        config.model.user.mlp = vec![4];
        config.train.epochs = Some(2);
        config.train.batch_size = Some(4);
        config.train.threads = 1;
        config.loss.negatives = Some("cross-batch:4".parse().expect("candidates"));
        config.loss.logq = tercel::config::LogQ::Streaming;
        let (model, out, run) = (at("model"), at("out"), at(".out.training"));
        train(&dataset, &model, &config, false, &mut |_| ()).expect("a model");
        let stop = AtomicBool::new(false);
        let _ = train_until(&dataset, &out, &config, false, &stop, &mut |event| {
            stop.fetch_or(matches!(event, TrainEvent::Checkpoint { .. }), Relaxed);
        });
        let read = |folder: &Path| FILES.map(|name| fs::read(folder.join(name)).unwrap_or_default());
        let (finished, unfinished) = (read(&model), read(&run));
        Good { dataset, config, model, finished, out, run, unfinished, _folder: folder }
    })
}

fn write(folder: &Path, files: &[Vec<u8>; 4]) {
    for (name, bytes) in FILES.iter().zip(files) {
        fs::write(folder.join(name), bytes).expect("the temp folder is writable");
    }
}

fn load(model: &Path) {
    if let Ok(mut model) = Model::load(model, tercel::Device::Cpu, 1) {
        let ids = vec![0, 1];
        let features = model.users().features_of(&ids);
        let _ = model.top_k(&UserBlock { ids, features, history: None }, 2, None);
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else { return };
    let good = good();
    let (file, patches) = (usize::from(choice % 4), choice % 8 >= 4);
    let unfinished = file == 1 || file == 3;
    let (folder, files) = if unfinished { (&good.run, &good.unfinished) } else { (&good.model, &good.finished) };
    let mut files = files.clone();
    let target = &mut files[file];
    if patches {
        for patch in data.chunks_exact(3).filter(|_| !target.is_empty()).collect::<Vec<_>>() {
            let place = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % target.len();
            target[place] = patch[2];
        }
    } else {
        *target = data.to_vec();
    }
    let _ = fs::create_dir(folder);
    write(folder, &files);
    if unfinished {
        // A run's folder is told by its mark, which goes with it.
        let _ = fs::write(folder.join(".tercel-draft"), "");
        let _ = accept_json(&folder.join(FILES[1]), |state: &mut TrainerState| {
            for info in &mut state.files {
                info.xxh3 = hash_file(&folder.join(&info.name)).ok();
            }
            Ok(())
        });
        let _ = train(&good.dataset, &good.out, &good.config, true, &mut |_| ());
        let _ = fs::remove_dir_all(&good.out);
    } else {
        let _ = accept(folder);
        load(folder);
    }
});
