//! A host without an NVIDIA driver gets a typed error, never a panic and never a silent fall back.

use tercel::{Device, Error};

/// The driver's device file: where there is none, no CUDA device can be opened.
fn has_driver() -> bool {
    std::path::Path::new("/dev/nvidiactl").exists()
}

#[test]
fn a_cuda_device_without_a_driver_is_a_typed_error() {
    if has_driver() {
        println!("skipped: this host has an NVIDIA driver");
        return;
    }
    for ordinal in [0, 1, usize::MAX] {
        match Device::Cuda(ordinal).resolve() {
            Err(error @ Error::CudaUnavailable { .. }) => {
                assert_eq!(error.exit_code(), 4);
                let text = error.to_string();
                assert!(text.contains("use the device `cpu`"), "says what to do: {text}");
            }
            other => panic!("cuda:{ordinal} gave {other:?}"),
        }
    }
}

#[test]
fn auto_resolves_and_cpu_is_always_there() {
    assert_eq!(Device::Cpu.resolve().expect("the CPU needs nothing"), Device::Cpu);
    let auto = Device::Auto.resolve().expect("auto takes what there is");
    assert_ne!(auto, Device::Auto);
    if !has_driver() {
        assert_eq!(auto, Device::Cpu);
    }
}

#[test]
fn device_names_are_parsed_strictly() {
    assert_eq!("cuda:3".parse::<Device>().expect("an ordinal"), Device::Cuda(3));
    assert_eq!("cuda".parse::<Device>().expect("the first"), Device::Cuda(0));
    for bad in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
        let error = bad.parse::<Device>().expect_err("not a device");
        assert_eq!(error.exit_code(), 2, "{bad}");
    }
}
