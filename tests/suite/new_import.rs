//! `fanfold new --job csv_import --from FILE`: whatever the file is like, the workflow that is written reads every row of it, or it is said why not.

use std::io::Write;

use rusqlite::Connection;

use crate::s3_server::S3Server;
use crate::stage::{Done, Running, Stage};

fn utf16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Every row of the table, its values behind one another.
fn rows(stage: &Stage) -> Vec<String> {
    let database = Connection::open(stage.path("import.db")).unwrap();
    let mut statement = database.prepare("SELECT * FROM t ORDER BY rowid").unwrap();
    let width = statement.column_count();
    let value = |row: &rusqlite::Row<'_>, number| match row.get_ref(number).unwrap() {
        rusqlite::types::ValueRef::Null => "null".to_string(),
        rusqlite::types::ValueRef::Integer(number) => number.to_string(),
        other => other.as_str().unwrap().to_string(),
    };
    let rows = statement.query_map([], |row| Ok((0..width).map(|number| value(row, number)).collect::<Vec<_>>().join("|")));
    rows.unwrap().map(Result::unwrap).collect()
}

fn fanfold(stage: &Stage, server: &S3Server, args: &[&str]) -> Done {
    let mut command = stage.command_of(std::path::Path::new(env!("CARGO_BIN_EXE_fanfold")), args);
    command.envs(server.environment());
    Running::of(command).wait()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_any_kind_is_read_whole() {
    let server = S3Server::start().await;
    let text = "Order No.;Größe;note\n007;1,5;a\n8;2;\"x;\n\"\n";
    let expected = &["007|1.5|a", "8|2|x;\n"][..];
    let cp1252: Vec<u8> = text.chars().map(|sign| sign as u8).collect();
    let wide: String = (0..300).map(|n| format!("c{n},")).collect::<String>() + "last\n" + &"1,".repeat(300) + "x\n";
    let wide_row = "1|".repeat(300) + "x";
    server.put("in/a.csv.gz", gzip(text.as_bytes()));
    for (name, bytes, expected) in [
        ("semicolons.csv", text.into(), expected),
        ("tabs.tsv", text.replace(';', "\t").replace("x\t", "x;").into_bytes(), expected),
        ("pipes.txt", text.replace(';', "|").replace("x|", "x;").into_bytes(), expected),
        ("utf16.csv", utf16(text), expected),
        ("windows.csv", cp1252, expected),
        ("packed.csv.gz", gzip(&utf16(text)), expected),
        ("packed.csv.zst", zstd::encode_all(text.as_bytes(), 1).unwrap(), expected),
        ("no-ending", text.into(), expected),
        ("no-header.csv", b"1,Ada\n2,Bob\n".to_vec(), &["1|Ada", "2|Bob"]),
        ("only-header.csv", b"id,name\n".to_vec(), &[]),
        ("only-header-no-end.csv", b"id,name".to_vec(), &[]),
        ("wide.csv", wide.into_bytes(), &[wide_row.as_str()]),
        ("alike.csv", b"Order No.,order_no,ORDER-NO\n1,2,3\n".to_vec(), &["1|2|3"]),
        ("s3://bucket/in/a.csv.gz", Vec::new(), expected),
    ] {
        let stage = Stage::new();
        if !name.starts_with("s3:") {
            stage.write(name, bytes);
        }
        fanfold(&stage, &server, &["new", "t", "--job", "csv_import", "--from", name]).ended(0);
        fanfold(&stage, &server, &["check", "t.yaml"]).ended(0);
        fanfold(&stage, &server, &["run", "t.yaml"]).ended(0);
        assert_eq!(rows(&stage), expected, "{name}: {}", stage.read("t.yaml"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_no_workflow_could_read_is_told() {
    let server = S3Server::start().await;
    for (name, bytes, message) in [
        ("empty.csv", &b""[..], "there is no row from which columns could be guessed, and no header"),
        (
            "twice.csv",
            b"id,name,name\n1,a,b\n",
            "columns 2 and 3 of the header are both called `name` (twice.csv:1:1); hint: correct it in the file",
        ),
        ("unnamed.csv", b"id,name,\n1,a,b\n", "column 3 of 3 has no name in the header"),
        (
            "book.csv",
            b"PK\x03\x04\x14\0",
            "is a zip or spreadsheet file, which is not read as text; hint: export it as CSV in UTF-8",
        ),
        ("none.csv", b"", "there is no file or folder `elsewhere.csv`"),
    ] {
        let stage = Stage::new();
        stage.write(name, bytes);
        let from = if name == "none.csv" { "elsewhere.csv" } else { name };
        fanfold(&stage, &server, &["new", "t", "--job", "csv_import", "--from", from]).ended(2).says(message);
        assert!(!stage.path("t.yaml").exists());
    }
}

#[test]
fn what_is_guessed_is_written_for_other_jobs_too() {
    let stage = Stage::new();
    stage.write("a.tsv", "1\tx\n").write("r/manifest.json", "{\"fileSchema\": \"Bucket, Key\"}").write("s/manifest.json", "[]");
    for (from, items) in [
        ("a.tsv", "csv: { source: a.tsv, header: [column_1, column_2], delimiter: tab }"),
        ("r/manifest.json", "inventory: { source: r/manifest.json }"),
        ("s/manifest.json", "json: { source: s/manifest.json }"),
    ] {
        stage.run_fanfold(&["new", "t", "--job", "image_resize", "--from", from]).ended(0);
        assert!(stage.read("t.yaml").contains(&format!("  {items}\n")), "{}", stage.read("t.yaml"));
        std::fs::remove_file(stage.path("t.yaml")).unwrap();
    }
}
