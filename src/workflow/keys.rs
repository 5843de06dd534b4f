//! The keys of a mapping: which are known, which are missing, and which one of several tells what kind it is.

use serde_json::Value;

use super::decode::{Decoder, Field, whole};
use super::leaf;
use super::shape::{ObjectShape, Shape, words};
use super::tree::Entry;
use crate::nearest::{list, nearest};

/// How many names are listed in a hint.
const LISTED: usize = 24;

impl Decoder<'_> {
    pub(super) fn map(&mut self, entries: &[Entry], shape: &Shape<'_>, field: &Field) -> Option<Value> {
        let objects: Vec<&ObjectShape<'_>> = shape.objects().collect();
        if let [only] = objects.as_slice() {
            return self.object(entries, only, field);
        }
        if objects.iter().all(|object| object.tags.is_empty()) {
            return self.told_apart(entries, &objects, shape, field);
        }
        let is_there = |name: &&str| entries.iter().any(|entry| entry.key == *name);
        let chosen: Vec<_> = objects.iter().filter(|object| object.tags.iter().any(is_there)).collect();
        let tags = || objects.iter().flat_map(|object| object.tags.iter().copied());
        if let [one] = chosen.as_slice() {
            return self.object(entries, one, field);
        }
        // What is in it is checked all the same, by everything that it could be.
        let mut all = ObjectShape { others: objects.iter().find_map(|object| object.others), ..ObjectShape::default() };
        all.properties = objects.iter().flat_map(|object| object.properties.iter().copied()).collect();
        all.properties.dedup_by_key(|(name, _)| *name);
        self.object(entries, &all, field);
        let found: Vec<&Entry> = entries.iter().filter(|entry| tags().any(|tag| tag == entry.key)).collect();
        match found.as_slice() {
            [_, second, ..] => {
                let found = list(found.iter().map(|entry| entry.key.as_str()), LISTED);
                let detail = format!("`{}` takes exactly one of {}, found {found}", field.path, list(tags(), LISTED));
                self.error(second.key_at, detail, Some("remove all but one".to_string()));
            }
            _ if entries.iter().any(|entry| nearest(&entry.key, tags()).is_some()) => {}
            _ => {
                let detail = format!("`{}` needs exactly one of {}", field.path, list(tags(), LISTED));
                self.error(field.key_at, detail, None);
            }
        }
        None
    }

    /// Kinds that differ by the word in a common key, or by trying.
    fn told_apart(&mut self, entries: &[Entry], objects: &[&ObjectShape<'_>], shape: &Shape<'_>, field: &Field) -> Option<Value> {
        let word = |object: &ObjectShape<'_>, key: &str| {
            let (_, schema) = object.properties.iter().find(|(name, _)| *name == key)?;
            words(schema.as_object()?).first().and_then(|word| word.as_str()).map(str::to_string)
        };
        let common = objects.first().and_then(|first| {
            first.properties.iter().map(|(name, _)| *name).find(|name| objects.iter().all(|o| word(o, name).is_some()))
        });
        if let Some(key) = common {
            let found = entries.iter().find(|entry| entry.key == key);
            let text = found.and_then(|entry| entry.value.scalar()).map(|scalar| scalar.text.as_str());
            if let Some(object) = objects.iter().find(|object| word(object, key).as_deref() == text && text.is_some()) {
                return self.object(entries, object, field);
            }
            let all: Vec<String> = objects.iter().filter_map(|object| word(object, key)).collect();
            let all = list(all.iter().map(String::as_str), LISTED);
            match found {
                Some(entry) => {
                    let found = leaf::found(&entry.value);
                    self.error(entry.value.at, format!("`{}.{key}`: expected one of {all}, found {found}", field.path), None);
                }
                None => self.error(field.key_at, format!("`{key}` is missing in `{}`, one of {all}", field.path), None),
            }
            return None;
        }
        let before = self.errors.len();
        for object in objects {
            let found = self.object(entries, object, field);
            if found.is_some() {
                return found;
            }
            self.errors.truncate(before);
        }
        let expected = leaf::expected(shape);
        self.error(field.key_at, format!("`{}` is none of the kinds of {expected} that are allowed here", field.path), None);
        None
    }

    fn object(&mut self, entries: &[Entry], object: &ObjectShape<'_>, field: &Field) -> Option<Value> {
        let mut values = Vec::with_capacity(entries.len());
        let mut unknown: Vec<&str> = Vec::new();
        let mut fine = true;
        for entry in entries {
            let schema =
                object.properties.iter().find(|(name, _)| *name == entry.key).map(|(_, schema)| *schema).or(object.others);
            match schema {
                Some(schema) => {
                    let open = std::mem::replace(&mut self.open, false);
                    let value = self.value(&entry.value, schema, &field.entry(entry));
                    if let (true, false, Some(value)) = (field.path.is_empty(), self.open, &value) {
                        self.sections.push((entry.key.clone(), value.clone()));
                    }
                    self.open |= open;
                    values.push((entry.key.clone(), value));
                }
                None => {
                    fine = false;
                    unknown.push(&entry.key);
                    self.unknown_key(entry, object, field);
                }
            }
        }
        for name in &object.required {
            let is_there = entries.iter().any(|entry| entry.key == *name);
            // A misspelt key is one mistake, not two.
            if !is_there && !unknown.iter().any(|key| nearest(key, [*name]).is_some()) {
                fine = false;
                let owner = if field.path.is_empty() { "a workflow".to_string() } else { format!("`{}`", field.path) };
                self.error(field.key_at, format!("`{name}` is missing in {owner}"), None);
            }
        }
        let count = entries.len() as u64;
        if unknown.is_empty() && (count < object.fewest || object.most.is_some_and(|most| count > most)) {
            fine = false;
            self.wrong_count(entries, object, field);
        }
        whole(values).filter(|_| fine)
    }

    fn wrong_count(&mut self, entries: &[Entry], object: &ObjectShape<'_>, field: &Field) {
        let names = object.properties.iter().map(|(name, _)| *name);
        let one = object.fewest == 1 && object.most == Some(1) && object.others.is_none();
        match entries {
            [] if one => self.error(field.key_at, format!("`{}` needs one of {}", field.path, list(names, LISTED)), None),
            [_, second, ..] if one => {
                let found = list(entries.iter().map(|entry| entry.key.as_str()), LISTED);
                self.error(second.key_at, format!("`{}` takes exactly one, found {found}", field.path), None);
            }
            _ => {
                let most = object.most.map_or(String::new(), |most| format!(" to {most}"));
                let detail = format!("`{}` has {} entries, expected {}{most}", field.path, entries.len(), object.fewest);
                self.error(field.key_at, detail, None);
            }
        }
    }

    fn unknown_key(&mut self, entry: &Entry, object: &ObjectShape<'_>, field: &Field) {
        let key = &entry.key;
        let names = || object.properties.iter().map(|(name, _)| *name);
        let near = nearest(key, names()).map(|name| format!("did you mean `{name}`?"));
        let (detail, names_are) = match field.path.as_str() {
            "" => (format!("`{key}` is not a setting of a workflow"), "settings are"),
            "job" => (format!("there is no job `{key}`"), "jobs are"),
            path => (format!("`{key}` is not a setting of `{path}`"), "settings are"),
        };
        let hint = match (near, names().next()) {
            (Some(near), _) => Some(near),
            (None, Some(_)) => {
                let mut each: Vec<&str> = Vec::new();
                names().for_each(|name| {
                    if !each.contains(&name) {
                        each.push(name)
                    }
                });
                Some(format!("{names_are} {}", list(each.into_iter(), LISTED)))
            }
            (None, None) => None,
        };
        self.error(entry.key_at, detail, hint);
    }
}
