//! The shape of a dataset, in words.

use tercel::data::shape::{HeldOut, NextItem, Shape};

use crate::output::{Output, thousands};

/// What the defaults of a training follow from.
pub fn lines(shape: &Shape, out: &Output) {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    out.text(format_args!(
        "  shape: {:.1} rows per user (median {}), {:.1} per item; Gini {:.2} of the rows per item; {} of the rows repeat",
        shape.user_rows,
        thousands(shape.user_rows_median),
        shape.item_rows,
        shape.gini,
        percent(shape.repeats)
    ));
    let order = match shape.timed {
        None => "none: no times".to_owned(),
        Some(share) if shape.is_ordered() => {
            format!("by time: {} of the rows have a time of their own", percent(share))
        }
        Some(share) => {
            format!("hardly any: only {} of a user's rows differ in time from the row before", percent(share))
        }
    };
    out.text(format_args!("  order: {order}"));
    if let Some(NextItem { users, last, earlier, all, popularity }) = shape.next {
        out.text(format_args!(
            "  next item, {} users, in the top 20: {} by the two before, {} by two earlier ones, {} by all before, {} by \
             popularity",
            thousands(users),
            percent(last),
            percent(earlier),
            percent(all),
            percent(popularity)
        ));
    }
    if let Some(HeldOut { users, neighbours, popularity }) = shape.held_out {
        out.text(format_args!(
            "  any item, {} users, in the top 20: {} by all others, {} by popularity",
            thousands(users),
            percent(neighbours),
            percent(popularity)
        ));
    }
}
