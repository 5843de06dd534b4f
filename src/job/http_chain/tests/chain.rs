//! Chains of steps: values from step to step, captures, polls, pages, redirects.

use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::stage::{Once, job, run, run_with};

/// The job with these steps against a server.
fn chain(server: &Server, steps: Value, output: Value) -> super::super::HttpChain {
    job(json!({ "base_url": server.url(), "steps": steps, "output": output }))
        .unwrap_or_else(|error| panic!("{error} {:?}", error.more))
}

#[tokio::test]
async fn values_keep_their_types_from_step_to_step() {
    let server = Server::start(|request| match request.line.as_str() {
        "PUT /customers/c%2F1%3F" => Reply::json(201, r#"{"id":"k-1","big":9007199254740993,"list":[1,"2",null],"price":19.90}"#),
        _ => Reply::json(200, r#"{"ok":true,"long":123456789012345678901234}"#),
    })
    .await;
    let steps = json!([
        { "name": "customer", "put": "/customers/{{ item.customer }}", "json": { "name": "{{ item.name }}" },
          "capture": { "id": "{{ body.id }}", "big": "{{ body.big }}", "list": "{{ body.list }}", "price": "{{ body.price }}", "said": "{{ status }}" } },
        { "name": "invoice", "post": "/invoices", "query": { "tags": "{{ steps.customer.list }}", "none": null, "a b": "c&d" },
          "headers": { "X-Number": "7", "x-none": "{{ previous.nothing }}", "X-Customer": "{{ steps.customer.id }}" },
          "json": { "customer": "{{ steps.customer.id }}", "big": "{{ steps.customer.big }}", "list": "{{ steps.customer.list }}",
                    "cents": "{{ item.amount | cents }}", "text": "{{ steps.customer.price }} EUR", "after": "{{ previous.number }}" },
          "idempotency": {}, "capture": { "long": "{{ body.long }}" } },
    ]);
    let job =
        chain(&server, steps, json!({ "long": "{{ steps.invoice.long }}", "said": "{{ steps.customer.said }}", "fixed": [1] }));
    let item = json!({ "customer": "c/1?", "name": "Ada \"Ü\"", "amount": "19.99" });
    let output = run(&job, &Once::default(), item).await.expect("a success");
    assert_eq!(output, json!({ "long": "123456789012345678901234", "said": 201, "fixed": [1] }));
    let [customer, invoice] = <[_; 2]>::try_from(server.requests()).expect("two requests");
    assert_eq!(customer.body, r#"{"name":"Ada \"Ü\""}"#);
    assert_eq!(customer.header("content-type"), Some("application/json"));
    assert_eq!(customer.header("idempotency-key"), None);
    assert_eq!(invoice.line, "POST /invoices?a+b=c%26d&tags=1&tags=2");
    assert_eq!(
        invoice.body,
        r#"{"customer":"k-1","big":9007199254740993,"list":[1,"2",null],"cents":1999,"text":"19.9 EUR","after":null}"#
    );
    assert_eq!(invoice.header("idempotency-key"), Some("the-key"));
    assert_eq!(
        (invoice.header("x-number"), invoice.header("x-none"), invoice.header("x-customer")),
        (Some("7"), None, Some("k-1"))
    );
}

#[tokio::test]
async fn bodies_are_forms_and_texts_as_well() {
    let server = Server::start(|_| Reply::json(200, "{}")).await;
    let steps = json!([
        { "name": "form", "post": "/f", "form": { "a": "{{ item.a }}", "list": [1, "x y"], "none": null, "yes": true } },
        { "name": "text", "patch": "/t", "body": "<a>{{ item.a }}</a>", "content_type": "application/xml" },
        { "name": "plain", "method": "REPORT", "path": "/r", "body": "plain" },
        { "name": "own", "post": "/o", "json": [1], "headers": { "Content-Type": "application/vnd.api+json" } },
        { "name": "gone", "delete": "/d/{{ item.a }}" },
    ]);
    run(&chain(&server, steps, Value::Null), &Once::default(), json!({ "a": "&=" })).await.expect("a success");
    let found: Vec<_> = server
        .requests()
        .iter()
        .map(|request| {
            (request.line.clone(), request.body.clone(), request.header("content-type").unwrap_or_default().to_string())
        })
        .collect();
    let expected = [
        ("POST /f", "a=%26%3D&list=1&list=x+y&yes=true", "application/x-www-form-urlencoded"),
        ("PATCH /t", "<a>&=</a>", "application/xml"),
        ("REPORT /r", "plain", "text/plain; charset=utf-8"),
        ("POST /o", "[1]", "application/vnd.api+json"),
        ("DELETE /d/%26%3D", "", ""),
    ];
    assert_eq!(found, expected.map(|(line, body, kind)| (line.to_string(), body.to_string(), kind.to_string())));
}

#[tokio::test]
async fn a_step_that_is_left_out_captures_null() {
    let server = Server::start(|_| Reply::json(200, r#"{"id":1}"#)).await;
    let steps = json!([
        { "name": "first", "get": "/a", "when": "{{ item.wanted }}", "capture": { "id": "{{ body.id }}" } },
        { "name": "second", "get": "/b", "when": "{{ steps.first.id is none }}", "capture": { "id": "{{ body.id }}" } },
    ]);
    let job = chain(&server, steps, json!(["{{ steps.first.id }}", "{{ steps.second.id }}"]));
    assert_eq!(run(&job, &Once::default(), json!({ "wanted": false })).await.expect("a success"), json!([null, 1]));
    assert_eq!(run(&job, &Once::default(), json!({ "wanted": true })).await.expect("a success"), json!([1, null]));
    let error = run(&job, &Once::default(), json!({ "wanted": "yes" })).await.expect_err("no boolean");
    assert_eq!(error.name(), "Http.InvalidRequest");
    assert_eq!(server.lines(), ["GET /b", "GET /a"]);
}

#[tokio::test]
async fn what_an_answer_lacks_is_told_by_what_it_has() {
    for (answer, name, cause) in [
        (
            Reply::json(200, r#"{"di":1,"name":"x"}"#),
            "Http.CaptureFailed",
            "step `a`: `capture.id`: `body` has no `id`, it has `di`, `name`",
        ),
        (
            Reply::json(200, "<html>\n<b>busy</b>"),
            "Http.CaptureFailed",
            "`body` is a text, it has no `id`; the body is not JSON: <html> <b>busy</b>",
        ),
        (Reply::json(204, ""), "Http.CaptureFailed", "`body` is a text, it has no `id`; the body is empty"),
        (Reply::with(200, &[], b"\xff\xfe\x00{}"), "Http.BadBody", "step `a`: the body is not UTF-8"),
        (Reply::json(404, "{\n \"error\": \"gone\" }"), "Http.Status.404", "answered 404, expected 2xx: { \"error\": \"gone\" }"),
        (Reply::with(302, &[("location", "/there")], b""), "Http.Status.302", "answered 302, expected 2xx: it leads to /there"),
    ] {
        let server = Server::start(move |_| answer.clone()).await;
        let steps = json!([{ "name": "a", "post": "/x", "capture": { "id": "{{ body.id }}" } }]);
        let error = run(&chain(&server, steps, Value::Null), &Once::default(), json!({})).await.expect_err(name);
        assert_eq!(error.name(), name, "{error}");
        assert!(error.cause().contains(cause), "{error}");
    }
}

#[tokio::test]
async fn a_body_that_nobody_names_may_be_anything() {
    let server = Server::start(|_| Reply::with(200, &[("x-id", "7")], b"\xff\xfe")).await;
    let steps =
        json!([{ "name": "a", "get": "/x", "capture": { "id": "{{ headers['x-id'] | int }}", "status": "{{ status }}" } }]);
    let job = chain(&server, steps, json!("{{ steps.a }}"));
    assert_eq!(run(&job, &Once::default(), json!({})).await.expect("a success"), json!({ "id": 7, "status": 200 }));
}

#[tokio::test]
async fn a_poll_asks_until_it_is_met_or_its_time_is_up() {
    let server = Server::start(|request| match request.number {
        0 | 1 => Reply::json(200, r#"{"state":"draft"}"#),
        _ => Reply::json(200, r#"{"state":"open","n":3}"#),
    })
    .await;
    let steps = |timeout: &str| {
        json!([{ "name": "confirmed", "get": "/i", "capture": { "n": "{{ body.n }}" },
            "poll": { "until": "{{ body.state == 'open' }}", "every": "1ms", "timeout": timeout } }])
    };
    let services = Once::default();
    let job = chain(&server, steps("1m"), json!("{{ steps.confirmed.n }}"));
    assert_eq!(run(&job, &services, json!({})).await.expect("met at the third call"), json!(3));
    assert_eq!(server.lines().len(), 3);
    assert_eq!(run(&job, &services, json!({})).await.expect("what is kept is met"), json!(3));
    assert_eq!(server.lines().len(), 3);

    let server = Server::start(|_| Reply::json(200, r#"{"state":"draft"}"#)).await;
    let error = run(&chain(&server, steps("3ms"), Value::Null), &Once::default(), json!({})).await.expect_err("never met");
    assert_eq!(error.name(), "Http.PollTimeout");
    assert!(error.cause().ends_with("was not met within 3ms; the last answer: {\"state\":\"draft\"}"), "{error}");
}

#[tokio::test]
async fn pages_are_followed_by_cursor_by_url_and_by_link() {
    for (paginate, page) in [
        (json!({ "cursor": "{{ body.next }}", "query": "after" }), 1),
        (json!({ "next_url": "{{ body.url }}" }), 2),
        (json!({ "link": "next" }), 3),
    ] {
        let server = Server::start(move |request| {
            let number = request.number;
            let next = (number < 2).then(|| (page, number + 1));
            let body = json!({
                "data": [number * 2, number * 2 + 1],
                "next": next.filter(|(way, _)| *way == 1).map(|(_, next)| next),
                "url": next.filter(|(way, _)| *way == 2).map(|(_, next)| format!("/l?page={next}&a=1")),
            });
            let link =
                next.filter(|(way, _)| *way == 3).map_or(String::new(), |(_, next)| format!("</l?page={next}>; rel=\"next\""));
            Reply::with(200, &[("link", &link)], body.to_string().as_bytes())
        })
        .await;
        let mut paginate = paginate;
        paginate["items"] = json!("{{ body.data }}");
        let steps = json!([{ "name": "list", "get": "/l", "query": { "a": "1" }, "paginate": paginate,
            "capture": { "all": "{{ pages }}", "count": "{{ pages | length }}" } }]);
        let job = chain(&server, steps, json!("{{ steps.list }}"));
        let output = run(&job, &Once::default(), json!({})).await.expect("three pages");
        assert_eq!(output, json!({ "all": [0, 1, 2, 3, 4, 5], "count": 6 }));
        let expected = match page {
            1 => ["GET /l?a=1", "GET /l?a=1&after=1", "GET /l?a=1&after=2"],
            2 => ["GET /l?a=1", "GET /l?page=1&a=1", "GET /l?page=2&a=1"],
            _ => ["GET /l?a=1", "GET /l?page=1", "GET /l?page=2"],
        };
        assert_eq!(server.lines(), expected);
    }
}

#[tokio::test]
async fn pages_without_end_end() {
    let server = Server::start(|_| Reply::json(200, r#"{"next":"same"}"#)).await;
    let steps = |most: u32| {
        json!([{ "name": "list", "get": "/l", "capture": { "pages": "{{ pages }}" },
            "paginate": { "cursor": "{{ body.next }}", "query": "after", "max_pages": most } }])
    };
    let error = run(&chain(&server, steps(100), Value::Null), &Once::default(), json!({})).await.expect_err("no end");
    assert_eq!((error.name(), server.lines().len()), ("Http.CursorRepeated", 2));

    let server = Server::start(|request| Reply::json(200, &format!("{{\"next\":{}}}", request.number))).await;
    let error = run(&chain(&server, steps(3), Value::Null), &Once::default(), json!({})).await.expect_err("too many");
    assert_eq!((error.name(), server.lines().len()), ("Http.TooManyPages", 3));

    let server = Server::start(|_| Reply::json(200, r#"{"next":{"no":"cursor"}}"#)).await;
    let error = run(&chain(&server, steps(3), Value::Null), &Once::default(), json!({})).await.expect_err("no cursor");
    assert_eq!(
        error.to_string(),
        "Http.CaptureFailed: step `list`: `paginate.cursor`: expected a text or a number, found a mapping"
    );
}

#[tokio::test]
async fn only_what_has_no_effect_follows_redirects() {
    let server = Server::start(|request| match request.line.as_str() {
        "GET /a" => Reply::with(302, &[("location", "/b?c=d")], b""),
        "GET /b?c=d" => Reply::json(200, r#"{"id":1}"#),
        "GET /loop" => Reply::with(307, &[("location", "/loop")], b""),
        "GET /file" => Reply::with(302, &[("location", "file:///etc/passwd")], b""),
        _ => Reply::with(303, &[("location", "/a")], b""),
    })
    .await;
    let get = |path: &str| json!([{ "name": "a", "get": path, "capture": { "id": "{{ body.id }}" } }]);
    let output = run(&chain(&server, get("/a"), json!("{{ steps.a.id }}")), &Once::default(), json!({})).await;
    assert_eq!(output.expect("followed"), json!(1));
    let ended = |steps: Value| {
        let job = chain(&server, steps, Value::Null);
        async move { run(&job, &Once::default(), json!({})).await.expect_err("it ends").name().to_string() }
    };
    assert_eq!(ended(get("/loop")).await, "Http.TooManyRedirects");
    assert_eq!(ended(get("/file")).await, "Http.InvalidUrl");
    assert_eq!(ended(json!([{ "name": "a", "post": "/p" }])).await, "Http.Status.303");
    assert_eq!(server.lines().iter().filter(|line| *line == "GET /loop").count(), 6);
    let job = job(json!({ "base_url": server.url(), "redirects": 0, "steps": get("/a") })).expect("fine");
    assert_eq!(run(&job, &Once::default(), json!({})).await.expect_err("not followed").name(), "Http.Status.302");
}

#[tokio::test]
async fn a_redirect_of_an_earlier_run_is_asked_for_anew() {
    let server = Server::start(|request| match (request.line.as_str(), request.number) {
        ("GET /a", 0) => Reply::with(302, &[("location", "/old")], b""),
        ("GET /a", _) => Reply::with(302, &[("location", "/new")], b""),
        ("GET /new", _) => Reply::json(200, r#"{"id":1}"#),
        _ => Reply::json(403, "{}"),
    })
    .await;
    let job = chain(&server, json!([{ "name": "a", "get": "/a" }]), Value::Null);
    let services = Once::default();
    assert_eq!(run(&job, &services, json!({})).await.expect_err("expired").name(), "Http.Status.403");
    assert!(run(&job, &services, json!({})).await.is_err(), "what is kept is judged again");
    run_with(&job, &services, json!({}), &Value::Null, 1).await.expect("asked for anew");
    assert_eq!(server.lines(), ["GET /a", "GET /old", "GET /a", "GET /new"]);
}

#[tokio::test]
async fn keys_that_would_lead_elsewhere_send_nothing() {
    let server = Server::start(|_| Reply::json(200, "{}")).await;
    let job = chain(&server, json!([{ "name": "a", "get": "/a/{{ item.x }}/b" }]), Value::Null);
    for (value, line) in [
        (json!("../../admin"), Some("GET /a/..%2F..%2Fadmin/b")),
        (json!("x?y=z#w"), Some("GET /a/x%3Fy%3Dz%23w/b")),
        (json!("100%"), Some("GET /a/100%25/b")),
        (json!(".."), None),
        (json!(""), None),
        (json!(null), None),
    ] {
        server.arrived.lock().expect("not poisoned").clear();
        let ended = run(&job, &Once::default(), json!({ "x": value })).await;
        match line {
            Some(_) => drop(ended.expect("sent")),
            None => assert_eq!(ended.expect_err("refused").name(), "Http.InvalidUrl"),
        }
        assert_eq!(server.lines(), line.into_iter().map(str::to_string).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_fails_once_for_a_lane_stops_it() {
    let server = Server::start(|_| Reply::json(400, "{}")).await;
    let once = json!([{ "name": "a", "once_per": "lane", "put": "/a" }]);
    assert!(run(&chain(&server, once, Value::Null), &Once::default(), json!({})).await.expect_err("refused").stops_lane);
    let each = json!([{ "name": "a", "put": "/a" }]);
    assert!(!run(&chain(&server, each, Value::Null), &Once::default(), json!({})).await.expect_err("refused").stops_lane);
}
