//! What the API does: customers, invoices, orders, payments and tokens.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::Request;
use axum::response::Response;
use axum::routing::{get, post, put};
use serde_json::{Value, json};

use crate::answer::Reply;
use crate::call::Call;
use crate::desk::{Desk, State};
use crate::log::Line;
use crate::now_ms;
use crate::store::{Invoice, Payment, paid};

/// Orders that there are, for who asks for them page by page.
const ORDERS: usize = 1000;

type At = Shared<Arc<Desk>>;

/// The routes that need a token.
pub fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route(
            "/customers/{id}",
            put(|Shared(desk): At, Path(id): Path<String>, request: Request<Body>| async move {
                desk.serve(Call::read(request, Some(id)).await, "PUT /customers/{id}", put_customer).await
            }),
        )
        .route(
            "/invoices",
            post(|Shared(desk): At, request: Request<Body>| async move {
                desk.serve(Call::read(request, None).await, "POST /invoices", post_invoice).await
            })
            .get(|Shared(desk): At, request: Request<Body>| async move {
                desk.serve(Call::read(request, None).await, "GET /invoices", find_invoices).await
            }),
        )
        .route(
            "/invoices/{id}",
            get(|Shared(desk): At, Path(id): Path<String>, request: Request<Body>| async move {
                desk.serve(Call::read(request, Some(id)).await, "GET /invoices/{id}", get_invoice).await
            }),
        )
        .route(
            "/orders",
            get(|Shared(desk): At, request: Request<Body>| async move {
                desk.serve(Call::read(request, None).await, "GET /orders", get_orders).await
            }),
        )
        .route(
            "/payments",
            post(|Shared(desk): At, request: Request<Body>| async move {
                desk.serve(Call::read(request, None).await, "POST /payments", post_payment).await
            })
            .get(|Shared(desk): At, request: Request<Body>| async move {
                desk.serve(Call::read(request, None).await, "GET /payments", find_payments).await
            }),
        )
        .route("/token", post(token))
}

fn put_customer(state: &mut State, call: &Call) -> Reply {
    let id = call.id.as_deref().unwrap_or_default();
    let name = call.json.get("name").cloned().unwrap_or_default();
    if !name.is_string() {
        return Reply::error(400, "`name` is not a text");
    }
    if state.store.put_customer(id, &name) {
        state.log.write(Line { what: "effect", customer: Some(id), effect: Some(&format!("cus_{id}")), ..call.line() });
    }
    Reply::of(200, json!({ "id": id, "name": name }))
}

fn post_invoice(state: &mut State, call: &Call) -> Reply {
    let text = |name: &str| call.json.get(name).and_then(Value::as_str).map(str::to_string);
    let Some(customer) = text("customer") else { return Reply::error(400, "`customer` is not a text") };
    let Some(cents) = call.json.get("cents").and_then(Value::as_i64).filter(|cents| *cents >= 0) else {
        return Reply::error(400, "`cents` is not a whole number from 0 on");
    };
    let after = match call.json.get("after") {
        None | Some(Value::Null) => None,
        Some(after) => match after.as_u64() {
            Some(after) => Some(after),
            None => return Reply::error(400, "`after` is not the number of an invoice"),
        },
    };
    if state.store.customer(&customer).is_none() {
        return Reply::error(404, "there is no such customer");
    }
    let last = state.store.last_of(&customer);
    if after != last {
        state.log.write(Line { what: "order_break", after: Some([after, last]), ..call.line() });
        if state.settings.refuse_disorder {
            return Reply::error(422, "`after` is not the number of the customer's last invoice");
        }
    }
    let invoice = Invoice { customer, order: text("order"), cents, after, made_ms: now_ms() };
    let id = format!("inv_{}", state.store.add_invoice(invoice));
    state.log.write(Line { what: "effect", effect: Some(&id), ..call.line() });
    let made = state.store.invoice(&id, state.settings.opens_after_ms).unwrap_or_default();
    Reply::of(201, made).header("location", format!("/invoices/{id}"))
}

fn find_invoices(state: &mut State, call: &Call) -> Reply {
    Reply::of(200, json!({ "data": state.store.find(&call.query, state.settings.opens_after_ms) }))
}

fn get_invoice(state: &mut State, call: &Call) -> Reply {
    let id = call.id.as_deref().unwrap_or_default();
    match state.store.invoice(id, state.settings.opens_after_ms) {
        Some(invoice) => Reply::of(200, invoice),
        None => Reply::error(404, "there is no such invoice"),
    }
}

fn get_orders(_: &mut State, call: &Call) -> Reply {
    let number = |name: &str, prefix: &str| call.query.get(name)?.strip_prefix(prefix)?.parse::<usize>().ok();
    let from = number("cursor", "c").unwrap_or(0).min(ORDERS);
    let limit = number("limit", "").unwrap_or(100).clamp(1, 500);
    let to = from.saturating_add(limit).min(ORDERS);
    let order = |n: usize| {
        let customer = format!("c{}", n * 7 % 40);
        json!({ "order_id": format!("o{n}"), "customer": customer, "amount": format!("{}.{:02}", n % 97, n * 31 % 100) })
    };
    let data: Vec<Value> = (from..to).map(order).collect();
    let next = match to {
        _ if call.loops => Some(format!("c{from}")),
        ORDERS => None,
        to => Some(format!("c{to}")),
    };
    let reply = Reply::of(200, json!({ "data": data, "next": next }));
    match next {
        Some(next) => {
            let link = format!("<http://{}/orders?cursor={next}&limit={limit}>; rel=\"next\"", call.host);
            reply.header("link", link)
        }
        None => reply,
    }
}

fn post_payment(state: &mut State, call: &Call) -> Reply {
    let Some(reference) = call.json.get("reference").and_then(Value::as_str) else {
        return Reply::error(400, "`reference` is not a text");
    };
    let Some(cents) = call.json.get("cents").and_then(Value::as_i64) else {
        return Reply::error(400, "`cents` is not a whole number");
    };
    let payment = Payment { reference: reference.to_string(), cents };
    let number = state.store.add_payment(payment.clone());
    state.log.write(Line { what: "effect", effect: Some(&format!("pay_{number}")), ..call.line() });
    Reply::of(201, paid(number, &payment))
}

fn find_payments(state: &mut State, call: &Call) -> Reply {
    Reply::of(200, json!({ "data": state.store.payments(call.query.get("reference")) }))
}

/// OAuth2 client credentials, with the secret in the form or by basic authentication.
async fn token(Shared(desk): At, request: Request<Body>) -> Response {
    let basic = request.headers().get("authorization").and_then(|value| value.to_str().ok()).map(str::to_string);
    let call = Call::read(request, None).await;
    let form: HashMap<String, String> = url::form_urlencoded::parse(&call.body).into_owned().collect();
    let mut state = desk.state();
    let secret = state.settings.token.clone();
    let by_form = form.get("client_id").is_some_and(|id| id == "fanfold") && form.get("client_secret") == Some(&secret);
    let by_header = basic.is_some_and(|given| given == format!("Basic {}", base64(&format!("fanfold:{secret}"))));
    let reply = if form.get("grant_type").map(String::as_str) != Some("client_credentials") {
        Reply::of(400, json!({ "error": "unsupported_grant_type" }))
    } else if !by_form && !by_header {
        Reply::of(401, json!({ "error": "invalid_client" }))
    } else {
        let token = format!("granted-{}", state.tokens.len() + 1);
        let seconds = 3600;
        state.tokens.push((token.clone(), now_ms() + seconds * 1000));
        Reply::of(200, json!({ "access_token": token, "token_type": "Bearer", "expires_in": seconds }))
    };
    drop(state);
    reply.response(None, None)
}

fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let digit = char::from(ALPHABET[(bits >> (18 - 6 * position)) as usize & 63]);
            out.push(if position <= chunk.len() { digit } else { '=' });
        }
    }
    out
}
