//! What a call of the library tells, for people and programs.

use serde_json::json;
use tercel::index::Step;
use tercel::{Event, Progress, Result};

use crate::about_index::{describe, lines};
use crate::output::{Output, duration, round, thousands};
use crate::progress::Meter;
use crate::words;

/// An observer that moves `meter`, prints what is found to `out` and logs the rest.
pub fn watch<'a>(meter: &'a Meter, out: &'a Output) -> impl FnMut(Event<'_>) -> Result<()> + 'a {
    move |event| {
        match event {
            Event::Progress(at) => show(meter, at),
            Event::IndexOpened { file, about } => meter.above(|| {
                out.text(format_args!("index: {}", file.display()));
                lines(about, out);
            }),
            Event::IndexBuilt { about, items, seconds } => meter.above(|| {
                let mut fields = describe(about);
                fields["items"] = json!(items);
                fields["seconds"] = json!(round(seconds));
                out.event("index", &fields);
                out.text(format_args!("index of {} items in {}", thousands(items as u64), duration(seconds)));
                lines(about, out);
            }),
            Event::Note(note) if note.is_minor() => tracing::info!("{}", words::note(&note)),
            Event::Note(note) => tracing::warn!("{}", words::note(&note)),
            _ => {}
        }
        Ok(())
    }
}

fn show(meter: &Meter, at: Progress) {
    let unit = match at.step {
        Step::Vectors => "vectors",
        Step::Graph => "vectors linked",
        _ => "users",
    };
    meter.set(at.done, at.total, format_args!("{} {unit}", thousands(at.done)));
}
