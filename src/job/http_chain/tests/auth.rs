//! Who sends a request: headers, tokens, and where they do not go.

use serde_json::{Value, json};

use super::server::{Arrived, Reply, Server};
use super::stage::{Once, SECRETS, job, run};

const TOKEN: &str = SECRETS[0].1;

fn authorizations(server: &Server) -> Vec<String> {
    let value = |request: &Arrived| request.header("authorization").unwrap_or("none").to_string();
    server.requests().iter().map(value).collect()
}

#[tokio::test]
async fn requests_say_who_sends_them() {
    let server = Server::start(|_| Reply::json(200, "{}")).await;
    for (auth, name, expected) in [
        (json!({ "bearer": "{{ secrets.user }}" }), "authorization", "Bearer ada-secret"),
        (
            json!({ "basic": { "user": "{{ secrets.user }}", "password": "{{ secrets.password }}" } }),
            "authorization",
            "Basic YWRhLXNlY3JldDpwNHNzOncwcmQreA==",
        ),
        (json!({ "header": { "name": "X-Api-Key", "value": "k {{ secrets.user }}" } }), "x-api-key", "k ada-secret"),
        (json!({ "bearer": "{{ item.token }}" }), "authorization", "Bearer of-the-item"),
    ] {
        let steps = json!([{ "name": "a", "get": "/" }]);
        let job = job(json!({ "base_url": server.url(), "auth": auth, "steps": steps })).expect("fine");
        run(&job, &Once::default(), json!({ "token": "of-the-item" })).await.expect("a success");
        assert_eq!(server.requests().last().expect("a request").header(name), Some(expected));
    }
}

#[tokio::test]
async fn a_steps_own_header_takes_the_place_of_auth_and_of_the_jobs() {
    let server = Server::start(|_| Reply::json(200, "{}")).await;
    let job = job(json!({
        "base_url": server.url(),
        "auth": { "bearer": "{{ secrets.user }}" },
        "headers": { "X-Version": "1", "x-other": "{{ secrets.user }}" },
        "steps": [
            { "name": "a", "get": "/", "headers": { "Authorization": "Own {{ item.x }}", "x-version": "2" } },
            { "name": "b", "get": "/" },
        ],
    }))
    .expect("fine");
    run(&job, &Once::default(), json!({ "x": 1 })).await.expect("a success");
    let [a, b] = <[_; 2]>::try_from(server.requests()).expect("two requests");
    let shown =
        |request: &Arrived| ["authorization", "x-version", "x-other"].map(|name| request.header(name).map(str::to_string));
    let texts = |texts: [&str; 3]| texts.map(|text| Some(text.to_string()));
    assert_eq!(shown(&a), texts(["Own 1", "2", "ada-secret"]));
    assert_eq!(shown(&b), texts(["Bearer ada-secret", "1", "ada-secret"]));
    for request in [a, b] {
        assert_eq!(request.headers.iter().filter(|(name, _)| name == "authorization").count(), 1);
    }
}

#[tokio::test]
async fn what_is_secret_goes_to_no_host_that_an_item_or_an_answer_names() {
    let other = Server::start(|_| Reply::json(200, r#"{"next":null}"#)).await;
    let to = other.url();
    let server = Server::start(move |request| match request.line.as_str() {
        "GET /redirect" => Reply::with(302, &[("location", &format!("{to}/redirected"))], b""),
        "GET /pages" => Reply::json(200, &format!("{{\"next\":\"{to}/page\"}}")),
        "GET /inside" => Reply::with(302, &[("location", "/there")], b""),
        _ => Reply::json(200, "{}"),
    })
    .await;
    let job = job(json!({
        "base_url": server.url(),
        "auth": { "bearer": "{{ secrets.token | sha256 }}" },
        "headers": { "x-secret": "{{ secrets.user }}", "x-open": "open" },
        "steps": [
            { "name": "redirect", "get": "/redirect" },
            { "name": "listed", "get": "/pages", "paginate": { "next_url": "{{ body.next }}" } },
            { "name": "given", "post": "{{ item.url }}", "json": {} },
            { "name": "inside", "get": "/inside" },
        ],
    }))
    .expect("fine");
    run(&job, &Once::default(), json!({ "url": format!("{}/given", other.url()) })).await.expect("a success");
    assert_eq!(other.lines(), ["GET /redirected", "GET /page", "POST /given"]);
    for request in other.requests() {
        assert_eq!(
            (request.header("authorization"), request.header("x-secret"), request.header("x-open")),
            (None, None, Some("open")),
            "{request:?}"
        );
    }
    for request in server.requests() {
        assert!(request.header("authorization").is_some_and(|value| value.starts_with("Bearer ")), "{request:?}");
        assert_eq!(request.header("x-secret"), Some("ada-secret"));
    }
    assert_eq!(server.lines().last().map(String::as_str), Some("GET /there"));
}

#[tokio::test]
async fn a_redirect_to_where_credentials_are_kept_is_refused() {
    let server = Server::start(|_| Reply::with(302, &[("location", "http://169.254.169.254/latest/meta-data")], b"")).await;
    let job = job(json!({ "base_url": server.url(), "steps": [{ "name": "a", "get": "/" }] })).expect("fine");
    let error = run(&job, &Once::default(), json!({})).await.expect_err("refused");
    assert!(error.cause().starts_with("Refused(\"`169.254.169.254` is a link-local address"), "{error}");
}

fn oauth(server: &Server, steps: Value) -> super::super::HttpChain {
    job(json!({
        "base_url": server.url(),
        "auth": { "oauth2": {
            "token_url": format!("{}/token", server.url()), "client_id": "{{ secrets.user }}", "client_secret": "{{ secrets.password }}",
            "scope": "a b",
        } },
        "steps": steps,
    }))
    .expect("fine")
}

#[tokio::test]
async fn a_token_is_fetched_once_and_again_when_it_is_refused() {
    let server = Server::start(|request| match (request.line.as_str(), request.header("authorization")) {
        ("POST /token", _) => {
            Reply::json(200, &format!("{{\"access_token\":\"fetched-{}\",\"expires_in\":3600}}", request.number))
        }
        (_, Some("Bearer fetched-0")) if request.line == "POST /late" => Reply::json(401, "{}"),
        _ => Reply::json(200, "{}"),
    })
    .await;
    let job = oauth(
        &server,
        json!([{ "name": "a", "get": "/a" }, { "name": "late", "post": "/late", "json": {} }, { "name": "b", "get": "/b" }]),
    );
    let services = Once::default();
    run(&job, &services, json!({})).await.expect("a success");
    assert_eq!(server.lines(), ["POST /token", "GET /a", "POST /late", "POST /token", "POST /late", "GET /b"]);
    let basic = "Basic YWRhLXNlY3JldDpwNHNzJTNBdzByZCUyQng=";
    let bearer = |number: u32| format!("Bearer fetched-{number}");
    assert_eq!(authorizations(&server), [basic.to_string(), bearer(0), bearer(0), basic.to_string(), bearer(3), bearer(3)]);
    assert_eq!(server.requests()[0].body, "grant_type=client_credentials&scope=a+b");
    // Every call has a turn of its own: that of the token, and the second one of the step that was refused.
    let host = server.address;
    let turns: Vec<_> = services.said().into_iter().filter(|said| !said.contains(": ")).collect();
    let expected = [format!("permit {host}"), format!("heard Ok(200) from {host}")];
    let again = [format!("heard Ok(401) from {host}"), format!("permit {host}")];
    assert_eq!(turns, [expected.clone(), expected, again].concat());
    let other = Once::default();
    run(&job, &other, json!({})).await.expect("a success");
    assert_eq!(server.lines().len(), 9, "the token is everybody's");
}

#[tokio::test]
async fn one_token_is_fetched_for_all_who_wait() {
    let server = Server::start(|request| match request.line.as_str() {
        "POST /token" => Reply::json(200, "{\"access_token\":\"the-one-token\"}"),
        _ => Reply::json(200, "{}"),
    })
    .await;
    let job = oauth(&server, json!([{ "name": "a", "get": "/a" }]));
    let services = Once::default();
    let all = (0..20).map(|_| async {
        let own = Once::default();
        run(&job, &own, json!({})).await.map(drop)
    });
    for ended in futures_util::future::join_all(all).await {
        ended.expect("a success");
    }
    drop(services);
    assert_eq!(server.lines().iter().filter(|line| *line == "POST /token").count(), 1);
    assert_eq!(server.lines().len(), 21);
}

#[tokio::test]
async fn wrong_credentials_are_everybodys_trouble_and_a_busy_host_is_waited_for() {
    let server = Server::start(|_| Reply::json(400, "{\"error\":\"invalid_client\"}")).await;
    let job = oauth(&server, json!([{ "name": "a", "get": "/a" }]));
    let error = run(&job, &Once::default(), json!({})).await.expect_err("refused");
    assert_eq!(error.name(), "Job.Surroundings");
    assert!(error.cause().contains("it answered 400: {\"error\":\"invalid_client\"}"), "{error}");
    let server = Server::start(|request| match request.number {
        0 => Reply::with(429, &[("retry-after", "0")], b""),
        1 => Reply::json(503, ""),
        2 => Reply::json(200, "{\"access_token\":\"came-late\"}"),
        _ => Reply::json(200, "{}"),
    })
    .await;
    let job = oauth(&server, json!([{ "name": "a", "get": "/a" }]));
    run(&job, &Once::default(), json!({})).await.expect("a success");
    assert_eq!(server.lines().len(), 4);
    assert!(!TOKEN.is_empty());
}
