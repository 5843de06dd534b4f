//! A secret in every place it could leak to, never seen.

use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::stage::{Once, SECRETS, job, run};

/// Everything that came of an item in words: outputs, errors, what is kept, what was described.
async fn told(config: Value) -> String {
    let job = job(config).expect("fine");
    let services = Once::default();
    let ended = run(&job, &services, json!({ "x": 1 })).await;
    let kept: Vec<_> = services
        .kept
        .lock()
        .expect("not poisoned")
        .values()
        .map(|answer| format!("{answer:?} {}", String::from_utf8_lossy(&answer.body)))
        .collect();
    let ended = match ended {
        Ok(output) => output.to_string(),
        Err(error) => format!("{error} {error:?}"),
    };
    format!("{ended}\n{kept:?}\n{:?}\n{job:?}", services.said())
}

/// Whether a secret, or anything from which it can be read, is in the text.
fn leaks(text: &str) -> Vec<&'static str> {
    // What stands between quotes is escaped once more by Debug.
    let plain = text.replace("\\\\", "\\").replace("\\\"", "\"").replace("\\/", "/");
    SECRETS.iter().filter(|(_, secret)| text.contains(secret) || plain.contains(secret)).map(|(name, _)| *name).collect()
}

/// Everything that a request says, once in its header fields and once in its body.
fn echo(status: u16) -> impl Fn(&super::server::Arrived) -> Reply + Send + Sync {
    move |request| {
        let all: Vec<_> = request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let fields: Vec<_> =
            request.headers.iter().filter(|(name, _)| name.starts_with("x-") || name == "authorization").collect();
        let fields: Vec<_> =
            fields.iter().enumerate().map(|(number, (_, value))| (format!("x-echo-{number}"), value.clone())).collect();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Reply::with(status, &fields, json!({ "error": all, "id": request.header("authorization") }).to_string().as_bytes())
    }
}

#[tokio::test]
async fn answers_that_repeat_what_was_sent_show_no_secret() {
    for status in [200, 302, 400, 500] {
        let server = Server::start(echo(status)).await;
        for auth in [
            json!({ "bearer": "{{ secrets.token }}" }),
            json!({ "basic": { "user": "{{ secrets.user }}", "password": "{{ secrets.password }}" } }),
            json!({ "header": { "name": "x-key", "value": "{{ secrets.token }}" } }),
        ] {
            let config = json!({
                "base_url": server.url(), "auth": auth,
                "steps": [{
                    "name": "a", "post": "/a/{{ item.x }}", "json": { "x": "{{ item.x }}" },
                    "headers": { "x-mixed": "key={{ secrets.user }};{{ item.x }}", "x-plain": "{{ secrets.password }}" },
                    "capture": { "id": "{{ body.id }}", "all": "{{ body.error }}", "headers": "{{ headers }}", "nowhere": "{{ body.nowhere | default('x') }}" },
                }],
                "output": "{{ steps.a }}",
            });
            let text = told(config).await;
            assert!(text.contains("***"), "{text}");
            assert_eq!(leaks(&text), Vec::<&str>::new(), "{status}: {text}");
        }
        let sent = format!("{:?}", server.requests());
        assert_eq!(leaks(&sent).len(), 3, "they were sent: {sent}");
    }
}

#[tokio::test]
async fn a_redirect_to_a_secret_shows_it_to_nobody() {
    let server = Server::start(|request| match request.header("x-key") {
        Some(key) if request.line == "GET /a" => {
            let key: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
            Reply::with(302, &[("location", &format!("/echo/{key}?k={key}"))], b"")
        }
        _ => Reply::json(404, "{}"),
    })
    .await;
    for name in ["user", "password"] {
        let config = json!({
            "base_url": server.url(), "headers": { "x-key": format!("{{{{ secrets.{name} }}}}") },
            "steps": [{ "name": "a", "get": "/a" }],
        });
        let text = told(config).await;
        assert_eq!(leaks(&text), Vec::<&str>::new(), "{text}");
    }
}

#[tokio::test]
async fn a_token_that_was_fetched_is_a_secret() {
    let server = Server::start(|request| match request.line.as_str() {
        "POST /token" => Reply::json(200, "{\"access_token\":\"f3tched-t0ken\"}"),
        _ => echo(400)(request),
    })
    .await;
    let config = json!({
        "base_url": server.url(),
        "auth": { "oauth2": { "token_url": format!("{}/token", server.url()), "client_id": "{{ secrets.user }}", "client_secret": "{{ secrets.password }}" } },
        "steps": [{ "name": "a", "get": "/a" }],
    });
    let text = told(config).await;
    assert!(text.contains("***") && !text.contains("f3tched-t0ken"), "{text}");
    assert_eq!(leaks(&text), Vec::<&str>::new(), "{text}");
}

#[tokio::test]
async fn a_token_host_that_repeats_what_it_was_told_shows_no_secret() {
    let server = Server::start(echo(401)).await;
    let config = json!({
        "base_url": server.url(),
        "auth": { "oauth2": { "token_url": format!("{}/token", server.url()), "client_id": "{{ secrets.user }}", "client_secret": "{{ secrets.password }}" } },
        "steps": [{ "name": "a", "get": "/a" }],
    });
    let text = told(config).await;
    assert!(text.contains("it answered 401"), "{text}");
    assert_eq!(leaks(&text), Vec::<&str>::new(), "{text}");
    assert!(!text.contains("YWRhLXNlY3JldDpwNHNz"), "nor in base64: {text}");
}

#[tokio::test]
async fn what_is_redacted_is_neither_kept_nor_judged() {
    let server = Server::start(|_| Reply::json(200, r#"{"card":{"number":"4111111111111111"},"id":7}"#)).await;
    let steps = |template: &str| json!([{ "name": "a", "get": "/a", "capture": { "card": template } }]);
    let config = |template: &str| json!({ "base_url": server.url(), "redact": ["body.card"], "steps": steps(template), "output": "{{ steps.a }}" });
    let text = told(config("{{ body }}")).await;
    assert!(text.contains(r#"{"card":{"card":"***","id":7}}"#) && !text.contains("4111"), "{text}");
    let text = told(config("{{ body.card.number }}")).await;
    assert!(text.contains("`body.card` is a text, it has no `number`") && !text.contains("4111"), "{text}");
}
