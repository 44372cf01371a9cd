//! The commands that read, and what they see.

use std::fs;

use serde_json::Value;

use super::command::{Run, run};
use super::tree::Tree;
use super::world::{Place, TRAINING};

/// A command that reads one output.
#[derive(Clone)]
pub struct Reader {
    pub args: Vec<String>,
    /// The file that it writes, beside the world.
    file: Option<&'static str>,
    /// Whether it leaves something in what it reads: `evaluate` keeps its figures in the model.
    pub writes: bool,
}

/// What a reader saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// All of it: the lists, the figures, the vectors.
    Values(Vec<u8>),
    /// A refusal in one line.
    Refused,
}

impl Reader {
    fn of(args: &[&str], file: Option<&'static str>) -> Reader {
        let mut args: Vec<String> = args.iter().map(|word| (*word).to_owned()).collect();
        match file {
            Some(file) => args.push(format!("../{file}")),
            None => args.push("--json".to_owned()),
        }
        Reader { args, file, writes: false }
    }

    pub fn recommend(model: &str) -> Reader {
        Reader::of(&["recommend", "--model", model, "--k", "5", "--threads", "1", "--out"], Some("seen.csv"))
    }

    pub fn approximate(model: &str) -> Reader {
        let args = ["recommend", "--model", model, "--k", "5", "--threads", "1", "--index", "approx", "--out"];
        Reader { writes: true, ..Reader::of(&args, Some("seen.jsonl")) }
    }

    pub fn export(model: &str) -> Reader {
        Reader::of(&["export", "--model", model, "--threads", "1", "--users"], Some("seen.safetensors"))
    }

    pub fn evaluate(model: &str, dataset: &str) -> Reader {
        let args = ["evaluate", "--model", model, "--data", dataset, "--k", "5", "--threads", "1"];
        Reader { writes: true, ..Reader::of(&args, None) }
    }

    pub fn inspect(path: &str) -> Reader {
        Reader::of(&["inspect", path], None)
    }

    /// Trains on a dataset, and takes the model for what it saw.
    pub fn train(dataset: &str) -> Reader {
        Reader::of(&[&["train", "--data", dataset], &TRAINING[..], &["--out"]].concat(), Some("seen"))
    }

    pub fn name(&self) -> String {
        self.args[..3].join(" ")
    }

    /// Runs it on a world.
    pub fn read(&self, place: &Place, fault: Option<&str>) -> (Run, Option<Seen>) {
        let run = run(&place.at(), &self.args, fault);
        let seen = self.seen(place, &run);
        (run, seen)
    }

    /// What a run of it saw; nothing where it ended as it must not.
    pub fn seen(&self, place: &Place, run: &Run) -> Option<Seen> {
        if !run.succeeded() {
            return run.refused().then_some(Seen::Refused);
        }
        match self.file {
            None => Some(Seen::Values(values(&run.stdout))),
            Some(file) => {
                let path = place.beside(file);
                if path.is_dir() {
                    let tree = Tree::read(&path);
                    fs::remove_dir_all(&path).ok()?;
                    return Some(Seen::Values(tree.digest().to_le_bytes().to_vec()));
                }
                let bytes = fs::read(&path).ok()?;
                fs::remove_file(&path).ok()?;
                Some(Seen::Values(bytes))
            }
        }
    }
}

/// The events of a run without what differs from run to run.
fn values(stdout: &str) -> Vec<u8> {
    let mut text = String::new();
    for line in stdout.lines() {
        let mut event: Value = serde_json::from_str(line).unwrap_or_else(|_| Value::String(line.to_owned()));
        if event["event"] == "done" || event["event"] == "index_built" {
            continue;
        }
        if let Some(fields) = event.as_object_mut() {
            fields.retain(|name, _| !name.contains("seconds") || name.contains("timestamp"));
            fields.retain(|name, _| !name.contains("per_second"));
        }
        text += &format!("{event}\n");
    }
    text.into_bytes()
}
