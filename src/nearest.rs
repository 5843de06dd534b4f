//! [`nearest`]: which of the names that exist was probably meant.

/// The name most like `word`, if one is like it at all: case and `-`/`_` do not count, and about one letter in three may differ; the
/// beginning of a name is like it.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let wanted = plain(word);
    let allowed = match wanted.chars().count() {
        0 | 1 => 0,
        2..=5 => 1,
        length => length / 3,
    };
    let distance = |name: &str| match plain(name) {
        name if wanted.len() >= 3 && name.starts_with(&wanted) => 1,
        name => strsim::osa_distance(&wanted, &name),
    };
    names
        .into_iter()
        .map(|name| (distance(name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `a`, `b` and `c`, each in backticks; a long list is cut after `most`.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>, most: usize) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let mut text = names.iter().take(most).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > most {
        text.push_str(&format!(" and {} more", names.len() - most));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let names = ["max_items", "max_bytes", "concurrency"];
        assert_eq!(nearest("max_itmes", names), Some("max_items"));
        assert_eq!(nearest("maxItems", ["max_items"]), Some("max_items"));
        assert_eq!(nearest("MAX-BYTES", names), Some("max_bytes"));
        assert_eq!(nearest("int", ["text", "integer"]), Some("integer"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(list(names, 2), "`max_items`, `max_bytes` and 1 more");
    }
}
