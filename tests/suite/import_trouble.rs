//! `csv_import` when its surroundings go wrong in the middle: each time the run says exactly what it is, no row is lost or doubled, and
//! a resume or a redrive does the rest.

use std::time::Duration;

use serde_json::json;

use crate::import_shop::{Shop, workflow};
use crate::stage::{Running, finished, program};

const COLUMNS: &str = "columns: { id: integer, n: integer }";

/// `rows.csv` with the numbers from 0, each twice: `id` and `n`.
fn numbered(shop: &Shop, rows: usize) {
    shop.stage.write("rows.csv", format!("id,n\n{}", (0..rows).map(|n| format!("{n},{n}\n")).collect::<String>()));
}

/// Every number from 0 is there once.
#[track_caller]
fn is_whole(shop: &Shop, rows: usize) {
    let sum = rows * (rows - 1) / 2;
    assert_eq!(shop.sql("SELECT count(*), count(DISTINCT id), sum(n) FROM t"), format!("{rows}|{rows}|{sum}"));
}

/// A table of which the first rows are written, and a change that an administrator then makes: how the run ends, and what helps.
fn changed_in_the_middle(make: fn() -> Shop, change: &str, said: &str, repair: &str, settings: &str) {
    let shop = make();
    numbered(&shop, 2_000);
    shop.sql("CREATE TABLE t (id integer, n integer)");
    let job = format!("table: t\n{COLUMNS}");
    shop.import(&job, &format!("batch: {{ max_items: 10 }}\nmax_concurrency: 1\n{settings}"));
    let mut running = shop.stage.spawn(&["run", "import.yaml", "--as", "a"]);
    shop.stage.until("rows", |_| shop.number("SELECT count(*) FROM t") > 50);
    assert!(running.is_running(), "too fast to be in the middle");
    shop.sql(change);
    running.wait().ended(4).says(said).says("resume");
    assert_eq!(shop.failures("a"), [], "no row is to blame");
    shop.sql(repair);
    assert_eq!(finished(&shop.stage.json(0, &["resume", "a"]))["items"]["succeeded"], 2_000);
    is_whole(&shop, 2_000);
}

fn tables_that_change(make: fn() -> Shop) {
    let is_postgres = make().is_postgres();
    let (gone, column) = match is_postgres {
        true => ("relation \"public.t\" does not exist", "column \"n\" of relation \"t\" does not exist"),
        false => ("no such table: t", "table t has no column named n"),
    };
    changed_in_the_middle(make, "ALTER TABLE t RENAME TO away", gone, "ALTER TABLE away RENAME TO t", "");
    changed_in_the_middle(make, "ALTER TABLE t RENAME n TO m", column, "ALTER TABLE t RENAME m TO n", "");
}

/// Triggers that refuse rows in every way there is: those rows fail, and are not in the table.
fn triggers_that_raise(make: fn() -> Shop) {
    let shop = make();
    numbered(&shop, 400);
    shop.sql("CREATE TABLE t (id integer, n integer)");
    if shop.is_postgres() {
        shop.sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF NEW.n % 100 = 7 THEN RAISE 'no sevens: %', NEW.n; END IF;
               IF NEW.n % 100 = 8 THEN RAISE SQLSTATE 'U1234' USING MESSAGE = 'a code of its own'; END IF;
               IF NEW.n % 100 = 9 THEN ASSERT false, 'asserted'; END IF;
               RETURN NEW; END $$;
             CREATE TRIGGER refuse AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse()",
        );
    } else {
        for (n, how) in [(7, "ABORT"), (8, "FAIL"), (9, "ROLLBACK")] {
            shop.sql(&format!(
                "CREATE TRIGGER refuse{n} AFTER INSERT ON t WHEN NEW.n % 100 = {n} BEGIN SELECT RAISE({how}, 'no {how}'); END"
            ));
        }
    }
    for (run, max_items) in [("a", 400), ("b", 30)] {
        shop.sql("DELETE FROM t");
        shop.import(&format!("table: t\n{COLUMNS}"), &format!("tolerated_failure: 12\nbatch: {{ max_items: {max_items} }}"));
        let report = shop.stage.finished(0, &["run", "import.yaml", "--as", run]);
        assert_eq!((&report["items"]["succeeded"], &report["items"]["failed"]), (&json!(388), &json!(12)));
        assert_eq!(shop.number("SELECT count(*) FROM t"), 388, "a row that failed is not in the table");
        assert_eq!(shop.number("SELECT count(*) FROM t WHERE n % 100 IN (7, 8, 9)"), 0);
        let causes: Vec<String> =
            shop.failures(run).into_iter().map(|(error, cause)| format!("{error} {cause}")).take(3).collect();
        let expected = match shop.is_postgres() {
            true => ["no sevens: 7", "a code of its own", "asserted"],
            false => ["no ABORT", "no FAIL", "no ROLLBACK"],
        };
        for (cause, expected) in causes.iter().zip(expected) {
            assert!(cause.starts_with(&format!("Database.Constraint {expected}")), "{causes:?}");
        }
    }
}

/// One row in twenty is refused, each for another reason: exactly those fail, with the reason, also where the database is asked for
/// many of them at once.
fn many_that_only_the_database_refuses(make: fn() -> Shop, may_look: bool) {
    const ROWS: usize = 3_000;
    for mode in ["append", "upsert"] {
        let shop = make();
        let mut rows = String::from("id,shop,n\n");
        let mut expected = Vec::new();
        for n in 0..ROWS {
            let (id, shop, value, why) = match n % 60 {
                7 => (n, 99, n, "oreign key"),
                27 => (n, 1, 1_000_000 + n, "n_small"),
                // Of two with the same code the first stays.
                47 => (n, 1, n - 1, "nique"),
                _ => (n, 1, n, ""),
            };
            rows.push_str(&format!("{id},{shop},{value}\n"));
            if !why.is_empty() {
                expected.push((n as u64, why));
            }
        }
        shop.stage.write("rows.csv", rows);
        shop.sql(
            "CREATE TABLE shops (id integer PRIMARY KEY); INSERT INTO shops VALUES (1);
             CREATE TABLE t (id integer PRIMARY KEY, shop integer REFERENCES shops, n integer UNIQUE, CONSTRAINT n_small CHECK (n < 1000000))",
        );
        let key = if mode == "append" { "" } else { "conflict_key: [id]\n" };
        let job = format!("table: t\nmode: {mode}\n{key}columns: {{ id: integer, shop: integer, n: integer }}");
        let settings = "batch: { max_items: 1000 }\nmax_concurrency: 1\ntolerated_failure: 10%\nstop: { if_first: 0 }";
        shop.import(&job, settings);
        if let (Some(url), false, "append") = (&shop.url, may_look, mode) {
            let role = format!("blind_{:08x}", fastrand::u32(..));
            shop.sql(&format!("CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}; GRANT INSERT ON t TO {role}"));
            shop.import_to(&url.replace("fanfold@", &format!("{role}@")), &job, settings);
        }
        let report = shop.stage.finished(0, &["run", "import.yaml", "--as", "a"]);
        assert_eq!(report["items"]["failed"], expected.len(), "{mode}");
        let lines = shop.stage.run(&["results", "a", "--failed"]).ended(0).lines();
        for (line, (index, why)) in lines.iter().zip(&expected) {
            let cause = line["cause"].as_str().unwrap_or_default();
            let is_meant = cause.contains(why)
                || *why == "oreign key" && cause.contains("FOREIGN KEY")
                || *why == "nique" && cause.contains("UNIQUE");
            assert!(
                line["index"] == *index && line["error"] == "Database.Constraint" && is_meant,
                "{mode}: {line}; expected {index} {why}"
            );
        }
        let counted = shop.sql("SELECT count(*), count(DISTINCT n), max(n) FROM t");
        assert_eq!(counted, format!("{0}|{0}|{1}", ROWS - expected.len(), ROWS - 1), "{mode}");
        assert_eq!(shop.sql("SELECT count(*) FROM t WHERE id <> n"), "0", "{mode}");
    }
}

/// A redrive writes what failed and nothing else, as often as it takes; a repaired file stands in for the rows of the source.
fn redriven(make: fn() -> Shop, mode: &str) {
    let shop = make();
    let keyed = mode != "append";
    shop.stage.write("rows.csv", "id,n\n1,1\n2,x\n3,3\n4,400\n5,5\n6,y\n7,700\n");
    shop.sql("CREATE TABLE t (id integer PRIMARY KEY, n integer CHECK (n < 100))");
    let key = if keyed { "conflict_key: [id]\n" } else { "" };
    shop.import(
        &format!("table: t\nmode: {mode}\n{key}{COLUMNS}"),
        "tolerated_failure: 100%\nbatch: { max_items: 2 }\nstop: { if_first: 0 }",
    );
    let counts = |report: &serde_json::Value| {
        (report["items"]["succeeded"].as_u64().unwrap(), report["items"]["failed"].as_u64().unwrap())
    };
    assert_eq!(counts(&shop.stage.finished(0, &["run", "import.yaml", "--as", "a"])), (3, 4));
    assert_eq!(counts(&shop.stage.finished(0, &["redrive", "a"])), (3, 4));
    assert_eq!(shop.sql("SELECT count(*), sum(n) FROM t"), "3|9");
    // Two of four are repaired: one rightly, one not.
    let failed = shop.stage.run(&["results", "a", "--failed", "--format", "csv"]).ended(0).out;
    let repaired: String = failed
        .lines()
        .filter(|line| !line.starts_with("6,") && !line.starts_with("7,"))
        .map(|line| format!("{line}\n"))
        .collect();
    shop.stage.write("fixed.csv", repaired.replace("2,x", "2,2").replace("4,400", "4,401"));
    assert_eq!(counts(&shop.stage.finished(0, &["redrive", "a", "--items", "fixed.csv"])), (4, 3), "{failed}");
    assert_eq!(shop.sql("SELECT count(*), sum(n) FROM t"), "4|11");
    let failed = shop.stage.run(&["results", "a", "--failed", "--format", "csv"]).ended(0).out;
    shop.stage.write("fixed.csv", failed.replace("4,401", "4,4").replace("6,y", "6,6").replace("7,700", "7,7"));
    assert_eq!(counts(&shop.stage.finished(0, &["redrive", "a", "--items", "fixed.csv"])), (7, 0), "{failed}");
    assert_eq!(shop.sql("SELECT count(*), sum(n) FROM t"), "7|28");
    assert_eq!(shop.left_behind(), "");
}

/// Whoever is stopped goes on where it stopped.
fn stopped(make: fn() -> Shop, mode: &str) {
    const ROWS: usize = 20_000;
    let shop = make();
    numbered(&shop, ROWS);
    shop.sql("CREATE TABLE t (id integer PRIMARY KEY, n integer)");
    let key = if mode == "append" { "" } else { "conflict_key: [id]\n" };
    shop.import(&format!("table: t\nmode: {mode}\n{key}{COLUMNS}"), "batch: { max_items: 10 }\nmax_concurrency: 2");
    // The tables of the run's own are there from now on.
    shop.stage.json(3, &["run", "import.yaml", "--as", "a", "--limit", "10"]);
    let mut stops = 0;
    loop {
        let before = shop.number("SELECT max(last) FROM fanfold_batches");
        let running = shop.stage.spawn(&["resume", "a", "--json"]);
        shop.stage.until("rows", |_| shop.sql("SELECT max(last) FROM fanfold_batches") != before.to_string());
        shop.stage.run(&["stop", "a"]);
        let done = running.wait();
        let items = finished(&done.lines())["items"].clone();
        assert_eq!(
            (&items["failed"], done.code),
            (&json!(0), if items["pending"] == 0 { Some(0) } else { Some(3) }),
            "{mode} {items}"
        );
        if done.code == Some(0) {
            break;
        }
        stops += 1;
        if stops == 4 {
            shop.stage.finished(0, &["resume", "a"]);
            break;
        }
    }
    assert!(stops > 0, "{mode}: never stopped in the middle");
    is_whole(&shop, ROWS);
    assert_eq!(shop.left_behind(), "");
}

/// Runs at once into one table: each row once, or that of one of them, never half of each.
fn two_at_once(make: fn() -> Shop) {
    for mode in ["append", "upsert", "replace"] {
        let shop = make();
        numbered(&shop, 2_000);
        let key = if mode == "append" { "" } else { "conflict_key: [id]\n" };
        let job = |n: &str| format!("table: t\ncreate_table: true\nmode: {mode}\n{key}columns: {{ id: integer, n: {n} }}");
        let database = shop.url.as_deref().unwrap_or("shop.db").to_string();
        let settings = "batch: { max_items: 50 }";
        shop.stage.write("one.yaml", workflow("one", &database, &job("integer"), settings));
        let other = job("{ type: integer, value: \"{{ item.n | int + 10000 }}\" }");
        shop.stage.write("two.yaml", workflow("two", &database, &other, settings));
        let running = ["one", "two"].map(|name| shop.stage.spawn(&["run", &format!("{name}.yaml"), "--as", name, "--json"]));
        for running in running {
            assert_eq!(finished(&running.wait().ended(0).lines())["items"]["succeeded"], 2_000, "{mode}");
        }
        let both = shop.sql("SELECT count(*), count(DISTINCT id), min(n), max(n), count(DISTINCT n / 10000) FROM t");
        let whole = ["2000|2000|0|1999|1", "2000|2000|10000|11999|1"];
        assert!(if mode == "append" { both == "4000|2000|0|11999|2" } else { whole.contains(&both.as_str()) }, "{mode}: {both}");
        assert_eq!(shop.left_behind(), "");
    }
}

#[test]
fn tables_that_change_in_sqlite() {
    tables_that_change(Shop::sqlite);
}

#[test]
fn triggers_that_raise_in_sqlite() {
    triggers_that_raise(Shop::sqlite);
}

#[test]
fn many_that_only_sqlite_refuses() {
    many_that_only_the_database_refuses(Shop::sqlite, true);
}

#[test]
fn redriven_in_sqlite() {
    redriven(Shop::sqlite, "append");
    redriven(Shop::sqlite, "upsert");
}

#[test]
fn stopped_in_sqlite() {
    stopped(Shop::sqlite, "append");
    stopped(Shop::sqlite, "upsert");
}

#[test]
fn two_at_once_into_sqlite() {
    two_at_once(Shop::sqlite);
}

/// Others may keep the file as long as they like, within a minute: it is waited for, and no try is lost.
#[test]
#[ignore = "waits for half a minute"]
fn a_file_that_another_program_keeps_locked_is_waited_for() {
    let shop = Shop::sqlite();
    numbered(&shop, 1_000);
    shop.sql("CREATE TABLE t (id integer, n integer)");
    shop.import(&format!("table: t\n{COLUMNS}"), "batch: { max_items: 10 }\nmax_concurrency: 1");
    shop.stage.json(3, &["run", "import.yaml", "--as", "a", "--limit", "100"]);
    let other = rusqlite::Connection::open(shop.stage.path("shop.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; DELETE FROM t WHERE id < 0").unwrap();
    let mut running = shop.stage.spawn(&["resume", "a", "--json"]);
    // Longer than one try to get the lock.
    std::thread::sleep(Duration::from_secs(25));
    assert!(running.is_running());
    other.execute_batch("COMMIT").unwrap();
    let last = finished(&running.wait().ended(0).lines());
    assert_eq!((&last["items"]["succeeded"], &last["attempts"]), (&json!(1_000), &json!(1_000)));
    is_whole(&shop, 1_000);
}

/// What was given up while it was written is counted as what it is: in the table, or failed.
#[test]
fn rows_that_are_given_up_while_the_file_is_locked_are_in_the_table_or_failed() {
    let shop = Shop::sqlite();
    numbered(&shop, 300);
    shop.sql("CREATE TABLE t (id integer, n integer)");
    shop.import(
        &format!("table: t\n{COLUMNS}"),
        "batch: { max_items: 10 }\nmax_concurrency: 4\nitem_timeout: 300ms\ntolerated_failure: 100%\nstop: { if_first: 0 }",
    );
    shop.stage.json(3, &["run", "import.yaml", "--as", "a", "--limit", "100"]);
    let other = rusqlite::Connection::open(shop.stage.path("shop.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; DELETE FROM t WHERE id < 0").unwrap();
    let mut running = shop.stage.spawn(&["resume", "a", "--json"]);
    // Each batch is given up in its time, and none is waited for longer.
    std::thread::sleep(Duration::from_secs(4));
    assert!(running.is_running(), "the end waits for what is being written");
    other.execute_batch("COMMIT").unwrap();
    let items = finished(&running.wait().ended(0).lines())["items"].clone();
    let (succeeded, failed) = (items["succeeded"].as_u64().unwrap(), items["failed"].as_u64().unwrap());
    assert_eq!(succeeded + failed, 300, "{items}");
    assert_eq!(shop.number("SELECT count(*) FROM t"), succeeded, "{items}");
    assert!(failed > 0 && succeeded > 100, "some were being written, others were not begun: {items}");
    assert!(shop.failures("a").iter().all(|(error, _)| error == "Item.TimedOut"));
    shop.stage.finished(0, &["redrive", "a"]);
    is_whole(&shop, 300);
}

/// In a mount namespace of its own that leaves nothing behind.
#[test]
#[ignore = "needs a user namespace or root: mounts a small tmpfs"]
fn a_disk_that_gets_full_stops_the_run_and_no_row_is_to_blame() {
    for mode in ["append", "upsert"] {
        let shop = Shop::sqlite();
        let row = |n: usize| format!("{n},{}\n", "x".repeat(500));
        shop.stage.write("rows.csv", format!("id,text\n{}", (0..4_000).map(row).collect::<String>()));
        std::fs::create_dir(shop.stage.path("disk")).unwrap();
        let key = if mode == "append" { "" } else { "conflict_key: [id]\n" };
        let job = format!("table: t\ncreate_table: true\nmode: {mode}\n{key}columns: {{ id: integer, text: text }}");
        shop.import_to("disk/shop.db", &job, "batch: { max_items: 20 }\nmax_concurrency: 1");
        let script = r#"
            mount -t tmpfs -o size=1m none disk || exit 99
            "$0" run import.yaml --as a --json; echo "code $?"
            "$0" results a --failed; "$0" resume a --json >/dev/null; echo "code $?"
            mount -o remount,size=40m disk
            "$0" resume a --json; echo "code $?"
            cp disk/shop.db shop.db
        "#;
        let mut command = std::process::Command::new("unshare");
        command.args(["-rm", "sh", "-c", script]).arg(program("test_jobs")).current_dir(shop.stage.path("")).env("NO_COLOR", "1");
        let done = Running::of(command).wait();
        let ends: Vec<&str> = done.out.lines().filter(|line| line.starts_with("code ")).collect();
        assert_eq!(ends, ["code 4", "code 4", "code 0"], "{mode}: {} {}", done.out, done.err);
        assert!(done.err.contains("disk/shop.db: database or disk is full"), "{}", done.err);
        assert_eq!(shop.sql("SELECT count(*), count(DISTINCT id), sum(length(text)) FROM t"), "4000|4000|2000000");
    }
}

mod import_postgres {
    use super::*;

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn tables_that_change_in_postgres() {
        tables_that_change(Shop::postgres);
        // Not the owner: an administrator's rights cannot be taken away.
        let role = format!("writer_{:08x}", fastrand::u32(..));
        let shop = Shop::postgres();
        numbered(&shop, 2_000);
        shop.sql(&format!("CREATE TABLE t (id integer, n integer); CREATE ROLE {role} LOGIN; GRANT ALL ON SCHEMA public TO {role}; GRANT INSERT ON t TO {role}"));
        let url = shop.url.as_deref().unwrap().replace("fanfold@", &format!("{role}@"));
        shop.import_to(&url, &format!("table: t\n{COLUMNS}"), "batch: { max_items: 10 }\nmax_concurrency: 1");
        let mut running = shop.stage.spawn(&["run", "import.yaml", "--as", "a"]);
        shop.stage.until("rows", |_| shop.number("SELECT count(*) FROM t") > 50);
        assert!(running.is_running(), "too fast to be in the middle");
        shop.sql(&format!("REVOKE INSERT ON t FROM {role}"));
        running.wait().ended(4).says("permission denied for table t");
        shop.stage
            .run(&["resume", "a"])
            .ended(4)
            .says(&format!("`{role}` has no right to INSERT `id`, `n` of `t`: GRANT INSERT gives it"));
        shop.sql(&format!("GRANT INSERT ON t TO {role}"));
        shop.stage.finished(0, &["resume", "a"]);
        is_whole(&shop, 2_000);
    }

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn triggers_that_raise_in_postgres() {
        triggers_that_raise(Shop::postgres);
    }

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn many_that_only_postgres_refuses() {
        many_that_only_the_database_refuses(Shop::postgres, true);
        many_that_only_the_database_refuses(Shop::postgres, false);
    }

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn redriven_in_postgres() {
        redriven(Shop::postgres, "append");
        redriven(Shop::postgres, "upsert");
    }

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn stopped_in_postgres() {
        stopped(Shop::postgres, "append");
        stopped(Shop::postgres, "upsert");
    }

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn two_at_once_into_postgres() {
        two_at_once(Shop::postgres);
    }

    /// A transaction that takes longer than an item may: it is given up, and committed nevertheless.
    #[test]
    #[ignore = "needs PostgreSQL"]
    fn rows_that_are_given_up_while_they_are_written_are_in_the_table_or_failed() {
        for mode in ["append", "upsert"] {
            let shop = Shop::postgres();
            numbered(&shop, 200);
            shop.sql("CREATE TABLE t (id integer PRIMARY KEY, n integer)");
            let key = if mode == "append" { "" } else { "conflict_key: [id]\n" };
            shop.import(
                &format!("table: t\nmode: {mode}\nmax_connections: 1\n{key}{COLUMNS}"),
                "batch: { max_items: 10 }\nmax_concurrency: 4\nitem_timeout: 300ms\ntolerated_failure: 100%\nstop: { if_first: 0 }",
            );
            shop.stage.json(3, &["run", "import.yaml", "--as", "a", "--limit", "20"]);
            // Whoever notes what was written waits; the rows are in by then.
            let lock = "BEGIN; LOCK TABLE fanfold_batches IN SHARE MODE; SELECT pg_sleep(3); COMMIT";
            let url = shop.url.clone().unwrap();
            let locking = std::thread::spawn(move || crate::import_shop::psql(&url, lock));
            shop.stage.until("the lock", |_| {
                shop.number("SELECT count(*) FROM pg_locks WHERE mode = 'ShareLock' AND relation = 'fanfold_batches'::regclass")
                    > 0
            });
            let items = shop.stage.finished(0, &["resume", "a"])["items"].clone();
            locking.join().unwrap();
            let (succeeded, failed) = (items["succeeded"].as_u64().unwrap(), items["failed"].as_u64().unwrap());
            assert_eq!(succeeded + failed, 200, "{mode} {items}");
            assert_eq!(shop.number("SELECT count(*) FROM t"), succeeded, "{mode} {items}");
            assert!(failed > 0 && succeeded > 20, "{mode} {items}");
            shop.stage.finished(0, &["redrive", "a"]);
            is_whole(&shop, 200);
        }
    }
}
