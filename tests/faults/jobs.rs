//! The commands that write, each with the state that it starts from and the outputs that it makes.

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::command::{Calls, count, run};
use super::readers::Reader;
use super::tree::{Entry, Tree};
use super::world::{PREDICTIONS, Place, SPLIT, TRAINING, VECTORS, must, night, world};

/// A command that writes.
pub struct Job {
    pub name: String,
    pub args: Vec<String>,
    /// What is said in addition to go on after a kill.
    pub again: &'static [&'static str],
    /// Its outputs: each is old or new, as a whole.
    pub outputs: Vec<String>,
    /// Outputs of two files, vectors and their ids: a pair that belongs together, or vectors alone.
    pub pair: bool,
    /// Who reads them.
    pub readers: Vec<Reader>,
    /// The folder that it starts in.
    pub old: Tree,
}

/// A job that was run to its end, once.
pub struct Known {
    pub job: Job,
    /// What it left.
    pub new: Tree,
    pub calls: Calls,
}

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|word| (*word).to_owned()).collect()
}

impl Job {
    fn new(name: &str, args: &[&str], outputs: &[&str], readers: Vec<Reader>) -> Job {
        Job {
            name: name.to_owned(),
            args: words(args),
            again: &[],
            outputs: words(outputs),
            pair: false,
            readers,
            old: world().clone(),
        }
    }

    /// Runs it once, undisturbed, and counts its calls.
    pub fn known(self) -> Known {
        let place = Place::of(&self.old);
        let (run, calls) = count(&place.at(), &self.args);
        assert!(run.succeeded(), "{}: {}", self.name, run.ending());
        let new = Tree::read(&place.at());
        assert!(new.hidden().is_empty(), "{} leaves {:?} behind", self.name, new.hidden());
        Known { job: self, new, calls }
    }
}

fn ingest() -> Vec<Job> {
    let of = |input: &'static str, out: &'static str| [&["ingest", input, "--out", out], &SPLIT[..]].concat();
    let readers = |out: &'static str| vec![Reader::inspect(out), Reader::evaluate("m", out)];
    vec![
        Job::new("ingest", &of("next.csv", "fresh"), &["fresh"], vec![Reader::inspect("fresh")]),
        Job::new("ingest over a dataset", &of("next.csv", "ds"), &["ds"], readers("ds")),
    ]
}

fn train() -> Vec<Job> {
    let of = |out: &'static str| [&["train", "--data", "ds", "--out", out, "--seed", "3"], &TRAINING[..]].concat();
    let readers = |out: &'static str| {
        let readers = [Reader::recommend(out), Reader::approximate(out), Reader::evaluate(out, "ds")];
        readers.into_iter().chain([Reader::inspect(out), Reader::export(out)]).collect()
    };
    let mut jobs = vec![
        Job::new("train", &of("fresh"), &["fresh"], readers("fresh")),
        Job::new("train over a model", &of("m"), &["m"], readers("m")),
    ];
    for job in &mut jobs {
        job.again = &["--resume"];
    }
    // The best epoch's parameters are a file of their own.
    let mut stopped = Job::new("train, early stop", &of("m"), &["m"], readers("m"));
    stopped.args.iter_mut().filter(|word| *word == "off").for_each(|word| "ndcg@5,1".clone_into(word));
    stopped.again = &["--resume"];
    jobs.push(stopped);
    // What a kill in the middle of a training left is gone on with.
    let mut resumed = Job::new("train --resume", &of("fresh"), &["fresh"], readers("fresh"));
    let place = Place::of(&resumed.old);
    let (_, calls) = count(&Place::of(&resumed.old).at(), &resumed.args);
    let middle = format!("kill:{}", calls.operations.len() * 3 / 5);
    run(&place.at(), &resumed.args, Some(&middle));
    resumed.old = Tree::read(&place.at());
    resumed.args.push("--resume".to_owned());
    jobs.push(resumed);
    jobs
}

/// What the searches here try.
const SPACE: &str = "[model]\ntemperature = [0.1, 0.2, 0.4]\n[train]\nepochs = [2, 3]\n";

fn with_files(files: &[(&str, &str)]) -> Tree {
    let mut tree = world().clone();
    tree.0.extend(files.iter().map(|(name, text)| (Path::new(name).to_owned(), Entry::File(text.as_bytes().to_vec()))));
    tree
}

fn tune() -> Vec<Job> {
    let asked = ["--trials", "3", "--parallel", "1", "--space", "space.toml", "--metric", "ndcg@5", "--dim", "8"];
    let machine = ["--batch-size", "64", "--threads", "1", "--device", "cpu"];
    let of = |seed| [&["tune", "--data", "ds", "--out", "found", "--seed", seed], &asked[..], &machine[..]].concat();
    let job = |name: &str, old: Tree| {
        let readers = vec![Reader::recommend("found/model"), Reader::inspect("found/model")];
        Job { old, again: &["--resume"], ..Job::new(name, &of("3"), &["found"], readers) }
    };
    let old = with_files(&[("space.toml", SPACE)]);
    let place = Place::of(&old);
    must(&place.at(), &of("1"));
    let mut jobs = vec![job("tune", old), job("tune over a search", Tree::read(&place.at()))];
    // What a kill in the middle of a search left is gone on with.
    let mut resumed = job("tune --resume", jobs[0].old.clone());
    let (_, calls) = count(&Place::of(&resumed.old).at(), &resumed.args);
    let place = Place::of(&resumed.old);
    run(&place.at(), &resumed.args, Some(&format!("kill:{}", calls.operations.len() * 3 / 5)));
    resumed.old = Tree::read(&place.at());
    resumed.args.push("--resume".to_owned());
    jobs.push(resumed);
    jobs
}

fn index() -> Vec<Job> {
    let one = ["index", "--model", "other", "--threads", "1", "--out", "x.index"];
    let own = ["index", "--model", "m", "--threads", "1", "--k", "7"];
    vec![
        Job::new("index over an index", &one, &["x.index"], vec![Reader::inspect("x.index")]),
        Job::new("index in a model", &own, &["m"], vec![Reader::inspect("m/items.index"), Reader::approximate("m")]),
    ]
}

fn files() -> Vec<Job> {
    let mut jobs = Vec::new();
    for ending in VECTORS {
        let file = format!("v.{ending}");
        let args = ["export", "--model", "other", "--items", &file, "--threads", "1"];
        let ids = format!("{file}.ids.jsonl");
        let mut job = Job::new(&format!("export to .{ending}"), &args, &[&file, &ids], vec![]);
        job.pair = world().0.contains_key(Path::new(&ids));
        job.outputs.truncate(1 + usize::from(job.pair));
        jobs.push(job);
    }
    for ending in PREDICTIONS {
        let file = format!("p.{ending}");
        let args = ["recommend", "--model", "other", "--out", &file, "--k", "3", "--threads", "1"];
        jobs.push(Job::new(&format!("recommend to .{ending}"), &args, &[&file], vec![]));
    }
    let evaluate = ["evaluate", "--model", "m", "--data", "ds", "--k", "7", "--threads", "1"];
    jobs.push(Job::new("evaluate", &evaluate, &["m"], vec![Reader::recommend("m"), Reader::inspect("m")]));
    jobs
}

fn synth() -> Vec<Job> {
    let args = ["synth", "hm", "--out", "fresh", "--scale", "0.0001", "--threads", "1"];
    let sizes = ["--users", "9", "--items", "20", "--rows", "60"];
    let planted = [&["synth", "planted", "--out", "fresh", "--shape", "repeats"], &sizes[..]].concat();
    vec![Job::new("synth", &args, &["fresh"], vec![]), Job::new("synth planted", &planted, &["fresh"], vec![])]
}

/// `inspect --accept` of what was edited by hand: refused before, taken as it is after.
fn accepting() -> Vec<Job> {
    let edited = |file: &str, from: &str, to: &str| {
        let mut tree = world().clone();
        let Some(Entry::File(bytes)) = tree.0.get_mut(Path::new(file)) else { panic!("{file} is no file") };
        let text = String::from_utf8(bytes.clone()).expect("JSON is text");
        *bytes = text.replacen(from, to, 1).into_bytes();
        assert!(text.as_bytes() != *bytes, "no {from} in {file}");
        tree
    };
    let mut model =
        Job::new("inspect --accept MODEL", &["inspect", "--accept", "m"], &["m"], vec![Reader::recommend("m")]);
    model.old = edited("m/config.json", "\"temperature\": 0.", "\"temperature\": 1.");
    let readers = vec![Reader::evaluate("m", "ds"), Reader::train("ds")];
    let mut dataset = Job::new("inspect --accept DATASET", &["inspect", "--accept", "ds"], &["ds"], readers);
    dataset.old = edited("ds/dataset.json", "epoch seconds", "epoch  seconds");
    vec![model, dataset]
}

/// `doctor --sweep` of what two kills left.
fn sweeping() -> Vec<Job> {
    let place = Place::of(world());
    for job in ingest().into_iter().chain(files()) {
        if ["ingest over a dataset", "recommend to .csv"].contains(&job.name.as_str()) {
            let (_, calls) = count(&Place::of(&job.old).at(), &job.args);
            run(&place.at(), &job.args, Some(&format!("kill:{}", calls.operations.len() * 3 / 5)));
        }
    }
    let mut job = Job::new("doctor --sweep", &["doctor", "--sweep", "."], &[], vec![]);
    job.old = Tree::read(&place.at());
    assert!(job.old.hidden().len() > 2, "two kills left {:?}", job.old.hidden());
    vec![job]
}

fn nights() -> Vec<Job> {
    let parts =
        |out: &str| ["dataset", "model", "top.csv", "nightly.json", "nightly.lock"].map(|part| format!("{out}/{part}"));
    let of = |input, out: &'static str, name: &str| {
        let (dataset, model) = match out {
            "run" => ("run/dataset", "run/model"),
            _ => ("fresh/dataset", "fresh/model"),
        };
        let mut readers = vec![Reader::recommend(model), Reader::inspect(dataset), Reader::inspect(model)];
        if out == "run" {
            readers.push(Reader::evaluate(model, "ds"));
        }
        let parts = parts(out);
        Job::new(name, &night(input, out), &parts.each_ref().map(String::as_str), readers)
    };
    // A night that searches for its settings.
    let text = format!(
        "[ingest]\nsplit = \"{}\"\n[model]\ndim = 8\n[train]\nbatch_size = 64\nthreads = 1\ndevice = \"cpu\"\n\
         [tune]\ntrials = 3\nparallel = 1\nmetric = \"ndcg@5\"\nspace = \"space.toml\"\n",
        SPLIT[1]
    );
    let args =
        ["nightly", "next.csv", "--config", "night.toml", "--out", "fresh", "--predictions", "top.csv", "--k", "3"];
    let outputs: Vec<String> =
        parts("fresh").into_iter().chain(["tuning", "tuned.toml"].map(|part| format!("fresh/{part}"))).collect();
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    let readers = vec![Reader::recommend("fresh/model"), Reader::inspect("fresh/dataset")];
    let old = with_files(&[("space.toml", SPACE), ("night.toml", &text)]);
    let searching = Job { old, ..Job::new("a night that searches", &args, &outputs, readers) };
    vec![of("next.csv", "fresh", "nightly"), of("next.csv", "run", "a second night"), searching]
}

/// Every job, run once; `TERCEL_FAULTS_JOB` takes those with such a name.
pub fn known() -> Arc<Vec<Known>> {
    static KNOWN: Mutex<Option<Arc<Vec<Known>>>> = Mutex::new(None);
    let mut known = KNOWN.lock().expect("no other suite failed while it made them");
    let asked = std::env::var("TERCEL_FAULTS_JOB").unwrap_or_default();
    let made = || {
        let jobs = [ingest(), train(), tune(), index(), files(), synth(), accepting(), sweeping(), nights()]
            .into_iter()
            .flatten();
        Arc::new(jobs.filter(|job| job.name.contains(&asked)).map(Job::known).collect())
    };
    Arc::clone(known.get_or_insert_with(made))
}
