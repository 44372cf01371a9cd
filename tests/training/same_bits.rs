//! The same bits: of any number of threads, and of a run that was stopped and goes on.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tercel::Error;
use tercel::config::Dtype;
use tercel::train::{TrainEvent, train_until};

use super::checkerboard::{checkerboard, config, run};

#[test]
fn a_run_that_is_stopped_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.train.epochs = Some(2);
    config.train.checkpoint_every = 3;
    run(&dataset, &folder.path().join("whole"), &config).unwrap();
    let out = folder.path().join("stopped");
    let (mut steps, mut stops) = (0, 0);
    loop {
        // Whoever watches wants it to end at every checkpoint.
        let stop = AtomicBool::new(false);
        let ended = train_until(&dataset, &out, &config, true, &stop, &mut |event| {
            if let TrainEvent::Checkpoint { step, .. } = event {
                steps = step;
                stop.store(true, Ordering::Relaxed);
            }
        });
        match ended {
            Err(Error::Interrupted { what }) => {
                assert!(what.contains(&format!("step {steps}")) && what.contains("stopped"), "{what}");
                stops += 1;
            }
            other => break assert_eq!(other.unwrap().steps, steps),
        }
    }
    assert!(stops >= 3, "{stops} stops");
    let parameters = |name: &str| fs::read(folder.path().join(name).join("model.safetensors")).unwrap();
    assert!(parameters("stopped") == parameters("whole"));
}

#[test]
fn an_evaluation_that_is_stopped_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.train.epochs = Some(2);
    run(&dataset, &folder.path().join("whole"), &config).unwrap();
    let out = folder.path().join("stopped");
    let stop = AtomicBool::new(false);
    let mut evaluated = 0;
    let ended = train_until(&dataset, &out, &config, false, &stop, &mut |event| {
        if let TrainEvent::Evaluating { done, users } = event {
            assert!(0 < done && done <= users);
            evaluated = done;
            stop.store(true, Ordering::Relaxed);
        }
        assert!(!matches!(event, TrainEvent::Diagnostics(_)), "it is to stop before that");
    });
    assert!(evaluated > 0 && matches!(ended, Err(Error::Interrupted { .. })), "{ended:?}");
    let resumed = train_until(&dataset, &out, &config, true, &AtomicBool::new(false), &mut |_| {}).unwrap();
    assert!(!resumed.already_finished);
    for file in ["model.safetensors", "metrics.json"] {
        let bytes = |name: &str| fs::read(folder.path().join(name).join(file)).unwrap();
        assert!(bytes("stopped") == bytes("whole"), "{file}");
    }
}

#[test]
fn threads_change_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = checkerboard(folder.path());
    let mut config = config();
    config.train.epochs = Some(3);
    config.model.user.history = Some(5);
    config.model.item.mlp = vec![32];
    config.model.dtype = Dtype::Bf16;
    let files: Vec<(PathBuf, Vec<u8>)> = [1, 2, 5]
        .map(|threads| {
            config.train.threads = threads;
            let out = folder.path().join(threads.to_string());
            run(&dataset, &out, &config).unwrap();
            (out.clone(), fs::read(out.join("model.safetensors")).unwrap())
        })
        .into();
    assert!(files.iter().all(|(_, bytes)| bytes == &files[0].1));
    config.train.seed = 1;
    let out = folder.path().join("other seed");
    run(&dataset, &out, &config).unwrap();
    assert!(fs::read(out.join("model.safetensors")).unwrap() != files[0].1, "another seed, another model");
}
