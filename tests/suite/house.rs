//! The laws of the house, read off `src/` itself: who may import whom, who prints, what is named where.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A room and the rooms that it may import. The words are the files directly in `src/` and `expression/`: everyone may import them.
const TABLE: &[(&str, &[&str])] = &[
    ("words", &[]),
    ("crash", &[]),
    ("expression", &[]),
    ("guide", &[]),
    ("storage", &[]),
    ("reader", &["storage"]),
    ("bucket", &["storage"]),
    ("secrets", &[]),
    ("job", &["storage", "secrets", "crash"]),
    ("ledger", &[]),
    ("permits", &[]),
    ("worker", &["job", "storage", "ledger", "permits", "secrets", "crash"]),
    ("workflow", &["job", "reader", "secrets"]),
    ("lanes", &["reader", "storage"]),
    ("asl", &["workflow", "reader", "job", "storage", "secrets"]),
    ("aws", &["bucket", "asl", "workflow", "reader", "job", "storage", "secrets"]),
    ("local", &["workflow", "reader", "lanes", "worker", "job", "storage", "ledger", "permits", "secrets", "crash"]),
    ("rehearsal", &["workflow", "reader", "lanes", "worker", "job", "storage", "ledger", "permits", "secrets", "local"]),
    (
        "lambda",
        // A worker has nobody who looks on: what is said goes into the log of Lambda, as `observe` writes it.
        &["bucket", "workflow", "reader", "worker", "job", "storage", "ledger", "permits", "secrets", "observe"],
    ),
    ("observe", &[]),
    (
        "cli",
        &[
            "workflow",
            "reader",
            "lanes",
            "asl",
            "aws",
            "bucket",
            "worker",
            "job",
            "storage",
            "ledger",
            "permits",
            "secrets",
            "local",
            "lambda",
            "rehearsal",
            "observe",
        ],
    ),
];

/// The most lines of a file.
const LINES: usize = 500;

struct Source {
    /// From `src/` on.
    path: PathBuf,
    text: String,
    /// Without comments and without what is in quotes.
    code: String,
}

impl Source {
    fn room(&self) -> String {
        let mut parts = self.path.iter().map(|part| part.to_str().expect("a plain name"));
        match (parts.next(), parts.next()) {
            (Some(room), Some(_)) => room.to_string(),
            _ => "words".to_string(),
        }
    }

    fn is(&self, name: &str) -> bool {
        self.path == Path::new(name)
    }
}

fn sources() -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![top.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = code(&text);
                sources.push(Source { path: path.strip_prefix(&top).unwrap().to_path_buf(), text, code });
            }
        }
    }
    assert!(sources.len() > 50, "src/ was not found");
    sources
}

/// The text without comments and texts, one line for each line. Good enough for code that rustfmt has laid out.
fn code(text: &str) -> String {
    let line = |line: &str| {
        let line = line.split("//").next().unwrap_or_default();
        // What is between quotes is every second part.
        line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Every name behind `crate::`, also those in braces: `crate::{a, b::C}` gives a and b.
fn imports(code: &str) -> Vec<String> {
    let first = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.push(first(rest));
            continue;
        };
        let (mut depth, mut word) = (1, String::new());
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => names.push(first(std::mem::take(&mut word).trim())),
                c if depth == 1 => word.push(c),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        names.push(first(word.trim()));
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Which room a name of the crate's root stands for: what `lib.rs` exports from where.
fn exported(lib: &str) -> BTreeMap<String, String> {
    let mut exported = BTreeMap::new();
    for statement in lib.split(';') {
        let Some(path) = statement.trim().rsplit_once("pub use ").map(|(_, path)| path) else { continue };
        let Some((room, names)) = path.split_once("::") else { continue };
        for name in names.split(['{', '}', ',']) {
            exported.insert(name.trim().to_string(), room.trim().to_string());
        }
    }
    exported
}

#[test]
fn imports_keep_to_the_table() {
    let sources = sources();
    let lib = sources.iter().find(|source| source.is("lib.rs")).unwrap();
    let exported = exported(&lib.code);
    assert!(exported.get("Outcome").is_some_and(|room| room == "outcome"), "{exported:?}");
    let rooms: BTreeMap<&str, &[&str]> = TABLE.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in &sources {
        if source.is("lib.rs") || source.is("main.rs") {
            continue;
        }
        let room = source.room();
        let Some(allowed) = rooms.get(room.as_str()) else {
            wrong.push(format!("{}: the room `{room}` is not in the table", source.path.display()));
            continue;
        };
        for name in imports(&source.code) {
            let of = exported.get(&name).unwrap_or(&name);
            let is_word = !rooms.contains_key(of.as_str()) || ["words", "expression"].contains(&of.as_str());
            if !is_word && *of != room && !allowed.contains(&of.as_str()) {
                wrong.push(format!("{}: `{room}` imports `{of}` (`{name}`)", source.path.display()));
            }
        }
        // Who climbs out of a room by `super` would not be seen above.
        let climbs =
            if source.path.ends_with("mod.rs") && source.path.components().count() == 2 { "super::" } else { "super::super::" };
        let before_tests = source.code.split("#[cfg(test)]").next().unwrap_or_default();
        if room != "words" && source.path.components().count() == 2 && before_tests.contains(climbs) {
            wrong.push(format!("{}: climbs out of its room by `{climbs}`", source.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_job_sees_no_other_job() {
    let sources = sources();
    let mut jobs: Vec<String> = sources
        .iter()
        .filter(|source| source.room() == "job" && source.path.components().count() == 3)
        .map(|source| source.path.iter().nth(1).unwrap().to_str().unwrap().to_string())
        .collect();
    jobs.dedup();
    for source in sources.iter().filter(|source| source.room() == "job" && source.path.components().count() == 3) {
        for job in &jobs {
            let other = !source.path.starts_with(Path::new("job").join(job));
            assert!(!(other && source.code.contains(&format!("{job}::"))), "{} sees {job}", source.path.display());
        }
    }
}

#[test]
fn only_the_command_line_and_those_who_show_print() {
    for source in sources() {
        // A test prints its figures.
        if ["cli", "observe"].contains(&source.room().as_str()) || source.path.iter().any(|part| part == "tests") {
            continue;
        }
        for word in ["print!(", "println!(", "stdout()", "stderr()"] {
            assert!(!source.code.contains(word), "{}: `{word}`", source.path.display());
        }
    }
}

#[test]
fn crates_are_named_only_where_they_belong() {
    for source in sources() {
        let name = source.path.file_name().unwrap().to_str().unwrap();
        let speaks_to_aws =
            ["aws", "lambda"].contains(&source.room().as_str()) || ["s3.rs", "aws.rs", "dynamodb.rs"].contains(&name);
        if !speaks_to_aws {
            for word in ["aws_sdk_", "aws_config", "aws_smithy", "aws_types"] {
                assert!(!source.code.contains(word), "{}: `{word}`", source.path.display());
            }
        }
        let mut named = source.code.match_indices("backoff::").map(|(at, _)| &source.code[..at]);
        let own = |before: &str| ["super::", "self::", "worker::", "use backoff::"].iter().any(|path| before.ends_with(path));
        assert!(source.is("worker/backoff.rs") || named.all(own), "{} names the `backoff` crate", source.path.display());
        let sqlite = source.room() == "local"
            || source.path.starts_with("job/csv_import") && name.starts_with("sqlite")
            || name == "sqlite.rs";
        assert!(sqlite || !source.code.contains("rusqlite"), "{} names `rusqlite`", source.path.display());
        let postgres = source.path.starts_with("job/csv_import") && name.starts_with("postgres");
        assert!(postgres || !source.code.contains("tokio_postgres"), "{} names `tokio_postgres`", source.path.display());
    }
}

#[test]
fn words_are_plain_values() {
    for source in sources().iter().filter(|source| ["words", "expression"].contains(&source.room().as_str())) {
        if source.is("lib.rs") || source.is("main.rs") {
            continue;
        }
        for word in
            ["std::fs", "std::net", "std::env", "SystemTime", "Instant::now", "now_utc", "fastrand", "RandomState", "tokio"]
        {
            assert!(!source.code.contains(word), "{}: `{word}` is no plain value", source.path.display());
        }
    }
}

#[test]
fn every_file_says_what_it_holds_and_is_short() {
    for source in sources() {
        let shown = source.path.display();
        assert!(source.text.starts_with("//! "), "{shown} does not begin with a sentence");
        let lines = source.text.lines().count();
        assert!(lines <= LINES, "{shown} has {lines} lines, at most {LINES}");
        let name = source.path.file_stem().unwrap().to_str().unwrap();
        for part in name.split('_').chain(source.path.iter().filter_map(|part| part.to_str())) {
            let banned = ["util", "utils", "helper", "helpers", "common", "core", "types", "manager", "misc"];
            assert!(!banned.contains(&part), "{shown}: the name says nothing");
        }
        for word in ["todo!(", "unimplemented!(", "dbg!("] {
            assert!(!source.code.contains(word), "{shown}: `{word}`");
        }
    }
}

#[test]
fn the_judge_of_this_file_sees_what_it_must() {
    assert_eq!(
        imports("use crate::{Error, job::{Jobs, Setup}, item::Item};\ncrate::reader::X"),
        ["Error", "job", "item", "reader"]
    );
    assert_eq!(code("a // crate::b\nlet x = \"crate::c\"; crate::d"), "a \nlet x = \"\"; crate::d");
}
