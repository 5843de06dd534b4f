//! Paths, intrinsic functions and templates: what stands for a value that is known at run time.

use super::check::{Around, Checker, is_jsonata, is_placeholder};
use super::document::{Kind, Node};
use super::fields::Is;
use super::rule;

/// The intrinsic functions, without `States.` in front.
const INTRINSICS: &[&str] = &[
    "States.Format",
    "States.StringToJson",
    "States.JsonToString",
    "States.Array",
    "States.ArrayPartition",
    "States.ArrayContains",
    "States.ArrayRange",
    "States.ArrayGetItem",
    "States.ArrayLength",
    "States.ArrayUnique",
    "States.Base64Encode",
    "States.Base64Decode",
    "States.Hash",
    "States.JsonMerge",
    "States.MathRandom",
    "States.MathAdd",
    "States.StringSplit",
    "States.UUID",
];

impl Checker {
    /// Checks a field whose value is a path.
    pub fn path(&mut self, node: &Node, name: &str, is: Is) {
        let Some(text) = node.text() else { return self.of_type(node, name, "a path such as `$.name`", false) };
        if is_placeholder(text) {
            return;
        }
        if let Err(why) = path(text) {
            let told = self.tell(rule::PATH, node.at, format!("`{name}`: `{text}` is not a path: {why}"));
            if !text.starts_with('$') && !text.contains(['(', ' ']) {
                told.hint(format!("did you mean `$.{text}`?"));
            }
            return;
        }
        if matches!(is, Is::Reference | Is::ReferenceOrNull) {
            let plain = without_quoted(text);
            let sign = ["..", "*", "?", "@", ",", ":"].into_iter().find(|sign| plain.contains(sign));
            if let Some(sign) = sign {
                self.tell(rule::REFERENCE, node.at, format!("`{name}`: `{text}` has `{sign}` in it, and must name one place"));
            }
        }
    }

    /// Checks a template: JSON with paths in it, or with expressions in JSONata.
    pub fn template(&mut self, node: &Node, around: Around) {
        for element in node.elements() {
            self.template(element, around);
        }
        for entry in node.entries() {
            let Some(plain) = entry.key.strip_suffix(".$") else {
                self.template(&entry.value, around);
                continue;
            };
            if around.jsonata {
                let detail = format!("`{}` ends in `.$`, which is JSONPath, the state is in JSONata", entry.key);
                self.tell(rule::LANGUAGE_MIX, entry.key_at, detail).hint(format!("write `\"{plain}\": \"{{% … %}}\"`"));
                continue;
            }
            if node.has(plain) {
                self.tell(rule::BOTH, entry.key_at, format!("`{plain}` and `{plain}.$` stand side by side"))
                    .hint("remove one of them");
            }
            self.path_value(&entry.key, &entry.value);
        }
        if let (Kind::Text(text), false) = (&node.kind, around.jsonata) {
            self.plain_expression(node, text);
        }
    }

    /// Checks JSON that is taken as it is, or worked out in JSONata.
    pub fn any(&mut self, node: &Node, around: Around) {
        if let (Kind::Text(text), false) = (&node.kind, around.jsonata) {
            self.plain_expression(node, text);
        }
        node.elements().iter().for_each(|node| self.any(node, around));
        node.entries().iter().for_each(|entry| self.any(&entry.value, around));
    }

    fn plain_expression(&mut self, node: &Node, text: &str) {
        if is_jsonata(text) {
            self.tell(rule::EXPRESSION, node.at, "`{% … %}` is plain text here: the state is in JSONPath")
                .hint("add `\"QueryLanguage\": \"JSONata\"` to the state");
        }
    }

    fn path_value(&mut self, key: &str, node: &Node) {
        let Some(text) = node.text() else {
            let detail = format!("`{key}`: expected a path or an intrinsic function, found {}", node.shown());
            let told = self.tell(rule::PATH_VALUE, node.at, detail);
            return told.hint(format!("without `.$` it is taken as it is: `{}`", key.trim_end_matches(".$")));
        };
        if is_placeholder(text) {
        } else if text.starts_with("States.") {
            self.intrinsic(key, node, text);
        } else if let Err(why) = path(text) {
            let told = self.tell(rule::PATH_VALUE, node.at, format!("`{key}`: `{text}` is not a path: {why}"));
            told.hint(format!("`$.{text}`, or without `.$`: `\"{}\": \"{text}\"`", key.trim_end_matches(".$")));
        }
    }

    fn intrinsic(&mut self, key: &str, node: &Node, text: &str) {
        let quoted = without_quoted(text);
        let Some((name, _)) = text.split_once('(') else {
            self.tell(rule::INTRINSIC, node.at, format!("`{key}`: `{text}` has no parentheses"))
                .hint(format!("write `{text}(…)`"));
            return;
        };
        let (opened, closed) = (quoted.matches('(').count(), quoted.matches(')').count());
        if opened != closed || !quoted.trim_end().ends_with(')') {
            self.tell(rule::INTRINSIC, node.at, format!("`{key}`: the parentheses of `{name}` are not closed"));
            return;
        }
        for (at, _) in quoted.match_indices("States.") {
            let name = quoted[at..].split('(').next().unwrap_or_default();
            if !INTRINSICS.contains(&name) {
                self.tell(rule::INTRINSIC, node.at, format!("`{key}`: there is no intrinsic function `{name}`"))
                    .meant(name, INTRINSICS);
            }
        }
    }
}

/// Why a text is no path, if it is none.
fn path(text: &str) -> Result<(), &'static str> {
    let Some(rest) = text.strip_prefix('$') else { return Err("it does not begin with `$`") };
    let rest = rest.strip_prefix('$').unwrap_or(rest);
    // `$name.field` reads a variable.
    let fits = rest.is_empty() || rest.starts_with(['.', '[', '_']) || rest.starts_with(char::is_alphabetic);
    if !fits {
        return Err("behind `$` comes `.` or `[`");
    }
    let plain = without_quoted(text);
    if plain.matches('[').count() != plain.matches(']').count() {
        return Err("its brackets are not closed");
    }
    if plain.ends_with('.') || plain.contains("...") {
        return Err("a name is missing behind `.`");
    }
    if plain.contains(char::is_whitespace) && !plain.contains("[?") {
        return Err("there is a space in it");
    }
    Ok(())
}

/// The text without what is in single quotes.
fn without_quoted(text: &str) -> String {
    let (mut plain, mut inside, mut escaped) = (String::new(), false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '\'' => inside = !inside,
            c if !inside => plain.push(c),
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_from_what_is_none() {
        for good in ["$", "$$", "$.a", "$.a.b[0]", "$['a b']", "$$.Execution.Name", "$..a", "$.a[?(@.b > 1)]", "$x.y", "$.a-b"] {
            assert_eq!(path(good), Ok(()), "{good}");
        }
        for wrong in ["", "a", "$-", "$.a.", "$.a[0", "$.a b", "States.Format('{}')"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
        assert_eq!(without_quoted("a('b\\'c(', d)"), "a(, d)");
    }
}
