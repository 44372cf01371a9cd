//! A column of times: what its values count or how they are written, told from the values or by the settings.
//!
//! An integer can be seconds, milliseconds, microseconds or nanoseconds since 1970. It is taken for one of them only
//! where it lies between 1995 and 2100 as that one. The four ranges do not overlap, so that a value is plausible as one
//! unit at most; `20240105`, `202403`, day numbers and small ordinals are plausible as none. A column has one reading:
//! values of another one are an error, whatever is done with bad rows.

use std::borrow::Cow;
use std::fmt;

use chrono::format::{Item, Parsed, StrftimeItems, parse};

use super::options::{ReadOptions, TimeUnit};
use super::time::{FORMS, LAST_SECOND, check_seconds, format_time, looks_like_date, parse_date, parse_integer};
use crate::{Error, Result};

/// 1995-01-01 and 2100-01-01: epoch integers are taken for times between them.
const PLAUSIBLE: std::ops::Range<i64> = 788_918_400..4_102_444_800;
/// 1899-12-30, the day 0 of spreadsheets, in days since 1970.
const EXCEL_EPOCH: i64 = -25_569;

/// What a value was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeReading {
    /// `YYYY-MM-DD…`, or a typed date.
    Date,
    /// As the setting `time_format` says.
    Format,
    /// An integer of this unit.
    Count(TimeUnit),
}

impl fmt::Display for TimeReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TimeReading::Date => "dates",
            TimeReading::Format => "times in the given format",
            TimeReading::Count(TimeUnit::S) => "epoch seconds",
            TimeReading::Count(TimeUnit::Ms) => "epoch milliseconds",
            TimeReading::Count(TimeUnit::Us) => "epoch microseconds",
            TimeReading::Count(TimeUnit::Ns) => "epoch nanoseconds",
            TimeReading::Count(TimeUnit::Days) => "days since 1970-01-01",
            TimeReading::Count(TimeUnit::Excel) => "spreadsheet day numbers",
        })
    }
}

/// Why a value is no time; completes "`text` …".
pub(crate) type Reason = Cow<'static, str>;

/// Reads the values of time columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    unit: Option<TimeUnit>,
    format: Option<Vec<Item<'static>>>,
}

impl Times {
    /// # Errors
    /// [`Error::Config`] for a format that has no date.
    pub(crate) fn new(options: &ReadOptions) -> Result<Times> {
        let format = options.time_format.as_deref().map(compile).transpose()?;
        if format.is_some() && options.time_unit.is_some() {
            return Err(Error::config("time_unit", "cannot be combined with time_format, which determines the unit"));
        }
        Ok(Times { unit: options.time_unit, format })
    }

    /// Whether somebody has said how times are to be read.
    pub(crate) fn are_said(&self) -> bool {
        self.unit.is_some() || self.format.is_some()
    }

    /// A value as text: seconds since 1970, and what it was taken for.
    #[inline]
    pub(crate) fn text(&self, text: &[u8]) -> Result<(i64, TimeReading), Reason> {
        let text = text.trim_ascii();
        if let Some(format) = &self.format {
            return Ok((formatted(format, text)?, TimeReading::Format));
        }
        if looks_like_date(text) {
            return Ok((parse_date(text)?, TimeReading::Date));
        }
        // Days may have a time of day behind the point.
        if matches!(self.unit, Some(TimeUnit::Days | TimeUnit::Excel))
            && let Some(value) = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok())
        {
            return self.float(value);
        }
        match parse_integer(text) {
            Some(value) => self.integer(value),
            None if text.is_empty() => Err("is empty; a time is required".into()),
            None if digits(text) => Err("exceeds the largest 64-bit integer".into()),
            None => Err(FORMS.into()),
        }
    }

    /// An integer of a typed column, or of a text.
    #[inline]
    pub(crate) fn integer(&self, value: i64) -> Result<(i64, TimeReading), Reason> {
        if let Some(format) = &self.format {
            return Ok((formatted(format, value.to_string().as_bytes())?, TimeReading::Format));
        }
        let unit = match self.unit {
            Some(unit) => unit,
            None => unit_of(value).ok_or_else(|| implausible(value))?,
        };
        let seconds = seconds(value, unit).ok_or("is past the year 9999")?;
        Ok((check_seconds(seconds)?, TimeReading::Count(unit)))
    }

    /// A floating-point number of a typed column.
    pub(crate) fn float(&self, value: f64) -> Result<(i64, TimeReading), Reason> {
        let whole = value.floor();
        // Both bounds are exact as f64; between them the conversion is.
        if !(-9.2e18..9.2e18).contains(&whole) {
            return Err("is past the year 9999".into());
        }
        // Spreadsheets keep the time of day in the fraction.
        if self.unit == Some(TimeUnit::Excel) || self.unit == Some(TimeUnit::Days) {
            let (midnight, reading) = self.integer(whole as i64)?;
            return Ok((midnight + ((value - whole) * 86_400.0).floor() as i64, reading));
        }
        self.integer(whole as i64)
    }

    /// Seconds of a typed column.
    pub(crate) fn seconds(seconds: i64) -> Result<(i64, TimeReading), Reason> {
        Ok((check_seconds(seconds)?, TimeReading::Date))
    }
}

/// Whether this is a time of this age in seconds.
pub(crate) fn is_plausible(seconds: i64) -> bool {
    PLAUSIBLE.contains(&seconds)
}

/// The unit as which this integer is plausible.
fn unit_of(value: i64) -> Option<TimeUnit> {
    let plausible = |per_second: i64| PLAUSIBLE.contains(&value.div_euclid(per_second));
    if plausible(1) {
        Some(TimeUnit::S)
    } else if plausible(1_000) {
        Some(TimeUnit::Ms)
    } else if plausible(1_000_000) {
        Some(TimeUnit::Us)
    } else if plausible(1_000_000_000) {
        Some(TimeUnit::Ns)
    } else {
        None
    }
}

fn seconds(value: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::S => Some(value),
        TimeUnit::Ms => Some(value.div_euclid(1_000)),
        TimeUnit::Us => Some(value.div_euclid(1_000_000)),
        TimeUnit::Ns => Some(value.div_euclid(1_000_000_000)),
        TimeUnit::Days => value.checked_mul(86_400),
        TimeUnit::Excel => value.checked_add(EXCEL_EPOCH)?.checked_mul(86_400),
    }
}

/// What to say about an integer that is plausible as no unit: what it would be, and what settles it.
fn implausible(value: i64) -> Reason {
    let date = |unit| seconds(value, unit).filter(|s| (0..=LAST_SECOND).contains(s)).map(format_time);
    let mut readings = Vec::new();
    for (unit, name) in [(TimeUnit::S, "in seconds"), (TimeUnit::Ms, "in milliseconds")] {
        readings.extend(date(unit).map(|date| format!("{name} it is {date}")));
    }
    if (10_000..200_000).contains(&value) {
        readings.extend(date(TimeUnit::Excel).map(|date| format!("as a spreadsheet's day number {date}")));
    }
    readings.extend(compact(value).map(|format| format!("it may be a date written {format}")));
    let readings =
        if readings.is_empty() { "it is not a plausible date in any unit".to_owned() } else { readings.join(", ") };
    format!(
        "is ambiguous as a time: {readings}; say what the integers are by time_unit=s|ms|us|ns|days|excel or \
         time_format=\"%Y%m%d\", or read no times by time=\"\""
    )
    .into()
}

/// The format in which this integer is a date of 1900 to 2100 written without separators.
fn compact(value: i64) -> Option<&'static str> {
    let year = |y: i64| (1900..2100).contains(&y);
    let month = |m: i64| (1..=12).contains(&m);
    let day = |d: i64| (1..=31).contains(&d);
    match value {
        1900..2100 => Some("%Y"),
        190_001..210_000 if month(value % 100) => Some("%Y%m"),
        19_000_101..21_000_000 if month(value / 100 % 100) && day(value % 100) => Some("%Y%m%d"),
        // 12 and 14 digits.
        _ if year(value / 100_000_000) && month(value / 1_000_000 % 100) && day(value / 10_000 % 100) => {
            Some("%Y%m%d%H%M")
        }
        _ if year(value / 10_000_000_000) && month(value / 100_000_000 % 100) && day(value / 1_000_000 % 100) => {
            Some("%Y%m%d%H%M%S")
        }
        _ => None,
    }
}

/// Whether this integer, which is plausible as epoch seconds or milliseconds, is also a date written without
/// separators: `YYYYMMDDHH`, `YYMMDDHHMM` or `YYMMDDHHMMSS`. One in two hundred is by chance; a column in which all
/// are is one of dates, or cannot be told.
pub(crate) fn also_compact(seconds: i64, reading: TimeReading) -> bool {
    let clock = |value: i64, places: &[i64]| {
        let mut rest = value;
        places.iter().all(|&limit| {
            let part = rest % 100;
            rest /= 100;
            part < limit
        })
    };
    let calendar = |value: i64| (1..=31).contains(&(value % 100)) && (1..=12).contains(&(value / 100 % 100));
    match reading {
        TimeReading::Count(TimeUnit::S) => {
            let by_hour =
                clock(seconds, &[24]) && calendar(seconds / 100) && (1900..2100).contains(&(seconds / 1_000_000));
            by_hour || clock(seconds, &[60, 24]) && calendar(seconds / 10_000)
        }
        _ => false,
    }
}

/// Compiles a format once.
fn compile(format: &str) -> Result<Vec<Item<'static>>> {
    // chrono passes over any word for a zone.
    if format.contains("%Z") {
        return Err(Error::config(
            "time_format",
            "time zone names (%Z) cannot be parsed; use offsets (%z), or convert",
        ));
    }
    let bad = |reason: String| Error::config("time_format", format!("`{format}` {reason}"));
    let items = StrftimeItems::new(format).parse_to_owned().map_err(|_| bad("is not a strftime format".into()))?;
    // A format that can say a date reads back what it writes of one.
    let sample = chrono::NaiveDate::from_ymd_opt(2004, 11, 25).and_then(|date| date.and_hms_opt(21, 43, 58));
    let mut written = String::new();
    if let Some(sample) = sample {
        let utc = sample.and_utc();
        let shown = utc.format_with_items(items.iter());
        fmt::Write::write_fmt(&mut written, format_args!("{shown}")).map_err(|_| bad("cannot be used".into()))?;
    }
    match formatted(&items, written.as_bytes()) {
        Ok(_) => Ok(items),
        Err(_) => Err(bad("does not say year, month and day, as in %Y-%m-%d or %d/%m/%Y %H:%M".into())),
    }
}

fn formatted(format: &[Item<'static>], text: &[u8]) -> Result<i64, Reason> {
    let wrong = || Reason::Borrowed("is not a time in the format of time_format");
    let text = std::str::from_utf8(text).map_err(|_| wrong())?;
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, format.iter()).map_err(|_| wrong())?;
    // `%Y` reads `24` too, as the year 24.
    if parsed.year().is_some_and(|year| !(1000..=9999).contains(&year)) {
        return Err("does not have a four-digit year; %y reads two digits".into());
    }
    if parsed.timestamp().is_some() || parsed.offset().is_some() {
        let offset = chrono::FixedOffset::east_opt(parsed.offset().unwrap_or(0)).ok_or_else(wrong)?;
        if let Ok(local) = parsed.to_naive_datetime_with_offset(offset.local_minus_utc()) {
            let seconds = local.and_utc().timestamp().checked_sub(i64::from(offset.local_minus_utc()));
            return Ok(check_seconds(seconds.ok_or_else(wrong)?)?);
        }
    }
    // A month alone means its first day, a year its first month; a date alone its midnight.
    if parsed.day().is_none() && parsed.ordinal().is_none() && parsed.weekday().is_none() && parsed.year().is_some() {
        let _ = parsed.set_day(1);
        if parsed.month().is_none() {
            let _ = parsed.set_month(1);
        }
    }
    let date = parsed.to_naive_date().map_err(|_| wrong())?;
    let time = match parsed.to_naive_time() {
        Ok(time) => time,
        Err(_) if parsed.hour_div_12().is_none() && parsed.hour_mod_12().is_none() && parsed.minute().is_none() => {
            chrono::NaiveTime::MIN
        }
        // An hour without minutes.
        Err(_) if parsed.minute().is_none() => {
            let _ = parsed.set_minute(0);
            parsed.to_naive_time().map_err(|_| wrong())?
        }
        Err(_) => return Err(wrong()),
    };
    Ok(check_seconds(date.and_time(time).and_utc().timestamp())?)
}

fn digits(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(unit: Option<TimeUnit>, format: Option<&str>) -> Times {
        let options = ReadOptions { time_unit: unit, time_format: format.map(str::to_owned), ..Default::default() };
        Times::new(&options).unwrap()
    }

    #[test]
    fn an_integer_is_one_unit_or_none() {
        let read = |text: &str| times(None, None).text(text.as_bytes());
        for (text, unit) in [
            ("1600000000", TimeUnit::S),
            ("1600000000.25", TimeUnit::S),
            ("1600000000123", TimeUnit::Ms),
            ("1600000000123456", TimeUnit::Us),
            ("1600000000123456789", TimeUnit::Ns),
        ] {
            assert_eq!(read(text), Ok((1_600_000_000, TimeReading::Count(unit))), "{text}");
        }
        for (text, hint) in [
            ("20240105", "%Y%m%d"),
            ("202403", "%Y%m"),
            ("2024", "%Y"),
            ("202401051230", "%Y%m%d%H%M"),
            ("20240105123059", "%Y%m%d%H%M%S"),
            ("45352", "2024-03-01"),
            ("1", "1970-01-01 00:00:01"),
            ("0", "time_unit"),
            ("-5", "time_unit"),
            ("637134336000000000", "time_unit"),
            ("9223372036854775807", "time_unit"),
            ("-9223372036854775808", "time_unit"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(hint) && said.contains("time_unit=s|ms|us|ns|days"), "{text}: {said}");
        }
        assert!(read("9223372036854775808").unwrap_err().contains("64-bit"));
    }

    #[test]
    fn units_that_are_said() {
        let read = |unit, text: &str| times(Some(unit), None).text(text.as_bytes()).map(|found| found.0);
        assert_eq!(read(TimeUnit::S, "-5"), Ok(-5));
        assert_eq!(read(TimeUnit::Ms, "-1"), Ok(-1));
        assert_eq!(read(TimeUnit::Days, "19000"), Ok(19_000 * 86_400));
        // 2024-03-01 in every spreadsheet.
        assert_eq!(read(TimeUnit::Excel, "45352"), Ok(1_709_251_200));
        assert_eq!(read(TimeUnit::Excel, "45352.5"), Ok(1_709_294_400));
        assert_eq!(times(Some(TimeUnit::Excel), None).float(45_352.5).map(|found| found.0), Ok(1_709_294_400));
        assert_eq!(read(TimeUnit::Ms, "2020-09-13"), Ok(1_599_955_200), "a date is a date");
        for (unit, text) in [
            (TimeUnit::Days, "9223372036854775807"),
            (TimeUnit::Excel, "-9223372036854775808"),
            (TimeUnit::S, "1600000000000"),
        ] {
            assert!(read(unit, text).unwrap_err().contains("9999"), "{text}");
        }
    }

    #[test]
    fn formats() {
        let read = |format: &str, text: &str| times(None, Some(format)).text(text.as_bytes()).map(|found| found.0);
        assert_eq!(read("%Y%m%d", "20240105"), Ok(1_704_412_800));
        assert_eq!(times(None, Some("%Y%m%d")).integer(20_240_105).map(|found| found.0), Ok(1_704_412_800));
        assert_eq!(read("%d/%m/%Y", "05/01/2024"), Ok(1_704_412_800));
        assert_eq!(read("%m/%d/%y", "1/5/24"), Ok(1_704_412_800));
        assert_eq!(read("%d.%m.%Y %H:%M", "05.01.2024 10:30"), Ok(1_704_450_600));
        assert_eq!(read("%Y%m%d%H", "2024010510"), Ok(1_704_448_800));
        assert_eq!(read("%Y%m", "202401"), Ok(1_704_067_200));
        assert_eq!(read("%Y", "2024"), Ok(1_704_067_200));
        assert_eq!(read("%b %d %Y", "Jan 05 2024"), Ok(1_704_412_800));
        assert_eq!(read("%Y-%m-%dT%H:%M:%S%z", "2024-01-05T02:00:00+0200"), Ok(1_704_412_800));
        assert_eq!(read("%s", "1704412800"), Ok(1_704_412_800));
        for (format, text) in [
            ("%Y%m%d", "20241305"),
            ("%d/%m/%Y", "2024-01-05"),
            ("%Y%m%d", ""),
            ("%Y%m%d", "202401051"),
            ("%d/%m/%Y", "05/01/24"),
            ("%Y-%m-%d", "-2024-01-05"),
        ] {
            assert!(read(format, text).is_err(), "{format} {text}");
        }
        for bad in ["%H:%M", "%d/%m", "%Q", "day", "", "%Y-%m-%d %Z"] {
            let options = ReadOptions { time_format: Some(bad.into()), ..Default::default() };
            assert!(Times::new(&options).unwrap_err().to_string().starts_with("time_format: "), "{bad}");
        }
    }

    #[test]
    fn dates_without_separators_that_look_like_seconds() {
        let by_seconds = TimeReading::Count(TimeUnit::S);
        assert!(also_compact(2_024_010_512, by_seconds) && also_compact(1_612_312_359, by_seconds));
        assert!(!also_compact(1_600_000_000, by_seconds) && !also_compact(1_512_345_600, by_seconds));
    }
}
