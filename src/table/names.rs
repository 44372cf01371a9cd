//! Which column is what: common names, in ranks.

use crate::{Error, Result};

/// What a column can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    User,
    Item,
    Time,
}

impl Role {
    /// The word for it, which is also the name of the setting.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Item => "item",
            Role::Time => "time",
        }
    }

    /// Names by rank, the most telling first: a name that says id is worth more than a bare noun. Two columns of one
    /// rank cannot be told apart. Compared without case, `_`, `-`, `.`, spaces, and what follows a `:`.
    fn ranks(self) -> &'static [&'static [&'static str]] {
        match self {
            Role::User => USER,
            Role::Item => ITEM,
            Role::Time => TIME,
        }
    }
}

const USER: &[&[&str]] = &[
    &[
        "userid",
        "customerid",
        "householdid",
        "visitorid",
        "memberid",
        "accountid",
        "buyerid",
        "reviewerid",
        "clientid",
        "personid",
        "consumerid",
        "subscriberid",
        "shopperid",
        "playerid",
        "listenerid",
        "readerid",
        "viewerid",
        "profileid",
        "patronid",
        "studentid",
        "uid",
        "custid",
        "useruid",
        "useruuid",
        "userguid",
        "userkey",
        "customerkey",
        "usersk",
        "customersk",
        "userno",
        "customerno",
        "usernumber",
        "customernumber",
        "usercode",
        "customercode",
        "userhash",
        "fullvisitorid",
        "userpseudoid",
        "msno",
    ],
    &[
        "user",
        "customer",
        "household",
        "visitor",
        "member",
        "account",
        "buyer",
        "reviewer",
        "client",
        "person",
        "username",
    ],
    &["sessionid", "session", "visitid", "basketid"],
];
const ITEM: &[&[&str]] = &[
    &[
        "itemid",
        "productid",
        "articleid",
        "movieid",
        "sku",
        "skuid",
        "stockcode",
        "asin",
        "parentasin",
        "trackid",
        "songid",
        "artistid",
        "albumid",
        "bookid",
        "isbn",
        "newsid",
        "adid",
        "businessid",
        "gameid",
        "appid",
        "videoid",
        "showid",
        "recipeid",
        "contentid",
        "listingid",
        "offerid",
        "goodsid",
        "materialid",
        "animeid",
        "venueid",
        "placeid",
        "poiid",
        "postid",
        "courseid",
        "jobid",
        "beerid",
        "variantid",
        "propertyid",
        "restaurantid",
        "iid",
        "itemkey",
        "productkey",
        "itemsk",
        "productsk",
        "itemno",
        "productno",
        "articleno",
        "itemnumber",
        "productnumber",
        "articlenumber",
        "itemcode",
        "productcode",
        "articlecode",
        "itemuuid",
        "productuuid",
        "upc",
        "ean",
        "gtin",
        "barcode",
    ],
    &[
        "item",
        "product",
        "article",
        "movie",
        "track",
        "song",
        "artist",
        "album",
        "book",
        "game",
        "video",
        "recipe",
        "itemname",
        "productname",
    ],
    &["description"],
];
const TIME: &[&[&str]] = &[
    &[
        "timestamp",
        "datetime",
        "tdat",
        "eventtime",
        "eventtimestamp",
        "eventdatetime",
        "unixtime",
        "unixtimestamp",
        "unixreviewtime",
        "epoch",
        "ts",
        "transactiontimestamp",
        "transactiondatetime",
        "purchasetimestamp",
        "ordertimestamp",
        "orderpurchasetimestamp",
        "timestampms",
        "timestamps",
        "invoicedatetime",
        "interactiontime",
        "ratingtimestamp",
    ],
    &[
        "time",
        "date",
        "invoicedate",
        "orderdate",
        "purchasedate",
        "transactiondate",
        "transactiontime",
        "purchasetime",
        "ordertime",
        "eventdate",
        "createdat",
        "created",
        "createdtime",
        "purchasedat",
        "ratedat",
        "clickedat",
        "reviewtime",
        "reviewdate",
        "visitdate",
        "saledate",
        "day",
    ],
];

/// A name without what does not tell.
pub(crate) fn plain(column: &str) -> String {
    let name = column.split(':').next().unwrap_or_default();
    name.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' ')).flat_map(char::to_lowercase).collect()
}

/// The column for a role among `columns`, without those at `used`; None where none has a common name.
///
/// # Errors
/// The names of the columns, where several have the best rank.
pub(crate) fn guess(columns: &[String], role: Role, used: &[usize]) -> std::result::Result<Option<usize>, Vec<String>> {
    // Wide tables have a hundred thousand columns: each is looked at once.
    let mut best: Option<(usize, Vec<usize>)> = None;
    for (at, column) in columns.iter().enumerate().filter(|(at, _)| !used.contains(at)) {
        // No name of a role is longer.
        if column.len() > 64 {
            continue;
        }
        let name = plain(column);
        let Some(rank) = role.ranks().iter().position(|names| names.contains(&name.as_str())) else { continue };
        match &mut best {
            Some((of, found)) if *of == rank => found.push(at),
            Some((of, _)) if *of < rank => {}
            _ => best = Some((rank, vec![at])),
        }
    }
    match best {
        None => Ok(None),
        Some((_, found)) if found.len() == 1 => Ok(Some(found[0])),
        Some((_, found)) => Err(found.iter().map(|&at| columns[at].clone()).collect()),
    }
}

/// The column that names the users or items of a file of theirs: one called `name` (as the interactions call it), or
/// one with a common name. None where there is none.
///
/// # Errors
/// As [`guess`].
pub(crate) fn key(columns: &[String], name: &str, role: Role) -> std::result::Result<Option<usize>, Vec<String>> {
    if let Some(at) = columns.iter().position(|column| column == name) {
        return Ok(Some(at));
    }
    let same = |column: &&String| column.len() <= 256 && plain(column) == plain(name);
    match columns.iter().filter(same).count() {
        0 => guess(columns, role, &[]),
        1 => Ok(columns.iter().position(|column| same(&column))),
        _ => Err(columns.iter().filter(same).cloned().collect()),
    }
}

/// Whether a column of this name is the one that the side calls `name`, or may be.
pub(crate) fn is_name_of(column: &str, name: &str, role: Role) -> bool {
    let column = [column.trim().to_owned()];
    matches!(key(&column, name, role), Ok(Some(_)))
}

/// Some columns' names for an error, cut where they are many or long.
pub(crate) fn listed(columns: &[String]) -> String {
    const MOST: usize = 20;
    let cut = |column: &String| match column.chars().count() {
        0 => "(no name)".to_owned(),
        n if n > 40 => format!("{}…", column.chars().take(40).collect::<String>()).replace(char::is_control, "?"),
        _ => column.replace(char::is_control, "?"),
    };
    let mut text = columns.iter().take(MOST).map(cut).collect::<Vec<_>>().join(", ");
    if columns.len() > MOST {
        text += &format!(" and {} more", columns.len() - MOST);
    }
    text
}

/// The error for several candidates. `setting` says which of them it is.
pub(crate) fn ambiguous(path: &std::path::Path, role: Role, candidates: &[String], setting: &str) -> Error {
    let word = role.word();
    let names = listed(candidates);
    Error::input(
        path,
        format!("{} columns may be the {word}: {names}; say which by {setting}=COLUMN", candidates.len()),
    )
}

/// Refuses two columns of one name where it matters: a wanted column that is there twice.
pub(crate) fn check_unique(path: &std::path::Path, columns: &[String]) -> Result<()> {
    let mut seen = hashbrown::HashSet::with_capacity(columns.len());
    match columns.iter().find(|name| !name.is_empty() && !seen.insert(name.as_str())) {
        Some(name) => Err(Error::input(path, format!("two columns are called `{name}`; rename one"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn common_headers() {
        for (header, user, item, time) in [
            (&["userId", "movieId", "rating", "timestamp"][..], 0, 1, Some(3)),
            (&["user_id:token", "item_id:token"], 0, 1, None),
            (&["t_dat", "household_id", "product_id"], 1, 2, Some(0)),
            (&["invoice_date", "customer_id", "description"], 1, 2, Some(0)),
            (&["description", "User", "Item ID"], 1, 2, None),
            (&["customer_id", "customer", "product_id", "product"], 0, 2, None),
            (&["unixReviewTime", "reviewTime", "reviewerID", "asin"], 2, 3, Some(0)),
            (&["session_id", "user", "item", "date", "event_time"], 1, 2, Some(4)),
        ] {
            let header = columns(header);
            assert_eq!(guess(&header, Role::User, &[]), Ok(Some(user)));
            assert_eq!(guess(&header, Role::Item, &[]), Ok(Some(item)));
            assert_eq!(guess(&header, Role::Time, &[]), Ok(time));
        }
        assert_eq!(guess(&columns(&["a", "b"]), Role::User, &[]), Ok(None));
    }

    #[test]
    fn two_of_one_rank_are_not_told_apart() {
        let header = columns(&["customer_id", "member_id", "x", "user"]);
        assert_eq!(guess(&header, Role::User, &[]), Err(columns(&["customer_id", "member_id"])));
        assert_eq!(guess(&header, Role::User, &[0]), Ok(Some(1)));
        let twice = columns(&["User_ID", "userid"]);
        assert_eq!(guess(&twice, Role::User, &[]), Err(twice.clone()));
    }

    #[test]
    fn keys() {
        assert_eq!(key(&columns(&["", "movieId", "cat"]), "movieId", Role::Item), Ok(Some(1)));
        assert_eq!(key(&columns(&["age", "Movie ID"]), "movieId", Role::Item), Ok(Some(1)));
        assert_eq!(key(&columns(&["age", "item_id"]), "movieId", Role::Item), Ok(Some(1)));
        assert_eq!(key(&columns(&["age", "id"]), "movieId", Role::Item), Ok(None));
        assert!(key(&columns(&["sku", "asin"]), "movieId", Role::Item).is_err());
        assert_eq!(key(&columns(&["sku", "asin", "thing"]), "thing", Role::Item), Ok(Some(2)));
    }
}
