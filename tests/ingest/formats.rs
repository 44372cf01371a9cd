//! Text formats: separators, quoting, compression, headers; MovieLens and H&M; ids and times as they come.

use std::io::Write;

use tercel::data::dataset::Split;
use tercel::data::ingest::{Format, IngestConfig};
use tercel::data::vocabulary::RawIds;

use super::support::{Case, config, row};

const ROWS: [(&str, &str, &str, i64); 4] = [
    ("ann", "x, \"1\"", "2017-12-04", 1_512_345_600),
    ("bob", "y", "2017-12-04 10:30", 1_512_383_400),
    ("ann", "z", "-5", -5),
    ("ünal", "y", "2017-12-04T10:30:01Z", 1_512_383_401),
];

fn check(case: &Case, name: &str, config: &IngestConfig) {
    let opened = case.open(name, config);
    let expected: Vec<_> = ROWS.iter().map(|(user, item, _, time)| row(user, item, *time)).collect();
    assert_eq!(opened.rows(Split::Train), expected, "{name}");
    assert_eq!(opened.users.table.counts, [0, 2, 1, 1]);
    assert_eq!(opened.summary.rejected, 0);
}

/// The rows with this separator, quoted where needed.
fn text(sep: &str, line_end: &str, header: bool) -> String {
    let quote = |value: &str| match value.contains(['"', ',']) && sep.len() == 1 {
        true => format!("\"{}\"", value.replace('"', "\"\"")),
        false => value.to_owned(),
    };
    let mut lines: Vec<String> = ROWS.iter().map(|(u, i, t, _)| [quote(u), quote(i), quote(t)].join(sep)).collect();
    if header {
        lines.insert(0, ["\"user_id\"", "item_id", "time"].join(sep));
    }
    lines.join(line_end)
}

#[test]
fn every_separator_line_end_and_compression() {
    for sep in [",", "\t", ";"] {
        for line_end in ["\n", "\r\n", "\n\n"] {
            let plain = text(sep, line_end, true);
            let case = Case::with("a.csv", &plain);
            check(&case, "a.csv", &config(|_| {}));
            case.write("bom.txt", format!("\u{feff}{plain}{line_end}"));
            check(&case, "bom.txt", &config(|_| {}));
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(plain.as_bytes()).unwrap();
            case.write("a.csv.gz", gzip.finish().unwrap());
            check(&case, "a.csv.gz", &config(|_| {}));
            case.write("a.csv.zst", zstd::encode_all(plain.as_bytes(), 1).unwrap());
            check(&case, "a.csv.zst", &config(|_| {}));
        }
    }
}

#[test]
fn files_without_a_header() {
    let columns = Some(["who", "what", "when"].map(String::from).into());
    let names = |c: &mut IngestConfig| {
        c.read.columns = columns.clone();
        (c.user, c.item, c.time) = (Some("who".into()), Some("what".into()), Some("when".into()));
    };
    for sep in ["::", ";", ","] {
        let case = Case::with("a.csv", text(sep, "\n", false));
        check(&case, "a.csv", &config(names));
        check(
            &case,
            "a.csv",
            &config(|c| {
                names(c);
                c.read.sep = Some(sep.into());
            }),
        );
    }
    let case = Case::with("a.csv", text("::", "\n", false));
    let (error, code) = case.error("a.csv", &config(|_| {}));
    assert!(error.contains("no column looks like the user") && error.contains("columns=A,B,C"), "{error}");
    assert_eq!(code, 3);
}

#[test]
fn columns_are_taken_by_name_in_every_file() {
    let case = Case::with("in/1.csv", "user,item,time\na,x,1\n");
    case.write("in/2.csv", "other,time,item,user\n9,2,y,b\n");
    case.write("in/README.md", "not data");
    let opened = case.open("in", &config(|_| {}));
    assert_eq!(opened.rows(Split::Train), [row("a", "x", 1), row("b", "y", 2)]);
    case.write("in/3.csv", "user,item\na,x\n");
    let (error, _) = case.error("in", &config(|_| {}));
    assert_eq!(error, "in/3.csv: column time: expected a column of this name, found the columns user, item");
}

#[test]
fn raw_ids_come_back_unchanged() {
    // Past u32, negative, and at the bounds of i64: integers still.
    let case = Case::with("a.csv", "user,item\n4294967296,0012\n-9223372036854775808,12\n9223372036854775807, 12\n");
    let opened = case.open("a.csv", &config(|_| {}));
    assert_eq!(opened.users.table.ids, RawIds::Integer(vec![0, i64::MIN, 4_294_967_296, i64::MAX]));
    assert!(matches!(opened.items.table.ids, RawIds::Text { .. }));
    let users = ["4294967296", "-9223372036854775808", "9223372036854775807"];
    let pairs: Vec<_> = users.iter().zip(["0012", "12", " 12"]).map(|(u, i)| format!("{u} {i}")).collect();
    assert_eq!(opened.pairs(Split::Train), pairs);
}

#[test]
fn weights() {
    let case = Case::with("a.csv", "user,item,stars\na,x,0.5\nb,y,3\n");
    let opened = case.open("a.csv", &config(|c| c.weight = Some("stars".into())));
    let weights: Vec<_> = opened.rows(Split::Train).into_iter().map(|row| (row.2, row.3)).collect();
    assert_eq!(weights, [(None, Some(0.5)), (None, Some(3.0))]);
    assert_eq!(opened.dataset.manifest().columns.weight.as_deref(), Some("stars"));
}

#[test]
fn one_user_and_one_item() {
    let case = Case::with("a.csv", "user,item\nu,i");
    let opened = case.open("a.csv", &config(|_| {}));
    assert_eq!((opened.summary.users, opened.summary.items, opened.summary.rows), (1, 1, 1));
}

#[test]
fn movielens_in_its_three_forms() {
    let dat = Case::with("ml/ratings.dat", "1::1193::5::978300760\n2::661::3::978302109\n1::661::3::978301968\n");
    // Latin-1 in a column that is not read does no harm.
    dat.write("ml/movies.dat", b"661::Mis\xe9rables (1996)::Drama|Musical\n1193::Cuckoo (1975)::Drama\n7::X::War\n");
    dat.write("ml/users.dat", "1::F::1::10::48067\n2::M::56::16::70072\n");
    let opened = dat.open("ml", &config(|_| {}));
    assert_eq!(opened.rows(Split::Train)[1], row("2", "661", 978_302_109));
    let manifest = opened.dataset.manifest();
    let items = opened.features(&opened.items, &manifest.items);
    assert_eq!((&items["661"], &items["1193"]), (&vec!["genres=[1, 2]".into()], &vec!["genres=[1]".into()]));
    let names: Vec<_> = manifest.users.features.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["gender", "age", "occupation"]);

    let data = Case::with("u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n");
    let opened = data.open("u.data", &config(|c| c.weight = Some("rating".into())));
    assert_eq!(opened.rows(Split::Train)[0], ("196".into(), "242".into(), Some(881_250_949), Some(3.0)));

    let csv = Case::with("ml/ratings.csv", "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n");
    csv.write("ml/movies.csv", "movieId,title,genres\n31,\"Minds, Dangerous (1995)\",Drama|War\n");
    let opened = csv.open("ml/ratings.csv", &config(|c| c.format = Some(Format::Movielens)));
    assert_eq!(opened.rows(Split::Train), [row("1", "31", 1_260_759_144)]);
    assert_eq!(opened.features(&opened.items, &opened.dataset.manifest().items)["31"], ["genres=[1, 2]"]);
}

#[test]
fn hm_with_customers_and_articles() {
    let customer = "0".repeat(63) + "1";
    let case = Case::with(
        "hm/transactions_train.csv",
        format!(
            "\"t_dat\",\"customer_id\",\"article_id\",\"price\",\"sales_channel_id\"\n\
             2018-09-20,{customer},0663713001,0.050830508474576264,2\n2018-09-21,{customer},0541518023,0.03,1\n"
        ),
    );
    case.write(
        "hm/customers.csv",
        format!("customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code\n{customer},,1.0,ACTIVE,NONE,49.0,ab\n"),
    );
    case.write(
        "hm/articles.csv",
        "article_id,product_code,prod_name,product_type_no,product_type_name,detail_desc\n\
         0541518023,0541518,Rae,306,Bra,\"Lace, soft\"\n0663713001,0663713,Atlanta,283,Underwear body,Body\n",
    );
    let opened = case.open("hm", &config(|_| {}));
    assert_eq!(opened.rows(Split::Train)[0], row(&customer, "0663713001", 1_537_401_600));
    let manifest = opened.dataset.manifest();
    let names =
        |features: &[tercel::data::dataset::Feature]| features.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&manifest.users.features), ["Active", "club_member_status", "fashion_news_frequency", "age"]);
    assert_eq!(names(&manifest.items.features), ["product_code", "product_type_name"]);
    assert!(opened.summary.notes.iter().any(|note| note.contains("column FN is left out")));
}

#[test]
fn the_complete_journey() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/complete-journey");
    let split = config(|c| c.split = "time:2017-12-04,2017-12-11".parse().unwrap());
    let case = Case::new();
    let run = |inputs: &[std::path::PathBuf], config| {
        let summary = tercel::data::ingest::ingest(inputs, &case.out(), config, &|_| {}).unwrap();
        super::support::Opened::new(&case.out(), summary)
    };
    let opened = run(std::slice::from_ref(&dir), &split);
    assert_eq!((opened.summary.rows, opened.summary.rejected), (482_803, 0));
    assert_eq!(opened.summary.users + opened.summary.unseen_users, 2361);
    assert_eq!(opened.summary.items + opened.summary.unseen_items, 42_181);
    let manifest = opened.dataset.manifest();
    assert!(manifest.train.last_timestamp.unwrap() < manifest.valid.first_timestamp.unwrap());
    assert_eq!(manifest.valid.first_timestamp, Some(1_512_345_600));
    assert_eq!(manifest.test.first_timestamp, Some(1_512_950_400));
    assert_eq!(manifest.users.features.len(), 7);
    assert_eq!(manifest.items.features.len(), 6);
    let again = run(
        &[dir.join("transactions.csv.gz")],
        &config(|c| {
            c.split = split.split;
            c.user_features = Some(dir.join("households.csv"));
            c.item_features = Some(dir.join("products.csv.gz"));
        }),
    );
    assert_eq!(again.dataset.manifest(), manifest);
}
