//! Quoted values in files with commas, semicolons and bars.

use super::example::Example;
use crate::support::tercel;

#[test]
fn what_stands_between_quotes() {
    // Separators, doubled quotes, line breaks of both kinds; quotes inside a value mean nothing.
    let text = "user_id,note,item_id\n\
        \"a,b\",\"x, \"\"y\"\"\",\"1\n2\"\n\
        5\" pipe,it's 6\" long,\"\"\"\"\n\
        \"c\",\"\r\n\",\"\"\"q\"\"\"\n";
    let outcome = Example::of("log.csv", text).run();
    outcome.rows(&["a,b 1\n2", "5\" pipe \"", "c \"q\""]).noted(&["log.csv", "2", "line"]);
    for (sep, name) in [(";", "log.csv"), ("|", "log.txt")] {
        let outcome = Example::of(name, text.replace(',', sep)).run();
        outcome.rows(&[&format!("a{sep}b 1\n2"), "5\" pipe \"", "c \"q\""]);
    }
}

#[test]
fn quoted_headers() {
    // Book-Crossing: quoted, semicolons.
    let text =
        "\"User-ID\";\"ISBN\";\"Book-Rating\"\n\"276725\";\"034545104X\";\"0\"\n\"276726\";\"0155061224\";\"5\"\n";
    let outcome = Example::of("BX-Book-Ratings.csv", text).set("weight", "Book-Rating").run();
    outcome.rows(&["276725 034545104X 0", "276726 0155061224 5"]);
    // A separator and a quote in a name; names of several words.
    let text = "\"user_id\",\"price, EUR\",\"item_id\",\"the \"\"when\"\"\"\na,\"1,5\",x,1704412800\n";
    let outcome = Example::of("log.csv", text).set("time", "the \"when\"").run();
    outcome.rows(&["a x 1704412800"]).left(&["price, EUR"]);
    // R: write.csv names no column for the rows' names.
    let text = "\"\",\"user_id\",\"item_id\"\n\"1\",\"a\",\"x\"\n\"2\",\"b\",\"y\"\n";
    Example::of("log.csv", text).run().rows(&["a x", "b y"]);
}

#[test]
fn a_file_of_r_write_table() {
    // Row names without a name of their own: rows are longer by one than the header. Shifted columns are no reading.
    for sep in ["\t", ",", ";"] {
        let text = "\"user_id\" \"item_id\" \"rating\"\n\"1\" \"a\" \"x\" 5\n\"2\" \"b\" \"y\" 3\n".replace(' ', sep);
        let outcome = Example::of("log.txt", text).set("weight", "rating").run();
        outcome.right_or_refused(&["a x 5", "b y 3"], &["row 2", "4 values"]);
    }
    let text = "\"user_id\"\t\"item_id\"\n\"a b\"\t\"x\"\n\"c\"\t\"y\ty\"\n";
    Example::of("log.tsv", text).run().rows(&["a b x", "c y\ty"]);
    let spaces = "\"user_id\" \"item_id\"\n\"a b\" \"x\"\n\"c\" \"y\"\n";
    Example::of("log.txt", spaces).set("sep", " ").run().rows(&["a b x", "c y"]);
}

#[test]
fn backslash_escapes_of_spark_and_mysql() {
    // Spark: quotes inside quotes have a backslash.
    let text = "user_id,title,item_id\na,\"say \\\"hi\\\", twice\",\"x\\\\y\"\nb,\"\\\"\",\"z\"\n";
    let read = Example::of("part-00000.csv", text).set("escape", "\\").run();
    read.rows(&["a x\\y", "b z"]);
    Example::of("part-00000.csv", text).run().refused(&["row 2", "title", "--escape"]);
    // MySQL's SELECT … INTO OUTFILE: tabs and line ends have one too, and \N is no value.
    let text = "1\tx\\\ty\tplain\n2\ttwo\\\nlines\t\\N\n3\tback\\\\slash\t\\N\n";
    let read = Example::of("dump.txt", text).set("columns", "user_id,item_id,note").set("escape", "\\").run();
    read.rows(&["1 x\ty", "2 two\nlines", "3 back\\slash"]);
    // Escaped separators without quotes (Hive).
    let text = "user_id,item_id\na\\,b,x\nc,y\\,z\n";
    Example::of("log.csv", text).set("escape", "\\").run().rows(&["a,b x", "c y,z"]);
    // Without the setting a backslash is a letter.
    Example::of("log.csv", "user_id,item_id\nDOM\\ann,C:\\new\n").run().rows(&["DOM\\ann C:\\new"]);
    // An escape at the very end has nothing to take.
    let end = Example::of("log.csv", "user_id,item_id\na,x\nb,y\\").set("escape", "\\").run();
    end.right_or_refused(&["a x", "b y\\"], &["row 3"]);
}

#[test]
fn other_quotes_and_none() {
    let text = "user_id,item_id\n'a,b',x\nc,'it''s'\n\"d\",5\" pipe\n";
    Example::of("log.csv", text).set("quote", "'").run().rows(&["a,b x", "c it's", "\"d\" 5\" pipe"]);
    let text = "user_id,item_id\n\"a,x\n\"b\",y\nc,\"\n";
    Example::of("log.csv", text).set("quote", "none").run().rows(&["\"a x", "\"b\" y", "c \""]);
    let text = "user_id;item_id\n~a;b~;x\n";
    Example::of("log.csv", text).set("quote", "~").run().rows(&["a;b x"]);
    for quote in ["", "''", "é", "\n", ","] {
        Example::of("log.csv", "user_id,item_id\na,x\n").set("quote", quote).run().refused(&["quote"]);
    }
    for escape in ["", "\\\\", "é", "\n", ","] {
        Example::of("log.csv", "user_id,item_id\na,x\n").set("escape", escape).run().refused(&["escape"]);
    }
}

#[test]
fn quotes_that_cannot_be_right() {
    for (text, row, column) in [
        ("user_id,title,item_id\na,\"Weird Al,x\nb,t,y\nc,t,z\n", "row 2", "title"), // never closed
        ("user_id,title,item_id\na,\"Weird\" Al,x\n", "row 2", "title"),
        ("user_id,title,item_id\na,t,x\nb,\"Q\"\"uote\" x,y\n", "row 3", "title"),
        ("user_id,title,item_id\na,\"x\ny,t,\"z\n", "row 2", "title"),
        ("user_id,title,item_id\na,t,x\nb,t,\"\n", "row 3", "item_id"),
    ] {
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            Example::of("log.csv", &text).run().refused(&["log.csv", row, column]);
        }
    }
}

#[test]
fn values_over_many_lines_are_noticed() {
    // Two stray quotes make a value of rows that are whole without them: rows would be lost in it.
    let text = "user_id,item_id,title\na,x,\"Open\nb,y,5\nc,z,6\nd,w,\"\n";
    Example::of("log.csv", text).run().refused(&["log.csv", "row 2", "title", "--quote"]);
    Example::of("log.csv", text).set("quote", "none").run().rows(&["a x", "b y", "c z", "d w"]);
    let told = Example::of("log.csv", text).set("quote", "\"").run();
    told.rows(&["a x"]).noted(&["log.csv", "1", "line"]);
    // The command prints it.
    let example = Example::of("log.csv", "user_id,item_id,note\na,x,\"1\n2\n3\"\nb,y,\"4\n5\"\nc,z,\"6\"\n");
    let arguments = example.arguments();
    let run = tercel(example.dir(), &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.lines().any(|line| line.contains('2') && line.contains("line")), "{}", run.stdout);
    // Feature files too.
    let outcome = Example::of("log.csv", "user_id,item_id\na,x\nb,y\n")
        .items("items.csv", "item_id,colour\nx,\"dark\nred\"\ny,blue\n")
        .run();
    outcome.text("items", "x", "colour", "dark\nred").text("items", "y", "colour", "blue");
    outcome.noted(&["items.csv", "1", "line"]);
    // None is noted where there is none.
    let outcome = Example::of("log.csv", "user_id,item_id,note\na,x,\"one line\"\n").run();
    assert!(outcome.notes().iter().all(|note| !note.contains("span several")), "{:?}", outcome.notes());
}

#[test]
fn skip_counts_what_is_lost() {
    for (text, rows) in [
        // Three lines are lost with the quote, or only its own: what is read and what is rejected are all.
        ("user_id,item_id,title\na,x,ok\nb,y,\"open\nc,z,ok\nd,w,ok\n", 4),
        ("user_id,item_id,title\na,x,ok\nb,y,\"open\" end\nc,z,ok\nd,w,ok\n", 4),
        ("user_id,item_id,title\n\"a,x,ok\nb,y,ok\nc,z,ok\nd,w,ok\n", 4),
        ("user_id,item_id,title\na,x,\"1\" 2\nb,y,\"3\" 4\nc,z,ok\n\nd,w,\"5", 4),
        ("user_id;title;item_id\na;t;x\nb;\";y\nc;t;z\nd;b;w\ne;\";v\n", 5),
        ("title,user_id,item_id\nt,a,x\n\"b,b,y\nt,c,z\n\",d,w\nt,e,v\n,f,u\n", 6),
        ("user_id,title,item_id\na,\",x\nb,\"\",y\nc,t,z\nd,,w\ne,\",v\nf,t,u\n", 6),
    ] {
        let outcome = Example::of("log.csv", text).set("on_error", "skip").run();
        let read = outcome.contents().rows.len() as u64;
        let rejected = outcome.event["rejected"].as_u64().expect("a count");
        assert_eq!(read + rejected, rows, "{text}: {:?}", outcome.contents().rows);
        assert!(outcome.contents().rows.contains(&"c z".to_owned()), "{text}");
    }
    // A quote that opens in one row and closes at the next row's own quote swallows a line: both are counted.
    let text = "user_id,title,item_id\na,\"Weird Al,x\nb,\"Heroes\",y\nc,t,z\n";
    let outcome = Example::of("log.csv", text).set("on_error", "skip").run();
    let rejected = outcome.event["rejected"].as_u64().expect("a count");
    assert_eq!(outcome.contents().rows.len() as u64 + rejected, 3, "{:?}", outcome.contents().rows);
    assert!(outcome.contents().rows.contains(&"c z".to_owned()));
}

#[test]
fn spaces_beside_quotes() {
    // The space is part of the value, so the quote is no quote: what follows must not be cut in silence.
    let outcome = Example::of("log.csv", "user_id, title, item_id\na, \"one, two\", x\n").run();
    outcome.right_or_refused(&["a x"], &["row 2", "4 values"]);
    let outcome = Example::of("log.csv", "user_id,title,item_id\na,\"one\" ,x\n").run();
    outcome.right_or_refused(&["a x"], &["row 2", "title"]);
}

#[test]
fn rows_over_lines_of_a_wrong_width() {
    // Such a row is no row, and what it spans may be rows: none of its lines is lost without being counted.
    for (text, lines) in [
        ("title,user_id,item_id\nt,a,x\n\"\"\"o,b,y\nt,c,z\nt,d,w\n\",oo\",e,v\nt,f,u\n", 6),
        ("title;user_id;item_id\nt;a;x\n;\";b;y\no;;c;z\n\"oo;\";d;w\n", 4),
        ("user_id,title,item_id\na,\"o,o,x\nb,t,y\nc,t,z\nd,o\",w,1\ne,t,v\n", 5),
    ] {
        let outcome = Example::of("log.csv", text).set("on_error", "skip").run();
        let rejected = outcome.event["rejected"].as_u64().expect("a count");
        let read = outcome.contents().rows.len() as u64;
        assert_eq!(read + rejected, lines, "{text}: {:?}", outcome.contents().rows);
    }
}
