//! What a search for settings has found.

use std::path::Path;
use std::time::UNIX_EPOCH;

use serde_json::json;
use tercel::Result;
use tercel::tune::{self, Best, SearchReport};

use super::merge;
use crate::output::{Output, date};
use crate::paths::shown;
use crate::tune::{beside, chosen};

/// Says what the search in a folder has found; whether there is one.
pub fn search(path: &Path, out: &Output) -> Result<bool> {
    let Some(found) = tune::found(path)? else { return Ok(false) };
    let written = written(path);
    let mut event = json!({ "kind": "search", "path": shown(path), "date": written });
    merge(&mut event, &found);
    out.event("inspect", &event);
    say(path, &found, written.as_deref(), out);
    Ok(true)
}

/// The same of one that is not done, which works beside the folder that it is for.
pub fn unfinished(path: &Path, out: &Output) -> Result<bool> {
    match tune::unfinished(path)? {
        Some(place) => search(&place, out),
        None => Ok(false),
    }
}

/// The day on which the search last kept what it had.
fn written(path: &Path) -> Option<String> {
    let time = std::fs::metadata(path.join("search.json")).and_then(|about| about.modified()).ok()?;
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(date(i64::try_from(seconds).ok()?))
}

fn say(path: &Path, found: &SearchReport, written: Option<&str>, out: &Output) {
    let SearchReport { trials, failed, rungs, metric, .. } = found;
    let on = written.map_or(String::new(), |day| format!(" on {day}"));
    let stands = match found.finished {
        true => format!("finished{on}"),
        false => format!("unfinished, last active{on}: continue with --resume"),
    };
    let of = found.planned.filter(|_| !found.finished).map_or(String::new(), |planned| format!(" of {planned}"));
    out.text(format_args!("{}: search, {stands}; {} checksums OK", path.display(), found.checksums_verified));
    out.text(format_args!(
        "  {trials}{of} trials, {failed} failed, {rungs} rungs; {metric} on dataset {}",
        found.dataset
    ));
    out.text(format_args!("  searched: {}", found.searched.join(", ")));
    let Some(Best { trial, value, interval: [low, high], epochs, gain, .. }) = &found.best else {
        return out.text("  no trial has been evaluated yet");
    };
    let first = if found.finished { "the winner is" } else { "the best so far is" };
    let who = if *trial == 0 { "the defaults".to_owned() } else { format!("trial {trial}") };
    out.text(format_args!(
        "  {first} {who}: {metric} {value:.4} ({low:.4} to {high:.4}) after {epochs} epochs{}",
        beside(*gain)
    ));
    if let Some(best) = &found.best {
        out.text(format_args!("  {}", chosen(&best.chosen)));
    }
}
