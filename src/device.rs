//! Where the work runs: a CPU or a CUDA device.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// A place to run on. Parsed from `auto`, `cpu` or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The first CUDA device where there is one, else the CPU.
    #[default]
    Auto,
    /// The host's processors.
    Cpu,
    /// The CUDA device with this ordinal.
    Cuda(usize),
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda(0)),
            _ => match text.strip_prefix("cuda:").and_then(|n| n.parse().ok()) {
                Some(n) => Ok(Device::Cuda(n)),
                None => Err(Error::config("device", format!("`{text}` is not one of auto, cpu, cuda:N"))),
            },
        }
    }
}

impl TryFrom<String> for Device {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> String {
        device.to_string()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => write!(f, "auto"),
            Device::Cpu => write!(f, "cpu"),
            Device::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

impl Device {
    /// The device that this one stands for on this host: never [`Device::Auto`].
    ///
    /// # Errors
    /// [`Error::CudaUnavailable`] where a CUDA device is asked for and cannot be used. Nothing falls back in silence.
    pub fn resolve(self) -> Result<Device> {
        match self {
            Device::Cpu => Ok(Device::Cpu),
            Device::Cuda(ordinal) => crate::backend::cuda_probe(ordinal).map(|()| Device::Cuda(ordinal)),
            Device::Auto => Ok(match crate::backend::cuda_probe(0) {
                Ok(()) => Device::Cuda(0),
                Err(_) => Device::Cpu,
            }),
        }
    }
}
