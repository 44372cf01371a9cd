//! Where a run begins: anew, from a checkpoint, or at its end.

use std::path::Path;

use crate::backend::cpu;
use crate::backend::cpu::simd::Isa;
use crate::config::{Config, Instructions};
use crate::data::dataset::{Dataset, verify_file};
use crate::data::shape::Shape;
use crate::files::{Draft, check_known_place};
use crate::model::checkpoint::{BESIDE, ModelDir, ModelInfo, TrainerState, WORK};
use crate::settings::as_written;
use crate::{Device, Error, Result};

/// Where a run begins.
pub(super) struct Begun {
    /// The folder that it works in, and the lock of the model's place; absent where the model is there already.
    pub(super) draft: Option<Draft>,
    /// The checkpoint to go on from; absent for a run that begins anew.
    pub(super) checkpoint: Option<TrainerState>,
}

impl Begun {
    fn anew(draft: Draft) -> Result<Begun> {
        draft.clear()?;
        Ok(Begun { draft: Some(draft), checkpoint: None })
    }
}

/// Takes the lock of `out`, and finds what there is to go on from, after checking that it belongs to this run.
/// `path` is what decides its bits on this host.
pub(super) fn begin(out: &Path, dataset: &Dataset, config: &Config, path: &str, resume: bool) -> Result<Begun> {
    let draft = Draft::open(out, WORK, true)?;
    let dir = ModelDir::new(draft.path());
    let model = ModelDir::new(draft.out());
    let left = dir.state()?;
    if !resume {
        return match left {
            Some(state) if !state.finished => Err(Error::checkpoint(
                dir.path(),
                "contains an unfinished run: set `resume` to continue it, or choose another folder (or remove this one)",
            )),
            // A finished run that a kill kept from its place, or what it has replaced.
            _ => Begun::anew(draft),
        };
    }
    let done = model.info().ok().filter(|info| info.parameters.is_some());
    if let Some(done) = &done
        && difference(done, dataset, config).is_none()
    {
        let state = model.state()?;
        draft.discard()?;
        if let Some(state) = state {
            return Ok(Begun { draft: None, checkpoint: Some(state) });
        }
        let reason = "is finished, but its trainer.json is missing: train without `resume` to replace it";
        return Err(Error::checkpoint(model.path(), reason));
    }
    let Some(state) = left else {
        return match done.and_then(|done| difference(&done, dataset, config)) {
            Some(reason) => Err(Error::checkpoint(model.path(), reason)),
            None => Begun::anew(draft),
        };
    };
    let info = dir.info()?;
    if let Some(reason) = difference(&info, dataset, config) {
        return Err(Error::checkpoint(dir.path(), reason));
    }
    if state.run != info.run() {
        let reason = "trainer.json and config.json belong to different runs; train without `resume`";
        return Err(Error::checkpoint(dir.path(), reason));
    }
    if let Some(reason) = other_bits(&state, path) {
        return Err(Error::checkpoint(dir.path(), reason));
    }
    for file in info.files() {
        verify_file(&dir.file(&file.name), file)?;
    }
    dir.recover(&state)?;
    Ok(Begun { draft: Some(draft), checkpoint: Some(state) })
}

/// Whether [`train`](super::train) with `resume` has something to go on from: an unfinished run's checkpoint beside
/// `out`, or this run's finished model in it.
///
/// # Errors
/// [`Error::Damaged`] or [`Error::Io`] when it cannot be told.
pub fn can_resume(out: &Path, dataset: &Dataset, config: &Config) -> Result<bool> {
    let config = &config.for_shape(&Shape::of(dataset)?);
    let same = |dir: &ModelDir| dir.info().is_ok_and(|info| difference(&info, dataset, config).is_none());
    let draft = ModelDir::new(Draft::place(out, WORK)?);
    if let Some(state) = draft.state()?
        && same(&draft)
    {
        // A device is asked when it is opened.
        let path = match config.train.device.resolve()? {
            Device::Cpu => cpu::path(Isa::asked(config.train.instructions), config.train.precision)?,
            _ => state.path.clone(),
        };
        return Ok(other_bits(&state, &path).is_none());
    }
    let model = ModelDir::new(out);
    Ok(same(&model) && model.info()?.parameters.is_some())
}

/// Whether a model can be put at `out`: what can be known of it before the work. `parts` are files that a model there is
/// known to have, should its manifest be damaged.
///
/// # Errors
/// [`Error::Input`] when `out` holds anything that training would not replace; [`Error::Io`].
pub fn check_out(out: &Path, parts: &[String]) -> Result<()> {
    check_known_place(out, WORK, &known(parts)).map(drop)
}

/// With them the files that every model has; none of a place where no model is known to have been.
fn known(parts: &[String]) -> Vec<String> {
    let every = if parts.is_empty() { &[][..] } else { &BESIDE[..] };
    parts.iter().cloned().chain(every.iter().map(ToString::to_string)).collect()
}

/// Removes a model that cannot be understood any more, so that it is in nobody's way: `parts` are the files that it had.
///
/// # Errors
/// What [`check_out`] says, when anything else is in the folder; [`Error::Io`].
pub fn remove_damaged(out: &Path, parts: &[String]) -> Result<()> {
    crate::files::remove_damaged(out, WORK, &known(parts))
}

/// Removes the unfinished run beside `out`, where there is one.
///
/// # Errors
/// [`Error::Input`] when it is being trained, or when what is there is not ours; [`Error::Io`].
pub fn forget(out: &Path) -> Result<()> {
    Draft::open(out, WORK, false)?.discard()
}

/// Why a run does not go on here: its other half would have other bits than its first.
fn other_bits(state: &TrainerState, path: &str) -> Option<String> {
    if state.finished || state.path.is_empty() || state.path == path {
        return None;
    }
    let was = &state.path;
    let remedy = match was.parse::<Instructions>().ok().and_then(Isa::asked) {
        Some(isa) if isa.available() => format!("set `train.instructions` to \"{was}\", and the device to `cpu`"),
        Some(_) => "this processor does not support them: resume on one that does, or start again with \
                    `train.instructions` that both support"
            .to_owned(),
        None => "resume on such a device".to_owned(),
    };
    Some(format!("was started with {was} and would continue with {path}, which gives different bits; {remedy}"))
}

/// Why a run of these settings on this dataset does not go on with that of `info`.
fn difference(info: &ModelInfo, dataset: &Dataset, config: &Config) -> Option<String> {
    if info.dataset != dataset.fingerprint() {
        let dataset = dataset.dir().display();
        return Some(format!("was not trained on {dataset}: train without `resume`"));
    }
    // Where it runs does not change what it computes; everything else does.
    let comparable = |config: &Config| {
        let mut config = config.clone();
        (config.train.device, config.train.threads, config.train.checkpoint_every) = (Device::Auto, 0, 0);
        // By name they may be the same, or not; what decides is on record with the checkpoint.
        config.train.instructions = Instructions::Auto;
        serde_json::to_value(config).unwrap_or_default()
    };
    let field = first_difference("", &comparable(&info.config), &comparable(config))?;
    Some(format!("was started with a different {field}: pass the same settings, or train without `resume`"))
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
        _ => Some(format!("{name} ({}, now {})", as_written(a.clone()), as_written(b.clone()))),
    }
}
