//! `csv_import` and `kill -9`: whenever it happens, what the table holds in the end is what an undisturbed import puts into it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::import_shop::Shop;
use crate::stage::Running;

const MODES: [&str; 3] = ["append", "upsert", "replace"];

/// A table with old rows, and `rows.csv` of so many. With a key, every fifth row has that of the one before it, and every seventh
/// that of a row long ago.
fn prepared(shop: Shop, mode: &str, rows: usize) -> Shop {
    let id = |n: usize| match n {
        n if n % 5 == 4 => n - 1,
        n if n % 7 == 6 && n > 1000 => n - 1000,
        n => n,
    };
    let row = |n: usize| format!("{},\"row {n}\nof many\",{n}.{:02}\n", id(n), n % 100);
    shop.stage.write("rows.csv", format!("id,name,amount\n{}", (0..rows).map(row).collect::<String>()));
    shop.sql("CREATE TABLE t (id bigint, name text, amount numeric)");
    shop.sql("INSERT INTO t VALUES (-1, 'old', 0), (0, 'old', 0)");
    let mut key = "";
    if mode != "append" {
        shop.sql("CREATE UNIQUE INDEX t_id ON t (id)");
        key = "conflict_key: [id]\n";
    }
    shop.import(
        &format!("table: t\nmode: {mode}\n{key}columns: {{ id: integer, name: text, amount: decimal }}"),
        "batch: { max_items: 50 }\nmax_concurrency: 8",
    );
    shop
}

/// How many rows, their sums, and a hash over all of them, sorted.
fn state(shop: &Shop) -> (String, String) {
    let digest = Sha256::digest(shop.sql("SELECT id, name, amount FROM t ORDER BY id, name, amount"));
    let hash = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    (shop.sql("SELECT count(*), sum(id), sum(round(amount * 100)) FROM t"), hash)
}

/// Imports that are killed at random, again and again until each is done, until so many kills have hit one that was at work.
fn storm(make: fn() -> Shop, mode: &str, kills: u32, rows: usize) {
    let undisturbed = prepared(make(), mode, rows);
    let begun = Instant::now();
    let items = undisturbed.stage.finished(0, &["run", "import.yaml", "--as", "a"])["items"].clone();
    // On a busy machine everything takes longer, and so do those that are killed live.
    let whole = begun.elapsed().as_millis() as u64;
    let expected = state(&undisturbed);
    let mut random = fastrand::Rng::with_seed(u64::from(kills));
    let (mut hit, mut rounds, mut in_the_middle) = (0, 0, 0);
    while hit < kills {
        rounds += 1;
        let shop = prepared(make(), mode, rows);
        // How long they live at most is another length for every import: some are killed while they begin, some at their end.
        let most = random.u64(whole / 8..whole).max(10);
        let report: Value = loop {
            let running = shop.stage.spawn(&["run", "import.yaml", "--as", "a", "--json"]);
            if hit == kills {
                break crate::stage::finished(&running.wait().ended(0).lines());
            }
            std::thread::sleep(Duration::from_millis(random.u64(5..most)));
            let done = running.kill();
            if done.code.is_some() {
                break crate::stage::finished(&done.ended(0).lines());
            }
            hit += 1;
            in_the_middle += u32::from(is_in_the_middle(&shop, rows));
        };
        assert_eq!(report["items"], items, "{mode}, import {rounds}");
        assert_eq!(state(&shop), expected, "{mode}, import {rounds}");
        assert_eq!(shop.left_behind(), "", "{mode}, import {rounds}");
    }
    println!("{mode}: {hit} kills of {rounds} imports of {rows} rows, {in_the_middle} with some rows written and some not");
    // A few may all come at another time; many cannot.
    assert!(kills < 100 || in_the_middle > kills / 10, "{mode}: only {in_the_middle} of {kills} kills were in the middle");
}

/// Whether some batches are written and others are not.
fn is_in_the_middle(shop: &Shop, rows: usize) -> bool {
    let status = shop.stage.run(&["status", "a", "--json"]);
    let Some(line) = status.lines().into_iter().next() else { return false };
    let pending = line["items"]["pending"].as_u64().unwrap_or_default();
    pending > 0 && pending < rows as u64
}

/// A crash at this point, at the nth time that it is passed; then the run is resumed to its end.
fn crashed(
    make: fn() -> Shop,
    mode: &str,
    failing: bool,
    point: Option<(&str, u32)>,
) -> Option<(Value, Value, (String, String))> {
    let shop = make();
    let rows = if failing {
        "id,name,amount\n1,a,1\n2,b,2\n1,c,3\n3,d,x\n2,e,500\n4,f,4\n"
    } else {
        "id,name,amount\n1,a,1\n2,b,2\n1,c,3\n3,d,7\n"
    };
    // Without a key a value that comes again is a row of its own.
    let key = if mode == "append" || mode == "replace" { "" } else { "conflict_key: [id]\n" };
    let (mode, key) = if mode == "append with a key" { ("append", "conflict_key: [id]\n") } else { (mode, key) };
    shop.stage.write("rows.csv", rows);
    shop.sql("CREATE TABLE t (id bigint, name text, amount numeric CHECK (amount < 100))");
    if !key.is_empty() {
        shop.sql("CREATE UNIQUE INDEX t_id ON t (id)");
    }
    if mode != "append" {
        shop.sql("INSERT INTO t VALUES (2, 'old', 0), (9, 'old', 0)");
    }
    let job = |amount: &str| format!("table: t\nmode: {mode}\n{key}columns: {{ id: integer, name: text, amount: {amount} }}");
    let settings = "batch: { max_items: 1 }\nmax_concurrency: 1\ntolerated_failure: 50%\nstop: { if_first: 0 }";
    shop.import(&job("decimal"), settings);
    if let Some((point, nth)) = point {
        let mut command = shop.stage.command(&["run", "import.yaml", "--as", "a"]);
        command.env("FANFOLD_CRASH_AT", format!("{point}:{nth}"));
        match Running::of(command).wait().code {
            // It is not passed so often.
            Some(0) => return None,
            code => assert_eq!(code, None, "{mode} {point}"),
        }
    }
    let report = shop.stage.finished(0, &["run", "import.yaml", "--as", "a"]);
    shop.import(
        &job("{ type: decimal, value: \"{{ 9 if item.amount == 'x' or item.amount == '500' else item.amount }}\" }"),
        settings,
    );
    let redriven = shop.stage.finished(0, &["redrive", "a", "--accept"]);
    assert_eq!(shop.left_behind(), "", "{mode} {point:?}");
    Some((report["items"].clone(), redriven["items"].clone(), state(&shop)))
}

/// Where it is cut off: the points of an import, and those times at which they are passed that are tried.
const POINTS: [(&str, &[u32]); 9] = [
    ("before rows written", &[1, 4]),
    ("after rows written", &[1, 4]),
    ("after outcome durable", &[2]),
    ("after emptied", &[1]),
    ("before merged", &[1]),
    ("after merged", &[1]),
    ("after amended", &[1]),
    ("before tidied", &[1]),
    ("after tidied", &[1]),
];

fn crashes(make: fn() -> Shop) {
    let passed = Mutex::new(BTreeSet::new());
    let all = |mode: &str, failing: bool| {
        let undisturbed = crashed(make, mode, failing, None).unwrap();
        assert_eq!(undisturbed.0["failed"], if failing { 2 } else { 0 }, "{mode}");
        assert_eq!(undisturbed.1["failed"], 0, "{mode}");
        for (point, times) in POINTS {
            for nth in times {
                let Some(after) = crashed(make, mode, failing, Some((point, *nth))) else { break };
                assert_eq!(after, undisturbed, "{mode}, {point}, time {nth}, failing: {failing}");
                passed.lock().unwrap().insert(point);
            }
        }
    };
    let all = &all;
    std::thread::scope(|scope| {
        for mode in ["append", "append with a key", "upsert", "replace"] {
            scope.spawn(move || all(mode, true));
        }
        scope.spawn(|| all("upsert", false));
        scope.spawn(|| all("replace", false));
    });
    assert_eq!(passed.into_inner().unwrap().len(), POINTS.len(), "each is passed");
}

#[test]
fn an_import_that_is_killed_again_and_again_comes_out_the_same() {
    for mode in MODES {
        storm(Shop::sqlite, mode, 10, 20_000);
    }
}

#[test]
#[ignore = "takes minutes"]
fn an_import_that_is_killed_two_hundred_times_comes_out_the_same() {
    for mode in MODES {
        storm(Shop::sqlite, mode, 200, 20_000);
    }
}

#[test]
fn a_crash_at_any_point_of_an_import_is_gone_on_from() {
    crashes(Shop::sqlite);
}

mod import_postgres {
    use super::*;

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn an_import_that_is_killed_again_and_again_comes_out_the_same() {
        for mode in MODES {
            storm(Shop::postgres, mode, 10, 20_000);
        }
    }

    #[test]
    #[ignore = "needs PostgreSQL and takes minutes"]
    fn an_import_that_is_killed_two_hundred_times_comes_out_the_same() {
        for mode in MODES {
            storm(Shop::postgres, mode, 200, 20_000);
        }
    }

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn a_crash_at_any_point_of_an_import_is_gone_on_from() {
        crashes(Shop::postgres);
    }
}
