//! What expressions give, and what they say when they cannot.

use serde_json::{Value, json};

use super::{Expression, Params, Scope, Setting};

fn evaluate(text: &str) -> Result<Value, String> {
    let params = Params::new(json!({
        "n": 3, "big": u64::MAX, "odd": 9_007_199_254_740_993u64, "price": 19.9, "yes": true, "no_value": null, "name": "Ada",
        "list": [1, "2", { "k": null }], "column": "amount", "empty": {},
    }));
    let item = json!({
        "Key": "holiday/beach.tar.gz", "Size": 12, "amount": "19.99", "null": null, "with space": "ok",
        "lines": [{ "sku": "a" }, { "sku": "b", "more": null }],
    });
    let scope = Scope::params(&params).with_item(&item);
    Expression::parse(text).and_then(|expression| expression.evaluate(&scope)).map_err(|error| error.to_string())
}

#[test]
fn values_keep_their_json_type_and_texts_are_written_as_json() {
    for (text, expected) in [
        ("{{ params.n }}", json!(3)),
        ("{{params.big}}", json!(u64::MAX)),
        ("{{ params.big | default(1) }}", json!(u64::MAX)),
        ("{{ params.odd }}", json!(9_007_199_254_740_993u64)),
        ("{{ (params.odd) }}", json!(9_007_199_254_740_993u64)),
        ("{{ params.price }}", json!(19.9)),
        ("{{ params.list }}", json!([1, "2", { "k": null }])),
        ("{{ [params.list][0] }}", json!([1, "2", { "k": null }])),
        ("{{ params.yes }}!", json!("true!")),
        ("{{ params.no_value }}!", json!("null!")),
        ("{{ params.list }}!", json!("[1,\"2\",{\"k\":null}]!")),
        ("{{ params.name }}{{ params.n }}", json!("Ada3")),
        ("a }} b {{ params.n }}", json!("a }} b 3")),
        ("{{ '}}' }}", json!("}}")),
        ("{{ {'a': {'b': params.n}} }}", json!({ "a": { "b": 3 } })),
        ("{{ params.n + 1 }}", json!(4)),
        ("{{ params.n > 2 and not params.yes }}", json!(false)),
        ("{{ 'many' if params.n > 2 else 'few' }}", json!("many")),
        ("{{ params.n == null }}", json!(false)),
        ("{{ item['with space'] }}", json!("ok")),
        ("{{ item.lines[1].sku }}", json!("b")),
        ("{{ item.lines.1.sku }}", json!("b")),
        ("{{ item.lines[-1].sku }}", json!("b")),
        ("{{ item.lines[params.n - 2].sku }}", json!("b")),
        ("{{ item[params.column] | cents }}", json!(1999)),
        ("{{ (item.lines | first).sku }}", json!("a")),
        ("{{ item.Key[0:3] }}", json!("hol")),
    ] {
        assert_eq!(evaluate(text), Ok(expected), "{text}");
    }
}

#[test]
fn null_is_passed_on_and_a_default_stands_in() {
    for (text, expected) in [
        ("{{ item.null.deeper.still }}", Value::Null),
        ("{{ item.lines[1].more.still[3] }}", Value::Null),
        ("{{ item.lines[params.n - 2].more.still }}", Value::Null),
        ("{{ item.null is none and item.null is null and item.null == none }}", json!(true)),
        ("{{ item.nowhere | default('x') }}", json!("x")),
        ("{{ item.null | default('x') }}", json!("x")),
        ("{{ item[params.name] | default('x') }}", json!("x")),
        ("{{ item.nowhere is defined }}", json!(false)),
        ("{{ item.Key is not undefined }}", json!(true)),
        ("{{ item.nowhere if item.nowhere is defined else 0 }}", json!(0)),
    ] {
        assert_eq!(evaluate(text), Ok(expected), "{text}");
    }
}

#[test]
fn filters_are_exact() {
    for (text, expected) in [
        ("{{ item.amount | cents }}", json!(1999)),
        ("{{ params.price | cents }}", json!(1990)),
        ("{{ item.amount | decimal(3) }}", json!("19.990")),
        ("{{ params.n | decimal }}", json!("3")),
        ("{{ '18446744073709551615' | int }}", json!(u64::MAX)),
        ("{{ '-7' | int }}", json!(-7)),
        ("{{ '2026-11-23' | date }}", json!("2026-11-23")),
        ("{{ '2026-11-23T23:30:00-02:00' | date }}", json!("2026-11-24")),
        ("{{ '23.11.2026' | date('DD.MM.YYYY') }}", json!("2026-11-23")),
        ("{{ 'abc' | sha256 }}", json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")),
        ("{{ item.Key | stem }}.{{ item.Key | ext }}", json!("beach.tar.gz")),
        ("{{ item.Key | basename | upper }}", json!("BEACH.TAR.GZ")),
        ("{{ '.profile' | ext }}|{{ '.profile' | stem }}", json!("|.profile")),
        ("{{ params.yes | upper }}", json!("TRUE")),
        ("{{ [1, true, null] | join('-') }}", json!("1-true-null")),
        ("{{ item.Key | replace('/', '-') | split('-') | last }}", json!("beach.tar.gz")),
        ("{{ item.Key | split('/') | length }}", json!(2)),
        ("{{ item.Key is endingwith('.gz') }}", json!(true)),
        ("{{ 'holiday' in item.Key }}", json!(true)),
    ] {
        assert_eq!(evaluate(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (text, expected) in [
        (
            "{{ item.key }}",
            "`item` has no `key`, it has `Key`, `Size`, `amount`, `null`, `with space`, `lines`; hint: did you mean `item.Key`?",
        ),
        (
            "{{ item.key | upper }}",
            "`item` has no `key`, it has `Key`, `Size`, `amount`, `null`, `with space`, `lines`; hint: did you mean `item.Key`?",
        ),
        (
            "{{ item.key == 'x' }}",
            "`item` has no `key`, it has `Key`, `Size`, `amount`, `null`, `with space`, `lines`; hint: did you mean `item.Key`?",
        ),
        ("{{ params.empty.x }}", "`params.empty` has no `x`, it is empty"),
        ("{{ item.Key.first }}", "`item.Key` is a text, it has no `first`"),
        ("{{ item.lines[2] }}", "`item.lines` has 2 elements, there is no `[2]`"),
        ("{{ item.lines[params.n].sku }}", "a list of 2 elements has no `[3]`"),
        ("{{ parms.n }}", "`parms` is not known here, only `params`, `item`; hint: did you mean `params`?"),
        ("{{ [] | first }}", "the expression gives nothing; hint: add `| default(…)`"),
        ("{{ params.n / 0 }}", "unable to calculate 3 / 0"),
        ("{{ 1e308 * 10 }}", "the expression gives inf, which is no number of JSON"),
        ("{{ item.amount | uper }}", "there is no filter `uper`; hint: did you mean `upper`?"),
        ("{{ item.amount is strin }}", "there is no test `strin`; hint: did you mean `string`?"),
        ("{{ now() }}", "there is no function `now`; hint: expressions have filters: `{{ value | filter }}`"),
        ("{{ item.Key.upper() }}", "there is no method `upper`; hint: it is a filter: `| upper`"),
        (
            "{{ item.amount ~ 'x' }}",
            "`~` is not known in an expression; hint: write the parts side by side, `{{ a }}{{ b }}`, or `[a, b] | join`",
        ),
        ("{{ item.Key", "`{{` is not closed; hint: end the expression with `}}`; two braces meant as text are `{{ '{{' }}`"),
        ("{{ }}", "`{{ }}` is empty; hint: write a name, such as `{{ params.name }}`"),
        ("{{ 'a }}", "the quoted text in the expression is not closed"),
        ("{{- item.Key }}", "`{{-` is not known here; hint: write `{{ `; for a negative number, `{{ -1 }}`"),
        ("{{ item.Key }}{% if x %}", "`{% %}` is not known here, only `{{ }}`; hint: a choice is `{{ a if condition else b }}`"),
        ("{{ 'x' | cents }}", "`x` is not a decimal number: expected digits with at most one point, such as `19.99`"),
        ("{{ '0.001' | cents }}", "`0.001` has more than two digits behind the point"),
        ("{{ '1.5' | int }}", "`1.5` is not an integer, it has a fraction"),
        ("{{ '30.02.2026' | date('DD.MM.YYYY') }}", "`30.02.2026` is not a date: expected `DD.MM.YYYY`"),
        ("{{ params.n + }}", "the expression is not well-formed: unexpected end of input, expected expression"),
        ("{{ ü }}", "`ü` cannot be in an expression"),
    ] {
        assert_eq!(evaluate(text), Err(expected.to_string()), "{text}");
    }
    assert!(evaluate(&format!("{{{{ {}1{} }}}}", "(".repeat(500), ")".repeat(500))).is_err());
    assert!(evaluate(&format!("{{{{ {}1 }}}}", "not ".repeat(508))).is_ok());
    assert!(evaluate(&format!("{{{{ {}1 }}}}", "-".repeat(2000))).is_ok());
}

#[test]
fn names_are_found_with_their_places() {
    let expression = Expression::parse("ü{{ params.a.b | default(item['x']) }} {{ item.Key }}").expect("well-formed");
    let names: Vec<_> = expression.names().iter().map(|name| (name.to_string(), name.offset())).collect();
    assert_eq!(names, [("params.a.b".to_string(), 5), ("item.x".to_string(), 26), ("item.Key".to_string(), 43)]);
}

#[test]
fn a_setting_is_a_value_or_an_expression_that_gives_one() {
    let params = Params::new(json!({ "width": 64, "text": "64" }));
    let scope = Scope::params(&params);
    let get = |text: Value| {
        serde_json::from_value::<Setting<u32>>(text).map_err(|e| e.to_string())?.get(&scope).map_err(|e| e.to_string())
    };
    assert_eq!(get(json!(7)), Ok(7));
    assert_eq!(get(json!("{{ params.width }}")), Ok(64));
    assert_eq!(get(json!("{{ params.text | int }}")), Ok(64));
    let told = "`{{ params.text }}` gives a text: invalid type: string \"64\", expected u32; hint: the filter `int` makes an integer of a text";
    assert_eq!(get(json!("{{ params.text }}")), Err(told.to_string()));
    assert!(get(json!("64")).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_an_expression_panic(text in "(\\{\\{|\\}\\}|[ -~]|params|item\\.|\\||is |not |[\\[\\](){}'\"\\\\.:,]|ü){0,40}") {
        let params = Params::new(json!({}));
        if let Ok(expression) = Expression::parse(&text) {
            let _ = expression.evaluate(&Scope::params(&params));
        }
    }
}

#[test]
fn a_text_is_neither_repeated_nor_more_than_a_number() {
    let refused = "`item.amount` is a text where a number is meant; hint: `item.amount | int`; an amount of money in cents is \
                   `item.amount | cents`";
    for text in [
        "{{ item.amount * 100 }}",
        "{{ 100 * item.amount }}",
        "{{ 2 * item.amount + 1 }}",
        "{{ (item.amount * 2) }}",
        "{{ item.amount > 100 }}",
        "{{ -1 <= item.amount }}",
        "{{ item.amount < -1 and params.yes }}",
    ] {
        assert_eq!(evaluate(text), Err(refused.to_string()), "{text}");
    }
    for (text, expected) in [
        ("{{ params.n * 100 }}", json!(300)),
        ("{{ 2 * item.amount | cents }}", json!(3998)),
        ("{{ item.amount | cents * 2 }}", json!(3998)),
        ("{{ params.n * params.n }}", json!(9)),
        ("{{ params.n > 2 }}", json!(true)),
        ("{{ item.amount | cents > 100 }}", json!(true)),
        ("{{ 100 > item.amount | cents }}", json!(false)),
        ("{{ item.amount > '1' }}", json!(true)),
        ("{{ item.lines[0].sku | length * item.Size }}", json!(12)),
    ] {
        assert_eq!(evaluate(text), Ok(expected), "{text}");
    }
    assert!(evaluate("{{ item.amuont * 100 }}").unwrap_err().starts_with("`item` has no `amuont`"));
}

#[test]
fn what_loses_the_exactness_of_an_amount_is_known() {
    let sign = |text: &str| Expression::parse(text).unwrap().fraction().map(|(sign, offset)| (sign.to_string(), offset));
    assert_eq!(sign("{{ item.amount * 100 }}"), Some(("*".to_string(), 15)));
    for text in
        ["{{ 0.01 * item.cents }}", "{{ item.a / 3 }}", "{{ item.a | round }}", "{{ item.a + 0.5 }}", "x {{ item.a * 1e2 }}"]
    {
        assert!(sign(text).is_some(), "{text}");
    }
    for text in [
        "{{ item.a }}",
        "{{ item.qty * 2 }}",
        "{{ item.a | cents }}",
        "{{ item.a // 2 }}",
        "{{ '/' }}",
        "{{ item.n + 1 }}",
        "{{ 0.5 }}",
    ] {
        assert_eq!(sign(text), None, "{text}");
    }
}
