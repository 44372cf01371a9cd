//! Ids that are not found: whether they would be, written otherwise.

use std::borrow::Cow;

use hashbrown::HashSet;

/// Another way to write an id.
type Spelling = fn(&[u8]) -> Cow<'_, [u8]>;

/// What the same id is often told apart by, and how that is said.
const FORMS: [(&str, Spelling); 4] = [
    ("without surrounding white space", |id| Cow::Borrowed(id.trim_ascii())),
    ("without a trailing `.0`", without_fraction),
    ("without leading zeros", without_zeros),
    ("in lower case", lower_case),
];

fn without_fraction(id: &[u8]) -> Cow<'_, [u8]> {
    let id = id.trim_ascii();
    let point = id.iter().rposition(|byte| *byte != b'0').unwrap_or(0);
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    match id.get(point) {
        Some(b'.') if point + 1 < id.len() && is_number(&id[..point]) => Cow::Borrowed(&id[..point]),
        _ => Cow::Borrowed(id),
    }
}

fn without_zeros(id: &[u8]) -> Cow<'_, [u8]> {
    let id = id.trim_ascii();
    let zeros = id.iter().take_while(|byte| **byte == b'0').count();
    Cow::Borrowed(if zeros == id.len() { id } else { &id[zeros..] })
}

fn lower_case(id: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(id) {
        Ok(text) => Cow::Owned(text.trim().to_lowercase().into_bytes()),
        Err(_) => Cow::Owned(id.to_ascii_lowercase()),
    }
}

/// How ids that are not found would be.
pub(crate) struct Closest {
    /// Known ids that would be met.
    pub(crate) ids: u64,
    /// The form in which they are the same.
    pub(crate) how: &'static str,
    /// One that is not found, and the known one that it would be.
    pub(crate) example: (Vec<u8>, Vec<u8>),
}

/// Calls its argument with every known id.
type KnownIds<'a> = &'a dyn Fn(&mut dyn FnMut(&[u8]));

/// The form in which most of the ids that `known` calls its argument with are among these, which are not found as they
/// are; None where no form finds any.
pub(crate) fn closest(unknown: &[Vec<u8>], known: KnownIds<'_>) -> Option<Closest> {
    let mut best: Option<Closest> = None;
    for (how, form) in FORMS {
        let wanted: HashSet<Cow<'_, [u8]>> = unknown.iter().map(|id| form(id)).collect();
        let (mut ids, mut first) = (0, None);
        known(&mut |id| {
            if wanted.contains(&form(id)) {
                ids += 1;
                first.get_or_insert_with(|| id.to_vec());
            }
        });
        let Some(id) = first else { continue };
        if best.as_ref().is_none_or(|best| ids > best.ids) {
            let same = unknown.iter().find(|key| form(key) == form(&id)).cloned().unwrap_or_default();
            best = Some(Closest { ids, how, example: (same, id) });
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let form = |at: usize, id: &str| String::from_utf8(FORMS[at].1(id.as_bytes()).into_owned()).unwrap();
        assert_eq!((form(0, " u1  "), form(0, "u1")), ("u1".into(), "u1".into()));
        assert_eq!((form(1, "123.0"), form(1, "123.00"), form(1, "123")), ("123".into(), "123".into(), "123".into()));
        let kept = ["120", "1.50", "x.0", ".0", "1.", "0"];
        assert_eq!(kept.map(|id| form(1, id)), kept);
        assert_eq!((form(2, "00123"), form(2, "000"), form(2, "0x")), ("123".into(), "000".into(), "x".into()));
        assert_eq!(form(3, "AbC"), "abc");
    }

    #[test]
    fn the_form_that_finds_most() {
        let unknown = [b"12.0".to_vec(), b"7.0".to_vec(), b"A".to_vec()];
        let known: [&[u8]; 4] = [b"12", b"7", b"a", b"9"];
        let found = closest(&unknown, &|each| known.iter().for_each(|id| each(id))).unwrap();
        assert_eq!((found.ids, found.how, found.example), (2, FORMS[1].0, (b"12.0".to_vec(), b"12".to_vec())));
        assert!(closest(&unknown, &|each| each(b"x")).is_none());
    }
}
