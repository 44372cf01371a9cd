//! `unsafe` stays in its few rooms, and each block says why it holds.

use std::fs;
use std::path::{Path, PathBuf};

/// Unsafe blocks of the room where files are mapped.
const MAPPED: usize = 9;

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder can be listed") {
        let path = entry.expect("an entry of it can be read").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code of a line: without its comment and without what its string literals hold.
fn code(line: &str) -> String {
    let mut code = String::new();
    let mut in_text = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if in_text => {
                chars.next();
            }
            '"' => in_text = !in_text,
            '/' if !in_text && chars.peek() == Some(&'/') => break,
            c if !in_text => code.push(c),
            _ => {}
        }
    }
    code
}

/// Lines that open an unsafe block, or declare an unsafe impl.
fn unsafe_lines(text: &str) -> Vec<usize> {
    let words = |line: &str| {
        let code = code(line);
        code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '{')).map(String::from).collect::<Vec<_>>()
    };
    let opens = |line: &str| {
        let words: Vec<String> = words(line).into_iter().filter(|w| !w.is_empty()).collect();
        let block = words.windows(2).any(|w| w[0] == "unsafe" && (w[1].starts_with('{') || w[1] == "impl"));
        block || words.iter().any(|w| w == "unsafe{") || words.last().is_some_and(|w| w == "unsafe")
    };
    text.lines().enumerate().filter(|(_, line)| opens(line)).map(|(i, _)| i).collect()
}

/// Whether, within three lines, the comment right above line `at` (or above the statement that it ends) says `SAFETY:`.
fn has_safety(lines: &[&str], at: usize) -> bool {
    let above = lines[at.saturating_sub(3)..=at].iter().rev();
    for (distance, line) in above.enumerate() {
        let line = line.trim();
        if line.contains("SAFETY:") {
            return true;
        }
        let ends_a_statement = line.ends_with(';') || line.ends_with('}') || line.is_empty();
        if distance > 0 && ends_a_statement && !line.starts_with("//") {
            return false;
        }
    }
    false
}

#[test]
fn unsafe_stays_in_its_rooms_with_its_reasons() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "python-compat/src"] {
        if root.join(folder).is_dir() {
            rust_files(&root.join(folder), &mut files);
        }
    }
    assert!(files.iter().any(|file| file.ends_with("src/lib.rs")), "the sources were found");
    let (mut mapped, mut imported) = (0, 0);
    for file in &files {
        let text = fs::read_to_string(file).expect("a source file is UTF-8");
        let name = file.strip_prefix(root).expect("it lies in the tree").to_string_lossy().replace('\\', "/");
        let lines: Vec<&str> = text.lines().collect();
        let found = unsafe_lines(&text);
        let room = name == "src/mapped.rs"
            // The allocator of the command: its interface is unsafe.
            || name == "src/bin/tercel/allocator.rs"
            // An allocator that refuses, around it.
            || name == "tests/failing_memory.rs"
            || name.starts_with("src/backend/cpu/simd")
            || name.starts_with("src/backend/cuda")
            // Asks the stand-in driver what it counted: a C function.
            || name == "tests/parity/cuda/step.rs"
            // Arrow streams come as C structures.
            || name == "python-compat/src/stream.rs"
            // Stand-ins for C libraries: they have C's interface.
            || name.starts_with("tests/virtual-gpu/")
            || name.starts_with("tests/fault-shim/");
        if !room {
            assert!(found.is_empty(), "{name}:{}: unsafe outside its rooms", found[0] + 1);
            let allows = lines.iter().position(|line| code(line).contains("allow(unsafe_code)"));
            assert_eq!(allows, None, "{name} allows unsafe code and has no leave to");
            continue;
        }
        for at in found.iter().copied() {
            assert!(has_safety(&lines, at), "{name}:{}: no SAFETY comment above this unsafe block", at + 1);
        }
        if name == "src/mapped.rs" {
            mapped = found.len();
            assert!(mapped <= MAPPED, "src/mapped.rs: the mapping itself and its signal; found {mapped} unsafe blocks");
        }
        if name == "python-compat/src/stream.rs" {
            imported = found.len();
        }
    }
    assert!(imported <= 1, "python-compat/src/stream.rs: one unsafe block, the import itself; found {imported}");
    assert!(mapped > 0, "files are mapped in src/mapped.rs");
}

#[test]
fn the_counter_sees_what_it_should() {
    let text = "let a = unsafe { f() };\nunsafe fn g() {}\n// unsafe { }\nlet s = \"unsafe { }\";\nunsafe impl Send for A {}\n#![deny(unsafe_code)]\n";
    assert_eq!(unsafe_lines(text), [0, 4]);
    assert!(has_safety(&["// SAFETY: yes", "let a =", "    unsafe { f() };"], 2));
    assert!(!has_safety(&["// SAFETY: another", "g();", "unsafe { f() };"], 2));
}
