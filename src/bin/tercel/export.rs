//! `tercel export`: the embeddings of items and users, in files.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tercel::export::{Exported, Progress, Step, check_path, export_items, export_users};
use tercel::index::filter::Seen;
use tercel::index::users::Users;
use tercel::model::TwoTower;
use tercel::{Error, Result};

use crate::args::MachineFlags;
use crate::output::{Output, duration, round, size, thousands};
use crate::progress::Meter;

const EXAMPLES: &str = r"Examples, after `tercel demo`:
  tercel export --model out/demo/model --items out/items.faiss --users out/users.npy
  tercel export --model out/demo/model --items out/items.usearch --items out/items.arrow";

/// Writes the vectors of items and users as .npy, .arrow, .safetensors, .faiss or .usearch; a file's ending decides.
///
/// Inner products of users with items rank as `tercel recommend --include-seen` does. Where popularity is part of the
/// score, vectors are one column wider than the model's dim. Raw ids are in .arrow and .safetensors files; beside the
/// others lies FILE.ids.jsonl, and what a search in a .faiss or .usearch file returns is a row of it.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The model folder
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// A file for the items' vectors; may be given more than once
    #[arg(long, value_name = "FILE")]
    items: Vec<PathBuf>,
    /// A file for the users' vectors; may be given more than once
    #[arg(long, value_name = "FILE")]
    users: Vec<PathBuf>,
    #[command(flatten)]
    machine: MachineFlags,
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    check(args)?;
    let (device, threads) = (args.machine.device(out)?, args.machine.threads());
    let mut model = TwoTower::load(&args.model, device, threads)?;
    if !args.items.is_empty() {
        let meter = Meter::new("items");
        let files = export_items(&mut model, &args.items, threads, &mut |at| show(&meter, at))?;
        say(meter, "items", &files, out);
    }
    if !args.users.is_empty() {
        let vocabulary = Arc::clone(model.users());
        let seen = Seen::new(Arc::new(model.history()?));
        let (users, meter) = (Users::all(&vocabulary), Meter::new("users"));
        let show = &mut |at| show(&meter, at);
        let files = export_users(&mut model, &users, Some(&seen), &args.users, threads, show)?;
        say(meter, "users", &files, out);
    }
    Ok(())
}

/// What can be checked before any work: that there is something to do, and that every file can be written.
fn check(args: &Args) -> Result<()> {
    if args.items.is_empty() && args.users.is_empty() {
        return Err(Error::config("export", "nothing to write: give --items FILE, --users FILE or both"));
    }
    let mut places = Vec::new();
    for path in args.items.iter().chain(&args.users) {
        check_path(path)?;
        let place = std::path::absolute(path).map_err(|e| Error::io(path, e))?;
        if places.contains(&place) {
            return Err(Error::config("export", format!("{} is given twice", path.display())));
        }
        places.push(place);
    }
    Ok(())
}

fn show(meter: &Meter, at: Progress) {
    let words = match at.step {
        Step::Vectors => "vectors",
        Step::Graph => "vectors linked",
    };
    meter.set(at.done, at.rows, format_args!("{} {words}", thousands(at.done)));
}

fn say(meter: Meter, side: &str, files: &[Exported], out: &Output) {
    let (rows, seconds) = (files.iter().map(|file| file.rows).max(), files.iter().map(|file| file.seconds));
    meter.finish(format_args!(
        "{} vectors in {}",
        thousands(rows.unwrap_or_default()),
        duration(seconds.fold(0.0, f64::max))
    ));
    for file in files {
        out.event(
            "export",
            &json!({
                "side": side,
                "rows": file.rows,
                "dim": file.dim,
                "bytes": file.bytes,
                "seconds": round(file.seconds),
                "file": file.file,
                "ids_file": file.ids_file,
            }),
        );
        let beside = match &file.ids_file {
            Some(ids) => format!("; ids in {}", ids.display()),
            None => String::new(),
        };
        out.text(format_args!(
            "{}: {} {side} x {} in {} ({}){beside}",
            file.file.display(),
            thousands(file.rows),
            file.dim,
            duration(file.seconds),
            size(file.bytes),
        ));
    }
}
