//! Texts as a search's page and its drawings show them.

use serde_json::Value;

/// The last part of a key, with the tower where there are two of them.
pub(super) fn short(key: &str) -> &str {
    let rest = key.split_once('.').map_or(key, |(_, rest)| rest);
    if key.starts_with("model.") { rest } else { key }
}

/// A value as TOML has it, in HTML.
pub(super) fn written(value: &Value) -> String {
    escaped(&value.to_string())
}

/// A text in HTML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
