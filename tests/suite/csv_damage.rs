//! What a CSV file can suffer, and what is said of it, word for word: `tests/csv/damage.txt`, one kind a line.
//!
//! `FANFOLD_BLESS=1 cargo test --test suite csv_damage` writes that file anew, to be read in the diff.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::reader::{Stage, resumes_anywhere};

/// One kind of damage: its name, the settings, the name of the file, its bytes.
struct Damage(&'static str, Value, &'static str, Vec<u8>);

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn utf16(text: &str) -> Vec<u8> {
    [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn changed(mut bytes: Vec<u8>, from_end: usize) -> Vec<u8> {
    let at = bytes.len() - from_end;
    bytes[at] ^= 0x55;
    bytes
}

fn without_end(mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
    bytes.truncate(bytes.len() - length);
    bytes
}

fn damages() -> Vec<Damage> {
    let plain = |name, text: &str| Damage(name, json!({}), "a.csv", text.as_bytes().to_vec());
    let bytes = |name, bytes: &[u8]| Damage(name, json!({}), "a.csv", bytes.to_vec());
    let with = |name, settings, bytes: &[u8]| Damage(name, settings, "a.csv", bytes.to_vec());
    let file = |name, file, bytes| Damage(name, json!({}), file, bytes);
    let lax = |name, text: &str| Damage(name, json!({ "strict": false }), "a.csv", text.as_bytes().to_vec());
    let small = || json!({ "max_row_bytes": "20B" });
    let wide = || json!({ "encoding": "utf-16" });
    let rows = "id,n\n1,a\n2,b\n".repeat(50);
    vec![
        plain("header: a name twice", "id,n,id\n1,2,3\n"),
        plain("header: a name twice, once in quotes", "id,\"id\"\n1,2\n"),
        plain("header: no name in the middle", "id,,n\n1,2,3\n"),
        plain("header: a delimiter too many at the end", "id,n,\n1,2,\n"),
        plain("header: a delimiter too many in front", ",id,n\n,1,2\n"),
        plain("header: an empty name in quotes", "id,\"\"\n1,2\n"),
        plain("header: a quote inside", "id,n\"ame\n1,2\n"),
        plain("header: text behind a quote", "id,\"n\"ame\n1,2\n"),
        plain("header: a blank in front of a quote", "id, \"n\"\n1,2\n"),
        plain("header: a quote that is not closed", "id,\"n\n1,2\n"),
        plain("header: only a quote", "\""),
        plain("header: only two quotes", "\"\""),
        plain("header: only a delimiter", ","),
        plain("header: only columns of our own", "_fanfold_item,_fanfold_reason\n1,2\n"),
        plain("header: a column of our own twice", "_fanfold_item,id,_fanfold_item\n1,2,3\n"),
        bytes("header: not UTF-8", b"id,pr\xe9nom\n1,2\n"),
        bytes("header: half a character", b"id,n\xc3\n1,2\n"),
        bytes("header: zeros", &[b"id,\0\0\n", &b"1,2\n"[..]].concat()),
        with("header: a name twice without its blanks", json!({ "trim": true }), b"id, id\n1,2\n"),
        with("header: a blank for a name", json!({ "trim": true }), b"id, ,n\n1,2,3\n"),
        with("header: longer than a row may be", small(), b"identification,name_of_it\n1,2\n"),
        with("header: given, and the first row has one name more", json!({ "header": ["id"] }), b"id,n\n1\n"),
        plain("fields: one too few", "id,n\n1\n2,b\n"),
        plain("fields: one too many", "id,n\n1,a,x\n2,b\n"),
        plain("fields: many too many", "id,n\n1,,,,,,,,\n2,b\n"),
        plain("fields: a delimiter too many at the end", "id,n\n1,a,\n2,b,\n"),
        plain("fields: a delimiter too many in front", "id,n\n,1,a\n"),
        plain("fields: only delimiters", "id,n,m\n,\n1,2,3\n"),
        plain("fields: a blank line with a space", "id,n\n1,a\n \n2,b\n"),
        plain("fields: a line with a tab", "id,n\n1,a\n\t\n2,b\n"),
        plain("fields: an empty row in quotes", "id,n\n\"\"\n"),
        plain("fields: a decimal comma", "id,price\n1,12,90\n"),
        plain("fields: a delimiter in a name", "id,name\n1,Doe, Jane\n"),
        plain("fields: semicolons where commas are meant", "id,n\n1;a\n"),
        with("fields: commas where semicolons are meant", json!({ "delimiter": "semicolon" }), b"id;n\n1,a\n"),
        with("fields: spaces where tabs are meant", json!({ "delimiter": "tab" }), b"id\tn\n1    a\n"),
        with("fields: a tab too many", json!({ "delimiter": "tab" }), b"id\tn\n1\t\ta\n"),
        with("fields: two spaces where one is meant", json!({ "delimiter": "space" }), b"id n\n1  a\n"),
        with("fields: a pipe too many", json!({ "delimiter": "pipe" }), b"id|n\n1|a|\n"),
        plain("fields: a line break without quotes", "id,n\n1,two\nlines\n2,b\n"),
        plain("fields: two rows in one line", "id,n\n1,a2,b\n"),
        plain("fields: a comment", "id,n\n# generated\n1,a\n"),
        plain("fields: a sum at the end", "id,n\n1,2\nTotal: 1 row\n"),
        plain("fields: a separator for a spreadsheet in front", "sep=;\nid;n;m\n1,2\n"),
        with("fields: the same, with that delimiter", json!({ "delimiter": "semicolon" }), b"sep=;\nid;n\n1;a\n"),
        plain("fields: another table behind it", "id,n\n1,a\n\nid,n,m\n1,a,b\n"),
        plain("fields: marks of a merge", "id,n\n<<<<<<< HEAD\n1,a\n=======\n1,b\n>>>>>>> other\n"),
        plain("quotes: one in a field", "id,n\n1,a\"b\n2,b\n"),
        plain("quotes: one at the end of a field", "id,n\n1,5\"\n2,b\n"),
        plain("quotes: two in a field", "id,n\n1,a\"\"b\n2,b\n"),
        plain("quotes: around a word in a field", "id,n\n1,the \"best\" one\n"),
        plain("quotes: text behind the closing one", "id,n\n1,\"a\"b\n2,b\n"),
        plain("quotes: a blank behind the closing one", "id,n\n\"1\" ,\"a\"\n"),
        plain("quotes: a blank in front of the opening one", "id,n\n1, \"a\"\n"),
        plain("quotes: a tab in front of the opening one", "id,n\n1,\t\"a,b\"\n"),
        plain("quotes: escaped by a backslash", "id,n\n1,\"a\\\"b\"\n2,b\n"),
        plain("quotes: not doubled inside", "id,n\n1,\"the \"best\" one\"\n2,b\n"),
        plain("quotes: three in front", "id,n\n1,\"\"\"a\n2,b\n"),
        plain("quotes: text between two pairs", "id,n\n1,\"a\" and \"b\"\n"),
        plain("quotes: two and then text", "id,n\n1,\"\"a\n2,b\n"),
        plain("quotes: opened in the last row", "id,n\n1,a\n2,\"b\n"),
        plain("quotes: opened by the last byte", "id,n\n1,a\n2,\""),
        plain("quotes: opened and closed by the next field", "id,n,m\n1,\"a,b\n2,\"c\",d\n3,e,f\n"),
        plain("quotes: an odd number at the end", "id,n\n1,\"a\"\"\n"),
        plain("quotes: the last one lost", "id,n\n1,\"a\nb\n"),
        with("quotes: text behind the closing one and its blanks", json!({ "trim": true }), b"id,n\n1,\"a\" b\n"),
        with("quotes: a quote behind a word and a blank", json!({ "trim": true }), b"id,n\n1,a \"b\"\n"),
        with("quotes: given names and one that is not closed", json!({ "header": ["a", "b"] }), b"1,\"2\n"),
        with("too long: a line", small(), b"id,n\n1,a\n2,abcdefghijklmnopqrstuvwxyz\n3,c\n"),
        with("too long: a field in quotes", small(), b"id,n\n1,\"abcdefghijklmnopqrstuvwxyz\"\n3,c\n"),
        with("too long: a stray quote", small(), b"id,n\n1,\"a\n2,b\n3,c\n4,d\n5,e\n6,f\n7,g\n"),
        with("too long: a stray quote in two rows", small(), b"id,n\n1,\"a\n2,bbbbbbb\n3,ccccccc\n4,\"d\n5,eeeeeee\n6,fffffff\n"),
        with("too long: a quote at the very end", small(), b"id,n\n1,a\n2,b\n3,c\n4,d\n5,\"e"),
        with("too long: lines in quotes", small(), b"id,n\n1,\"aaaaaaaa\nbbbbbbbbb\nccccccccc\"\n2,d\n"),
        with("too long: one byte too many", small(), b"id,n\n1,aaaaaaaaaaaaaaaaaaa\n"),
        with("too long: the last line, without an end", small(), b"id,n\n1,aaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        bytes("text: Latin-1", b"id,n\n1,caf\xe9\n2,b\n"),
        bytes("text: half a character at the end", b"id,n\n1,caf\xc3"),
        bytes("text: half a character in a field", b"id,n\n\xe2\x82,b\n"),
        bytes("text: the second half of a character", b"id,n\n1,\x80\n"),
        bytes("text: a character in too many bytes", b"id,n\n1,\xc0\xaf\n"),
        bytes("text: half of a pair", b"id,n\n1,\xed\xa0\x80\n"),
        bytes("text: beyond the last character", b"id,n\n1,\xf4\x90\x80\x80\n"),
        bytes("text: a byte that never is", b"id,n\n1,a\xfeb\n"),
        bytes("text: no text in quotes", b"id,n\n1,\"a,\xffb\"\n"),
        bytes("encoding: UTF-16 with a mark", &utf16("id,n\n1,a\n")),
        bytes("encoding: UTF-16, big endian, with a mark", b"\xfe\xff\0i\0d\0\n"),
        bytes("encoding: UTF-16 without a mark", b"i\0d\0\n\0"),
        bytes("encoding: UTF-16, big endian, without a mark", b"\0i\0d\0\n"),
        bytes("encoding: UTF-32", b"\xff\xfe\0\0i\0\0\0d\0\0\0"),
        with("encoding: UTF-8 for UTF-16", wide(), b"id,n\n1,a\n"),
        with("encoding: UTF-8 with a mark for UTF-16", wide(), b"\xef\xbb\xbfid,n\n1,a\n"),
        with("encoding: UTF-32 for UTF-16", wide(), b"\xff\xfe\0\0i\0\0\0d\0\0\0\n\0\0\0"),
        with("encoding: UTF-8 with a mark for Windows-1252", json!({ "encoding": "windows-1252" }), b"\xef\xbb\xbfid\n1\n"),
        with("encoding: UTF-16 for Windows-1252", json!({ "encoding": "windows-1252" }), &utf16("id\n1\n")),
        with("encoding: half of a pair in UTF-16", wide(), &[&utf16("id,n\n1,")[..], &[0, 0xd8], &utf16("x\n")[2..]].concat()),
        with("encoding: the second half of a pair in UTF-16", wide(), &[&utf16("id,n\n1,a")[..], &[0, 0xdc, b'\n', 0]].concat()),
        with("encoding: UTF-16 with a byte too few", wide(), &without_end(utf16("id,n\n1,a\n2,b"), 1)),
        with(
            "encoding: UTF-16 with a byte too many in the header",
            wide(),
            &[&utf16("id")[..], &[0xd8], &utf16(",n\n1,a\n")[2..]].concat(),
        ),
        with("encoding: a field too few in UTF-16", wide(), &utf16("id,n\n1,é\nü\n")),
        with("encoding: a quote not closed in UTF-16", wide(), &utf16("id,n\n1,\"é\n")),
        with("encoding: a field too many in Windows-1252", json!({ "encoding": "windows-1252" }), b"id,n\n1,\xe9,\n"),
        file("gzip: cut off", "a.csv.gz", without_end(gzip(rows.as_bytes()), 12)),
        file("gzip: cut off in its head", "a.csv.gz", gzip(rows.as_bytes())[..7].to_vec()),
        file("gzip: without its last byte", "a.csv.gz", without_end(gzip(rows.as_bytes()), 1)),
        file("gzip: another checksum", "a.csv.gz", changed(gzip(rows.as_bytes()), 8)),
        file("gzip: another length", "a.csv.gz", changed(gzip(rows.as_bytes()), 1)),
        file("gzip: something behind it", "a.csv.gz", [gzip(rows.as_bytes()), b"<html>".to_vec()].concat()),
        file("gzip: only by its name", "a.csv.gz", rows.clone().into_bytes()),
        file("gzip: nothing", "a.csv.gz", Vec::new()),
        file("gzip: twice", "a.csv.gz", gzip(&gzip(rows.as_bytes()))),
        file("gzip: of a file that was cut off", "a.csv.gz", gzip(b"id,n\n1,\"a")),
        file("gzip: called zstd", "a.csv.zst", gzip(rows.as_bytes())),
        file("zstd: cut off", "a.csv.zst", without_end(zstd_of(rows.as_bytes()), 9)),
        file("zstd: without its last byte", "a.csv.zst", without_end(zstd_of(rows.as_bytes()), 1)),
        file("zstd: another checksum", "a.csv.zst", changed(zstd_of(rows.as_bytes()), 1)),
        file("zstd: something behind it", "a.csv.zst", [zstd_of(rows.as_bytes()), b"<html>".to_vec()].concat()),
        file("zstd: only by its name", "a.csv.zstd", rows.clone().into_bytes()),
        file("zstd: called gzip", "a.csv.gz", zstd_of(rows.as_bytes())),
        bytes("another file: a spreadsheet", b"PK\x03\x04\x14\0\x06\0"),
        bytes("another file: bzip2", b"BZh91AY&SY\xe2\x8c\x0f\x11\n"),
        bytes("another file: xz", b"\xfd7zXZ\0\0\x04\xe6\xd6\n"),
        bytes("another file: SQLite", b"SQLite format 3\0\x10\0\x01\x01"),
        bytes("another file: PNG", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        bytes("another file: PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
        bytes("another file: zeros", &[0; 4096]),
        plain("another file: JSON", "[{\"id\": 1, \"n\": 2}]\n"),
        plain("another file: JSON Lines", "{\"id\":1,\"n\":2}\n{\"id\":2,\"n\":3}\n"),
        plain("another file: a web page", "<!DOCTYPE html>\n<p>Not found, sorry</p>\n"),
        lax("leniently: a name twice", "id,id\n1,2\n"),
        lax("leniently: a quote that is not closed", "id,n\n1,\"a\n"),
        lax("leniently: a quote closed by an escaped one", "id,n\n1,\"a\\\"\n"),
        Damage(
            "leniently: a line too long",
            json!({ "strict": false, "max_row_bytes": "5B" }),
            "a.csv",
            b"id,n\n1,abcd\n2,b\n".to_vec(),
        ),
    ]
}

/// What is said of it: why it is refused, or why its rows fail.
async fn told(stage: &Stage, damage: &Damage) -> Vec<String> {
    let Damage(_, settings, name, bytes) = damage;
    stage.write(name, bytes);
    let mut csv = settings.clone();
    csv["source"] = json!(format!("$/{name}"));
    let input = match stage.freeze(json!({ "csv": csv })).await {
        Err(error) => return vec![format!("refused: {error}")],
        Ok(input) => input,
    };
    resumes_anywhere(stage, &input);
    stage.items(&input).into_iter().filter_map(Result::err).map(|failure| failure.to_string()).collect()
}

#[tokio::test]
async fn every_damage_has_its_message() {
    let damages = damages();
    assert!(damages.len() >= 100, "{} kinds", damages.len());
    let mut text = String::new();
    for damage in &damages {
        let stage = Stage::new();
        let messages = told(&stage, damage).await;
        assert!(!messages.is_empty(), "nothing is said of `{}`", damage.0);
        writeln!(text, "{}", damage.0).unwrap();
        messages.iter().for_each(|message| writeln!(text, "    {message}").unwrap());
        // Step Functions' way takes more, but it comes to an end with every one.
        let mut settings = damage.1.clone();
        settings["strict"] = json!(false);
        told(&stage, &Damage(damage.0, settings, damage.2, damage.3.clone())).await;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/csv/damage.txt");
    if std::env::var_os("FANFOLD_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    for (found, expected) in text.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(text.lines().count(), expected.lines().count());
}

/// 4 KB with quotes, line breaks in them, and characters of two and three bytes.
fn sample() -> String {
    let mut text = String::from("id,name,note\n");
    for n in 0.. {
        let note = match n % 4 {
            0 => format!("\"a, \"\"b\"\"\nc {n}\""),
            1 => String::new(),
            2 => format!("é€ {n}"),
            _ => "\"\"".to_string(),
        };
        text.push_str(&format!("{n},\"Ada {n}\",{note}\n"));
        if text.len() >= 4096 {
            return text;
        }
    }
    text
}

#[tokio::test]
async fn a_file_cut_at_any_byte_is_never_silently_short() {
    let stage = Stage::new();
    let text = sample();
    let csv = |source: &str| json!({ "csv": { "source": format!("$/{source}") } });
    let whole = stage.write("a.csv", &text).all(csv("a.csv")).await;
    // Where each row ends, as another reader sees it.
    let mut judge = csv::Reader::from_reader(text.as_bytes());
    let mut ends = Vec::new();
    let mut record = csv::ByteRecord::new();
    while judge.read_byte_record(&mut record).unwrap() {
        ends.push(judge.position().byte() as usize);
    }
    assert_eq!(ends.len(), whole.len());
    let (mut refused, mut failed, mut doubted, mut at_an_end) = (0, 0, 0, 0);
    for cut in 0..=text.len() {
        stage.write("a.csv", &text.as_bytes()[..cut]);
        let Ok(input) = stage.freeze(csv("a.csv")).await else {
            refused += 1;
            continue;
        };
        let items = stage.items(&input);
        let complete = ends.iter().filter(|end| **end <= cut).count();
        // Every row that is whole is an item as it is in the whole file, and one that was begun is there too.
        assert!(items.len() >= complete, "cut at {cut}");
        for (item, expected) in items.iter().zip(&whole[..complete]) {
            assert_eq!(item.as_ref(), Ok(expected), "cut at {cut}");
        }
        let begun = cut > ends.get(complete.wrapping_sub(1)).copied().unwrap_or(13);
        assert_eq!(items.len(), complete + usize::from(begun), "cut at {cut}");
        // A row that was cut fails, or is one that could be whole: then it is said that nobody knows.
        let doubts = input.doubts();
        let told = doubts.iter().any(|doubt| doubt.starts_with("the last row of `a.csv` has no line break behind it"));
        match items.last() {
            Some(Err(_)) if begun => failed += 1,
            Some(Ok(_)) if begun => {
                assert!(told, "cut at {cut}: {doubts:?}");
                doubted += 1;
            }
            // A header that was cut has no rows, which is told of every source.
            None if cut < 13 => doubted += 1,
            _ => {
                assert!(!told, "cut at {cut}");
                at_an_end += 1;
            }
        }
    }
    assert_eq!(at_an_end, ends.len() + 1, "of {refused} {failed} {doubted}");
    assert!(refused > 1000 && failed > 1000 && doubted > 500, "{refused} refused, {failed} failed, {doubted} doubted");
    // Compressed, nothing of it is taken.
    for (name, packed) in [("a.csv.gz", gzip(text.as_bytes())), ("a.csv.zst", zstd_of(text.as_bytes()))] {
        for cut in (0..packed.len()).step_by(7) {
            stage.write(name, &packed[..cut]);
            assert!(stage.freeze(csv(name)).await.is_err(), "{name} cut at {cut}");
        }
    }
}
