//! Numbers as text, and the words of the files.

use crate::rng::mix;

/// Product types, each with its group and its garment group.
pub(super) const TYPES: [(&str, &str, &str); 16] = [
    ("Trousers", "Garment Lower body", "Trousers"),
    ("Dress", "Garment Full body", "Dresses Ladies"),
    ("Sweater", "Garment Upper body", "Knitwear"),
    ("T-shirt", "Garment Upper body", "Jersey Basic"),
    ("Top", "Garment Upper body", "Jersey Fancy"),
    ("Blouse", "Garment Upper body", "Blouses"),
    ("Jacket", "Garment Upper body", "Outdoor"),
    ("Shorts", "Garment Lower body", "Shorts"),
    ("Shirt", "Garment Upper body", "Shirts"),
    ("Vest top", "Garment Upper body", "Jersey Basic"),
    ("Underwear bottom", "Underwear", "Under-, Nightwear"),
    ("Skirt", "Garment Lower body", "Skirts"),
    ("Hoodie", "Garment Upper body", "Jersey Fancy"),
    ("Bra", "Underwear", "Under-, Nightwear"),
    ("Socks", "Socks & Tights", "Socks and Tights"),
    ("Sneakers", "Shoes", "Shoes"),
];

pub(super) const COLOURS: [(&str, &str); 12] = [
    ("Black", "Dark"),
    ("White", "Light"),
    ("Off White", "Dusty Light"),
    ("Dark Blue", "Dark"),
    ("Beige", "Medium Dusty"),
    ("Light Pink", "Dusty Light"),
    ("Red", "Bright"),
    ("Grey", "Medium"),
    ("Light Blue", "Light"),
    ("Khaki green", "Medium Dusty"),
    ("Yellow", "Bright"),
    ("Dark Grey", "Dark"),
];

pub(super) const APPEARANCES: [&str; 8] =
    ["Solid", "All over pattern", "Melange", "Stripe", "Denim", "Front print", "Check", "Lace"];

/// Index code, name, group number and group name.
pub(super) const INDEXES: [(&str, &str, u32, &str); 6] = [
    ("A", "Ladieswear", 1, "Ladieswear"),
    ("B", "Lingeries/Tights", 1, "Ladieswear"),
    ("D", "Divided", 2, "Divided"),
    ("F", "Menswear", 3, "Menswear"),
    ("G", "Baby Sizes 50-98", 4, "Baby/Children"),
    ("S", "Sport", 26, "Sport"),
];

/// Appends 64 hex digits: no two customers of a seed have the same.
pub(super) fn hex_id(out: &mut Vec<u8>, seed: u64, kind: u64, number: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let key = mix(seed ^ mix(kind));
    for part in 0..4u64 {
        // The first part alone tells two numbers apart: `mix` is a bijection.
        let word = mix(number ^ key.rotate_left(part as u32 * 16) ^ part << 60);
        out.extend((0..16).rev().map(|i| DIGITS[(word >> (4 * i) & 15) as usize]));
    }
}

/// Appends a number with leading zeros.
pub(super) fn padded(out: &mut Vec<u8>, number: u64, digits: u32) {
    out.extend((0..digits).rev().map(|i| b'0' + (number / 10u64.pow(i) % 10) as u8));
}

/// Day `day` of the data as YYYY-MM-DD; day 0 is 2018-09-20.
pub(super) fn date(day: u32) -> String {
    // Days since 1970-01-01 to a date of the proleptic calendar, by eras of 400 years that begin in March.
    let days = i64::from(day) + 17_794 + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (date, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{date:02}", year + era * 400 + i64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_digits() {
        assert_eq!(date(0), "2018-09-20");
        assert_eq!(date(102), "2018-12-31");
        assert_eq!((date(527), date(528)), ("2020-02-29".into(), "2020-03-01".into()));
        assert_eq!(date(733), "2020-09-22");
        let mut text = Vec::new();
        padded(&mut text, 10_877_501, 10);
        assert_eq!(text, b"0010877501");
        text.clear();
        hex_id(&mut text, 1, 2, 3);
        assert!(text.len() == 64 && text.iter().all(u8::is_ascii_hexdigit));
    }
}
