//! Dates as people write them, to seconds since 1970-01-01 UTC, and back. Which integers are times: [`super::times`].

/// The last second of the year 9999.
pub(crate) const LAST_SECOND: i64 = 253_402_300_799;

pub(super) const FORMS: &str = "is not a time; YYYY-MM-DD, YYYY-MM-DD HH:MM[:SS] and epoch integers are read \
                                (time_format=\"%d/%m/%Y\", say, reads other forms)";

/// Reads `YYYY-MM-DD`, `YYYY-MM-DD HH:MM[:SS[.fraction]]` with a space or `T` between and `Z` or an offset (`+02:00`)
/// behind, or whole epoch seconds. Without an offset it is UTC. The error completes "`text` …".
pub(crate) fn parse_time(text: &[u8]) -> Result<i64, &'static str> {
    let text = text.trim_ascii();
    if looks_like_date(text) {
        return parse_date(text);
    }
    check_seconds(parse_integer(text).ok_or(FORMS)?)
}

/// Whether this is written `YYYY-MM-DD…`.
pub(super) fn looks_like_date(text: &[u8]) -> bool {
    text.len() >= 10 && text[4] == b'-' && text[7] == b'-'
}

/// Refuses seconds that are no date from the year -9999 to 9999.
pub(super) fn check_seconds(seconds: i64) -> Result<i64, &'static str> {
    match (-LAST_SECOND..=LAST_SECOND).contains(&seconds) {
        true => Ok(seconds),
        false => Err("is past the year 9999"),
    }
}

/// The integer part of a decimal number without an exponent, rounded down; None for anything else, or past `i64`.
pub(super) fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.iter().position(|b| *b == b'.') {
        Some(dot) => (&digits[..dot], &digits[dot + 1..]),
        None => (digits, &b""[..]),
    };
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return None;
    }
    let step = |sum: i64, digit: &u8| {
        let digit = i64::from(digit - b'0');
        sum.checked_mul(10)?.checked_add(if negative { -digit } else { digit })
    };
    let value = whole.iter().try_fold(0i64, step)?;
    let down = i64::from(negative && fraction.iter().any(|digit| *digit != b'0'));
    value.checked_sub(down)
}

fn number(text: &[u8]) -> Result<i64, &'static str> {
    if !text.iter().all(u8::is_ascii_digit) {
        return Err(FORMS);
    }
    Ok(text.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

pub(super) fn parse_date(text: &[u8]) -> Result<i64, &'static str> {
    let (year, month, day) = (number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return Err("has no such month"),
    };
    if !(1..=days).contains(&day) {
        return Err("has no such day");
    }
    let midnight = days_since_epoch(year, month, day) * 86_400;
    if text.len() == 10 {
        return Ok(midnight);
    }
    Ok(midnight + parse_clock(&text[10..])?)
}

/// Seconds since midnight UTC of ` HH:MM[:SS[.fraction]][Z|+HH:MM]`.
fn parse_clock(text: &[u8]) -> Result<i64, &'static str> {
    if text.len() < 6 || !matches!(text[0], b' ' | b'T') || text[3] != b':' {
        return Err(FORMS);
    }
    let (hour, minute) = (number(&text[1..3])?, number(&text[4..6])?);
    let mut rest = &text[6..];
    let mut second = 0;
    if let Some(tail) = rest.strip_prefix(b":") {
        if tail.len() < 2 {
            return Err(FORMS);
        }
        second = number(&tail[..2])?;
        rest = &tail[2..];
        if let Some(fraction) = rest.strip_prefix(b".") {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return Err(FORMS);
            }
            rest = &fraction[digits..];
        }
    }
    if hour > 23 || minute > 59 || second > 60 {
        return Err("has no such time of day");
    }
    Ok(hour * 3600 + minute * 60 + second - offset(rest.trim_ascii_start())?)
}

/// Seconds that a clock with this offset is ahead of UTC.
fn offset(text: &[u8]) -> Result<i64, &'static str> {
    let (sign, digits) = match text {
        b"" | b"Z" | b"z" | b"UTC" => return Ok(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return Err(FORMS),
    };
    let (hours, minutes) = match digits.len() {
        5 if digits[2] == b':' => (number(&digits[..2])?, number(&digits[3..])?),
        4 => (number(&digits[..2])?, number(&digits[2..])?),
        2 => (number(digits)?, 0),
        _ => return Err(FORMS),
    };
    if hours > 14 || minutes > 59 {
        return Err("has no such offset from UTC");
    }
    Ok(sign * (hours * 3600 + minutes * 60))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years start in March here, so that the leap day is last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date and, unless it is midnight, the time of day: what [`parse_time`] reads back. Before the year 0 and after
/// 9999: the seconds.
pub(crate) fn format_time(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400);
    let clock = seconds.rem_euclid(86_400);
    let shifted = days.saturating_add(719_468);
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if !(0..=9999).contains(&year) {
        return seconds.to_string();
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    match clock {
        0 => date,
        _ => format!("{date} {:02}:{:02}:{:02}", clock / 3600, clock / 60 % 60, clock % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (text, seconds) in [
            ("0", 0),
            ("-1", -1),
            ("-86400", -86400),
            ("1512345600", 1_512_345_600),
            ("1512345600.75", 1_512_345_600),
            ("-0.5", -1),
            (" 12 ", 12),
            ("1970-01-01", 0),
            ("1969-12-31", -86400),
            ("2017-12-04", 1_512_345_600),
            ("2000-02-29", 951_782_400),
            ("0001-01-01", -62_135_596_800),
            ("2010-12-01 08:26", 1_291_191_960),
            ("2010-12-01 08:26:05", 1_291_191_965),
            ("2010-12-01T08:26:05Z", 1_291_191_965),
            ("2010-12-01T08:26:05.123456+02:00", 1_291_184_765),
            ("2010-12-01 08:26:05-0130", 1_291_197_365),
            ("9999-12-31 23:59:59", LAST_SECOND),
        ] {
            assert_eq!(parse_time(text.as_bytes()), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn bad_times() {
        for text in [
            "",
            " ",
            "-",
            "x",
            "1e9",
            "1,5",
            "1.2.3",
            "1.x",
            "+5",
            "2017-02-29",
            "2017-13-01",
            "2017-00-10",
            "2017-01-32",
            "2017-1-01",
            "17-01-2017",
            "2017-01-01 ",
            "2017-01-01 8:00",
            "2017-01-01 25:00",
            "2017-01-01 08:61",
            "2017-01-01 08:00:",
            "2017-01-01 08:00:0x",
            "2017-01-01 08:00:00.",
            "2017-01-01 08:00 CET",
            "2017-01-01T08:00+99:00",
            "1512345600000",
            "99999999999999999999999",
            "2017-01-01x",
        ] {
            let trimmed = text.trim_ascii();
            if trimmed == "2017-01-01" {
                continue;
            }
            assert!(parse_time(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        let mut seconds = parse_time(b"1800-01-01").unwrap();
        let mut previous = String::new();
        for _ in 0..146_097 + 10 {
            let text = format_time(seconds);
            assert!(text > previous, "{previous} {text}");
            assert_eq!(parse_time(text.as_bytes()), Ok(seconds));
            previous = text;
            seconds += 86_400;
        }
    }
}
