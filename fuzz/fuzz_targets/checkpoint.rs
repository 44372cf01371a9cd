//! Whatever stands in the files of a model folder: a model, or an error; never a panic and no memory out of bounds.
//!
//! The first byte chooses a file and whether the rest is the whole file (0 to 3) or patches to a good one (4 to 7):
//! three bytes a patch, two for the place and one for the value. Checksums are made to fit, so that what is behind
//! them is reached.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tercel::Config;
use tercel::data::dataset::{Dataset, hash_file, write_json};
use tercel::data::ingest::{IngestConfig, ingest};
use tercel::index::{Ranker, UserBlock};
use tercel::Model;
use tercel::model::checkpoint::{ModelDir, TrainerState};

const FILES: [&str; 4] = ["config.json", "trainer.json", "model.safetensors", "trainer.safetensors"];

struct Good {
    dataset: Dataset,
    config: Config,
    model: PathBuf,
    files: [Vec<u8>; 4],
    state: TrainerState,
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
        config.model.user.history = 2;
        config.model.user.mlp = vec![4];
        config.train.epochs = Some(1);
        config.train.batch_size = 4;
        config.train.threads = 1;
        config.loss.negatives = "cross-batch:4".parse().expect("candidates");
        config.loss.logq = tercel::config::LogQ::Streaming;
        let model = at("model");
        tercel::train::train(&dataset, &model, &config, false, &mut |_| ()).expect("a model");
        let files = FILES.map(|name| fs::read(model.join(name)).expect("the model's file"));
        let state = ModelDir::new(&model).state().expect("readable").expect("a checkpoint");
        Good { dataset, config, model, files, state, _folder: folder }
    })
}

fn bytes(good: &Good, file: usize, patches: bool, data: &[u8]) -> Vec<u8> {
    if !patches {
        return data.to_vec();
    }
    let mut bytes = good.files[file].clone();
    for patch in data.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % bytes.len();
        bytes[place] = patch[2];
    }
    bytes
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
    for (name, bytes) in FILES.iter().zip(&good.files) {
        fs::write(good.model.join(name), bytes).expect("the temp folder is writable");
    }
    let path = good.model.join(FILES[file]);
    fs::write(&path, bytes(good, file, patches, data)).expect("the temp folder is writable");
    let trainer = good.model.join("trainer.json");
    match file {
        // Without a record of training the parameters are taken as they are.
        2 => fs::remove_file(&trainer).expect("it was written"),
        3 => {
            let mut state = good.state.clone();
            state.finished = false;
            (state.cursor.epoch, state.cursor.batch) = (0, 0);
            for info in state.files.iter_mut().filter(|info| info.name == FILES[3]) {
                info.xxh3 = Some(hash_file(&path).expect("readable"));
            }
            write_json(&trainer, &state).expect("the temp folder is writable");
        }
        _ => {}
    }
    load(&good.model);
    if file == 1 || file == 3 {
        let _ = tercel::train::train(&good.dataset, &good.model, &good.config, true, &mut |_| ());
    }
});
