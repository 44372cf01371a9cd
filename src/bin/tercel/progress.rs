//! Progress of long work: a bar on a terminal, a log line every ten seconds elsewhere. Both go to stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How often a log line is worth reading.
const EVERY: Duration = Duration::from_secs(10);

static BARS: OnceLock<MultiProgress> = OnceLock::new();
static QUIET: OnceLock<bool> = OnceLock::new();

/// Log lines go to stderr, above the bar where there is one.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match BARS.get() {
            Some(bars) => bars.suspend(|| io::stderr().write_all(line))?,
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Stderr;
    fn make_writer(&'a self) -> Stderr {
        Stderr
    }
}

/// Sets the log up; once, before any work.
pub fn init_log(quiet: bool) {
    let terminal = io::stderr().is_terminal();
    let _ = QUIET.set(quiet);
    if terminal && !quiet {
        let _ = BARS.set(MultiProgress::new());
    }
    let level = match (quiet, terminal) {
        (true, _) => LevelFilter::ERROR,
        (false, true) => LevelFilter::WARN,
        (false, false) => LevelFilter::INFO,
    };
    let log = tracing_subscriber::fmt().with_writer(|| Stderr).with_max_level(level).with_target(false);
    if terminal {
        log.without_time().init();
    } else {
        log.with_ansi(false).init();
    }
}

/// The progress of one piece of work.
pub struct Meter {
    what: &'static str,
    bar: Option<ProgressBar>,
    last: Mutex<Instant>,
}

impl Meter {
    /// `what` is what is going on, such as `ingest`.
    pub fn new(what: &'static str) -> Meter {
        let bar = BARS.get().map(|bars| {
            let bar = bars.add(ProgressBar::new(0));
            let style = ProgressStyle::with_template("{prefix:<10} {bar:30} {percent:>3} % {msg} eta {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(what);
            bar
        });
        Meter { what, bar, last: Mutex::new(Instant::now()) }
    }

    /// Where the work stands: `done` of `total` (0: unknown), and a few words.
    pub fn set(&self, done: u64, total: u64, words: impl Display) {
        if let Some(bar) = &self.bar {
            bar.set_length(total.max(done));
            bar.set_position(done);
            bar.set_message(words.to_string());
        } else if self.due() {
            match total {
                0 => tracing::info!("{}: {words}", self.what),
                _ => tracing::info!("{}: {:.0} %, {words}", self.what, 100.0 * done as f64 / total as f64),
            }
        }
    }

    /// Prints to stdout without tearing the bar.
    pub fn above(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Clears the bar and says in a log line what was done.
    pub fn finish(&self, words: impl Display) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        tracing::info!("{}: {words}", self.what);
    }

    fn due(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.elapsed() >= EVERY && QUIET.get() != Some(&true);
        if due {
            *last = Instant::now();
        }
        due
    }
}

impl Drop for Meter {
    /// An error on the way out leaves no half-drawn bar above its line.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
