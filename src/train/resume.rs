//! Going on where an earlier call was stopped.

use crate::config::Config;
use crate::data::dataset::Dataset;
use crate::model::checkpoint::{ModelDir, TrainerState, fingerprint};
use crate::{Device, Error, Result};

/// The checkpoint to go on from, after checking that it belongs to this run.
pub(super) fn resumable(
    dir: &ModelDir,
    dataset: &Dataset,
    config: &Config,
    resume: bool,
) -> Result<Option<TrainerState>> {
    let Some(state) = dir.state()? else { return Ok(None) };
    if !resume {
        if state.finished {
            dir.clear()?;
            return Ok(None);
        }
        return Err(Error::checkpoint(
            dir.path(),
            "holds an unfinished run: set `resume` to go on with it, or take another folder (or remove this one)",
        ));
    }
    let info = dir.info()?;
    if info.dataset != fingerprint(dataset)? {
        return Err(Error::checkpoint(
            dir.path(),
            format!("was trained on another dataset than {}: train without `resume`", dataset.dir().display()),
        ));
    }
    // Where it runs does not change what it computes; everything else does.
    let comparable = |config: &Config| {
        let mut config = config.clone();
        (config.train.device, config.train.threads, config.train.checkpoint_every) = (Device::Auto, 0, 0);
        serde_json::to_value(config).unwrap_or_default()
    };
    if let Some(field) = first_difference("", &comparable(&info.config), &comparable(config)) {
        return Err(Error::checkpoint(
            dir.path(),
            format!("was started with another {field}: give the same settings, or train without `resume`"),
        ));
    }
    dir.recover(&state)?;
    Ok(Some(state))
}

/// The dotted name of the first value that differs.
fn first_difference(name: &str, a: &serde_json::Value, b: &serde_json::Value) -> Option<String> {
    match (a, b) {
        (serde_json::Value::Object(a), serde_json::Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(key, value)| {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                first_difference(&name, value, &b[key])
            })
        }
        _ if a == b => None,
        _ => Some(format!("{name} ({a}, now {b})")),
    }
}
