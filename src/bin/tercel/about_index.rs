//! What is known of an index, for people and programs.

use serde_json::json;
use tercel::index::item_index::{About, QuerySource};

use crate::output::{Output, round, thousands};

/// What is known of an index, for people.
pub fn lines(about: &About, out: &Output) {
    let Some(measured) = &about.measured else {
        return out.text("  exact: searches all items");
    };
    let recall = measured.recall;
    let source = match measured.source {
        QuerySource::Given => "held-out queries",
        QuerySource::Items => "items used as queries",
    };
    out.text(format_args!(
        "  recall@{} {:.4} ({:.4} to {:.4}) over {} {source}; {:.1} % of the items read, {} lists",
        about.k,
        recall.value,
        recall.low,
        recall.high,
        thousands(measured.queries as u64),
        100.0 * measured.items_read,
        thousands(about.lists.unwrap_or(0) as u64),
    ));
    for filtered in &measured.filtered {
        out.text(format_args!("  {:>3.0} % admitted: recall {:.4}", 100.0 * filtered.admitted, filtered.recall.value));
    }
}

/// How it searches.
fn method(about: &About) -> &'static str {
    match (&about.measured, about.lists, about.scan_recall) {
        (None, ..) => "exact",
        (_, Some(_), _) => "lists",
        _ => "scan",
    }
}

/// What is known of an index, as fields.
pub fn describe(about: &About) -> serde_json::Value {
    let measured = about.measured.as_ref();
    json!({
        "method": method(about),
        "k": about.k,
        "recall": measured.map(|m| round(m.recall.value)),
        "recall_low": measured.map(|m| round(m.recall.low)),
        "recall_high": measured.map(|m| round(m.recall.high)),
        "queries": measured.map(|m| m.queries),
        "items_read_share": measured.map(|m| round(m.items_read)),
        "lists": about.lists,
        "catalogue": about.catalogue,
    })
}
