//! The documents name files and items that exist, and no file of tests is left out.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders whose files are named by their paths.
const ROOMS: [&str; 9] =
    ["src/", "kernels/", "tests/", "benches/", "python-compat/", "docs/", "examples/", "fuzz/", ".ci/"];

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = ["docs", "benches", "benches/results"].iter().flat_map(|folder| {
        let entries = fs::read_dir(root.join(folder)).expect("a folder of documents can be listed");
        entries.map(|entry| entry.expect("an entry of it can be read").path())
    });
    pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// The text between backticks, line by line; blocks of code between three of them are left out.
fn quoted(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            found.extend(line.split('`').skip(1).step_by(2).map(|quoted| (at + 1, quoted.to_owned())));
        }
    }
    found
}

#[test]
fn every_path_in_the_documents_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut named, mut missing) = (0, Vec::new());
    for page in documents() {
        let text = fs::read_to_string(&page).expect("a page can be read");
        for (line, quoted) in quoted(&text) {
            let is_path = ROOMS.iter().any(|room| quoted.starts_with(room));
            // A pattern (`tests/parity/*.rs`, `kernels/{a,b}.cu`) is no single file.
            if !is_path || quoted.contains(['*', '{', ' ', '<']) {
                continue;
            }
            named += 1;
            let file = quoted.split_once(':').map_or(quoted.as_str(), |(file, _)| file);
            if !root.join(file).exists() {
                missing.push(format!("{}:{line}: {quoted}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(named > 100, "{named} paths: the pages name what they are about");
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut missing = Vec::new();
    for page in documents().into_iter().chain([root.join("README.md")]) {
        let text = fs::read_to_string(&page).expect("a page can be read");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            let elsewhere = file.is_empty() || file.contains("://");
            if !elsewhere && !page.parent().expect("a page lies in a folder").join(file).exists() {
                missing.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Cargo looks for no tests by itself: a file that nothing names would neither be compiled nor run.
#[test]
fn every_file_of_tests_is_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name)).expect("a text file");
    let (modules, targets) = (read("tests/main.rs"), read("Cargo.toml"));
    let (mut named, mut missing) = (0, Vec::new());
    for entry in fs::read_dir(root.join("tests")).expect("the folder of tests can be listed") {
        let path = entry.expect("an entry of it can be read").path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "rs") || name == "main" {
            continue;
        }
        named += 1;
        let is_module = modules.lines().any(|line| line == format!("mod {name};"));
        let is_target = targets.contains(&format!("[[test]]\nname = \"{name}\"\n"));
        if !is_module && !is_target {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "neither in tests/main.rs nor in Cargo.toml: {missing:?}");
    assert!(named > 20, "{named} files: the tests were found");
}
