//! CSV: the csv crate is the judge of where a row ends, the header of what is in it.

use std::path::Path;

use fanfold::reader::{Input, Position};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::reader::{Stage, resumes_anywhere};

fn csv(more: Value) -> Value {
    let mut csv = json!({ "source": "$/a.csv" });
    csv.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "csv": csv })
}

/// The cases of csv-spectrum, a test set for CSV readers, and what they say is in them.
#[tokio::test]
async fn the_cases_of_csv_spectrum() {
    let stage = Stage::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/csv/spectrum");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "csv") {
            names.push(path.file_stem().unwrap().to_str().unwrap().to_string());
        }
    }
    assert_eq!(names.len(), 12);
    for name in names {
        let expected = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
        // One of them says what its only row is, without a list around it.
        let expected: Vec<Value> = match serde_json::from_slice(&expected).unwrap() {
            Value::Array(rows) => rows,
            // The package says another number than its file.
            mut row => {
                row["Contact Phone Number"] = json!("2095257564");
                vec![row]
            }
        };
        stage.write("a.csv", std::fs::read(folder.join(format!("{name}.csv"))).unwrap());
        for strict in [true, false] {
            let input = stage.freeze(csv(json!({ "strict": strict }))).await.unwrap();
            resumes_anywhere(&stage, &input);
            let items = stage.items(&input);
            // It has `"` for the seconds of a degree, without quotes around: strictly, nobody knows what that means.
            if name == "location_coordinates" && strict {
                let cause = &items[0].as_ref().unwrap_err().cause;
                assert!(cause.contains("row 1: a quote inside field 2, which does not begin with one"), "{cause}");
                continue;
            }
            let items: Vec<_> = items.into_iter().map(Result::unwrap).collect();
            assert_eq!(items, expected, "{name}, strict: {strict}");
            // The names are those of the file, in its order, also where there is no row.
            let names: Vec<&String> =
                expected.first().and_then(Value::as_object).into_iter().flat_map(|row| row.keys()).collect();
            assert!(names.is_empty() || input.columns().iter().eq(names), "{name}: {:?}", input.columns());
        }
    }
}

#[tokio::test]
async fn rows_as_they_are_written_in_the_wild() {
    let stage = Stage::new();
    for (text, expected) in [
        ("a,b\n1,ʤ\n\n\n\"x,y\",é", json!([{ "a": "1", "b": "ʤ" }, { "a": "x,y", "b": "é" }])),
        ("\u{feff}\"a\",b\r1,2\r3,4", json!([{ "a": "1", "b": "2" }, { "a": "3", "b": "4" }])),
        ("a\n \n\"\"\n,\n", json!([{ "a": " " }, { "a": "" }, null])),
    ] {
        stage.write("a.csv", text);
        let input = stage.freeze(csv(json!({}))).await.unwrap();
        resumes_anywhere(&stage, &input);
        let items: Vec<_> = stage.items(&input).into_iter().map(|item| item.unwrap_or(Value::Null)).collect();
        assert_eq!(Value::Array(items), expected, "{text:?}");
    }
}

#[tokio::test]
async fn delimiters_and_given_names() {
    let stage = Stage::new();
    for (name, delimiter) in [("comma", ","), ("pipe", "|"), ("semicolon", ";"), ("space", " "), ("tab", "\t")] {
        stage.write("a.csv", ["1", "\"x\"\"y\"", "3\n"].join(delimiter));
        let items = stage.all(csv(json!({ "delimiter": name, "header": ["a", "b", "c"] }))).await;
        assert_eq!(items, [json!({ "a": "1", "b": "x\"y", "c": "3" })], "{name}");
    }
}

#[tokio::test]
async fn a_bad_row_is_its_items_failure_unless_step_functions_would_take_it() {
    let stage = Stage::new();
    stage.write("a.csv", b"a,b\n1,2\n3\n4,5,6\n\"x\ny\",z\n7,8\"\n\"9\"9,1\n\xff,1\n1,2".as_slice());
    let input = stage.freeze(csv(json!({}))).await.unwrap();
    let items = stage.items(&input);
    let causes: Vec<_> = items.iter().filter_map(|item| item.as_ref().err()).map(|failure| failure.cause.as_str()).collect();
    assert_eq!(
        causes,
        [
            "a.csv:3, row 2: 1 field in the row, 2 in the header; it begins `3`",
            "a.csv:4, row 3: 3 fields in the row, 2 in the header; it begins `4,5,6`",
            "a.csv:7, row 5: a quote inside field 2, which does not begin with one; it begins `7,8\"`",
            "a.csv:8, row 6: text behind the closing quote of field 1 (a quote inside of quotes is written twice); it begins `\"9\"9,1`",
            "a.csv:9, row 7: field 1 is not UTF-8 from its character 1 on (is it `encoding: windows-1252`?); it begins `\u{fffd},1`",
        ]
    );
    let taken = stage.all(csv(json!({ "strict": false }))).await;
    let expected = [("1", "2"), ("3", ""), ("4", "5"), ("x\ny", "z"), ("7", "8\""), ("99", "1"), ("\u{fffd}", "1"), ("1", "2")];
    assert_eq!(taken, expected.map(|(a, b)| json!({ "a": a, "b": b })));
}

#[tokio::test]
async fn a_row_that_is_too_long_fails_alone() {
    let stage = Stage::new();
    let long = "x,\"\" ".repeat(2 << 20);
    for strict in [true, false] {
        stage.write("a.csv", format!("a,b\n1,2\n\"{long}\",3\n4,5\n"));
        let input = stage.freeze(csv(json!({ "strict": strict }))).await.unwrap();
        let items = stage.items(&input);
        assert_eq!(
            (items.len(), &items[0], &items[2]),
            (3, &Ok(json!({ "a": "1", "b": "2" })), &Ok(json!({ "a": "4", "b": "5" })))
        );
        let cause = &items[1].as_ref().unwrap_err().cause;
        assert!(
            cause.starts_with("a.csv:3, row 2: 10485764 bytes in one row, at most 8388608; it begins `\"x,\"\" x"),
            "{cause}"
        );
        resumes_anywhere(&stage, &input);
    }
}

#[tokio::test]
async fn a_stray_quote_costs_its_row_and_not_the_file() {
    let stage = Stage::new();
    let rows: String = (0..2000).map(|n| if n == 500 { format!("{n},\"oops\n") } else { format!("{n},ok\n") }).collect();
    stage.write("a.csv", format!("id,note\n{rows}"));
    for strict in [true, false] {
        let input = stage.freeze(csv(json!({ "strict": strict, "max_row_bytes": "1KiB" }))).await.unwrap();
        let items = stage.items(&input);
        assert_eq!(items.len(), 2000);
        let failed: Vec<_> = items.iter().enumerate().filter(|(_, item)| item.is_err()).map(|(index, _)| index).collect();
        assert_eq!(failed, [500]);
        assert_eq!(
            items[500].as_ref().unwrap_err().cause,
            "a.csv:502, row 501: the row does not end within 1024 bytes, a quote may be missing; the next line is read as a row; it begins `500,\"oops`"
        );
        resumes_anywhere(&stage, &input);
        // Where there is not so much behind it, the file may as well have been cut off.
        let error = stage.freeze(csv(json!({ "strict": strict, "max_row_bytes": "1MiB" }))).await.unwrap_err();
        assert!(
            error.to_string().starts_with("`a.csv` ends inside a quote of the row that begins here, its row 501 (a.csv:502:1)")
        );
    }
}

#[tokio::test]
async fn rows_that_never_end_are_found_in_a_time_that_does_not_depend_on_the_limit() {
    let stage = Stage::new();
    // Wherever one begins to read, the last quote of a line is open.
    let (open, plain) = (",\"a\"b,\"c\n".repeat(100_000), "x,y,z\n".repeat(50_000));
    stage.write("a.csv", format!("a,b,c\n{open}{plain}"));
    for strict in [true, false] {
        let input = stage.freeze(csv(json!({ "strict": strict, "max_row_bytes": "256KiB" }))).await.unwrap();
        assert_eq!(input.count(), 150_000, "strict: {strict}");
        let open = input.open(&stage.run_dir()).unwrap();
        let mut rows = open.rows(Position::START).unwrap();
        while let Some(row) = rows.next().unwrap() {
            assert_eq!(row.value().is_ok(), row.index >= 100_000);
            if row.index == 100 {
                break;
            }
        }
    }
}

/// The rows as the csv crate sees them.
fn judge(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    reader.byte_records().map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect()).collect()
}

/// Rows and fields that are likely to meet every state of a reader.
fn csv_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b",".to_vec()),
        4 => Just(b"\"".to_vec()),
        3 => Just(b"\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\\".to_vec()),
        4 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Texts that are likely to be misread.
fn field() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\""),
        Just("\"\""),
        Just("\n"),
        Just("\r\n"),
        Just("\r"),
        Just(","),
        Just(";"),
        Just("|"),
        Just(" "),
        Just("\t"),
        Just("\\"),
        Just("NULL"),
        Just("é"),
        Just("\u{1f600}"),
        Just("\0"),
        Just("x"),
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

/// The fields of a record by the letter of RFC 4180, in any bytes; `None` if it is none.
fn by_the_letter(record: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = record;
    let mut fields = Vec::new();
    loop {
        let mut field = Vec::new();
        if let [b'"', inner @ ..] = rest {
            rest = inner;
            loop {
                match rest {
                    [b'"', b'"', more @ ..] => {
                        field.push(b'"');
                        rest = more;
                    }
                    [b'"', more @ ..] => {
                        rest = more;
                        break;
                    }
                    [byte, more @ ..] => {
                        field.push(*byte);
                        rest = more;
                    }
                    [] => return None,
                }
            }
        } else {
            let end = rest.iter().position(|byte| b",\"\r\n".contains(byte)).unwrap_or(rest.len());
            field.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        }
        fields.push(field);
        match rest {
            [] => return Some(fields),
            [b',', more @ ..] => rest = more,
            _ => return None,
        }
    }
}

/// Whether a quote is still open at the end of the record, as the csv crate opens and closes them.
fn ends_quoted(record: &[u8]) -> bool {
    let (mut quoted, mut begins, mut closing) = (false, true, false);
    for byte in record {
        if quoted && !closing {
            closing = *byte == b'"';
        } else if closing && *byte == b'"' {
            closing = false;
        } else {
            (quoted, closing) = (begins && !closing && *byte == b'"', false);
            begins = *byte == b',';
        }
    }
    quoted && !closing
}

/// What a whole file is by the csv crate, which says where its rows are and what is in them, and by the letter, which says what is
/// wrong with them: the names, and each row or that it is none. `None` of a file that has no such header, or ends inside a quote.
type Judged = Option<(Vec<String>, Vec<Option<Vec<String>>>)>;

fn judged(bytes: &[u8]) -> Judged {
    let texts = |fields: Vec<Vec<u8>>| fields.into_iter().map(|field| String::from_utf8(field).ok()).collect::<Option<Vec<_>>>();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let (mut record, mut records) = (csv::ByteRecord::new(), Vec::new());
    while reader.read_byte_record(&mut record).unwrap() {
        let begin = record.position().unwrap().byte() as usize;
        let raw = &bytes[begin..reader.position().byte() as usize];
        let begin = raw.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(raw.len());
        let end = raw.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(begin, |last| last + 1);
        let fields = by_the_letter(&raw[begin..end]);
        if let Some(fields) = &fields {
            assert!(fields.iter().eq(record.iter()), "the judges do not agree on {raw:?}");
        }
        records.push((raw[begin..].to_vec(), fields.and_then(texts)));
    }
    if records.last().is_some_and(|(raw, _)| ends_quoted(raw)) {
        return None;
    }
    let mut rows = records.into_iter().map(|(_, fields)| fields);
    let names = match rows.next() {
        None => return Some((Vec::new(), Vec::new())),
        Some(names) => names?,
    };
    let fine =
        |name: &String| !name.is_empty() && !name.contains('\0') && names.iter().filter(|other| *other == name).count() == 1;
    if !names.iter().all(fine) {
        return None;
    }
    let width = names.len();
    Some((names, rows.map(|row| row.filter(|row| row.len() == width)).collect()))
}

fn frozen(stage: &Stage, runtime: &tokio::runtime::Runtime, items: Value) -> Result<Input, String> {
    runtime.block_on(stage.freeze(items)).map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_end_where_the_csv_crate_ends_them(bytes in csv_bytes()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let stage = Stage::new();
        // A row of our own in front, so that nothing is taken for a mark of the encoding.
        let bytes = [b"first\n", bytes.as_slice()].concat();
        stage.write("a.csv", &bytes);
        let expected = judge(&bytes);
        match frozen(&stage, &runtime, csv(json!({ "header": ["a"] }))) {
            Ok(input) => {
                prop_assert_eq!(input.count() as usize, expected.len());
                for (item, record) in stage.items(&input).iter().zip(&expected) {
                    // What is taken strictly is what the csv crate reads.
                    if let Ok(item) = item {
                        prop_assert_eq!(record.len(), 1);
                        prop_assert_eq!(item["a"].as_str().unwrap().as_bytes(), record[0].as_slice());
                    }
                }
                resumes_anywhere(&stage, &input);
            }
            // The csv crate takes what follows an open quote as a row.
            Err(error) => prop_assert!(error.contains("ends inside a quote"), "{}", error),
        }
        // Step Functions' way: nothing is asserted but that it ends, and that each row is an item.
        if let Ok(input) = frozen(&stage, &runtime, csv(json!({ "header": ["a", "b"], "strict": false }))) {
            prop_assert!(stage.items(&input).iter().all(Result::is_ok));
            resumes_anywhere(&stage, &input);
        }
    }

    #[test]
    fn whole_files_are_what_the_csv_crate_and_the_letter_say(
        header in prop_oneof![
            Just("a,b,c\n"), Just("a,\"b\"\r\n"), Just("\"a\"\"\"\n"), Just("a,a\n"), Just("a,\n"), Just("a\"b,c\n"), Just("a"), Just(""),
        ],
        bytes in csv_bytes(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let stage = Stage::new();
        let bytes = [header.as_bytes(), bytes.as_slice()].concat();
        stage.write("a.csv", &bytes);
        let expected = judged(&bytes);
        match frozen(&stage, &runtime, csv(json!({}))) {
            Err(error) => {
                // What the first bytes say is not for the csv crate to know.
                let another = ["not UTF-8 text", "not read as text", "begins as", "is called"].iter().any(|what| error.contains(what));
                prop_assert!(expected.is_none() || another || bytes.starts_with(b"\xef\xbb\xbf"), "{}: {:?}", error, expected);
            }
            Ok(input) if !bytes.starts_with(b"\xef\xbb\xbf") => {
                let Some((names, rows)) = expected else { return Err(TestCaseError::fail(format!("it is refused by the judges: {bytes:?}"))) };
                prop_assert_eq!(input.columns(), names.as_slice());
                let items = stage.items(&input).into_iter().map(|item| {
                    let values = |item: Value| names.iter().map(|name| item[name].as_str().unwrap().to_string()).collect::<Vec<_>>();
                    item.ok().map(values)
                });
                prop_assert_eq!(items.collect::<Vec<_>>(), rows);
            }
            Ok(_) => {}
        }
    }

    #[test]
    fn tables_that_the_csv_crate_writes_are_read_as_they_are(
        table in proptest::collection::vec(proptest::collection::vec(field(), 3), 0..8),
        delimiter in 0..5usize, always in any::<bool>(), crlf in any::<bool>(), blanks in any::<bool>(), wide in any::<bool>(),
        strict in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stage = Stage::new();
        let (name, byte) = [("comma", b','), ("pipe", b'|'), ("semicolon", b';'), ("space", b' '), ("tab", b'\t')][delimiter];
        let mut writer = csv::WriterBuilder::new()
            .delimiter(byte)
            .quote_style(if always || blanks { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary })
            .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
            .from_writer(Vec::new());
        writer.write_record(["a", "b", "c"]).unwrap();
        for row in &table {
            // In the lenient way a backslash says something.
            writer.write_record(row.iter().map(|field| if strict { field.clone() } else { field.replace('\\', "\\\\") })).unwrap();
        }
        let mut text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        if blanks && byte != b' ' {
            // Around the quotes of the header, where no field can be mistaken.
            text = text.replacen("\"a\"", "  \"a\" ", 1);
        }
        let bytes = if wide { text.encode_utf16().flat_map(u16::to_le_bytes).collect() } else { text.into_bytes() };
        stage.write("a.csv", bytes);
        let settings = json!({
            "delimiter": name, "strict": strict, "trim": blanks && byte != b' ', "encoding": if wide { "utf-16" } else { "utf-8" },
            "null": if always || blanks { json!(["", "NULL"]) } else { json!([]) },
        });
        let input = frozen(&stage, &runtime, csv(settings)).unwrap();
        resumes_anywhere(&stage, &input);
        let items: Vec<_> = stage.items(&input).into_iter().map(Result::unwrap).collect();
        let expected: Vec<_> = table.iter().map(|row| json!({ "a": row[0], "b": row[1], "c": row[2] })).collect();
        prop_assert_eq!(items, expected);
    }

    #[test]
    fn lines_of_any_bytes_are_items_or_failures(bytes in csv_bytes()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let stage = Stage::new();
        stage.write("a.jsonl", [b"{}\n", bytes.as_slice()].concat());
        let input = frozen(&stage, &runtime, json!({ "jsonl": { "source": "$/a.jsonl" } })).unwrap();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        prop_assert_eq!(input.count() as usize, lines + 1);
        stage.items(&input);
        resumes_anywhere(&stage, &input);
    }
}

#[tokio::test]
async fn a_file_that_is_cut_off_is_never_silently_short() {
    let stage = Stage::new();
    let text = "id,name,note\n1,Ada,\"a, \"\"b\"\"\nc\"\n2,Bob,\n3,\"Cy\",é\n";
    stage.write("a.csv", text);
    let whole = stage.all(csv(json!({}))).await;
    assert_eq!(whole.len(), 3);
    // Where each row begins, and the end.
    let rows = [13, 32, 39, text.len()];
    for cut in 0..text.len() {
        stage.write("a.csv", &text.as_bytes()[..cut]);
        let Ok(input) = stage.freeze(csv(json!({}))).await else { continue };
        let items = stage.items(&input);
        // Every row that was begun is an item or a failure, and every row that is whole is an item.
        assert_eq!(items.len(), rows.iter().filter(|start| **start < cut).count(), "cut at {cut}");
        let whole = rows[1..].iter().filter(|end| **end <= cut).count();
        assert!(items[..whole].iter().all(Result::is_ok), "cut at {cut}");
    }
    let input = stage.write("a.csv", text).freeze(csv(json!({}))).await.unwrap();
    let mut rows = input.open(&stage.run_dir()).unwrap().rows(Position { index: 2, offset: 39 }).unwrap();
    assert_eq!(rows.next().unwrap().unwrap().value(), Ok(whole[2].clone()));
}

#[tokio::test]
async fn rows_are_the_same_wherever_a_reader_begins() {
    let stage = Stage::new();
    let mut random = fastrand::Rng::with_seed(17);
    let pieces = [
        "1,a",
        "2,\"x\ny\"",
        "3,\"open",
        "\"4\",\"b\nc\"",
        "5,\"q\"\"\nr\"",
        "6,plain text of some length",
        "\"7",
        "8\",\\\"z\\",
    ];
    let mut too_long = 0;
    for round in 0..200 {
        let rows: Vec<&str> = (0..random.usize(3..40)).map(|_| random.choice(pieces).unwrap()).collect();
        // No quote is open at the end.
        let text = format!("n,text\n{}\n{}", rows.join("\n"), "0,end of it\n".repeat(30));
        stage.write("a.csv", text);
        let strict = round % 2 == 0;
        let items = json!({ "csv": { "source": "$/a.csv", "strict": strict, "max_row_bytes": "60B" } });
        let Ok(input) = stage.freeze(items).await else { continue };
        let open = input.open(&stage.run_dir()).unwrap();
        let mut rows = open.rows(Position::START).unwrap();
        let (mut all, mut positions) = (Vec::new(), Vec::new());
        loop {
            let before = rows.position();
            let Some(row) = rows.next().unwrap() else { break };
            positions.extend([(row.index, before), (row.index, row.position())]);
            all.push(row.value());
        }
        too_long += all.iter().filter(|row| row.as_ref().is_err_and(|why| why.cause.contains("does not end within"))).count();
        for (index, position) in positions {
            let mut again = open.rows(position).unwrap();
            for (n, expected) in all.iter().enumerate().skip(index as usize) {
                let row = again.next().unwrap().unwrap();
                assert_eq!((row.index, &row.value()), (n as u64, expected), "round {round} from {position:?}");
            }
            assert!(again.next().unwrap().is_none());
        }
    }
    assert!(too_long > 40, "{too_long}");
}
