//! The rules of one step.

use url::Url;

use super::check::{self, Mistakes};
use super::config::{Auth, HttpChainConfig, Statuses};
use super::step::KEY_HEADER;
use super::steps::{OnUnknownConfig, OncePer, Paginate, Poll, StepConfig};
use crate::job::{Keys, Within};
use crate::units::write_duration;

/// What expressions begin with: no step can be called so.
const RESERVED: [&str; 9] = ["params", "item", "previous", "steps", "status", "headers", "body", "pages", "secrets"];

/// The longest name of a step or a capture.
const LONGEST_NAME: usize = 64;

/// Adds the mistakes of step number `index` that can be told without the names in its expressions.
pub(super) fn check(mistakes: &mut Mistakes, config: &HttpChainConfig, index: usize, base: Option<&Url>, within: &Within) {
    let Some(step) = config.steps.get(index) else { return };
    let at = |setting: &str| format!("steps[{index}].{setting}");
    check_name(mistakes, config, index, step);
    check_request(mistakes, config, index, step, base);
    check_payload(mistakes, index, step);
    check::headers(mistakes, &at("headers"), step.headers.keys());
    for (name, value) in &step.headers {
        if let Some(Some(value)) = value.as_literal() {
            check::header_value(mistakes, at(&format!("headers.{name}")), value);
        }
    }
    if let Some(timeout) = step.timeout {
        check::timeout(mistakes, &at("timeout"), timeout);
    }
    if let Some(bytes) = step.max_response {
        check::response(mistakes, &at("max_response"), bytes);
    }
    for name in step.capture.keys().filter(|name| !is_word(name)) {
        mistakes.add(at(&format!("capture.{name}")), format!("`{}` is not a name: {NAME}", name.escape_debug()));
    }
    check_statuses(mistakes, index, step);
    if step.request().is_none() {
        return;
    }
    if let Some(poll) = &step.poll {
        check_poll(mistakes, index, step, poll);
    }
    if let Some(paginate) = &step.paginate {
        check_paginate(mistakes, index, step, paginate);
    }
    if step.once_per == Some(OncePer::Lane) && !within.ordered {
        mistakes.hint(
            at("once_per"),
            "there are no lanes without `order`",
            "add `order: { by: \"{{ item.… }}\" }` to the workflow",
        );
    }
    check_effect(mistakes, index, step, within);
}

/// What a name is made of.
const NAME: &str = "expected 1 to 64 small letters, digits and `_`, a letter first";

fn is_word(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn check_name(mistakes: &mut Mistakes, config: &HttpChainConfig, index: usize, step: &StepConfig) {
    let name = step.name.as_str();
    let at = format!("steps[{index}].name");
    if !is_word(name) {
        mistakes.add(at, format!("`{}` is not a name: {NAME}", name.escape_debug()));
    } else if RESERVED.contains(&name) {
        mistakes.add(at, format!("`{name}` is a word that expressions begin with, no step can be called so"));
    } else if name == "token" && matches!(config.auth, Some(Auth::Oauth2(_))) {
        mistakes.add(at, "`token` is what the call for the token of `auth.oauth2` is called");
    } else if let Some(first) = config.steps[..index].iter().position(|other| other.name == name) {
        mistakes.add(at, format!("`{name}` is the name of `steps[{first}]` already"));
    }
}

fn check_request(mistakes: &mut Mistakes, config: &HttpChainConfig, index: usize, step: &StepConfig, base: Option<&Url>) {
    let at = |setting: &str| format!("steps[{index}].{setting}");
    let named: Vec<&str> = step.urls().iter().filter(|(_, _, url)| url.is_some()).map(|(setting, _, _)| *setting).collect();
    let all = "`get`, `head`, `post`, `put`, `patch`, `delete`";
    match (named.as_slice(), &step.method, &step.path) {
        ([], None, None) => {
            mistakes.add(format!("steps[{index}]"), format!("needs exactly one of {all}, or `method` with `path`"));
        }
        ([_], None, None) => {}
        ([], Some(method), Some(_)) => {
            let lower = method.to_ascii_lowercase();
            if step.urls().iter().any(|(setting, _, _)| *setting == lower) {
                mistakes.hint(
                    at("method"),
                    format!("`{method}` has a setting of its own"),
                    format!("write `{lower}:` in place of `method` and `path`"),
                );
            } else if method == "CONNECT"
                || method.is_empty()
                || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
            {
                mistakes.add(
                    at("method"),
                    format!("`{}` is not a method: expected capitals, such as `REPORT`", method.escape_debug()),
                );
            }
        }
        ([], Some(_), None) => mistakes.hint(at("method"), "there is no `path` to go with it", "add `path: /…`"),
        ([], None, Some(_)) => {
            mistakes.hint(at("path"), "there is no `method` to go with it", "write `get:` or another method in its place")
        }
        ([_, second, ..], _, _) => mistakes.hint(at(second), format!("a step has exactly one of {all}"), "make two steps of it"),
        ([_], Some(_), _) => {
            mistakes.hint(at("method"), format!("a step has exactly one of {all}, or `method` with `path`"), "remove one")
        }
        ([_], None, Some(_)) => mistakes.hint(at("path"), "`path` is for `method`", "remove one"),
    }
    let probe = step.probe.as_ref().map(|probe| ("probe.get", &probe.get));
    let urls = step.urls().into_iter().filter_map(|(setting, _, url)| Some((setting, url?)));
    for (setting, url) in urls.chain(step.path.as_ref().map(|url| ("path", url))).chain(probe) {
        if let Some((detail, hint)) = url.check(base) {
            match hint {
                Some(hint) => mistakes.hint(at(setting), detail, hint),
                None => mistakes.add(at(setting), detail),
            }
        } else if let (false, Some(sample)) = (url.is_path(), url.sample(base)) {
            config.check_host(mistakes, &at(setting), &sample, Some(step));
        }
    }
}

fn check_payload(mistakes: &mut Mistakes, index: usize, step: &StepConfig) {
    let at = |setting: &str| format!("steps[{index}].{setting}");
    let there = [("json", step.json.is_some()), ("form", step.form.is_some()), ("body", step.body.is_some())];
    if let Some((second, _)) = there.iter().filter(|(_, there)| *there).nth(1) {
        mistakes.hint(at(second), "a request has one body: at most one of `json`, `form` and `body`", "remove all but one");
    }
    match (&step.content_type, &step.body) {
        (Some(_), None) => {
            mistakes.hint(
                at("content_type"),
                "it says what `body` is, and there is none",
                "for `json` add `headers: { content-type: … }`",
            );
        }
        (Some(value), Some(_)) => check::header_value(mistakes, at("content_type"), value),
        _ => {}
    }
    if step.request().is_some_and(|(_, method, _)| method == "HEAD") && there.iter().any(|(_, there)| *there) {
        mistakes.add(at("head"), "HEAD has no body");
    }
}

fn check_statuses(mistakes: &mut Mistakes, index: usize, step: &StepConfig) {
    let at = |setting: &str| format!("steps[{index}].{setting}");
    if step.expect.as_ref().is_some_and(Vec::is_empty) {
        mistakes.hint(at("expect"), "the list is empty, no answer would be right", "remove it: the default is `[2xx]`");
    }
    for (number, statuses) in step.also_retry.iter().enumerate() {
        let setting = at(&format!("also_retry[{number}]"));
        let least = match statuses {
            Statuses::One(status) => *status,
            Statuses::Class(class) => class * 100,
        };
        if least < 400 {
            mistakes.add(setting, format!("`{statuses}` is no refusal: expected 400 to 599"));
        } else if step
            .expect
            .iter()
            .flatten()
            .any(|expected| expected.has(least) || matches!(expected, Statuses::One(one) if statuses.has(*one)))
        {
            mistakes.add(setting, format!("`{statuses}` is in `expect` as well"));
        }
    }
}

fn check_poll(mistakes: &mut Mistakes, index: usize, step: &StepConfig, poll: &Poll) {
    let at = |setting: &str| format!("steps[{index}].{setting}");
    if !step.is_safe() {
        mistakes.hint(
            at("poll"),
            "only what has no effect can be asked again and again",
            "make a step of its own of it, with `get`",
        );
    }
    if poll.every.as_millis() == 0 {
        mistakes.add(at("poll.every"), "0ms, at least 1ms");
    }
    if poll.timeout < poll.every {
        let detail = format!("{} is shorter than `every`, {}", write_duration(poll.timeout), write_duration(poll.every));
        mistakes.add(at("poll.timeout"), detail);
    }
    if step.paginate.is_some() {
        mistakes.hint(at("poll"), "a step polls or fetches pages, not both", "make two steps of it");
    }
}

fn check_paginate(mistakes: &mut Mistakes, index: usize, step: &StepConfig, paginate: &Paginate) {
    let at = |setting: &str| format!("steps[{index}].{setting}");
    if !step.is_safe() {
        mistakes.hint(at("paginate"), "only what has no effect has pages", "if it changes nothing, say `effect: false`");
    }
    let ways = [paginate.cursor.is_some(), paginate.next_url.is_some(), paginate.link.is_some()];
    match ways.iter().filter(|way| **way).count() {
        1 => {}
        0 => mistakes.add(at("paginate"), "needs exactly one of `cursor`, `next_url` and `link`"),
        _ => mistakes.hint(at("paginate"), "takes exactly one of `cursor`, `next_url` and `link`", "remove all but one"),
    }
    match (&paginate.cursor, &paginate.query) {
        (Some(_), None) => {
            mistakes.hint(at("paginate.cursor"), "there is no `query`, the name it is sent under", "add `query: cursor`")
        }
        (None, Some(_)) => mistakes.add(at("paginate.query"), "it is the name that `cursor` is sent under, and there is none"),
        (Some(_), Some(name)) if step.query.contains_key(name) => {
            let detail = format!("`{name}` is in `query` of the step as well");
            mistakes.hint(at("paginate.query"), detail, "remove it there: the first page is asked for without");
        }
        _ => {}
    }
}

fn check_effect(mistakes: &mut Mistakes, index: usize, step: &StepConfig, within: &Within) {
    let at = |setting: &str| format!("steps[{index}].{setting}");
    let Some((setting, method, _)) = step.request() else { return };
    if let Some(key) = &step.idempotency {
        if step.is_safe() {
            mistakes.hint(at("idempotency"), "a step without an effect needs no key", "remove it");
        }
        if key.ttl.is_some_and(|ttl| ttl.as_millis() == 0) {
            mistakes.hint(at("idempotency.ttl"), "0ms, a key that is forgotten at once is none", "remove `idempotency`");
        }
        if let Some(header) = &key.header {
            check::headers(mistakes, &at("idempotency.header"), std::iter::once(header));
        }
        let header = key.header.as_deref().unwrap_or(KEY_HEADER);
        if let Some(own) = step.headers.keys().find(|name| name.eq_ignore_ascii_case(header)) {
            mistakes.hint(at(&format!("headers.{own}")), "it is the header field of `idempotency`", "remove it");
        }
    }
    if step.is_safe() {
        for (name, there) in [("on_unknown", step.on_unknown.is_some()), ("probe", step.probe.is_some())] {
            if there {
                mistakes.hint(at(name), "nothing about a step without an effect can be unknown", "remove it");
            }
        }
        return;
    }
    let (keyed, idempotent) = (step.idempotency.is_some(), step.is_idempotent());
    let forgets = step.idempotency.as_ref().is_some_and(|key| key.ttl.is_some());
    match (step.on_unknown, &step.probe) {
        (Some(OnUnknownConfig::RetrySameKey), _) if !keyed && !idempotent => {
            let detail = format!("{method} without a key would have its effect once more each time it is sent again");
            mistakes.hint(
                at("on_unknown"),
                detail,
                "add `idempotency: {}` if the other side knows a key again, else use `hold` or `probe`",
            );
        }
        (Some(OnUnknownConfig::Probe), None) => {
            mistakes.hint(at("on_unknown"), "there is no `probe`", "add `probe: { get: /…, found: \"{{ … }}\", wait: 30s }`");
        }
        (Some(OnUnknownConfig::Hold), Some(_)) => {
            mistakes.hint(at("probe"), "it is never asked with `on_unknown: hold`", "remove one of them");
        }
        (Some(OnUnknownConfig::RetrySameKey) | None, Some(_)) if idempotent || (keyed && !forgets) => {
            mistakes.hint(at("probe"), "it is never asked: the request is sent again", "add `on_unknown: probe`, or remove it");
        }
        _ => {}
    }
    if let Some(probe) = &step.probe
        && probe.wait.as_secs() > 86_400
    {
        mistakes.add(at("probe.wait"), format!("{}, at most 1d", write_duration(probe.wait)));
    }
    if within.keys == Keys::Unsaid && !idempotent && step.once_per.is_none() {
        let detail = format!(
            "{method} has an effect, and an item of this workflow is only known by its position: the same list exported again would have it again"
        );
        let hint = "name what an item is about, `items.key: \"{{ item.… }}\"`, or say `items.key: position`";
        mistakes.hint(at(setting), detail, hint);
    }
}
