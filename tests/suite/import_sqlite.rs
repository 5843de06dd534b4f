//! `csv_import` into SQLite: what is typed how, the modes, keys that come again, bad rows, and no row lost or doubled by a crash.

use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::{Value, json};

use crate::stage::{Stage, finished};

impl Stage {
    /// `import.yaml`: `rows.csv` into `shop.db`, with these settings of the job and these of the workflow.
    fn import(&self, job: &str, settings: &str) -> &Self {
        let job: String = job.trim().lines().map(|line| format!("    {line}\n")).collect();
        self.write(
            "import.yaml",
            format!(
                "fanfold: 1\nname: import\nitems: {{ csv: {{ source: rows.csv, header: first_row }} }}\n{settings}\n\
                 job:\n  csv_import:\n    database: shop.db\n{job}"
            ),
        )
    }

    fn shop(&self) -> Connection {
        Connection::open(self.path("shop.db")).expect("the database")
    }

    /// All rows of a query.
    fn sql(&self, query: &str) -> Vec<Vec<Sql>> {
        let db = self.shop();
        let mut statement = db.prepare(query).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect()).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn number(&self, query: &str) -> i64 {
        match self.sql(query).as_slice() {
            [row] => match row.as_slice() {
                [Sql::Integer(number)] => *number,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn tables(&self) -> Vec<String> {
        let name = |row: Vec<Sql>| match &row[0] {
            Sql::Text(name) => name.clone(),
            other => panic!("{other:?}"),
        };
        self.sql("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").into_iter().map(name).collect()
    }
}

fn text(text: &str) -> Sql {
    Sql::Text(text.to_string())
}

/// Errors of the items, by their index.
fn failures(stage: &Stage, run: &str) -> Vec<(u64, String, String)> {
    let lines = stage.run(&["results", run, "--failed"]).ended(0).lines();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_string();
    lines.iter().map(|line| (line["index"].as_u64().unwrap_or_default(), word(&line["error"]), word(&line["cause"]))).collect()
}

#[test]
fn values_arrive_as_they_are_meant() {
    let stage = Stage::new();
    stage.write(
        "rows.csv",
        "sku,n,price,share,ok,day,at,doc,id,raw,state,tags,note\n\
         007,9007199254740993,12345678901234567890123456789012345678,0.5,ja,31.12.1905,1969-12-31 23:59:59.5+02:00,\"{\"\"a\"\": 1}\",\
         6F9619FF-8B86-D011-B42D-00C04FC964FF,00ff,open,a;b,\"é\nü\"\n\
         ,,\"0,05\",,,,,,,,,,\n",
    );
    stage.import(
        r#"
table: products
create_table: true
columns:
  sku: text
  n: integer
  price: { type: decimal, format: ["1234.56", "1234,56"] }
  share: float
  ok: { type: boolean, format: ja/nein }
  day: { type: date, format: DD.MM.YYYY }
  at: timestamp
  doc: json
  id: uuid
  raw: bytes
  state: { type: enum, values: [open, paid] }
  tags: { type: array, of: text, format: ";" }
  note: { type: text, null: [""] }
  both: { type: text, value: "{{ item.sku }}/{{ item.n | default('none') }}" }
  stock: { type: integer, column: n, default: "0" }
"#,
        "",
    );
    let report = stage.finished(0, &["run", "import.yaml", "--as", "a"]);
    assert_eq!(report["items"]["succeeded"], 2, "{:?}", failures(&stage, "a"));
    let rows = stage.sql("SELECT * FROM products");
    assert_eq!(
        rows[0],
        [
            text("007"),
            Sql::Integer(9_007_199_254_740_993),
            text("12345678901234567890123456789012345678"),
            Sql::Real(0.5),
            Sql::Integer(1),
            text("1905-12-31"),
            text("1969-12-31T21:59:59.500000Z"),
            text("{\"a\": 1}"),
            text("6f9619ff-8b86-d011-b42d-00c04fc964ff"),
            Sql::Blob(vec![0, 255]),
            text("open"),
            text("[\"a\",\"b\"]"),
            text("é\nü"),
            text("007/9007199254740993"),
            Sql::Integer(9_007_199_254_740_993),
        ]
    );
    // An empty text is one in a text column, unless it is said to mean nothing.
    assert_eq!(rows[1][0], text(""));
    assert_eq!(rows[1][2], text("0.05"));
    assert_eq!(rows[1][12], Sql::Null);
    assert_eq!(rows[1][14], Sql::Integer(0));
    assert!(rows[1][3..12].iter().all(|value| *value == Sql::Null), "{rows:?}");
    // Nothing of fanfold's own is left but an empty table of notes.
    assert_eq!(stage.tables(), ["fanfold_batches", "products"]);
    assert_eq!(stage.number("SELECT count(*) FROM fanfold_batches"), 0);
}

#[test]
fn only_the_bad_rows_fail_each_with_its_reason() {
    let stage = Stage::new();
    stage
        .shop()
        .execute_batch(
            "CREATE TABLE shops (id INTEGER PRIMARY KEY); INSERT INTO shops VALUES (1);
             CREATE TABLE sales (id INTEGER PRIMARY KEY, shop INTEGER NOT NULL REFERENCES shops, cents INTEGER CHECK (cents > 0), \
             late INTEGER REFERENCES shops DEFERRABLE INITIALLY DEFERRED);",
        )
        .unwrap();
    let rows = crate::import_shop::sales("9223372036854775808");
    stage.write("rows.csv", rows);
    for max_items in [1, 7, 400] {
        stage.shop().execute_batch("DELETE FROM sales").unwrap();
        stage.import(
            "table: sales\ncolumns: { id: integer, shop: integer, cents: integer, late: integer }",
            &format!("batch: {{ max_items: {max_items} }}\ntolerated_failure: 7\nstop: {{ if_first: 0 }}\nmax_concurrency: 1"),
        );
        let name = format!("a{max_items}");
        let report = stage.finished(0, &["run", "import.yaml", "--as", &name]);
        assert_eq!(report["items"]["failed"], 7);
        assert_eq!(stage.number("SELECT count(*) FROM sales"), 393);
        let failures = failures(&stage, &name);
        let errors: Vec<&str> = failures.iter().map(|(_, error, _)| error.as_str()).collect();
        let (value, constraint) = ("Csv.InvalidValue", "Database.Constraint");
        assert_eq!(errors, [value, value, constraint, constraint, constraint, constraint, value], "{failures:?}");
        let causes: Vec<&str> = failures.iter().map(|(_, _, cause)| cause.as_str()).collect();
        assert_eq!(
            causes,
            [
                "column `shop` has no value, and the table wants one (NOT NULL)",
                "column `cents`: `twelve` is not an integer",
                "FOREIGN KEY constraint failed",
                "CHECK constraint failed: cents > 0",
                "UNIQUE constraint failed: sales.id",
                "FOREIGN KEY constraint failed",
                "column `cents`: `9223372036854775808` is out of range, an integer is from -9223372036854775808 to 9223372036854775807",
            ]
        );
    }
}

/// 600 rows of 100 keys, so that each key comes six times; two of the last ones are bad.
fn repeated(stage: &Stage) {
    let mut rows = String::from("key,n\n");
    for n in 0..600 {
        let key = n * 7 % 100;
        rows.push_str(&if n == 597 { format!("{key},bad\n") } else { format!("{key},{n}\n") });
    }
    stage.write("rows.csv", rows);
}

#[test]
fn of_a_key_that_comes_again_the_last_row_counts_however_the_file_is_cut() {
    for (mode, before, sum) in [("append", 0, 54_944), ("upsert", 5, 54_944 - 1), ("replace", 5, 54_944)] {
        for (max_items, concurrency) in [(1, 20), (13, 4), (600, 1)] {
            let stage = Stage::new();
            repeated(&stage);
            stage.shop().execute_batch("CREATE TABLE t (key TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID").unwrap();
            for n in 0..before {
                stage.shop().execute("INSERT INTO t VALUES (?1, -1)", [format!("{}", 99 + n)]).unwrap();
            }
            stage.import(
                &format!("table: t\nmode: {mode}\nconflict_key: [key]\ncolumns: {{ key: text, n: integer }}"),
                &format!("batch: {{ max_items: {max_items} }}\nmax_concurrency: {concurrency}\ntolerated_failure: 1"),
            );
            let report = stage.finished(0, &["run", "import.yaml", "--as", "a"]);
            let items = &report["items"];
            // 599 good rows of 100 keys: one of each counts.
            assert_eq!(
                (&items["succeeded"], &items["skipped"], &items["failed"]),
                (&json!(100), &json!(499), &json!(1)),
                "{mode} {max_items}"
            );
            let expected: i64 = (0..100).map(|key| (0..600).filter(|n| n * 7 % 100 == key && *n != 597).max().unwrap()).sum();
            let others = if mode == "upsert" { i64::from(before) - 1 } else { 0 };
            assert_eq!(stage.number("SELECT count(*) FROM t"), 100 + others, "{mode}");
            assert_eq!(stage.number("SELECT sum(n) FROM t"), expected - others, "{mode}");
            let _ = sum;
            let skipped = stage.run(&["results", "a"]).ended(0).lines();
            let first = skipped.iter().find(|line| line["status"] == "skipped").unwrap();
            assert_eq!(first["cause"], "item 500 comes later and has the same `key`", "{first}");
        }
    }
}

#[test]
fn a_repaired_row_finds_its_place_among_those_of_its_key() {
    let stage = Stage::new();
    stage.write("rows.csv", "key,n\na,1\nb,x\na,y\nb,4\nc,5\n");
    let settings = "tolerated_failure: 100%\nstop: { if_first: 0 }";
    let job = "table: t\nmode: upsert\ncreate_table: true\nconflict_key: [key]\ncolumns: { key: text, n: integer }";
    stage.import(job, settings);
    stage.finished(0, &["run", "import.yaml", "--as", "a"]);
    assert_eq!(
        stage.sql("SELECT key, n FROM t ORDER BY key"),
        [[text("a"), Sql::Integer(1)], [text("b"), Sql::Integer(4)], [text("c"), Sql::Integer(5)]]
    );
    // What somebody changed since is not undone by a redrive of other rows.
    stage.shop().execute("UPDATE t SET n = 50 WHERE key = 'c'", []).unwrap();
    // The second way to write a number takes the rows that failed.
    stage.import(
        &job.replace("n: integer", "n: { type: integer, value: \"{{ 7 if item.n == 'x' or item.n == 'y' else item.n }}\" }"),
        settings,
    );
    let report = stage.finished(0, &["redrive", "a", "--accept"]);
    let items = &report["items"];
    assert_eq!((&items["succeeded"], &items["skipped"], &items["failed"]), (&json!(3), &json!(2), &json!(0)));
    assert_eq!(
        stage.sql("SELECT key, n FROM t ORDER BY key"),
        [[text("a"), Sql::Integer(7)], [text("b"), Sql::Integer(4)], [text("c"), Sql::Integer(50)]]
    );
    assert_eq!(stage.tables(), ["fanfold_batches", "t"]);
}

#[test]
fn a_table_is_replaced_in_one_moment_or_not_at_all() {
    let stage = Stage::new();
    let prepare = "CREATE TABLE t (key TEXT PRIMARY KEY, n INTEGER CHECK (n < 100)); CREATE INDEX by_n ON t (n); INSERT INTO t VALUES ('old', 1);";
    stage.shop().execute_batch(prepare).unwrap();
    stage.write("rows.csv", "key,n\na,1\nb,bad\nc,500\nd,4\n");
    stage.import("table: t\nmode: replace\ncolumns: { key: text, n: integer }", "tolerated_failure: 1\nstop: { if_first: 0 }");
    // One row is bad and the table refuses another: more than is tolerated.
    let done = stage.run(&["run", "import.yaml", "--as", "a"]).ended(1);
    assert!(done.err.contains("`t` was not replaced: 2 of 4 items failed"), "{}", done.err);
    assert!(done.err.contains("failed: rows.csv#2: Database.Constraint: "), "{}", done.err);
    assert_eq!(stage.sql("SELECT key FROM t"), [[text("old")]]);
    stage.import("table: t\nmode: replace\ncolumns: { key: text, n: { type: integer, value: \"{{ 3 if item.n == 'bad' else item.n }}\" } }", "tolerated_failure: 1");
    let report = stage.finished(0, &["redrive", "a", "--accept"]);
    assert_eq!((&report["items"]["succeeded"], &report["items"]["failed"]), (&json!(3), &json!(1)));
    assert_eq!(
        stage.sql("SELECT key, n FROM t ORDER BY key"),
        [[text("a"), Sql::Integer(1)], [text("b"), Sql::Integer(3)], [text("d"), Sql::Integer(4)]]
    );
    assert_eq!(stage.number("SELECT count(*) FROM sqlite_schema WHERE name = 'by_n'"), 1);
}

#[test]
fn what_the_table_cannot_take_is_told_before_the_first_row() {
    let stage = Stage::new();
    let prepare = "CREATE TABLE t (key INTEGER, n REAL NOT NULL, must TEXT NOT NULL, made AS (n + 1));
                   CREATE TABLE other (key TEXT PRIMARY KEY); CREATE TABLE child (k REFERENCES other);";
    stage.shop().execute_batch(prepare).unwrap();
    stage.write("rows.csv", "key,n\n1,2\n");
    for (job, said) in [
        (
            "table: nothing\ncolumns: { key: text }",
            "has no table `nothing`; make it, or let the import make it by `create_table: true`",
        ),
        ("table: t\ncolumns: { keys: text }", "`t` has no column `keys`, did you mean `key`?; `n` of `t` needs a value"),
        (
            "table: t\ncolumns: { key: text, n: integer, must: text }",
            "`key` is INTEGER in the table: a `text` such as `007` would become a number there",
        ),
        ("table: t\ncolumns: { n: float, must: text, made: integer }", "the database works out `made` itself"),
        (
            "table: t\nmode: upsert\nconflict_key: [key]\ncolumns: { key: integer, n: float, must: text }",
            "`t` has no unique index over `key`",
        ),
        ("table: other\nmode: replace\ncolumns: { key: text }", "`other` is referenced by the table `child`"),
        ("table: hr.t\ncolumns: { key: text }", "an SQLite file has no schema `hr`"),
    ] {
        stage.import(job, "");
        let done = stage.run(&["run", "import.yaml"]).ended(4);
        assert!(done.err.contains(said), "{job}\n{}", done.err);
    }
    stage.write("shop.db", "this is no database, but long enough to be read as one: ".repeat(40));
    stage.run(&["run", "import.yaml"]).ended(4).says("is not a database of SQLite");
}

/// `rows.csv` of so many rows; every fifth key comes again.
fn many(stage: &Stage, rows: usize) {
    let row = |n: usize| format!("{},\"row {n}\nof many\",{}.{:02}\n", n - n % 5 % 2, n, n % 100);
    stage.write("rows.csv", format!("id,name,amount\n{}", (0..rows).map(row).collect::<String>()));
}

#[test]
fn a_pause_and_a_copy_of_the_state_folder_change_nothing() {
    let stage = Stage::new();
    many(&stage, 500);
    stage.import("table: t\ncreate_table: true\ncolumns: { id: integer, name: text, amount: decimal }", "");
    let lines = stage.json(3, &["run", "import.yaml", "--as", "a", "--limit", "120"]);
    assert_eq!(finished(&lines)["items"]["succeeded"], 120);
    assert_eq!(stage.number("SELECT count(*) FROM t"), 120);
    stage.finished(0, &["resume", "a"]);
    assert_eq!(stage.number("SELECT count(*) FROM t"), 500);
    // A run of the same name of another state folder is another run.
    stage.finished(0, &["run", "import.yaml", "--as", "a", "--state-dir", "elsewhere"]);
    assert_eq!(stage.number("SELECT count(*) FROM t"), 1000);
}

#[test]
fn what_a_run_has_written_into_is_not_made_anew_when_it_is_gone() {
    for (job, stage_name) in [
        ("mode: append", None),
        ("mode: upsert\nconflict_key: [id]", Some("fanfold_stage_")),
        ("mode: replace", Some("fanfold_stage_")),
    ] {
        let stage = Stage::new();
        many(&stage, 300);
        stage
            .import(&format!("table: t\ncreate_table: true\n{job}\ncolumns: {{ id: integer, name: text, amount: decimal }}"), "");
        stage.json(3, &["run", "import.yaml", "--as", "a", "--limit", "120"]);
        let kept = std::fs::read(stage.path("shop.db")).unwrap();
        // An older copy, which knows nothing of the run.
        std::fs::remove_file(stage.path("shop.db")).unwrap();
        stage.shop().execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, amount TEXT)").unwrap();
        let done = stage.run(&["resume", "a"]).ended(4);
        let told = match stage_name {
            Some(_) => "is gone, which 120 rows of this run were written into; put it back as it was, or begin a new run",
            None => {
                "120 rows of this run were written, and this database knows of 0: it is another one, or an older copy; put it back"
            }
        };
        assert!(done.err.contains(told), "{job}: {}", done.err);
        std::fs::remove_file(stage.path("shop.db")).unwrap();
        let done = stage.run(&["resume", "a"]).ended(4);
        assert!(done.err.contains("the table `t` is gone, which 120 rows"), "{job}: {}", done.err);
        // Only the table, or only what is kept beside it.
        std::fs::write(stage.path("shop.db"), &kept).unwrap();
        let name = stage.tables().into_iter().find(|name| name.starts_with(stage_name.unwrap_or("t"))).unwrap();
        stage.shop().execute_batch(&format!("DROP TABLE {name}")).unwrap();
        let done = stage.run(&["resume", "a"]).ended(4);
        assert!(done.err.contains(&format!("the table `{name}` is gone")), "{job}: {}", done.err);
        // Nothing was lost by it.
        std::fs::write(stage.path("shop.db"), &kept).unwrap();
        let report = stage.finished(0, &["resume", "a"]);
        assert_eq!(report["items"]["failed"], 0, "{job}");
        assert_eq!(
            stage.number("SELECT count(*) FROM t"),
            if job == "mode: upsert\nconflict_key: [id]" { 180 } else { 300 },
            "{job}"
        );
    }
}

#[test]
fn bad_rows_that_are_read_before_good_ones_are_written_stop_nothing() {
    let stage = Stage::new();
    let row = |n: usize| if n % 50 == 1 { format!("{n},a,1,too much\n") } else { format!("{n},a,1\n") };
    stage.write("rows.csv", format!("id,name,amount\n{}", (0..5000).map(row).collect::<String>()));
    stage.import(
        "table: t\ncreate_table: true\ncolumns: { id: integer, name: text, amount: decimal }",
        "tolerated_failure: 5%\nbatch: { max_items: 100 }\nmax_concurrency: 32",
    );
    let report = stage.finished(0, &["run", "import.yaml", "--as", "a"]);
    assert_eq!((&report["items"]["succeeded"], &report["items"]["failed"]), (&json!(4900), &json!(100)));
}

#[test]
fn the_products_are_imported_by_the_workflow_that_is_shown() {
    let stage = crate::workflows::stage();
    for _ in 0..2 {
        let end = finished(&stage.run_fanfold(&["run", "workflows/import-products.yaml", "--json"]).ended(0).lines());
        assert_eq!((&end["status"], &end["items"]["succeeded"]), (&json!("SUCCEEDED"), &json!(2000)));
        let db = Connection::open(stage.path("products.db")).unwrap();
        let sums = "SELECT count(*), sum(CAST(replace(price, '.', '') AS INTEGER)), count(ean), sum(stock), sum(json_array_length(tags)), \
                    sum(length(description)), min(length(sku)) FROM products";
        let row: [i64; 7] = db.query_row(sums, [], |row| Ok(std::array::from_fn(|at| row.get(at).unwrap()))).unwrap();
        assert_eq!(row, [2000, 193289770, 1804, 329900, 3009, 80099, 6]);
    }
}

#[test]
fn a_new_workflow_has_the_columns_of_the_file_or_of_the_table() {
    let stage = Stage::new();
    stage.write("rows.csv", "Order No.,day,amount,paid\n0012,23.11.2026,\"1.234,50\",yes\n7,01.01.1969,2,no\n");
    stage.run(&["new", "orders", "--job", "csv_import", "--from", "rows.csv"]).ended(0);
    let made = stage.read("orders.yaml");
    for line in [
        "order_no: { type: text, column: \"Order No.\" }",
        "day: { type: date, format: DD.MM.YYYY }",
        "amount: { type: decimal, format: \"1.234,56\" }",
        "paid: boolean",
    ] {
        assert!(made.contains(line), "{line} in {made}");
    }
    stage.run(&["run", "orders.yaml"]).ended(0);
    let db = Connection::open(stage.path("import.db")).unwrap();
    let first = db.query_row("SELECT order_no || day || amount || paid FROM orders", [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(first, "00122026-11-231234.501");

    let table = "CREATE TABLE sales (id INTEGER PRIMARY KEY, order_no TEXT NOT NULL, day DATE, amount DECIMAL(10,2), shop INTEGER NOT NULL)";
    stage.shop().execute_batch(table).unwrap();
    stage.run(&["new", "sales", "--job", "csv_import", "--from", "rows.csv", "--database", "shop.db"]).ended(0);
    let made = stage.read("sales.yaml");
    for line in [
        "      # id: integer  # INTEGER, which nothing in the items is called like",
        "      order_no: { type: text, column: \"Order No.\" }",
        "      day: { type: date, format: DD.MM.YYYY }",
        "      amount: { type: decimal, format: \"1.234,56\" }",
        "      shop: integer  # INTEGER, which nothing in the items is called like",
        "create_table: false",
    ] {
        assert!(made.contains(line), "{line} in {made}");
    }
}
