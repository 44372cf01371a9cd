//! Data sets that many people begin with, as they are distributed.

use super::example::Example;

#[test]
fn movielens_100k() {
    let outcome = Example::new()
        .file("ml-100k/u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n")
        .file("ml-100k/u1.base", "1\t1\t5\t874965758\n")
        .file("ml-100k/u1.test", "1\t6\t5\t887431973\n")
        .file("ml-100k/u.user", "196|49|M|writer|55105\n186|39|F|executive|00000\n")
        .file("ml-100k/u.item", b"242|Kolya (1996)|24-Jan-1997||http://x|0|1\n302|L.A.\xe9|01-Jan-1997||u|1|0\n")
        .file("ml-100k/u.genre", "unknown|0\nAction|1\n")
        .file("ml-100k/README", "SUMMARY\n")
        .input("ml-100k")
        .run();
    outcome.rows(&["196 242 881250949", "186 302 891717742"]);
    outcome.text("users", "196", "occupation", "writer").text("users", "186", "gender", "F");
    outcome.noted(&["u1.base"]).noted(&["u1.test"]).noted(&["u.item"]);
    assert!(outcome.notes().iter().all(|note| !(note.contains("u.user") && note.contains("not read"))), "it is read");
}

#[test]
fn movielens_latest_and_goodbooks() {
    let outcome = Example::new()
        .file("ml/ratings.csv", "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n2,32,3,1260759200\n")
        .file("ml/movies.csv", "movieId,title,genres\n31,\"A, The (1995)\",Drama|War\n32,B,Comedy\n")
        .file("ml/tags.csv", "userId,movieId,tag,timestamp\n9,99,nice,1260759144\n")
        .file("ml/links.csv", "movieId,imdbId,tmdbId\n31,0112792,9909\n")
        .file("ml/README.txt", "Summary\n=======\n")
        .input("ml")
        .set("weight", "rating")
        .run();
    outcome.rows(&["1 31 1260759144 2.5", "2 32 1260759200 3"]).texts("items", "31", "genres", &["Drama", "War"]);
    outcome.noted(&["tags.csv"]).noted(&["links.csv"]).noted(&["README.txt"]);
    let outcome = Example::new()
        .file("books/ratings.csv", "user_id,book_id,rating\n1,258,5\n2,4081,4\n")
        .file("books/to_read.csv", "user_id,book_id\n9,8\n")
        .file("books/book_tags.csv", "goodreads_book_id,tag_id,count\n1,30574,167697\n")
        .input("books")
        .run();
    outcome.rows(&["1 258", "2 4081"]).noted(&["to_read.csv"]).noted(&["book_tags.csv"]);
}

#[test]
fn shops() {
    // H&M, with the file of a submission and pictures beside it.
    let outcome = Example::new()
        .file(
            "hm/transactions_train.csv",
            "t_dat,customer_id,article_id,price,sales_channel_id\n2018-09-20,c1,0663713001,0.05,2\n2018-09-21,c2,0541518023,0.03,1\n",
        )
        .file("hm/customers.csv", "customer_id,FN,club_member_status,age,postal_code\nc1,,ACTIVE,49.0,ab\nc2,1.0,,,cd\n")
        .file("hm/sample_submission.csv", "customer_id,prediction\nc1,0706016001 0706016002\n")
        .file("hm/images/066/0663713001.jpg", b"\xff\xd8\xff")
        .input("hm")
        .run();
    outcome.rows(&["c1 0663713001 1537401600", "c2 0541518023 1537488000"]);
    outcome.text("users", "c1", "club_member_status", "ACTIVE").text("users", "c2", "club_member_status", "");
    outcome.noted(&["sample_submission.csv"]);
    // Online Retail of UCI: dates of the USA, people without a number, a quote inside a description.
    let text = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n\
        536365,85123A,WHITE HANGING HEART,6,12/1/2010 8:26,2.55,17850,United Kingdom\n\
        536366,71053,WHITE \"METAL\" LANTERN,6,12/1/2010 8:28,3.39,,United Kingdom\n\
        536367,84406B,CREAM,8,12/9/2011 12:50,2.75,13047,France\n";
    Example::of("OnlineRetail.csv", text).run().refused(&["row 2", "InvoiceDate", "--time-format"]);
    let told = Example::of("OnlineRetail.csv", text).set("time_format", "%m/%d/%Y %H:%M");
    told.run().refused(&["row 3", "CustomerID"]);
    let told = Example::of("OnlineRetail.csv", text).set("time_format", "%m/%d/%Y %H:%M").set("on_error", "skip").run();
    told.rows(&["17850 85123A 1291191960", "13047 84406B 1323435000"]).rejected(1);
    // Retailrocket.
    let text = "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n1433224214164,992329,view,248676,\n";
    let outcome = Example::of("events.csv", text).run();
    outcome.rows(&["257597 355908 1433221332", "992329 248676 1433224214"]);
    outcome.taken("time_read_as", "epoch milliseconds");
    // Diginetica: most sessions have no user.
    let text =
        "sessionId;userId;itemId;timeframe;eventdate\n1;NA;81766;526309;2016-05-09\n2;5;32118;243569;2016-05-09\n";
    Example::of("views.csv", text).run().refused(&["row 2", "userId", "NA"]);
    let sessions = Example::of("views.csv", text).set("user", "sessionId").run();
    sessions.rows(&["1 81766 1462752000", "2 32118 1462752000"]);
    // Dunnhumby counts days from 1.
    let text = "household_key,BASKET_ID,DAY,PRODUCT_ID,QUANTITY\n2375,26984851472,1,1004906,1\n";
    Example::of("transaction_data.csv", text).run().right_or_refused(&["2375 1004906"], &["DAY", "--time-unit"]);
}

#[test]
fn books_in_quotes() {
    // Book-Crossing: semicolons, backslashes before quotes, and NULL.
    let ratings =
        "\"User-ID\";\"ISBN\";\"Book-Rating\"\n\"276725\";\"034545104X\";\"0\"\n\"276726\";\"0155061224\";\"5\"\n";
    let users = "\"User-ID\";\"Location\";\"Age\"\n\"276725\";\"tyler, \\\"x\\\"; texas\";NULL\n\"276726\";\"seattle\";\"18\"\n";
    let example = || Example::of("BX-Book-Ratings.csv", ratings).users("BX-Users.csv", users);
    example().run().refused(&["BX-Users.csv", "row 2", "Location"]);
    let told = example().set("escape", "\\").run();
    told.rows(&["276725 034545104X", "276726 0155061224"]);
    told.text("users", "276725", "Location", "tyler, \"x\"; texas").text("users", "276725", "Age", "");
    told.text("users", "276726", "Age", "18");
}

#[test]
fn logs_without_a_header() {
    for (name, text, columns, expected) in [
        (
            "ratings_Beauty.csv",
            "A39HTATAQ9V7YF,0205616461,5.0,1369699200\nA3JM6GV9MNOF9X,0558925278,3.0,1355443200\n",
            "user_id,item_id,rating,timestamp",
            ["A39HTATAQ9V7YF 0205616461 1369699200", "A3JM6GV9MNOF9X 0558925278 1355443200"],
        ),
        (
            "yoochoose-clicks.dat",
            "1,2014-04-07T10:51:09.277Z,214536502,0\n1,2014-04-07T10:54:09.868Z,214536500,S\n",
            "session_id,timestamp,item_id,category",
            ["1 214536502 1396867869", "1 214536500 1396868049"],
        ),
        (
            "UserBehavior.csv",
            "1,2268318,2520377,pv,1511544070\n1,2333346,2520771,pv,1511561733\n",
            "user_id,item_id,category_id,behavior,timestamp",
            ["1 2268318 1511544070", "1 2333346 1511561733"],
        ),
        (
            "gowalla.txt",
            "0\t2010-10-19T23:55:27Z\t30.2\t-97.7\t22847\n0\t2010-10-18T22:17:43Z\t30.2\t-97.7\t420315\n",
            "user,time,lat,lon,venue_id",
            ["0 22847 1287532527", "0 420315 1287440263"],
        ),
    ] {
        Example::of(name, text).run().refused(&[name, "--columns"]);
        Example::of(name, text).set("columns", columns).run().rows(&expected);
    }
    // Foursquare: a date as C's asctime has it, with an offset in the middle.
    let text = "470\t49bbd6c0f964a520f4531fe3\tArts\t40.7\t-240\tTue Apr 03 18:00:09 +0000 2012\n";
    let outcome = Example::of("dataset_TSMC2014_NYC.txt", text)
        .set("columns", "user_id,venue_id,category,lat,offset,time")
        .set("time_format", "%a %b %d %H:%M:%S %z %Y")
        .run();
    outcome.rows(&["470 49bbd6c0f964a520f4531fe3 1333476009"]);
}

#[test]
fn recboles_atomic_files() {
    let outcome = Example::of(
        "ml.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t1193\t5\t978300760\n1\t661\t3\t978302109\n",
    )
    .items("ml.item", "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1193\t\"Cuckoo\" x\tDrama\n661\tPeach\tMusical Comedy\n")
    .set("item_feature", "class:token_seq=multi-hot: ")
    .run();
    outcome.rows(&["1 1193 978300760", "1 661 978302109"]);
    outcome.texts("items", "661", "class:token_seq", &["Comedy", "Musical"]);
    outcome.text("items", "1193", "movie_title:token_seq", "\"Cuckoo\" x");
}

#[test]
fn sessions_in_one_line() {
    // OTTO and Spotify keep a session's items in a list of objects: that is no table.
    let text = "{\"session\":0,\"events\":[{\"aid\":1517085,\"ts\":1659304800025,\"type\":\"clicks\"}]}\n";
    Example::of("train.jsonl", text).run().refused(&["train.jsonl", "item", "session, events"]);
    Example::of("train.jsonl", text).set("item", "events").run().refused(&["train.jsonl", "events"]);
}
