//! States, and the way from one to the next.

use std::collections::{BTreeSet, VecDeque};

use super::check::{Around, Checker, is_jsonata, is_placeholder};
use super::document::{Entry, Kind, Node, Spot};
use super::fields::{Field, Is, both, jsonata, path};
use super::rule;
use crate::nearest::nearest;

const LANGUAGES: &[&str] = &["JSONPath", "JSONata"];
const TYPES: &[&str] = &["Task", "Pass", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map"];

/// The longest time that is said in seconds.
const LONGEST_SECONDS: u64 = 99_999_999;

/// How long an express execution may take, in seconds (AWS Step Functions quotas, checked 2026-10-07; hard).
const EXPRESS_SECONDS: f64 = 300.0;

const MACHINE: &[Field] = &[
    both("Comment", Is::Text),
    both("StartAt", Is::Text),
    both("States", Is::Object),
    both("Version", Is::Word(&["1.0"], rule::VERSION)),
    both("TimeoutSeconds", Is::Whole(1, LONGEST_SECONDS, rule::TIMEOUT)),
    both("QueryLanguage", Is::Word(LANGUAGES, rule::LANGUAGE)),
];
const EVERY: &[Field] =
    &[both("Type", Is::Text), both("Comment", Is::Text), both("QueryLanguage", Is::Word(LANGUAGES, rule::LANGUAGE))];
const IN_OUT: &[Field] =
    &[path("InputPath", Is::PathOrNull), path("OutputPath", Is::PathOrNull), jsonata("Output", Is::Template)];
const ONWARD: &[Field] = &[both("Next", Is::Text), both("End", Is::Flag)];
const RESULT: &[Field] = &[path("ResultPath", Is::ReferenceOrNull), path("ResultSelector", Is::Template)];
const ASSIGN: &[Field] = &[both("Assign", Is::Template)];
const PARAMETERS: &[Field] = &[path("Parameters", Is::Template), jsonata("Arguments", Is::Template)];
const FAILING: &[Field] = &[both("Retry", Is::List), both("Catch", Is::List)];
const TASK: &[Field] = &[
    both("Resource", Is::Text),
    both("TimeoutSeconds", Is::Whole(1, LONGEST_SECONDS, rule::TIMEOUT)),
    path("TimeoutSecondsPath", Is::Reference),
    both("HeartbeatSeconds", Is::Whole(1, LONGEST_SECONDS, rule::TIMEOUT)),
    path("HeartbeatSecondsPath", Is::Reference),
    both("Credentials", Is::Template),
];
const PASS: &[Field] = &[path("Result", Is::Any), path("ResultPath", Is::ReferenceOrNull), path("Parameters", Is::Template)];
const WAIT: &[Field] = &[
    both("Seconds", Is::Whole(0, LONGEST_SECONDS, rule::WAIT_SECONDS)),
    path("SecondsPath", Is::Reference),
    both("Timestamp", Is::Text),
    path("TimestampPath", Is::Reference),
];
const FAIL: &[Field] =
    &[both("Error", Is::Text), path("ErrorPath", Is::Any), both("Cause", Is::Text), path("CausePath", Is::Any)];
const CHOICE: &[Field] = &[both("Choices", Is::List), both("Default", Is::Text)];
const PARALLEL: &[Field] = &[both("Branches", Is::List)];

impl Checker {
    /// Checks a whole definition.
    pub fn definition(&mut self, root: &Node) {
        let jsonata = is_jsonata_language(root).unwrap_or(false);
        let around = Around { jsonata, all_jsonata: jsonata, express: false };
        let wrapped = ["definition", "Definition", "DefinitionString", "Resources"].into_iter().find(|key| root.has(key));
        if let (Some(key), false) = (wrapped, root.has("States")) {
            let told = self.tell(rule::MISSING_FIELD, root.at, format!("a definition has `StartAt` and `States`, found `{key}`"));
            return match key {
                "definition" => told.hint("this looks like what describe-state-machine answers: `jq -r .definition`"),
                _ => told.hint("this looks like a template: take the definition out of it"),
            };
        }
        if self.fields(root, "a definition", &[MACHINE], around) {
            self.flow(root, "a definition", around);
        }
    }

    /// Checks what begins with `StartAt` and has `States`: a definition, a branch, an item processor.
    pub fn flow(&mut self, node: &Node, of: &str, around: Around) {
        self.required(node, of, &["StartAt", "States"]);
        let Some(states) = node.entry("States") else { return };
        let states_of = states.value.entries();
        if states_of.is_empty() {
            if matches!(states.value.kind, Kind::Map(_)) {
                self.tell(rule::NO_STATES, states.key_at, "`States` has no state").hint("add one, such as a Pass");
            }
            return;
        }
        let names: Vec<&str> = states_of.iter().map(|state| state.key.as_str()).collect();
        let start = node.entry("StartAt").and_then(|start| Some((start.value.text()?, start.value.at)));
        if let Some((name, at)) = start.filter(|(name, _)| !names.contains(name)) {
            self.tell(rule::START_AT, at, format!("`StartAt`: there is no state `{name}` here")).meant(name, &names);
        }
        let mut lost = start.is_none_or(|(name, _)| !names.contains(&name));
        for state in states_of {
            self.state(state, around);
            for (field, name, at) in targets(&state.value).into_iter().filter(|(_, name, _)| !names.contains(name)) {
                lost = true;
                if !is_placeholder(name) {
                    self.tell(rule::NEXT, at, format!("`{field}` of `{}`: there is no state `{name}` here", state.key))
                        .meant(name, &names);
                }
            }
        }
        // Where a way leads nowhere, it is not known what it was to lead to.
        if let Some((start, _)) = start.filter(|_| !lost) {
            self.reached(start, states_of);
        }
    }

    /// Tells of states that no way leads to.
    fn reached(&mut self, start: &str, states: &[Entry]) {
        let mut seen = BTreeSet::from([start]);
        let mut next = VecDeque::from([start]);
        while let Some(name) = next.pop_front() {
            let Some(state) = states.iter().find(|state| state.key == name) else { continue };
            next.extend(targets(&state.value).into_iter().map(|(_, name, _)| name).filter(|name| seen.insert(name)));
        }
        for state in states.iter().filter(|state| !seen.contains(state.key.as_str())) {
            self.tell(rule::UNREACHABLE, state.key_at, format!("no way leads from `{start}` to the state `{}`", state.key))
                .hint("let a `Next` name it, or remove it");
        }
    }

    fn state(&mut self, state: &Entry, outside: Around) {
        let (name, node) = (state.key.as_str(), &state.value);
        let length = name.chars().count();
        if length == 0 || length > 80 {
            self.tell(rule::NAME_LENGTH, state.key_at, format!("a name of {length} characters, a state's has 1 to 80"));
        }
        if let Some(first) = self.names.insert(name.to_string(), state.key_at) {
            let detail = format!("there are two states `{name}`, the first on line {}", first.line);
            self.tell(rule::NAME_TWICE, state.key_at, detail).hint("give one of them another name");
            self.names.insert(name.to_string(), first);
        }
        let around = match node.text_of("QueryLanguage") {
            Some("JSONPath") if outside.all_jsonata => {
                let at = node.get("QueryLanguage").map_or(node.at, |node| node.at);
                self.tell(rule::LANGUAGE_BACK, at, format!("`{name}` is in JSONPath, the definition in JSONata"))
                    .hint("take `QueryLanguage` off the definition and give it to the states that are in JSONata");
                Around { jsonata: false, ..outside }
            }
            _ => Around { jsonata: is_jsonata_language(node).unwrap_or(outside.jsonata), ..outside },
        };
        let Some(kind) = node.text_of("Type") else {
            if matches!(node.kind, Kind::Map(_)) {
                self.required(node, &format!("the state `{name}`"), &["Type"]);
            } else {
                self.tell(rule::TYPE, node.at, format!("the state `{name}` is an object, found {}", node.shown()));
            }
            return;
        };
        let of = &format!("the {kind} `{name}`");
        let tables: &[&[Field]] = match kind {
            "Task" => &[EVERY, IN_OUT, ONWARD, RESULT, ASSIGN, PARAMETERS, FAILING, TASK],
            "Pass" => &[EVERY, IN_OUT, ONWARD, ASSIGN, PASS],
            "Wait" => &[EVERY, IN_OUT, ONWARD, ASSIGN, WAIT],
            "Choice" => &[EVERY, IN_OUT, ASSIGN, CHOICE],
            "Succeed" => &[EVERY, IN_OUT],
            "Fail" => &[EVERY, FAIL],
            "Parallel" => &[EVERY, IN_OUT, ONWARD, RESULT, ASSIGN, PARAMETERS, FAILING, PARALLEL],
            "Map" => &[EVERY, IN_OUT, ONWARD, RESULT, ASSIGN, FAILING, super::distributed::MAP],
            _ => {
                let at = node.get("Type").map_or(node.at, |node| node.at);
                return self.tell(rule::STATE_TYPE, at, format!("`{name}`: there is no type `{kind}`")).meant(kind, TYPES);
            }
        };
        self.fields(node, of, tables, around);
        if !matches!(kind, "Choice" | "Succeed" | "Fail") {
            self.onward(state, of);
        }
        self.retriers(node, of);
        self.catchers(node, of, around);
        match kind {
            "Task" => self.task(node, of, around),
            "Wait" => self.wait(node, of, around),
            "Choice" => self.choices(node, of, around),
            "Fail" => self.never_both(node, &["Error", "Cause"]),
            "Parallel" => self.branches(node, of, around),
            "Map" => self.map(state, of, around),
            _ => {}
        }
    }

    fn onward(&mut self, state: &Entry, of: &str) {
        let node = &state.value;
        let ends = node.get("End").is_some_and(Node::is_true);
        match (node.entry("Next"), ends) {
            (None, false) => {
                // One that is misspelt was told already.
                let misspelt =
                    |name| node.entries().iter().any(|entry| entry.key != name && nearest(&entry.key, [name]).is_some());
                if !misspelt("Next") && !misspelt("End") {
                    self.tell(rule::NO_END, state.key_at, format!("{of} has neither `Next` nor `End`"))
                        .hint("add `\"End\": true`, or `\"Next\"` with the name of a state");
                }
            }
            (Some(next), true) => {
                self.tell(rule::END_AND_NEXT, next.key_at, format!("{of} has `Next` and `\"End\": true`"))
                    .hint("remove one of them");
            }
            _ => {}
        }
    }

    fn task(&mut self, node: &Node, of: &str, around: Around) {
        self.required(node, of, &["Resource"]);
        self.never_both(node, &["TimeoutSeconds", "HeartbeatSeconds"]);
        let seconds = |name| node.get(name).and_then(|node| Some((node.number()?, node.at)));
        if let (Some((timeout, _)), Some((heartbeat, at))) = (seconds("TimeoutSeconds"), seconds("HeartbeatSeconds"))
            && heartbeat >= timeout
        {
            let detail = format!("`HeartbeatSeconds` of {heartbeat} is not less than `TimeoutSeconds` of {timeout}");
            self.tell(rule::HEARTBEAT, at, detail);
        }
        if let Some((seconds, at)) = seconds("TimeoutSeconds") {
            self.express_time(seconds, at, "a timeout", around);
        }
        let Some(resource) = node.get("Resource").and_then(|node| Some((node.text()?, node.at))) else { return };
        self.resource(node, of, resource, around);
    }

    fn resource(&mut self, node: &Node, of: &str, (resource, at): (&str, Spot), around: Around) {
        if is_placeholder(resource) || is_jsonata(resource) {
            return;
        }
        if !resource.starts_with("arn:") || resource.split(':').count() < 6 {
            let told = self.tell(rule::RESOURCE, at, format!("`Resource` of {of} is `{resource}`, expected an ARN"));
            return told.hint("such as `arn:aws:states:::lambda:invoke`");
        }
        let waits = [".sync", ".waitForTaskToken"].into_iter().find(|end| resource.contains(end));
        let pattern = waits.or_else(|| resource.contains(":activity:").then_some("an activity"));
        if let Some(pattern) = pattern.filter(|_| around.express) {
            let detail = format!("`{resource}`: {pattern} cannot be in an express child");
            self.tell(rule::EXPRESS_PATTERN, at, detail).hint("`\"ExecutionType\": \"STANDARD\"`");
        }
        if resource.ends_with(":states:::lambda:invoke") || resource.contains(":states:::lambda:invoke.") {
            let name = if around.jsonata { "Arguments" } else { "Parameters" };
            // Where it stands in the field of the other language, that was told already.
            let given = node.get("Parameters").or_else(|| node.get("Arguments"));
            let has =
                given.is_some_and(|given| given.text().is_some() || given.has("FunctionName") || given.has("FunctionName.$"));
            if !has {
                let at = given.map_or(at, |given| given.at);
                self.tell(rule::LAMBDA, at, format!("{of} does not say which function it invokes"))
                    .hint(format!("add `\"FunctionName\": …` to `{name}`"));
            }
        }
    }

    fn wait(&mut self, node: &Node, of: &str, around: Around) {
        let names = ["Seconds", "SecondsPath", "Timestamp", "TimestampPath"];
        let found: Vec<&str> = names.into_iter().filter(|name| node.has(name)).collect();
        let misspelt = || node.entries().iter().any(|entry| nearest(&entry.key, names).is_some());
        match found.len() {
            1 => {}
            0 if misspelt() => {}
            0 => self.tell(rule::WAIT, node.at, format!("{of} does not say how long")).hint("add `\"Seconds\": …`"),
            _ => {
                let at = node.entry(found[1]).map_or(node.at, |entry| entry.key_at);
                let detail =
                    format!("{of} has {}", found.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and "));
                self.tell(rule::WAIT, at, detail).hint("keep one of them");
            }
        }
        if let Some((seconds, at)) = node.get("Seconds").and_then(|node| Some((node.number()?, node.at))) {
            self.express_time(seconds, at, "a wait", around);
        }
        if let Some((text, at)) = node.get("Timestamp").and_then(|node| Some((node.text()?, node.at))) {
            self.timestamp(text, at, "Timestamp");
        }
    }

    /// Checks a time that is written out.
    pub fn timestamp(&mut self, text: &str, at: Spot, name: &str) {
        let is_time = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).is_ok();
        if !is_time && !is_jsonata(text) && !is_placeholder(text) {
            self.tell(rule::TIMESTAMP, at, format!("`{name}`: `{text}` is not a timestamp"))
                .hint("write it as `2026-11-23T10:00:00Z`");
        }
    }

    fn express_time(&mut self, seconds: f64, at: Spot, what: &str, around: Around) {
        if around.express && seconds > EXPRESS_SECONDS {
            let detail = format!("{what} of {seconds} s in an express child, which ends after {EXPRESS_SECONDS} s");
            self.tell(rule::EXPRESS_TIME, at, detail).hint("`\"ExecutionType\": \"STANDARD\"`");
        }
    }

    fn branches(&mut self, node: &Node, of: &str, around: Around) {
        self.required(node, of, &["Branches"]);
        let Some(branches) = node.entry("Branches") else { return };
        if matches!(&branches.value.kind, Kind::List(list) if list.is_empty()) {
            self.tell(rule::NO_BRANCHES, branches.key_at, format!("{of} has no branch"));
        }
        for (index, branch) in branches.value.elements().iter().enumerate() {
            let of = &format!("branch {} of {of}", index + 1);
            let inside = Around { jsonata: around.all_jsonata, ..around };
            if self.fields(
                branch,
                of,
                &[&[both("Comment", Is::Text), both("StartAt", Is::Text), both("States", Is::Object)]],
                inside,
            ) {
                self.flow(branch, of, inside);
            }
        }
    }
}

/// Whether a node says that it is in JSONata, also if it says it misspelt; nothing if it says nothing.
fn is_jsonata_language(node: &Node) -> Option<bool> {
    node.text_of("QueryLanguage").map(|language| nearest(language, LANGUAGES.iter().copied()) == Some("JSONata"))
}

/// Every state that a state may go on with: the field, the name and where it is.
fn targets(state: &Node) -> Vec<(&'static str, &str, Spot)> {
    let inner = ["Choices", "Catch"].into_iter().flat_map(|list| state.get(list).map(Node::elements).unwrap_or_default());
    let named = inner.map(|node| (node, "Next")).chain([(state, "Next"), (state, "Default")]);
    named.filter_map(|(node, field)| node.get(field).and_then(|value| Some((field, value.text()?, value.at)))).collect()
}
