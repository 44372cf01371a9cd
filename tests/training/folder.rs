//! What lies in the model's place: a finished run, one that is unfinished, another one's, and damage.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tercel::files::{read_json, write_json};
use tercel::train::{TrainEvent, train, train_until};
use tercel::{Device, Error, Model};

use super::checkerboard::{checkerboard, config, run};

#[test]
fn the_best_epoch_is_compared_with_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.train.epochs = Some(3);
    // So small that no later epoch is better than the first.
    config.optimizer.lr = Some(1e-20);
    config.train.early_stop = Some("ndcg@1,5".parse().unwrap());
    let out = folder.path().join("model");
    let stop = AtomicBool::new(false);
    let ended = train_until(&dataset, &out, &config, false, &stop, &mut |event| {
        stop.store(matches!(event, TrainEvent::Validation { epoch: 2, .. }), Ordering::Relaxed);
    });
    assert!(matches!(ended, Err(Error::Interrupted { .. })), "{ended:?}");
    let best = folder.path().join(".model.training/best.safetensors");
    let whole = fs::read(&best).unwrap();
    let mut bytes = whole.clone();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&best, bytes).unwrap();
    let error = train(&dataset, &out, &config, true, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("best.safetensors: damaged"), "{error}");
    fs::write(&best, whole).unwrap();
    assert_eq!(train(&dataset, &out, &config, true, &mut |_| {}).unwrap().best_epoch, 1);
}

#[test]
fn a_folder_with_an_unfinished_or_another_run_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.train.epochs = Some(2);
    let out = folder.path().join("model");
    run(&dataset, &out, &config).unwrap();
    // Finished: a resume has nothing to do, a new run replaces it.
    let again = train(&dataset, &out, &config, true, &mut |_| {}).unwrap();
    assert!(again.already_finished);
    config.model.dim = 8;
    let error = train(&dataset, &out, &config, true, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("model.dim"), "{error}");
    run(&dataset, &out, &config).unwrap();
    // Unfinished, which lies beside the model's place: only a resume goes on.
    let draft = folder.path().join(".model.training");
    fs::rename(&out, &draft).unwrap();
    let state: serde_json::Value = read_json(&draft.join("trainer.json")).unwrap();
    let stands = |epoch: u64| {
        let mut state = state.clone();
        state["finished"] = false.into();
        state["cursor"]["epoch"] = epoch.into();
        write_json(&draft.join("trainer.json"), &state).unwrap();
    };
    stands(2);
    let error = run(&dataset, &out, &config).unwrap_err();
    assert!(error.to_string().contains("set `resume`"), "{error}");
    // A place that the run never has.
    stands(7);
    let error = train(&dataset, &out, &config, true, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("epoch 7"), "{error}");
    stands(2);
    // No reader takes it.
    let error = Model::load(&out, Device::Cpu, 1).unwrap_err();
    assert!(error.to_string().contains(".model.training contains an unfinished run"), "{error}");
    // Damaged: neither is taken for whole.
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    };
    flip(&draft.join("model.safetensors"));
    assert!(train(&dataset, &out, &config, true, &mut |_| {}).is_err());
    flip(&draft.join("model.safetensors"));
    train(&dataset, &out, &config, true, &mut |_| {}).unwrap();
    flip(&out.join("model.safetensors"));
    assert!(train(&dataset, &out, &config, true, &mut |_| {}).is_err());
    assert!(Model::load(&out, Device::Cpu, 1).is_err());
}
