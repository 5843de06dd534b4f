//! What the expressions of a step name: steps before it, captures that there are.

use super::check::Mistakes;
use super::config::HttpChainConfig;
use super::steps::{OncePer, StepConfig};
use crate::expression::{Expression, Template};
use crate::nearest::{list, nearest};

/// How many names are listed in a hint.
const LISTED: usize = 12;

/// Adds the mistakes in the names of all expressions.
pub(super) fn check(mistakes: &mut Mistakes, config: &HttpChainConfig) {
    for (index, step) in config.steps.iter().enumerate() {
        for (setting, expression) in expressions(step) {
            let setting = format!("steps[{index}].{setting}");
            check_steps(mistakes, &setting, expression, config, index);
            let names = expression.names();
            if step.once_per == Some(OncePer::Lane) && names.iter().any(|name| name.root() == "previous") {
                let detail = "`previous` is not known in a step that is done once for a lane: it is done before any item of it";
                mistakes.add(setting.as_str(), detail);
            }
            if step.paginate.is_none() && names.iter().any(|name| name.root() == "pages") {
                mistakes.hint(setting.as_str(), "`pages` is only known with `paginate`", "name `body`");
            }
        }
    }
    let output = config.output.iter().flat_map(|output| under("output", output));
    for (setting, expression) in output {
        check_steps(mistakes, &setting, expression, config, config.steps.len());
    }
}

/// The expressions of a step, each with its setting.
fn expressions(step: &StepConfig) -> Vec<(String, &Expression)> {
    let mut found: Vec<(String, &Expression)> = Vec::new();
    let urls = step.urls().into_iter().filter_map(|(setting, _, url)| Some((setting, url?)));
    for (setting, url) in urls.chain(step.path.as_ref().map(|url| ("path", url))) {
        found.extend(url.expression().map(|expression| (setting.to_string(), expression)));
    }
    let mut templates: Vec<(String, &Template)> = Vec::new();
    templates.extend(step.query.iter().map(|(name, template)| (format!("query.{name}"), template)));
    templates.extend(step.json.iter().map(|template| ("json".to_string(), template)));
    templates.extend(step.form.iter().flatten().map(|(name, template)| (format!("form.{name}"), template)));
    templates.extend(step.capture.iter().map(|(name, template)| (format!("capture.{name}"), template)));
    for (name, header) in &step.headers {
        found.extend(header.expression().map(|expression| (format!("headers.{name}"), expression)));
    }
    found.extend(step.body.iter().filter_map(|body| Some(("body".to_string(), body.expression()?))));
    found.extend(step.when.iter().filter_map(|when| Some(("when".to_string(), when.expression()?))));
    if let Some(poll) = &step.poll {
        found.extend(poll.until.expression().map(|until| ("poll.until".to_string(), until)));
    }
    if let Some(paginate) = &step.paginate {
        let settings = [("cursor", &paginate.cursor), ("next_url", &paginate.next_url), ("items", &paginate.items)];
        templates
            .extend(settings.into_iter().filter_map(|(name, template)| Some((format!("paginate.{name}"), template.as_ref()?))));
    }
    if let Some(probe) = &step.probe {
        found.extend(probe.get.expression().map(|expression| ("probe.get".to_string(), expression)));
        found.extend(probe.found.expression().map(|expression| ("probe.found".to_string(), expression)));
        templates.extend(probe.capture.iter().map(|template| ("probe.capture".to_string(), template)));
    }
    found.extend(templates.into_iter().flat_map(|(setting, template)| under(&setting, template)));
    found
}

fn under<'a>(setting: &str, template: &'a Template) -> Vec<(String, &'a Expression)> {
    let inner = template.expressions().into_iter();
    let path = |path: String| match path.as_str() {
        "" => setting.to_string(),
        path if path.starts_with('[') => format!("{setting}{path}"),
        path => format!("{setting}.{path}"),
    };
    inner.map(|(inner, expression)| (path(inner), expression)).collect()
}

/// `steps.x.y`: a step before number `at`, and something that it captures.
fn check_steps(mistakes: &mut Mistakes, setting: &str, expression: &Expression, config: &HttpChainConfig, at: usize) {
    for name in expression.names().iter().filter(|name| name.root() == "steps") {
        let mut attributes = name.attributes();
        let Some(step) = attributes.next() else { continue };
        let before = || config.steps[..at].iter().map(|step| step.name.as_str());
        match config.steps.iter().position(|known| known.name == step) {
            Some(found) if found < at => {
                let captured = &config.steps[found].capture;
                let Some(capture) = attributes.next().filter(|capture| !captured.contains_key(*capture)) else { continue };
                let names = || captured.keys().map(String::as_str);
                let detail = format!("step `{step}` captures no `{capture}`");
                match (nearest(capture, names()), captured.is_empty()) {
                    (Some(near), _) => mistakes.hint(setting, detail, format!("did you mean `steps.{step}.{near}`?")),
                    (None, true) => mistakes.hint(
                        setting,
                        detail,
                        format!("add `capture: {{ {capture}: \"{{{{ body.{capture} }}}}\" }}` to it"),
                    ),
                    (None, false) => mistakes.hint(setting, detail, format!("it captures {}", list(names(), LISTED))),
                }
            }
            Some(found) if found == at => {
                let detail = format!("`steps.{step}` is not known in the step itself");
                mistakes.hint(setting, detail, "what was answered is `body`, `headers` and `status`");
            }
            Some(_) => mistakes.add(setting, format!("step `{step}` comes later, only what is before can be named")),
            None => {
                let detail = format!("there is no step `{step}`");
                match (nearest(step, before()), before().next()) {
                    (Some(near), _) => mistakes.hint(setting, detail, format!("did you mean `steps.{near}`?")),
                    (None, Some(_)) => mistakes.hint(setting, detail, format!("steps before are {}", list(before(), LISTED))),
                    (None, None) => mistakes.add(setting, detail),
                }
            }
        }
    }
}
