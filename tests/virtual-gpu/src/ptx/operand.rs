//! Operands: text to [`Arg`].

use super::syntax::Arg;

/// A number's bits: decimal, hexadecimal, octal, binary, `0f`, `0d`, or a decimal fraction (as f64 bits are not asked
/// for where this is used, a fraction is refused).
pub(crate) fn literal(text: &str) -> Option<u64> {
    match number(text)? {
        Arg::Int(v) | Arg::F64(v) => Some(v),
        Arg::F32(v) => Some(v.into()),
        _ => None,
    }
}

fn number(text: &str) -> Option<Arg> {
    let (negative, body) = text.strip_prefix('-').map_or((false, text), |t| (true, t.trim_start()));
    if !body.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Some(hex) = body.strip_prefix("0f").or_else(|| body.strip_prefix("0F")) {
        let bits = u32::from_str_radix(hex, 16).ok()?;
        return Some(Arg::F32(bits ^ u32::from(negative) << 31));
    }
    if let Some(hex) = body.strip_prefix("0d").or_else(|| body.strip_prefix("0D")) {
        let bits = u64::from_str_radix(hex, 16).ok()?;
        return Some(Arg::F64(bits ^ u64::from(negative) << 63));
    }
    let digits = body.trim_end_matches('U');
    let value = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16).ok()?
    } else if let Some(bits) = digits.strip_prefix("0b").or_else(|| digits.strip_prefix("0B")) {
        u64::from_str_radix(bits, 2).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) {
        u64::from_str_radix(digits, 8).ok()?
    } else if digits.contains(['.', 'e', 'E']) {
        let v: f64 = digits.parse().ok()?;
        return Some(Arg::Decimal(if negative { -v } else { v }));
    } else {
        digits.parse().ok()?
    };
    Some(Arg::Int(if negative { value.wrapping_neg() } else { value }))
}

/// Splits at commas outside brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut out) = (0i32, 0, Vec::new());
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth -= 1,
            b',' if depth == 0 => {
                out.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    out.push(text[start..].trim());
    out
}

/// The operands of an instruction.
pub(crate) fn list(text: &str) -> Result<Vec<Arg>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    split(text).into_iter().map(operand).collect()
}

fn inner(text: &str, open: char, close: char) -> Option<&str> {
    text.strip_prefix(open)?.strip_suffix(close).map(str::trim)
}

fn name(text: &str) -> Option<String> {
    let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$' | '%');
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '%' | '.');
    (text.starts_with(first) && text.chars().all(rest)).then(|| text.to_string())
}

/// `name+offset`, `name` or a bare number.
fn based(text: &str) -> Option<(Option<String>, i64)> {
    if let Some(n) = name(text) {
        return Some((Some(n), 0));
    }
    if let Some(Arg::Int(v)) = number(text) {
        return Some((None, v as i64));
    }
    let at = text.find(['+', '-'])?;
    let base = name(text[..at].trim())?;
    let sign = if text.as_bytes()[at] == b'-' { -1 } else { 1 };
    let Arg::Int(v) = number(text[at + 1..].trim())? else { return None };
    Some((Some(base), (v as i64).wrapping_mul(sign)))
}

fn operand(text: &str) -> Result<Arg, String> {
    let bad = || format!("operand `{text}` is not understood");
    if text == "_" {
        return Ok(Arg::Sink);
    }
    if let Some(t) = inner(text, '{', '}') {
        return Ok(Arg::Vector(list(t)?));
    }
    if let Some(t) = inner(text, '(', ')') {
        return Ok(Arg::List(list(t)?));
    }
    if let Some(t) = inner(text, '[', ']') {
        let (base, offset) = based(t).ok_or_else(bad)?;
        return Ok(Arg::Memory(base, offset));
    }
    if let Some((a, b)) = text.split_once('|') {
        return Ok(Arg::Pair(Box::new(operand(a.trim())?), Box::new(operand(b.trim())?)));
    }
    if let Some(t) = text.strip_prefix('!') {
        return Ok(Arg::Not(name(t.trim()).ok_or_else(bad)?));
    }
    if let Some(n) = number(text) {
        return Ok(n);
    }
    match based(text).ok_or_else(bad)? {
        (Some(n), 0) => Ok(Arg::Name(n)),
        (Some(n), offset) => Ok(Arg::Offset(n, offset)),
        (None, v) => Ok(Arg::Int(v as u64)),
    }
}
