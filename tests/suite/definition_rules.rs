//! Rules for definitions of state machines: every file of `tests/definitions/bad/` breaks one, and is told with code, place and hint.
//!
//! `tests/definitions/bad.txt` holds the messages; `FANFOLD_BLESS=1 cargo test --test suite definition_rules` writes them anew, to be
//! read in the diff.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fanfold::asl::{RULES, check};
use serde_json::json;

use crate::stage::Stage;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/definitions")
}

/// The files that break a rule, by name.
fn bad() -> Vec<(String, String)> {
    let paths = fs::read_dir(folder().join("bad")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<(String, String)> =
        paths.map(|path| (path.file_name().unwrap().to_str().unwrap().to_string(), fs::read_to_string(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn every_rule_is_broken_by_a_file_and_told_word_for_word() {
    let mut told = String::new();
    let mut broken = BTreeSet::new();
    for (name, text) in bad() {
        let findings = check(&text, &name);
        // One mistake is told once, by its own rule, on the line where it is.
        assert_eq!(findings.len(), 1, "{name}: {findings:#?}");
        let finding = &findings[0];
        assert!(
            finding.place.line > 1 || ["wrapped.json", "json-comment.json", "missing-start-at.json"].contains(&name.as_str()),
            "{finding}"
        );
        broken.insert(finding.rule.code);
        let word = if finding.rule.warning { "warning" } else { "error" };
        told.push_str(&format!("{word}: {finding}\n"));
    }
    assert!(broken.len() >= 40, "{} rules are too few", broken.len());
    // Files of these would be large.
    let large = ["Asl.Size", "Asl.BatchInput"];
    let missing: Vec<&str> =
        RULES.iter().map(|rule| rule.code).filter(|code| !broken.contains(code) && !large.contains(code)).collect();
    assert!(missing.is_empty(), "rules that no file breaks: {missing:?}");
    let path = folder().join("bad.txt");
    if std::env::var_os("FANFOLD_BLESS").is_some() {
        fs::write(&path, &told).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    for (expected, told) in expected.lines().zip(told.lines()) {
        assert_eq!(expected, told);
    }
    assert_eq!(expected, told);
}

#[test]
fn what_is_too_large_is_told() {
    let definition = |batch_input: usize, comment: usize| {
        let map = json!({
            "Type": "Map", "End": true,
            "ItemBatcher": { "MaxItemsPerBatch": 1, "BatchInput": { "text": "x".repeat(batch_input) } },
            "ItemProcessor": {
                "ProcessorConfig": { "Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS" },
                "StartAt": "Done", "States": { "Done": { "Type": "Succeed" } },
            },
            "ResultWriter": { "WriterConfig": { "OutputType": "JSON" } },
        });
        json!({ "Comment": "x".repeat(comment), "StartAt": "Map", "States": { "Map": map } }).to_string()
    };
    let codes = |text: &str| check(text, "m.json").iter().map(|finding| finding.rule.code).collect::<Vec<_>>();
    assert!(codes(&definition(1000, 1000)).is_empty());
    assert_eq!(codes(&definition(262_144, 0)), ["Asl.BatchInput"]);
    assert_eq!(codes(&definition(0, 1 << 20)), ["Asl.Size"]);
}

#[test]
fn codes_are_unique_and_say_something() {
    let codes: BTreeSet<&str> = RULES.iter().map(|rule| rule.code).collect();
    assert_eq!(codes.len(), RULES.len());
    for rule in RULES {
        let name = rule.code.strip_prefix("Asl.").unwrap();
        assert!(name.chars().all(char::is_alphanumeric) && name.starts_with(char::is_uppercase), "{}", rule.code);
        assert!(rule.text.ends_with('.') && rule.text.len() > 20, "{}", rule.code);
    }
}

#[test]
fn the_guide_has_every_code_and_what_it_means() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide/definition.md");
    let guide = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("| code | rule |\n| --- | --- |\n", "\n\n");
    let start = guide.find(begin).expect("the table") + begin.len();
    let length = guide[start..].find(end).expect("its end") + 1;
    let row = |rule: &&fanfold::asl::Rule| {
        let text = rule.text.replace('|', "\\|");
        format!("| `{}`{} | {text} |\n", rule.code, if rule.warning { " (warning)" } else { "" })
    };
    let table: String = RULES.iter().map(row).collect();
    if std::env::var_os("FANFOLD_BLESS").is_some() && guide[start..start + length] != table {
        fs::write(&path, format!("{}{table}{}", &guide[..start], &guide[start + length..])).unwrap();
        return;
    }
    assert_eq!(&guide[start..start + length], table);
}

#[test]
fn check_tells_definitions_from_workflows_and_each_rule_can_be_explained() {
    let stage = Stage::new();
    for name in ["label-length", "map-retry"] {
        stage.write(&format!("{name}.json"), fs::read_to_string(folder().join(format!("bad/{name}.json"))).unwrap());
    }
    let done = stage.run(&["check", "label-length.json", "map-retry.json"]).ended(2);
    assert!(
        done.err.contains("error: Asl.LabelLength: `Label` has 41 characters, allowed are 1 to 40 (label-length.json:6:16)"),
        "{}",
        done.err
    );
    assert!(done.err.contains("warning: Asl.MapRetry"), "{}", done.err);
    // A warning changes no exit code.
    let checked = stage.run(&["check", "--json", "map-retry.json"]).ended(0).lines();
    assert_eq!(checked[0]["warnings"][0]["code"], "Asl.MapRetry");
    assert_eq!(checked[0]["rules"], RULES.len());
    stage.write("flow.json", "{\"fanfold\": 1, \"nmae\": \"x\"}");
    let done = stage.run(&["check", "flow.json"]).ended(2);
    assert!(done.err.contains("`nmae`"), "{}", done.err);
    let done = stage.run(&["check", "none.json"]).ended(2);
    assert!(done.err.contains("there is no file `none.json`"), "{}", done.err);
    let text = stage.run(&["explain", "Asl.LabelLength"]).ended(0).out;
    assert!(text.contains("A label has 1 to 40 characters."), "{text}");
}
