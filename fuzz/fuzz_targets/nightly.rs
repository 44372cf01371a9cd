//! Any bytes as `nightly.json`: the record of a night, or an error. Its checksum is made to fit.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/bin/tercel/paths.rs"]
mod paths;
#[path = "."]
mod nightly {
    #[path = "../../src/bin/tercel/nightly/searches.rs"]
    pub mod searches;
    #[path = "../../src/bin/tercel/nightly/stamps.rs"]
    pub mod stamps;
    #[path = "../../src/bin/tercel/nightly/state.rs"]
    pub mod state;
}

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use nightly::stamps::Stamp;
use nightly::state::{NightStage, NightState, Task};
use serde_json::{Map, Value};
use tercel::files::accept_json;

fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temp folder").keep();
        fs::write(folder.join("in.csv"), "user,item\na,x\n").expect("the temp folder is writable");
        folder
    })
}

fuzz_target!(|data: &[u8]| {
    let folder = folder();
    let record = folder.join("nightly.json");
    fs::write(&record, data).expect("the temp folder is writable");
    let _ = accept_json(&record, |_: &mut Map<String, Value>| Ok(()));
    let Ok(mut state) = NightState::open(folder) else { return };
    let Ok(inputs) = Stamp::all(&[folder.join("in.csv")], state.inputs(NightStage::Ingest)) else { return };
    let builds_on = state.outputs(NightStage::Train).to_vec();
    let task = Task::new(NightStage::Ingest, &1, inputs, &builds_on);
    let _ = state.standing(&task);
    let _ = (state.is_started(&task), state.has(NightStage::Index), state.left(NightStage::Train));
    state.start(&task).expect("a record can be written");
    state.finish(&task, &[folder.join("in.csv")]).expect("a record can be written");
    drop(state);
    NightState::open(folder).expect("what was written is read");
});
