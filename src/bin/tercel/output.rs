//! What goes to stdout: JSON lines with `--json`, text for people without.

use std::cell::Cell;
use std::fmt::Display;
use std::io::Write;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};

/// The command's stdout.
///
/// A reader that goes away (`tercel train … | head`) ends the printing, not the work: the files are written all the
/// same and the exit code still speaks of the work.
pub struct Output {
    json: bool,
    closed: Cell<bool>,
    started: Instant,
}

impl Output {
    pub fn new(json: bool) -> Output {
        Output { json, closed: Cell::new(false), started: Instant::now() }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Seconds since the command started.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// One JSON line `{"event":name, …fields}`; nothing without `--json`.
    pub fn event<T: Serialize>(&self, name: &str, fields: &T) {
        if !self.json {
            return;
        }
        let mut line = serde_json::Map::new();
        line.insert("event".into(), name.into());
        match serde_json::to_value(fields) {
            Ok(Value::Object(fields)) => line.extend(fields),
            Ok(other) => {
                line.insert("value".into(), other);
            }
            Err(error) => {
                line.insert("error".into(), error.to_string().into());
            }
        }
        self.write(&Value::Object(line));
    }

    /// One JSON line of a value that carries its own `event`; nothing without `--json`.
    pub fn tagged<T: Serialize>(&self, value: &T) {
        if self.json {
            let line = serde_json::to_value(value).unwrap_or_else(|error| json!({ "error": error.to_string() }));
            self.write(&line);
        }
    }

    /// A line for people, where there is one to say.
    pub fn text_of(&self, line: Option<String>) {
        if let Some(line) = line {
            self.text(line);
        }
    }

    /// A line for people; nothing with `--json`.
    pub fn text(&self, line: impl Display) {
        if !self.json {
            self.write(&line);
        }
    }

    /// The last event of every command that succeeds.
    pub fn done(&self) {
        self.event("done", &json!({ "seconds": round(self.seconds()), "peak_rss_bytes": peak_rss_bytes() }));
    }

    fn write(&self, line: &impl Display) {
        if self.closed.get() {
            return;
        }
        let mut stdout = std::io::stdout().lock();
        if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
            self.closed.set(true);
        }
    }
}

/// The most memory that this process had resident, as Linux counts it; `None` on other systems.
pub fn peak_rss_bytes() -> Option<u64> {
    proc_kib("/proc/self/status", "VmHWM:")
}

/// The bytes of a `Name:   1234 kB` line of a file under /proc.
pub fn proc_kib(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Seconds and rates need no more than six decimals.
pub fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// `1234567` as `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes for people.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A duration for people.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{} min {:02} s", s as u64 / 60, s as u64 % 60),
        s => format!("{} h {:02} min", s as u64 / 3600, s as u64 % 3600 / 60),
    }
}

/// Days since 1970-01-01 of an epoch second, as `YYYY-MM-DD` (proleptic Gregorian, UTC).
pub fn date(seconds: i64) -> String {
    // Howard Hinnant's civil_from_days: years start in March, eras are 400 years.
    let z = seconds.div_euclid(86_400) + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_dates_are_civil() {
        assert_eq!(["0", "999", "1,000", "1,234,567"].map(String::from), [0, 999, 1000, 1_234_567].map(thousands));
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(date(1_512_345_600), "2017-12-04");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(duration(61.5), "1 min 01 s");
        assert_eq!(size(1536), "1.5 KiB");
    }
}
