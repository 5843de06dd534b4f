//! failed.csv: the rows that failed come back as they are written, are repaired, and stand in place of those that failed.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::stage::Stage;

const ITEMS: &str = "items: { csv: { source: in.csv, null: [\"-\"] } }";

const ROWS: &str = "id,what,to\ni0,skip,\"a, \"\"b\"\"\nc\"\ni1,permanent,\"-\"\ni2,,x\ni3,permanent\ni4,perm\"anent,\ni5,,y,z\n";

/// A run of which four rows failed.
fn failed(settings: &str, rows: &str) -> Stage {
    let stage = Stage::new();
    stage.write("in.csv", rows).flow_of("note", "echo: true", settings);
    stage.finished(1, &["run", "flow.yaml", "--as", "x"]);
    stage
}

fn by_id(stage: &Stage) -> BTreeMap<String, Value> {
    stage.results("x")
}

fn write_failed(stage: &Stage) -> String {
    stage.run(&["results", "x", "--failed", "--format", "csv", "-o", "failed.csv"]).ended(0);
    stage.read("failed.csv")
}

#[test]
fn rows_that_failed_come_as_they_are_written() {
    let stage = failed(ITEMS, ROWS);
    let text = write_failed(&stage);
    assert_eq!(
        text,
        "_fanfold_item,_fanfold_line,_fanfold_error,_fanfold_reason,id,what,to\n\
         \"in.csv#1\",4,\"Note.Never\",\"never\",i1,permanent,\"-\"\n\
         \"in.csv#3\",6,\"Item.Invalid\",\"in.csv:6, row 4: 2 fields in the row, 3 in the header; it begins `i3,permanent`\",i3,permanent\n\
         \"in.csv#4\",7,\"Item.Invalid\",\"in.csv:7, row 5: a quote inside field 2, which does not begin with one; it begins `i4,perm\"\"anent,`\",i4,perm\"anent,\n\
         \"in.csv#5\",8,\"Item.Invalid\",\"in.csv:8, row 6: 4 fields in the row, 3 in the header; it begins `i5,,y,z`\",i5,,y,z\n"
    );
    assert_eq!(std::fs::metadata(stage.path("failed.csv")).unwrap().permissions().mode() & 0o777, 0o600);
    // Without a file it goes to stdout, and everything can be had so.
    assert_eq!(stage.run(&["results", "x", "--failed", "--format", "csv"]).ended(0).out, text);
    let all = stage.run(&["results", "x", "--format", "csv"]).ended(0).out;
    assert!(all.contains("\n\"in.csv#0\",2,\"\",\"not this one\",i0,skip,\"a, \"\"b\"\"\nc\"\n"), "{all}");
    stage.run(&["results", "x", "-o", "all.jsonl"]).ended(0);
    assert_eq!(stage.read("all.jsonl").lines().count(), 6);
}

#[test]
fn repaired_rows_stand_in_place_of_those_that_failed() {
    let stage = failed(ITEMS, ROWS);
    let text = write_failed(&stage);
    // As a spreadsheet would leave it: other quotes, other line ends, columns in another order.
    let fixed = "\u{feff}id,_fanfold_item,\"to\",what,_fanfold_error\r\ni1,in.csv#1,\"-\",,Note.Never\r\ni3,in.csv#3,\"t,\r\no\",,\r\n\"i4\",in.csv#4,-,\"\",\r\n";
    stage.write("fixed.csv", fixed);
    // One is not repaired: it fails again, as it is.
    let told = stage.finished(1, &["redrive", "x", "--items", "fixed.csv"]);
    assert_eq!((told["items"]["succeeded"].as_u64(), told["items"]["failed"].as_u64()), (Some(4), Some(1)));
    let results = by_id_or_index(&stage);
    assert_eq!(results["1"]["item"], json!({ "id": "i1", "what": "", "to": "-" }));
    assert_eq!(results["1"]["key"], "in.csv#1");
    assert_eq!(results["3"]["item"], json!({ "id": "i3", "what": "", "to": "t,\r\no" }));
    assert_eq!(results["4"]["item"], json!({ "id": "i4", "what": "", "to": null }));
    assert_eq!(results["5"]["status"], "failed");
    // What was repaired stays repaired; the next repair comes beside it.
    let again = write_failed(&stage);
    assert_eq!(again.lines().count(), 2, "{again}");
    stage.write("fixed.csv", "_fanfold_item,id,what,to\nin.csv#5,i5,,-\n");
    stage.finished(0, &["redrive", "x", "--items", "fixed.csv"]);
    let results = by_id(&stage);
    assert_eq!(results["i5"]["item"], json!({ "id": "i5", "what": "", "to": null }));
    assert_eq!(results["i3"]["item"]["to"], "t,\r\no");
    let kept: Vec<_> = std::fs::read_dir(stage.path(".fanfold/runs/x"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("repaired"))
        .collect();
    assert_eq!(kept, ["repaired-2.rows"]);
    assert_eq!(stage.times("begin")["i2"], 1);
    assert!(text.contains("i4,perm\"anent,"));
    // The data of a run's items goes with the rest of it.
    stage.run(&["prune", "x"]).ended(0);
    assert!(!stage.path(".fanfold/runs/x/repaired-2.rows").exists());
}

fn by_id_or_index(stage: &Stage) -> BTreeMap<String, Value> {
    let lines = stage.run(&["results", "x"]).ended(0).lines();
    lines.into_iter().map(|line| (line["index"].to_string(), line)).collect()
}

#[test]
fn what_is_no_repair_is_refused_and_nothing_is_changed() {
    let stage = failed(ITEMS, ROWS);
    for (fixed, messages) in [
        (
            "_fanfold_item,id,what,to\nin.csv#2,i2,,x\nin.csv#9,i9,,\nin.csv#1,i1,,\nin.csv#1,i1,,\n",
            &[
                "fixed.csv:2: `in.csv#2` is no failed item of run x; hint: take the row out; `test_jobs results x --failed` shows which failed",
                "fixed.csv:3: `in.csv#9` is no failed item of run x",
                "fixed.csv:5: `in.csv#1` is there twice; hint: take one row out",
            ][..],
        ),
        ("_fanfold_item,id,what,to\n,i1,,\n", &["fixed.csv:2: nothing in `_fanfold_item`: which item is it?"]),
        (
            "_fanfold_item,id,what,to\nin.csv#3,i3,permanent\n",
            &[
                "fixed.csv:2, row 1: 3 fields in the row, 4 in the header; it begins `in.csv#3,i3,permanent`; hint: repair this row too, or take it out",
            ],
        ),
        ("id,what,to\ni1,,\n", &["`fixed.csv` has no column `_fanfold_item`, so nobody knows which items its rows are; hint: "]),
        ("_fanfold_item,id,what\nin.csv#1,i1,\n", &["`fixed.csv` has no column `to`; hint: "]),
        ("_fanfold_item,id,what,to,by\nin.csv#1,i1,,,\n", &["`fixed.csv` has a column `by`, which the source has not; hint: "]),
        ("", &["`fixed.csv` is empty"]),
        (
            "_fanfold_item;_fanfold_line;id;what;to\nin.csv#1;4;i1;;\n",
            &["`fixed.csv` is written with `semicolon` between its fields, the source with `comma`; hint: save it with `comma`"],
        ),
    ] {
        stage.write("fixed.csv", fixed);
        let mut done = stage.run(&["redrive", "x", "--items", "fixed.csv"]).ended(2);
        for message in messages {
            done = done.says(message);
        }
    }
    stage.run(&["redrive", "x", "--items", "fixd.csv"]).ended(2).says("fixd.csv` does not exist");
    let report = stage.run(&["status", "x", "--json"]).ended(0).lines();
    assert_eq!(report[0]["items"]["failed"], 4, "{report:?}");
    assert!(
        !std::fs::read_dir(stage.path(".fanfold/runs/x"))
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_str().unwrap().starts_with("repaired") })
    );
    // Items that are no rows of a CSV file have no rows to repair.
    let other = Stage::new();
    other.items([crate::stage::doing(1, "permanent")]).flow("");
    other.finished(1, &["run", "flow.yaml", "--as", "x"]);
    other.write("fixed.csv", "_fanfold_item\n");
    other
        .run(&["redrive", "x", "--items", "fixed.csv"])
        .ended(2)
        .says("the items of this run are `jsonl`, rows are repaired only of `csv`; hint: correct the source and begin a new run");
    other.run(&["results", "x", "--format", "csv"]).ended(2).says("hint: `--format jsonl`");
}

#[test]
fn an_item_keeps_its_key_when_it_is_repaired() {
    let named = format!("{} ", ITEMS.replace(" } }", " }, key: \"{{ item.id }}\" }"));
    let stage = failed(&named, ROWS);
    let text = write_failed(&stage);
    assert!(text.contains("\n\"i1\",4,") && text.contains("\n\"in.csv#3\",6,"), "{text}");
    for (fixed, message) in [
        ("i1,i7,,", "fixed.csv: the repaired row of `i1` has the key `i7`; hint: a repair keeps what `items.key` is made of"),
        ("in.csv#3,i2,,", "items 3 and 4 of the input have one key, `i2`"),
    ] {
        stage.write("fixed.csv", format!("_fanfold_item,id,what,to\n{fixed}\n"));
        stage.run(&["redrive", "x", "--items", "fixed.csv"]).ended(2).says(message);
    }
    stage.write("fixed.csv", "_fanfold_item,id,what,to\ni1,i1,,\nin.csv#3,i3,,\nin.csv#4,i4,,\nin.csv#5,i5,,-\n");
    stage.finished(0, &["redrive", "x", "--items", "fixed.csv"]);
    assert_eq!(stage.results("x")["i3"]["key"], "i3");
}

#[test]
fn the_file_is_a_source_too() {
    let stage = failed(ITEMS, ROWS);
    write_failed(&stage);
    stage.write(
        "next.csv",
        "_fanfold_item,_fanfold_line,_fanfold_error,_fanfold_reason,id,what,to\nin.csv#1,4,E,why,i1,,\n,,,,i8,,\n",
    );
    stage.flow_of("note", "echo: true", "items: { csv: { source: next.csv } }");
    stage.finished(0, &["run", "flow.yaml", "--as", "next"]);
    let lines = stage.run(&["results", "next"]).ended(0).lines();
    assert_eq!((&lines[0]["key"], &lines[0]["item"]), (&json!("in.csv#1"), &json!({ "id": "i1", "what": "", "to": "" })));
    assert_eq!(lines[1]["key"], "next.csv#1");
    stage.write("next.csv", "_fanfold_item,id,what,to\nk,i1,,\nk,i2,,\n");
    stage.run(&["run", "flow.yaml"]).ended(2).says("items 1 and 2 of the input have one key, `k`");
}

#[test]
fn the_file_is_read_as_it_was_written_leniently_too() {
    let items = "items: { csv: { source: in.csv, strict: false, trim: true, delimiter: semicolon, max_row_bytes: 100B } }";
    let long = "y".repeat(150);
    let stage = failed(items, &format!("id;what;to\na\\\\b; permanent ;\"x\\\"y\"\ni1;permanent; \" \"\n{long}\n"));
    let text = write_failed(&stage);
    assert!(text.starts_with("_fanfold_item;_fanfold_line;_fanfold_error;_fanfold_reason;id;what;to\n\"in.csv#0\";2;\"Note.Never\";\"never\";a\\\\b; permanent ;\"x\\\"y\"\n"), "{text}");
    assert!(
        text.contains("\n\"in.csv#2\";4;\"Item.Invalid\";\"in.csv:4, row 3: 150 bytes in one row, at most 100; it begins `yyy"),
        "{text}"
    );
    // Unrepaired, it says the same items again.
    let before = by_id_or_index(&stage);
    let data: String = text.lines().filter(|line| !line.contains("yyy")).map(|line| format!("{line}\n")).collect();
    stage.write("fixed.csv", data.replace("permanent", ""));
    stage.finished(1, &["redrive", "x", "--items", "fixed.csv"]);
    let after = by_id_or_index(&stage);
    for index in ["0", "1"] {
        assert_eq!(after[index]["status"], "succeeded");
        assert_eq!(
            (&after[index]["item"]["id"], &after[index]["item"]["to"]),
            (&before[index]["item"]["id"], &before[index]["item"]["to"])
        );
    }
    assert_eq!(after["0"]["item"], json!({ "id": "a\\b", "what": "", "to": "x\"y" }));
}

#[test]
fn lanes_do_not_change_and_what_is_hidden_stays_so() {
    let items = ITEMS.replace(" } }", " }, key: \"{{ item.id }}\" }");
    let settings = format!("{items}\norder: {{ by: \"{{{{ item.to or 'none' }}}}\" }}\nredact: [item.to]");
    let stage = failed(&settings, "id,what,to\ni0,,a\ni1,permanent,b\ni2\n");
    stage.run(&["results", "x", "--failed", "--format", "csv"]).ended(2).says("`redact` hides parts of these items");
    let text = write_failed(&stage);
    assert!(text.contains("i1,permanent,b\n"), "{text}");
    for (fixed, message) in [
        ("i1,i1,,a", "fixed.csv: `i1` would be in another lane, and the lanes of a run do not change"),
        ("in.csv#2,i2,,a", "fixed.csv: `in.csv#2` was in no lane when the run began"),
    ] {
        stage.write("fixed.csv", format!("_fanfold_item,id,what,to\n{fixed}\n"));
        stage.run(&["redrive", "x", "--items", "fixed.csv"]).ended(2).says(message);
    }
    stage.write("fixed.csv", "_fanfold_item,id,what,to\ni1,i1,,b\n");
    let told = stage.finished(1, &["redrive", "x", "--items", "fixed.csv"]);
    assert_eq!((told["items"]["succeeded"].as_u64(), told["items"]["failed"].as_u64()), (Some(2), Some(1)));
}

#[test]
fn rows_come_back_in_every_encoding_and_with_every_delimiter() {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let cp1252 = |text: &str| text.chars().map(|sign| if sign == '€' { 0x80 } else { sign as u8 }).collect::<Vec<_>>();
    type Encode<'e> = &'e dyn Fn(&str) -> Vec<u8>;
    let encodings: [(&str, Encode<'_>); 3] =
        [("utf-8", &|text| text.as_bytes().to_vec()), ("utf-16", &utf16), ("windows-1252", &cp1252)];
    for (encoding, encode) in encodings {
        for (word, delimiter) in [("comma", ","), ("tab", "\t"), ("space", " ")] {
            let of = |fields: &[&str]| fields.join(delimiter);
            // Quoted where it need not be, not quoted where it may be, a line break and a quote inside, the delimiter itself.
            let raw = [
                of(&["i1", "permanent", "\"é€\""]),
                of(&["\"i2\"", "\"permanent\"", &format!("\"a{delimiter}\"\"b\"\"\r\nc\"")]),
            ];
            let text = format!("{}\n{}\r\n{}\n{}\n", of(&["id", "what", "to"]), raw[0], raw[1], of(&["i3", "\"\"", "x"]));
            let stage = Stage::new();
            let items = |source: &str, encoding: &str| {
                format!(
                    "items: {{ csv: {{ source: {source}, delimiter: {word}, encoding: {encoding} }}, key: \"{{{{ item.id }}}}\" }}"
                )
            };
            stage.write("in.csv", encode(&text)).flow_of("note", "echo: true", &items("in.csv", encoding));
            stage.finished(1, &["run", "flow.yaml", "--as", "x"]);
            let failed = write_failed(&stage);
            assert!(raw.iter().all(|row| failed.contains(&format!("{delimiter}{row}\n"))), "{encoding} {word}: {failed}");
            assert_eq!(failed.starts_with('\u{feff}'), encoding != "utf-8");
            // A new run of the same workflow over it does not take it for what the source was.
            stage.write("failed.csv", failed.replace("permanent", "").as_bytes());
            if encoding != "utf-8" {
                stage.flow_of("note", "echo: true", &items("failed.csv", encoding));
                stage.run(&["run", "flow.yaml"]).ended(2).says("hint: `encoding: utf-8`");
            }
            stage.flow_of("note", "echo: true", &items("failed.csv", "utf-8"));
            stage.finished(0, &["run", "flow.yaml", "--as", "again"]);
            stage.finished(0, &["redrive", "x", "--items", "failed.csv"]);
            for run in ["again", "x"] {
                let results = stage.results(run);
                assert_eq!(results["i1"]["item"], json!({ "id": "i1", "what": "", "to": "é€" }), "{encoding} {word} {run}");
                assert_eq!(results["i2"]["item"]["to"], format!("a{delimiter}\"b\"\r\nc"), "{encoding} {word} {run}");
            }
        }
    }
}

#[test]
fn a_repair_that_is_saved_in_another_encoding_is_told() {
    let stage = failed(ITEMS, ROWS);
    for (bytes, message) in [
        (b"_fanfold_item,id,what,to\nin.csv#1,i1,,caf\xe9\n".to_vec(), "field 4 is not UTF-8 from its character 4 on"),
        (
            "_fanfold_item,id,what,to\n".encode_utf16().flat_map(u16::to_le_bytes).collect(),
            "`fixed.csv` is UTF-16, not UTF-8 text; hint: iconv",
        ),
        (
            b"PK\x03\x04\x14\0".to_vec(),
            "`fixed.csv` is a zip or spreadsheet file, which is not read as text; hint: export it as CSV in UTF-8",
        ),
    ] {
        stage.write("fixed.csv", bytes);
        stage.run(&["redrive", "x", "--items", "fixed.csv"]).ended(2).says(message);
    }
}
