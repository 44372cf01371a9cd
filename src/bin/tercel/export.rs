//! `tercel export`: the embeddings of items and users, in files.

use std::path::PathBuf;

use serde_json::json;
use tercel::export::{Exported, check_path};
use tercel::{Error, Export, Model, Result, Who};

use crate::args::MachineFlags;
use crate::output::{Output, duration, round, size, thousands};
use crate::paths::shown;
use crate::progress::Meter;
use crate::watch::watch;

const EXAMPLES: &str = r"Examples, after `tercel demo`:
  tercel export --model out/demo/model --items out/items.faiss --users out/users.npy
  tercel export --model out/demo/model --items out/items.usearch --items out/items.arrow";

/// Writes item and user vectors as .npy, .arrow, .safetensors, .faiss or .usearch; the file extension selects the format.
///
/// Dot products of user and item vectors rank the items as `tercel recommend --include-seen` does. If popularity is part
/// of the score, vectors have one column more than the model's dim. .arrow and .safetensors files contain the raw ids.
/// For the other formats they are in FILE.ids.jsonl; a search in a .faiss or .usearch file returns row numbers of that
/// file.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Model folder
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// File for the item vectors; may be repeated
    #[arg(long, value_name = "FILE")]
    items: Vec<PathBuf>,
    /// File for the user vectors; may be repeated
    #[arg(long, value_name = "FILE")]
    users: Vec<PathBuf>,
    #[command(flatten)]
    machine: MachineFlags,
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    check(args)?;
    let mut model = Model::load(&args.model, args.machine.device(out)?, args.machine.threads())?;
    if !args.items.is_empty() {
        let meter = Meter::new("items");
        let files = model.export(Export::items(&args.items).observe(&mut watch(&meter, out)))?;
        say(meter, "items", &files, out);
    }
    if !args.users.is_empty() {
        let meter = Meter::new("users");
        let files = model.export(Export::users(Who::Everyone, &args.users).observe(&mut watch(&meter, out)))?;
        say(meter, "users", &files, out);
    }
    Ok(())
}

/// What can be checked before any work: that there is something to do, and that every file can be written.
fn check(args: &Args) -> Result<()> {
    if args.items.is_empty() && args.users.is_empty() {
        return Err(Error::config("export", "nothing to write: pass --items FILE, --users FILE or both"));
    }
    let mut places = Vec::new();
    for path in args.items.iter().chain(&args.users) {
        check_path(path)?;
        // Two names may lead to one file.
        let place =
            std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).map_err(|e| Error::io(path, e))?;
        if places.contains(&place) {
            return Err(Error::config("export", format!("{} is given twice", path.display())));
        }
        places.push(place);
    }
    Ok(())
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
                "file": shown(&file.file),
                "ids_file": file.ids_file.as_deref().map(shown),
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
