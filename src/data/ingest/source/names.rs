//! Common names of interaction columns.

/// Most telling first. Compared without case, `_`, `-`, spaces, and what follows a `:`.
pub(super) const USER_NAMES: &[&str] = &[
    "user",
    "userid",
    "customer",
    "customerid",
    "household",
    "householdid",
    "visitorid",
    "memberid",
    "accountid",
    "buyerid",
    "reviewerid",
    "uid",
    "sessionid",
    "session",
];
pub(super) const ITEM_NAMES: &[&str] = &[
    "item",
    "itemid",
    "product",
    "productid",
    "article",
    "articleid",
    "movie",
    "movieid",
    "sku",
    "skuid",
    "stockcode",
    "asin",
    "trackid",
    "songid",
    "artistid",
    "bookid",
    "isbn",
    "newsid",
    "adid",
    "businessid",
    "iid",
    "description",
];
pub(super) const TIME_NAMES: &[&str] = &[
    "timestamp",
    "time",
    "tdat",
    "datetime",
    "date",
    "eventtime",
    "eventtimestamp",
    "invoicedate",
    "orderdate",
    "purchasedate",
    "createdat",
    "unixreviewtime",
    "ts",
];

/// The column with the most telling of these names.
pub(super) fn guess(columns: &[String], names: &[&str]) -> Option<String> {
    let plain = |column: &String| -> String {
        let name = column.split(':').next().unwrap_or_default();
        name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
    };
    names.iter().find_map(|name| columns.iter().find(|column| plain(column) == *name).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_headers() {
        let columns = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        for (header, user, item, time) in [
            (&["userId", "movieId", "rating", "timestamp"][..], "userId", "movieId", Some("timestamp")),
            (&["user_id:token", "item_id:token"], "user_id:token", "item_id:token", None),
            (&["t_dat", "household_id", "product_id"], "household_id", "product_id", Some("t_dat")),
            (&["invoice_date", "customer_id", "description"], "customer_id", "description", Some("invoice_date")),
            (&["description", "User", "Item ID"], "User", "Item ID", None),
        ] {
            let header = columns(header);
            assert_eq!(guess(&header, USER_NAMES).as_deref(), Some(user));
            assert_eq!(guess(&header, ITEM_NAMES).as_deref(), Some(item));
            assert_eq!(guess(&header, TIME_NAMES).as_deref(), time);
        }
        assert_eq!(guess(&columns(&["a", "b"]), USER_NAMES), None);
    }
}
