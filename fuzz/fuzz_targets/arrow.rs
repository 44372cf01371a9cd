//! Any bytes as Arrow input: rows, or an error; never a panic, and no more memory than the bytes can fill.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tercel::table::{Input, ReadOptions, read};

fn file() -> &'static PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        // What arrow-rs panics of is caught: the fuzzer must not see it as a crash.
        tercel::guard::hush_guarded_panics();
        tempfile::tempdir().expect("a temp folder").keep().join("in.arrow")
    })
}

fuzz_target!(|data: &[u8]| {
    let file = file();
    fs::write(file, data).expect("the temp folder is writable");
    let Ok(found) = read(&Input::from(file), &ReadOptions::default()) else { return };
    // Columns that repeat one value may have more rows than bytes: some are enough.
    for part in found.take(1000) {
        if part.is_err() {
            break;
        }
    }
});
