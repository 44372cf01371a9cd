//! The search for settings.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use tercel::Config;
use tercel::settings::{TuneSettings, said};
use tercel::tune::{Space, Tune};

use crate::dataset::{invalid, open};
use crate::errors::raised;
use crate::signals::Watch;

/// Gives up an unfinished search for the folder `out`, whatever it was asked.
#[pyfunction]
pub(crate) fn forget_search(out: PathBuf) -> PyResult<()> {
    raised(tercel::tune::forget(&out))
}

/// Searches the settings that are best on the dataset at `data` into the folder `out`; the summary as JSON.
///
/// `config` and `settings` are what training and the search are told, `space` what is searched (as a space file has it), all
/// JSON. `observer` is called with each event as JSON, in the words of `tercel tune --json`. What it raises, and Ctrl-C, ends
/// the search, which `resume` goes on with.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // They are Python's, by name.
pub(crate) fn tune(
    py: Python<'_>,
    data: PathBuf,
    out: PathBuf,
    config: &str,
    settings: &str,
    space: Option<&str>,
    resume: bool,
    observer: Option<Py<PyAny>>,
) -> PyResult<String> {
    let dataset = open(&data)?;
    let given = serde_json::from_str(config).map_err(invalid)?;
    let fixed = said::<Config>(&given);
    let config: Config = serde_json::from_value(given).map_err(invalid)?;
    let settings: TuneSettings = serde_json::from_str(settings).map_err(invalid)?;
    let space = match space {
        Some(text) => {
            let value = serde_json::from_str(text).map_err(invalid)?;
            Some(raised(Space::from_value(&value, "space"))?)
        }
        None => None,
    };
    let request = Tune { config, settings, space, fixed, resume, ..Tune::default() };
    let (result, watch) = py.detach(|| {
        let stop = AtomicBool::new(false);
        let watch = RefCell::new(Watch::new(observer));
        let result = tercel::tune::tune(&dataset, &out, &request, &stop, &mut |event| {
            let mut watch = watch.borrow_mut();
            watch.tell(|| serde_json::to_string(&event).unwrap_or_default());
            if watch.look().is_err() {
                stop.store(true, Ordering::Relaxed);
            }
        });
        (result, watch.into_inner())
    });
    serde_json::to_string(&watch.end(result)?).map_err(invalid)
}
