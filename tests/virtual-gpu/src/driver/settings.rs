//! What the environment asks of the virtual GPU.

use std::path::PathBuf;
use std::str::FromStr;

use super::sabotage::LeftOut;
use crate::exec::{Landing, Options, Order};

/// When queued operations of a stream run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamMode {
    /// At the call, and a kernel's fault comes back from the launch itself (as with CUDA_LAUNCH_BLOCKING).
    Serial,
    /// At the call, as soon as what they depend on is done; faults come back later.
    Early,
    /// Not before a synchronise, or another stream's dependency, forces them.
    Late,
    /// Some at the call, some later, across streams, by a seed.
    Random(u64),
}

/// All that can be set from outside.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Compute capability (major, minor).
    pub arch: (i32, i32),
    /// Device memory, bytes.
    pub memory_bytes: u64,
    /// What `cuDriverGetVersion` says: 1000 * major + 10 * minor.
    pub driver_version: i32,
    /// When streams run.
    pub streams: StreamMode,
    /// How kernels run.
    pub exec: Options,
    /// Where report lines go.
    pub report: Option<PathBuf>,
    /// Whether the process has to exit with [`super::exit::CODE`] when anything was found.
    pub fail: bool,
    /// The list of findings that are expected.
    pub allow: Option<PathBuf>,
    /// Calls that do nothing.
    pub leave_out: Option<LeftOut>,
    /// Whether findings are printed to stderr.
    pub print: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            arch: (8, 0),
            memory_bytes: 4 << 30,
            driver_version: 12040,
            streams: StreamMode::Late,
            exec: Options {
                threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
                ..Options::default()
            },
            report: None,
            fail: false,
            allow: None,
            leave_out: None,
            print: true,
        }
    }
}

impl FromStr for StreamMode {
    type Err = String;

    fn from_str(text: &str) -> Result<StreamMode, String> {
        match (text, text.strip_prefix("random:")) {
            ("serial", _) => Ok(StreamMode::Serial),
            ("early", _) => Ok(StreamMode::Early),
            ("late", _) => Ok(StreamMode::Late),
            (_, Some(seed)) => Ok(StreamMode::Random(number(seed)?)),
            _ => Err(format!("`{text}` is none of serial, early, late, random:SEED")),
        }
    }
}

/// The block order that a text names.
pub fn order(text: &str) -> Result<Order, String> {
    match (text, text.strip_prefix("random:")) {
        ("forward", _) => Ok(Order::Forward),
        ("reverse", _) => Ok(Order::Reverse),
        (_, Some(seed)) => Ok(Order::Random(number(seed)?)),
        _ => Err(format!("`{text}` is none of forward, reverse, random:SEED")),
    }
}

/// The compute capability that a text names.
pub fn arch(text: &str) -> Result<(i32, i32), String> {
    match text {
        "8.0" => Ok((8, 0)),
        "9.0" => Ok((9, 0)),
        "10.0" => Ok((10, 0)),
        _ => Err(format!("`{text}` is none of 8.0, 9.0, 10.0")),
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number in range"))
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(format!("`{text}` is neither 0 nor 1")),
    }
}

impl Settings {
    /// Reads the `VIRTUAL_GPU_*` variables; the error names the variable.
    pub fn from_env() -> Result<Settings, String> {
        Settings::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads the variables through `lookup`.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Settings, String> {
        fn take<T>(
            lookup: &impl Fn(&str) -> Option<String>,
            name: &str,
            into: &mut T,
            read: impl Fn(&str) -> Result<T, String>,
        ) -> Result<(), String> {
            if let Some(text) = lookup(name) {
                *into = read(&text).map_err(|reason| format!("{name}: {reason}"))?;
            }
            Ok(())
        }
        let mut settings = Settings::default();
        let s = &mut settings;
        let path = |text: &str| Ok((!text.is_empty()).then(|| PathBuf::from(text)));
        take(&lookup, "VIRTUAL_GPU_ARCH", &mut s.arch, arch)?;
        take(&lookup, "VIRTUAL_GPU_MEMORY", &mut s.memory_bytes, number)?;
        take(&lookup, "VIRTUAL_GPU_DRIVER_VERSION", &mut s.driver_version, number)?;
        take(&lookup, "VIRTUAL_GPU_STREAMS", &mut s.streams, StreamMode::from_str)?;
        take(&lookup, "VIRTUAL_GPU_ORDER", &mut s.exec.block_order, order)?;
        take(&lookup, "VIRTUAL_GPU_THREADS", &mut s.exec.threads, number)?;
        take(&lookup, "VIRTUAL_GPU_BUDGET", &mut s.exec.instruction_budget, number)?;
        take(&lookup, "VIRTUAL_GPU_CHECKS", &mut s.exec.checks, switch)?;
        take(&lookup, "VIRTUAL_GPU_REPORT", &mut s.report, path)?;
        take(&lookup, "VIRTUAL_GPU_ALLOW", &mut s.allow, path)?;
        take(&lookup, "VIRTUAL_GPU_LEAVE_OUT", &mut s.leave_out, |text| text.parse().map(Some))?;
        take(&lookup, "VIRTUAL_GPU_FAIL", &mut s.fail, switch)?;
        // What is asynchronous inside a kernel happens when the streams' operations do.
        s.exec.landing = match s.streams {
            StreamMode::Serial | StreamMode::Early => Landing::Early,
            StreamMode::Late => Landing::Late,
            StreamMode::Random(seed) => Landing::Random(seed),
        };
        if s.exec.threads == 0 {
            return Err("VIRTUAL_GPU_THREADS: at least one thread is needed".into());
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_and_wrong_ones_are_named() {
        let read = |name: &str, value: &str| Settings::from_lookup(|asked| (asked == name).then(|| value.to_owned()));
        assert_eq!(read("VIRTUAL_GPU_STREAMS", "random:9").unwrap().streams, StreamMode::Random(9));
        assert_eq!(read("VIRTUAL_GPU_STREAMS", "random:9").unwrap().exec.landing, Landing::Random(9));
        assert_eq!(read("VIRTUAL_GPU_STREAMS", "serial").unwrap().exec.landing, Landing::Early);
        assert_eq!(read("VIRTUAL_GPU_ORDER", "reverse").unwrap().exec.block_order, Order::Reverse);
        assert_eq!(read("VIRTUAL_GPU_ARCH", "10.0").unwrap().arch, (10, 0));
        assert!(!read("VIRTUAL_GPU_CHECKS", "0").unwrap().exec.checks);
        for (name, value) in [
            ("VIRTUAL_GPU_STREAMS", "random:x"),
            ("VIRTUAL_GPU_ORDER", ""),
            ("VIRTUAL_GPU_ARCH", "8.6"),
            ("VIRTUAL_GPU_MEMORY", "4G"),
            ("VIRTUAL_GPU_THREADS", "0"),
            ("VIRTUAL_GPU_FAIL", "yes"),
            ("VIRTUAL_GPU_LEAVE_OUT", "wait:all"),
        ] {
            assert!(read(name, value).unwrap_err().starts_with(name), "{name}");
        }
    }
}
