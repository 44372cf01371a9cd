//! Which column is what: names that say id win, two of one rank are asked about, and what was taken and left is said.

use super::example::{Example, batch, integers, parquet, texts};
use crate::support::tercel;

/// One row under this header; the values are the columns' numbers, and `1704412800` under a name of a time.
fn header(names: &str) -> Example {
    let values = names.split(',').enumerate().map(|(n, name)| {
        let name = name.to_lowercase();
        let is_time = ["time", "date", "_at", "ts"].iter().any(|part| name.contains(part));
        if is_time { "1704412800".to_owned() } else { format!("v{n}") }
    });
    let values: Vec<String> = values.collect();
    Example::of("log.csv", format!("{names}\n{}\n", values.join(",")))
}

#[test]
fn names_that_say_id_win() {
    for (names, user, item, left) in [
        ("user,user_id,item,item_id", "user_id", "item_id", &["user", "item"][..]),
        ("account,account_id,article,article_id", "account_id", "article_id", &["account", "article"]),
        ("member_id,movie,movieId,title", "member_id", "movieId", &["movie", "title"]),
        ("product,product_id,household,household_id", "household_id", "product_id", &["product", "household"]),
        (
            "customer_name,customer_id,product_name,product_id",
            "customer_id",
            "product_id",
            &["customer_name", "product_name"],
        ),
        ("User,User ID,Item,Item ID,Qty", "User ID", "Item ID", &["User", "Item", "Qty"]),
        // Online Retail: the words beside the code are no item.
        (
            "InvoiceNo,StockCode,Description,Quantity,CustomerID,Country",
            "CustomerID",
            "StockCode",
            &["InvoiceNo", "Description", "Quantity", "Country"],
        ),
        // RecBole's atomic files.
        ("user_id:token,item_id:token,rating:float", "user_id:token", "item_id:token", &["rating:float"]),
        ("reviewerID,asin,reviewerName,overall", "reviewerID", "asin", &["reviewerName", "overall"]),
        ("visitorid,event,itemid,transactionid", "visitorid", "itemid", &["event", "transactionid"]),
        ("review_id,user_id,business_id,stars", "user_id", "business_id", &["review_id", "stars"]),
        ("user,item", "user", "item", &[]),
        ("USER_ID,ITEM_ID", "USER_ID", "ITEM_ID", &[]),
    ] {
        let at = |name: &str| format!("v{}", names.split(',').position(|other| other == name).expect("there"));
        let outcome = header(names).run();
        outcome.rows(&[&format!("{} {}", at(user), at(item))]);
        outcome.taken("user", user).taken("item", item).left(left);
    }
}

#[test]
fn two_people_of_one_name_stay_two() {
    let text = "user,user_id,item,item_id\nAnn,17,Tea,t1\nAnn,18,Tea,t2\nBob,19,Tea,t1\n";
    Example::of("log.csv", text).run().rows(&["17 t1", "18 t2", "19 t1"]);
    let table = batch(vec![
        ("account", texts(&["Ann", "Ann"])),
        ("product", texts(&["Tea", "Tea"])),
        ("account_id", integers(&[17, 18])),
        ("product_id", texts(&["t1", "t2"])),
    ]);
    Example::of("log.parquet", parquet(&table)).run().rows(&["17 t1", "18 t2"]);
    let text = "{\"customer\":\"Ann\",\"customer_id\":17,\"sku\":\"a\"}\n{\"customer\":\"Ann\",\"customer_id\":18,\"sku\":\"a\"}\n";
    Example::of("log.jsonl", text).run().rows(&["17 a", "18 a"]);
}

#[test]
fn two_of_one_rank_are_asked_about() {
    for (names, flag, candidates) in [
        ("user_id,customer_id,item_id", "--user", ["user_id", "customer_id"]),
        ("household_id,member_id,sku", "--user", ["household_id", "member_id"]),
        ("uid,account_id,sku", "--user", ["uid", "account_id"]),
        ("User_ID,user_id,item_id", "--user", ["User_ID", "user_id"]),
        ("user_id,item_id,product_id", "--item", ["item_id", "product_id"]),
        ("user_id,movieId,track_id", "--item", ["movieId", "track_id"]),
        ("user,item,product", "--item", ["item", "product"]),
        ("user_id,item_id,order_date,invoice_date", "--time", ["order_date", "invoice_date"]),
        ("user_id,item_id,created_at,purchase_date", "--time", ["created_at", "purchase_date"]),
    ] {
        header(names).run().refused(&["log.csv", flag, candidates[0], candidates[1]]);
        let key = flag.trim_start_matches("--");
        for candidate in candidates {
            let outcome = header(names).set(key, candidate).run();
            let other = if candidate == candidates[0] { candidates[1] } else { candidates[0] };
            outcome.taken(key, candidate).left(&[other]);
        }
    }
}

#[test]
fn what_is_given_is_taken() {
    let text = "customer_id,customer,product_id,product\n17,Ann,t1,Tea\n";
    let outcome = Example::of("log.csv", text).set("user", "customer").set("item", "product").run();
    outcome.rows(&["Ann Tea"]).left(&["customer_id", "product_id"]);
    for (key, name) in [("user", "Customer_Id"), ("item", "products"), ("time", "when"), ("weight", "stars")] {
        let outcome = Example::of("log.csv", text).set(key, name).run();
        outcome.refused(&["log.csv", name, "customer_id, customer, product_id, product"]);
    }
    Example::of("log.csv", "user_id,item_id\na,x\n").set("user", "item_id").run().refused(&["item_id"]);
    let timed = "user_id,item_id,timestamp\na,x,1704412800\n";
    Example::of("log.csv", timed).set("weight", "user_id").run().refused(&["user_id"]);
}

#[test]
fn what_was_taken_and_left_is_printed() {
    let example = Example::of(
        "log.csv",
        "event,customer_id,customer,sku,price,created_at\nview,17,Ann,t1,2.5,2024-01-05 10:00\nbuy,18,Ann,t1,1,2024-01-06\n",
    )
    .set("weight", "price");
    let arguments = example.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = tercel(example.dir(), &arguments);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for word in ["customer_id", "sku", "created_at", "price"] {
        assert!(run.stdout.contains(word), "`{word}` was taken: {}", run.stdout);
    }
    for word in ["event", "customer"] {
        assert!(
            run.stdout.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word),
            "{}",
            run.stdout
        );
    }
    std::fs::remove_dir_all(example.path("data")).expect("removed");
    let outcome = example.run();
    outcome.rows(&["17 t1 1704448800 2.5", "18 t1 1704499200 1"]);
    outcome.taken("user", "customer_id").taken("item", "sku").taken("time", "created_at").taken("weight", "price");
    outcome.left(&["event", "customer"]);
    assert_eq!(outcome.event["columns"]["user"], "customer_id", "the event tells it too");
    assert!(outcome.contents().columns["time_read_as"].as_str().is_some_and(|said| said.contains("date")));
    let quiet = Example::of("log.csv", "user,item\na,x\n").run();
    quiet.left(&[]);
    assert!(quiet.contents().columns["time"].is_null() && quiet.contents().columns["time_read_as"].is_null());
}

#[test]
fn files_without_a_header() {
    // Numbers are no names.
    for text in ["196,242,3,881250949\n186,302,3,891717742\n", "u1,i1,5\nu2,i2,3\n", "1\t2\n3\t4\n"] {
        Example::of("log.csv", text).run().refused(&["log.csv", "--columns"]);
    }
    // Last.fm: a time in the middle, names in the rows.
    let text = "user_000001\t2009-05-04T23:08:57Z\tf1b1cf71\tDeep Dish\tt1\tFuck Me Im Famous\n";
    let outcome = Example::of("lastfm.tsv", text).set("columns", "user_id,time,artist_id,artist,track_id,track");
    let outcome = outcome.set("item", "track_id").run();
    outcome.rows(&["user_000001 t1 1241478537"]).left(&["artist_id", "artist", "track"]);
    // Names that are given count: the first line is a row then, and its width is checked.
    Example::of("log.csv", "a,x\nb,y\n").set("columns", "user,item").run().rows(&["a x", "b y"]);
    Example::of("log.csv", "a,x,1\nb,y,2\n").set("columns", "user,item").run().refused(&["row 1", "3 values"]);
    Example::of("log.csv", "a,x\n").set("columns", "user,user").run().refused(&["user", "twice"]);
    // A header under names that are given is a row by mistake.
    let outcome = Example::of("log.csv", "user_id,item_id\na,x\n").set("columns", "user_id,item_id").run();
    outcome.right_or_refused(&["a x"], &["header"]);
}

#[test]
fn names_with_rests() {
    // A byte order mark, spaces around names, and CR LF.
    Example::of("log.csv", "\u{feff}user_id,item_id\r\na,x\r\n").run().rows(&["a x"]);
    let outcome = Example::of("log.csv", " user_id , item_id \na,x\n").run();
    outcome.rows(&["a x"]);
    // Columns without a name, and two of them, are no reason to stop where they are not needed.
    Example::of("log.csv", "user_id,,item_id,\na,1,x,2\n").run().right_or_refused(&["a x"], &["log.csv", "column"]);
    // Two of a name that is needed are one too many; of a name that is not, too.
    Example::of("log.csv", "user_id,item_id,user_id\na,x,b\n").run().refused(&["user_id"]);
    Example::of("log.csv", "user_id,item_id,n,n\na,x,1,2\n").run().right_or_refused(&["a x"], &["`n`"]);
}

#[test]
fn headers_among_rows() {
    // cat 2023.csv 2024.csv: the header comes again, and is nobody.
    let text = "user_id,item_id,stars\na,x,1\nuser_id,item_id,stars\nb,y,2\n";
    for text in
        [text.to_owned(), text.replace(',', "\t"), text.replace("\nuser_id,item_id", "\n\"user_id\",\"item_id\"")]
    {
        Example::of("log.txt", &text).run().refused(&["log.txt", "row 3", "header"]);
        Example::of("log.txt", &text).set("on_error", "skip").run().rows(&["a x", "b y"]).rejected(1);
    }
    // A person may be called as the column is.
    let outcome = Example::of("log.csv", "user,item\nuser,x\nadmin,item\n").run();
    outcome.rows(&["user x", "admin item"]);
    // The line that tells Excel the separator.
    Example::of("log.csv", "sep=;\r\nuser_id;item_id\r\na,b;x\r\n").run().rows(&["a,b x"]);
    Example::of("log.csv", "\u{feff}\"sep=,\"\nuser_id,item_id\na,x\n").run().right_or_refused(&["a x"], &["sep"]);
}
