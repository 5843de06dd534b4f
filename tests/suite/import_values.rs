//! Values that imports are known to damage: each arrives as it is meant, in SQLite and in PostgreSQL, or its row fails and says why.

use crate::import_shop::Shop;

/// A value that is not there.
const NONE: &str = "∅";

/// A column, and values in it.
struct Case {
    /// Its settings.
    column: &'static str,
    /// The type of PostgreSQL; SQLite's table is made by the import.
    postgres: &'static str,
    /// What stands in the file, and what comes out of both; `!` and why if the row fails.
    values: Vec<(String, String)>,
}

fn case(column: &'static str, postgres: &'static str, values: &[(&str, &str)]) -> Case {
    Case { column, postgres, values: values.iter().map(|(text, shown)| (text.to_string(), shown.to_string())).collect() }
}

fn cases() -> Vec<Case> {
    // As long as an item may be: 256 KiB of JSON.
    let long = "äß€😀 \"quoted\", and\n".repeat(8_000);
    vec![
        case(
            "decimal",
            "numeric",
            &[
                ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678"),
                ("-99999999999999999999999999999999999999", "-99999999999999999999999999999999999999"),
                ("-0.00000000000000000000000000000000000001", "-0.00000000000000000000000000000000000001"),
                ("1234567890.1234567890123456789012345678", "1234567890.1234567890123456789012345678"),
                ("0.10", "0.10"),
                ("9007199254740993", "9007199254740993"),
                ("", NONE),
                ("123456789012345678901234567890123456789", "!more than 38 digits"),
                ("1,5", "!not a decimal number"),
                ("0x10", "!not a decimal number"),
            ],
        ),
        case(
            "{ type: decimal, format: [\"1.234,56\", \"1234.56\"] }",
            "numeric(20,4)",
            &[("1.234.567,89", "1234567.89"), ("0,5", "0.5"), ("1234.5", "1234.5"), ("-7", "-7"), ("1.23,4", "!not written as")],
        ),
        case(
            "integer",
            "bigint",
            &[
                ("9007199254740993", "9007199254740993"),
                ("9223372036854775807", "9223372036854775807"),
                ("-9223372036854775808", "-9223372036854775808"),
                ("9223372036854775808", "!out of range, an integer is from -9223372036854775808 to 9223372036854775807"),
                ("-9223372036854775809", "!out of range"),
                ("007", "7"),
                ("1.5", "!not an integer, it has a fraction"),
                ("1e3", "1000"),
                ("١", "!not an integer"),
                ("", NONE),
            ],
        ),
        case(
            "text",
            "text",
            &[
                ("007", "007"),
                ("", ""),
                (" a ", " a "),
                ("NULL", "NULL"),
                ("\\N", "\\N"),
                ("👩‍👩‍👧‍👦 e\u{301} \u{202e}rtl", "👩‍👩‍👧‍👦 e\u{301} \u{202e}rtl"),
                ("1E5", "1E5"),
                ("line\r\nline", "line\r\nline"),
                (&long, &long),
            ],
        ),
        case("{ type: text, \"null\": [\"\", NULL] }", "text", &[("", NONE), ("NULL", NONE), ("null", "null"), (" ", " ")]),
        case("{ type: text, \"null\": [\"\"], default: \"-\" }", "text", &[("", "-"), ("a", "a")]),
        case("{ type: integer, default: \"0\" }", "integer", &[("", "0"), ("2", "2"), ("2147483648", "?")]),
        case(
            "date",
            "date",
            &[
                ("0001-01-01", "0001-01-01"),
                ("1582-10-10", "1582-10-10"),
                ("1899-12-31", "1899-12-31"),
                ("1969-12-31", "1969-12-31"),
                ("1970-01-01", "1970-01-01"),
                ("1999-12-31", "1999-12-31"),
                ("2024-02-29", "2024-02-29"),
                ("9999-12-31", "9999-12-31"),
                ("2023-02-29", "!no day of the calendar"),
                ("0000-00-00", "!no day of the calendar"),
                ("", NONE),
            ],
        ),
        case(
            "{ type: date, format: [DD.MM.YYYY, M/D/YYYY] }",
            "date",
            &[("31.12.0001", "0001-12-31"), ("2/9/1966", "1966-02-09"), ("31.02.2020", "!no day of the calendar")],
        ),
        case(
            "{ type: timestamp, zone: \"+02:00\" }",
            "timestamptz",
            &[
                ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
                ("1970-01-01 00:00:00", "1969-12-31T22:00:00Z"),
                ("0001-01-02T00:00:00+12:00", "0001-01-01T12:00:00Z"),
                ("2026-03-29T02:30:00-03:30", "2026-03-29T06:00:00Z"),
                ("1900-01-01T00:00:00.5+00:00", "1900-01-01T00:00:00.500000Z"),
                ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
                ("2026-11-23T24:00:00Z", "!no day of the calendar"),
                ("2026-11-23T10:00:00 Berlin", "!not written as"),
                ("", NONE),
            ],
        ),
        case(
            "{ type: timestamp, format: unix_ms }",
            "timestamptz",
            &[("-1", "1969-12-31T23:59:59.999000Z"), ("1763892000000", "2025-11-23T10:00:00Z")],
        ),
        case(
            "boolean",
            "boolean",
            &[
                ("yes", "1"),
                ("NO", "0"),
                ("true", "1"),
                ("f", "0"),
                ("1", "1"),
                ("0", "0"),
                ("2", "!no word for yes or no"),
                ("", NONE),
            ],
        ),
        case(
            "{ type: boolean, format: \"ja|wahr/nein\" }",
            "boolean",
            &[("Ja", "1"), ("wahr", "1"), ("nein", "0"), ("yes", "!no word")],
        ),
        case(
            "json",
            "json",
            &[
                ("{\"a\": 12345678901234567890.12345678901234567890}", "{\"a\": 12345678901234567890.12345678901234567890}"),
                ("{\"b\":1,\"a\":[null,\"ü\"]}", "{\"b\":1,\"a\":[null,\"ü\"]}"),
                ("null", "null"),
                ("{a:1}", "!not JSON"),
                ("", NONE),
            ],
        ),
        case(
            "uuid",
            "uuid",
            &[
                ("6F9619FF-8B86-D011-B42D-00C04FC964FF", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
                ("{6f9619ff8b86d011b42d00c04fc964ff}", "!not a UUID"),
                ("{6f9619ff-8b86-d011-b42d-00c04fc964ff}", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
                ("00000000000000000000000000000000", "00000000-0000-0000-0000-000000000000"),
                ("6f9619ff-8b86-d011-b42d-00c04fc964f", "!not a UUID"),
            ],
        ),
        case(
            "{ type: enum, values: [open, päid] }",
            "text",
            &[("open", "open"), ("päid", "päid"), ("Open", "!none of `open`, `päid`")],
        ),
    ]
}

/// What of the column's value is compared: the same for both databases.
fn shown(case: &Case, is_postgres: bool) -> String {
    let value = match (is_postgres, case.postgres) {
        (true, "boolean") => "v::integer::text",
        // As SQLite has them.
        (true, "timestamptz") => "replace(to_char(v AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '.000000', '') || 'Z'",
        (true, kind) if kind.starts_with("numeric(") => "trim_scale(v)::text",
        _ => "CAST(v AS text)",
    };
    format!("coalesce({value}, '{NONE}')")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn values_survive(make: fn() -> Shop) {
    let mut wrong = Vec::new();
    for case in cases() {
        let shop = make();
        let rows: String = case.values.iter().enumerate().map(|(n, (text, _))| format!("{n},{}\n", quoted(text))).collect();
        shop.stage.write("rows.csv", format!("id,v\n{rows}"));
        if shop.is_postgres() {
            shop.sql(&format!("CREATE TABLE t (id integer, v {})", case.postgres));
        }
        shop.import(
            &format!("table: t\ncreate_table: true\ncolumns: {{ id: integer, v: {} }}", case.column),
            "tolerated_failure: 100%\nstop: { if_first: 0 }",
        );
        shop.stage.finished(0, &["run", "import.yaml", "--as", "a"]);
        let mut failures = shop.failures("a").into_iter();
        for (n, (text, expected)) in case.values.iter().enumerate() {
            let start: String = text.chars().take(60).collect();
            let place = format!("{} {start}", case.column);
            let sql = format!("SELECT {} FROM t WHERE id = {n}", shown(&case, shop.is_postgres()));
            // What an integer of 32 bits takes is for the table to say: SQLite's takes more.
            let expected = match expected.as_str() {
                "?" if shop.is_postgres() => "!out of range, integer is from -2147483648 to 2147483647",
                "?" => text,
                expected => expected,
            };
            match expected.strip_prefix('!') {
                Some(why) => {
                    let (error, cause) = failures.next().unwrap_or_default();
                    let is_there = shop.sql(&format!("SELECT count(*) FROM t WHERE id = {n}")) != "0";
                    if error != "Csv.InvalidValue" || !cause.starts_with("column `v`: `") || !cause.contains(why) || is_there {
                        wrong.push(format!("{place}: {error} {cause}; expected: {why}"));
                    }
                }
                None => {
                    let found = shop.sql(&sql);
                    // psql ends what it writes by a line of its own, which a value may end with as well.
                    if found.trim_end_matches('\n') != expected.trim_end_matches('\n') {
                        wrong.push(format!("{place}: {found:.300}"));
                    }
                }
            }
        }
        wrong.extend(failures.map(|(_, cause)| format!("{}: {cause}", case.column)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What only one of them keeps, or keeps in another way.
fn lists_bytes_and_nul(make: fn() -> Shop) {
    let shop = make();
    shop.stage.write(
        "rows.csv",
        "id,hex,b64,tags,numbers,text\n\
         0,00FF7f,AP9/,\" a ;b,c;\",\"[1,null,9223372036854775807]\",plain\n\
         1,\\x,AP8,,[],\"nul \0 inside\"\n\
         2,abc,AP9/,a,[1],odd\n\
         3,ab,AP9,a,[1],bits\n\
         4,ab,_-8,a,[1],url\n\
         5,ab,AP9/,a,\"[1,\"\"x\"\"]\",element\n\
         6,ab,AP9/,a,\"{1,2}\",braces\n",
    );
    if shop.is_postgres() {
        shop.sql("CREATE TABLE t (id integer, hex bytea, b64 bytea, tags text[], numbers bigint[], text text)");
    }
    shop.import(
        "table: t\ncreate_table: true\ncolumns:\n  id: integer\n  hex: bytes\n  b64: { type: bytes, format: base64 }\n  tags: { type: array, of: text, format: \";\" }\n  \
         numbers: { type: array, of: integer }\n  text: text",
        "tolerated_failure: 100%\nstop: { if_first: 0 }",
    );
    shop.stage.finished(0, &["run", "import.yaml", "--as", "a"]);
    let mut expected = vec![
        ("column `hex`: `abc` is not bytes in hexadecimal"),
        ("column `b64`: `AP9` is not bytes in base64"),
        ("column `numbers`: `[1,\"x\"]` is element 2 is not an integer"),
        ("column `numbers`: `{1,2}` is not a list of JSON"),
    ];
    let rows = if shop.is_postgres() {
        expected.insert(0, "column `text`: `nul \\0 inside` is a text with a NUL character, which PostgreSQL cannot keep");
        shop.sql("SELECT id, hex, b64, tags, numbers FROM t ORDER BY id")
    } else {
        assert_eq!(shop.sql("SELECT hex(CAST(text AS blob)) FROM t WHERE id = 1"), "6E756C200020696E73696465");
        shop.sql("SELECT id, '\\x' || lower(hex(hex)), '\\x' || lower(hex(b64)), tags, numbers FROM t WHERE id <> 1 ORDER BY id")
    };
    let causes: Vec<String> = shop.failures("a").into_iter().map(|(_, cause)| cause).collect();
    assert_eq!(causes.len(), expected.len(), "{causes:?}");
    for (cause, expected) in causes.iter().zip(expected) {
        assert!(cause.starts_with(expected), "{cause}; expected: {expected}");
    }
    let lists = match shop.is_postgres() {
        true => ["{a,\"b,c\",\"\"}|{1,NULL,9223372036854775807}", "{a}|{1}"],
        false => ["[\"a\",\"b,c\",\"\"]|[1,null,9223372036854775807]", "[\"a\"]|[1]"],
    };
    assert_eq!(rows, format!("0|\\x00ff7f|\\x00ff7f|{}\n4|\\xab|\\xffef|{}", lists[0], lists[1]));
}

#[test]
fn values_survive_in_sqlite() {
    values_survive(Shop::sqlite);
}

#[test]
fn lists_bytes_and_nul_in_sqlite() {
    lists_bytes_and_nul(Shop::sqlite);
}

mod import_postgres {
    use super::*;

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn values_survive_in_postgres() {
        values_survive(Shop::postgres);
    }

    #[test]
    #[ignore = "needs PostgreSQL"]
    fn lists_bytes_and_nul_in_postgres() {
        lists_bytes_and_nul(Shop::postgres);
    }
}
