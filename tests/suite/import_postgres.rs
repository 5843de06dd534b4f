//! `csv_import` into PostgreSQL. `tests/engines.sh` starts one and runs these.

use serde_json::json;

use crate::import_shop::Shop;
use crate::workflows;

#[test]
#[ignore = "needs PostgreSQL"]
fn values_arrive_as_they_are_meant() {
    let shop = Shop::postgres();
    shop.sql(
        "CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('sad', 'happy'); CREATE DOMAIN s.code AS varchar(4);
         CREATE TABLE s.t (code s.code, i2 smallint, i4 integer, i8 bigint, n numeric, n2 numeric(10,2), f4 real, f8 double precision,
           b boolean, d date, ts timestamp, tz timestamptz, j json, jb jsonb, u uuid, raw bytea, m s.mood, ta text[], ia integer[], c char(4))",
    );
    let long = "12345678901234567890123456789012345678";
    shop.stage.write(
        "rows.csv",
        format!(
            "code,i,big,n,f,b,d,ts,j,u,raw,m,ta,ia\n\
             0071,-7,9007199254740993,{long},0.5,yes,1905-12-31,1969-12-31 23:59:59.5,\"{{\"\"a\"\": [1]}}\",\
             6F9619FF8B86D011B42D00C04FC964FF,AP8=,happy,\"a, b;é\",\"[1,null,3]\"\n\
             ,,,,,,,,,,,,,\n\
             é,1,1,-0.00000000000000000000000000000000000001,1e300,no,9999-12-31,2026-01-01T00:00:00,1,\
             00000000-0000-0000-0000-000000000000,,sad,,[]\n"
        ),
    );
    shop.import(
        r#"
table: s.t
columns:
  code: { type: text, "null": [""] }
  i2: { type: integer, column: i }
  i4: { type: integer, column: i }
  i8: { type: integer, column: big }
  n: decimal
  n2: { type: decimal, value: "{{ '19.90' if item.i else item.i }}" }
  f4: { type: float, value: "{{ '0.25' if item.i else item.i }}" }
  f8: { type: float, column: f }
  b: boolean
  d: date
  ts: timestamp
  tz: { type: timestamp, column: ts, zone: "+02:00" }
  j: json
  jb: { type: json, column: j }
  u: uuid
  raw: { type: bytes, format: base64 }
  m: { type: enum, values: [sad, happy] }
  ta: { type: array, of: text, format: ";" }
  ia: { type: array, of: integer }
  c: { type: text, column: code, "null": [""] }
"#,
        "",
    );
    let report = shop.stage.finished(0, &["run", "import.yaml", "--as", "a"]);
    assert_eq!(report["items"]["succeeded"], 3, "{:?}", shop.failures("a"));
    let rows = shop.sql("SET timezone = 'UTC'; SELECT * FROM s.t");
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!(
        rows[0],
        format!(
            "0071|-7|-7|9007199254740993|{long}|19.90|0.25|0.5|t|1905-12-31|1969-12-31 23:59:59.5|1969-12-31 21:59:59.5+00|\
             {{\"a\": [1]}}|{{\"a\": [1]}}|6f9619ff-8b86-d011-b42d-00c04fc964ff|\\x00ff|happy|{{\"a, b\",é}}|{{1,NULL,3}}|0071"
        ),
    );
}

#[test]
#[ignore = "needs PostgreSQL"]
fn only_the_bad_rows_fail_each_with_its_reason() {
    let shop = Shop::postgres();
    shop.sql(
        "CREATE TABLE shops (id integer PRIMARY KEY); INSERT INTO shops VALUES (1);
         CREATE TABLE sales (id integer PRIMARY KEY, shop integer NOT NULL REFERENCES shops, cents integer CHECK (cents > 0),
           late integer REFERENCES shops DEFERRABLE INITIALLY DEFERRED)",
    );
    let rows = crate::import_shop::sales("2147483648");
    shop.stage.write("rows.csv", rows);
    for max_items in [1, 7, 400] {
        shop.sql("DELETE FROM sales");
        shop.import(
            "table: sales\ncolumns: { id: integer, shop: integer, cents: integer, late: integer }",
            &format!("batch: {{ max_items: {max_items} }}\ntolerated_failure: 7\nstop: {{ if_first: 0 }}\nmax_concurrency: 1"),
        );
        let name = format!("a{max_items}");
        let report = shop.stage.finished(0, &["run", "import.yaml", "--as", &name]);
        assert_eq!(report["items"]["failed"], 7, "{:?}", shop.failures(&name));
        assert_eq!(shop.sql("SELECT count(*) FROM sales"), "393");
        let failures = shop.failures(&name);
        let (value, constraint) = ("Csv.InvalidValue", "Database.Constraint");
        for ((error, cause), (expected, part)) in failures.iter().zip([
            (value, "column `shop` has no value"),
            (value, "column `cents`: `twelve` is not an integer"),
            (constraint, "violates foreign key constraint \"sales_shop_fkey\": Key (shop)=(2) is not present"),
            (constraint, "violates check constraint \"sales_cents_check\""),
            (constraint, "violates unique constraint \"sales_pkey\": Key (id)=(1) already exists"),
            (constraint, "violates foreign key constraint \"sales_late_fkey\""),
            (value, "column `cents`: `2147483648` is out of range, integer is from"),
        ]) {
            assert!(error == expected && cause.contains(part), "{error}: {cause}; expected {part}");
        }
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn of_a_key_that_comes_again_the_last_row_counts_however_the_file_is_cut() {
    for mode in ["append", "upsert", "replace"] {
        for (max_items, concurrency) in [(1, 20), (13, 4), (600, 1)] {
            let shop = Shop::postgres();
            let mut rows = String::from("key,n\n");
            for n in 0..600 {
                rows.push_str(&if n == 597 { "79,bad\n".to_string() } else { format!("{},{n}\n", n * 7 % 100) });
            }
            shop.stage.write("rows.csv", rows);
            shop.sql("CREATE TABLE t (key text PRIMARY KEY, n integer)");
            if mode != "append" {
                shop.sql("INSERT INTO t SELECT 99 + x, -1 FROM generate_series(0, 4) AS x");
            }
            shop.import(
                &format!("table: t\nmode: {mode}\nconflict_key: [key]\ncolumns: {{ key: text, n: integer }}"),
                &format!("batch: {{ max_items: {max_items} }}\nmax_concurrency: {concurrency}\ntolerated_failure: 1"),
            );
            let items = shop.stage.finished(0, &["run", "import.yaml", "--as", "a"])["items"].clone();
            assert_eq!(
                (&items["succeeded"], &items["skipped"], &items["failed"]),
                (&json!(100), &json!(499), &json!(1)),
                "{mode}"
            );
            let expected: i64 = (0..100).map(|key| (0..600i64).filter(|n| n * 7 % 100 == key && *n != 597).max().unwrap()).sum();
            let others = if mode == "upsert" { 4 } else { 0 };
            assert_eq!(shop.sql("SELECT count(*), sum(n) FROM t"), format!("{}|{}", 100 + others, expected - others), "{mode}");
        }
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_table_is_replaced_in_one_moment_and_keeps_what_belongs_to_it() {
    let shop = Shop::postgres();
    shop.sql(
        "CREATE TABLE kinds (id integer PRIMARY KEY); INSERT INTO kinds VALUES (1), (4);
         CREATE TABLE t (key text PRIMARY KEY, n integer REFERENCES kinds); CREATE INDEX by_n ON t (n); INSERT INTO t VALUES ('old', 1);
         DROP ROLE IF EXISTS reader; CREATE ROLE reader; GRANT SELECT ON t TO reader; CREATE VIEW v AS SELECT * FROM t",
    );
    let beside = "SELECT (SELECT relacl::text FROM pg_class WHERE relname = 't'), (SELECT count(*) FROM pg_indexes WHERE tablename = 't'), \
                  (SELECT count(*) FROM pg_constraint WHERE conrelid = 't'::regclass), 't'::regclass::oid";
    let before = shop.sql(beside);
    shop.stage.write("rows.csv", "key,n\na,1\nb,bad\nc,5\nd,4\n");
    let job = "table: t\nmode: replace\ncolumns: { key: text, n: integer }";
    shop.import(job, "tolerated_failure: 1\nstop: { if_first: 0 }");
    let done = shop.stage.run(&["run", "import.yaml", "--as", "a"]).ended(1);
    assert!(done.err.contains("`t` was not replaced: 2 of 4 items failed"), "{}", done.err);
    assert_eq!(shop.sql("SELECT key FROM v"), "old");
    shop.sql("INSERT INTO kinds VALUES (5)");
    let report = shop.stage.finished(0, &["redrive", "a"]);
    assert_eq!((&report["items"]["succeeded"], &report["items"]["failed"]), (&json!(3), &json!(1)));
    assert_eq!(shop.sql("SELECT key, n FROM v ORDER BY key"), "a|1\nc|5\nd|4");
    assert_eq!(shop.sql(beside), before);
    shop.sql("CREATE TABLE child (t text REFERENCES t)");
    shop.stage.run(&["run", "import.yaml"]).ended(4).says("`t` is referenced by the table `child`");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn what_the_table_cannot_take_is_told_before_the_first_row() {
    let shop = Shop::postgres();
    shop.sql("CREATE TABLE t (key integer, n real NOT NULL, must text NOT NULL, made integer GENERATED ALWAYS AS (key + 1) STORED, p point)");
    shop.stage.write("rows.csv", "key,n\n1,2\n");
    for (job, said) in [
        ("table: nothing\ncolumns: { key: text }", "there is no table `nothing`; make it, or let the import make it"),
        ("table: t\ncolumns: { keys: text }", "`t` has no column `keys`, did you mean `key`?; `n` of `t` needs a value"),
        (
            "table: t\ncolumns: { key: text, n: float, must: text }",
            "`key` is integer in the table and `text` in the workflow; say `type: integer`",
        ),
        ("table: t\ncolumns: { n: float, must: text, p: text }", "`p` is point in the table, which is not known here"),
        ("table: t\ncolumns: { n: float, must: text, made: integer }", "the database works out `made` itself"),
        (
            "table: t\nmode: upsert\nconflict_key: [key]\ncolumns: { key: integer, n: float, must: text }",
            "`t` has no unique index over `key`",
        ),
    ] {
        shop.import(job, "");
        shop.stage.run(&["run", "import.yaml"]).ended(4).says(said);
    }
    let text = shop.stage.read("import.yaml");
    shop.stage.write("import.yaml", text.replace("shop_", "no_shop_"));
    shop.stage.run(&["run", "import.yaml"]).ended(4).says("does not exist");
    assert_eq!(shop.sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'fanfold%'"), "0");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn the_products_are_imported_by_the_workflow_that_is_shown() {
    let shop = Shop::of(workflows::stage());
    let param = format!("database={}", shop.url.as_deref().unwrap());
    for _ in 0..2 {
        shop.stage.run_fanfold(&["run", "workflows/import-products.yaml", "-p", &param]).ended(0);
        let counts = "SELECT count(*), sum(price), count(ean), sum(stock), sum(array_length(tags, 1)), sum(length(description)) FROM products";
        assert_eq!(shop.sql(counts), "2000|1932897.70|1804|329900|3009|80099");
    }
}
