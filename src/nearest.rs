//! [`nearest`]: the name that a mistyped one was probably meant to be.

/// The candidate nearest to `name`, if one is near enough to be worth a hint.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        // One slip in three letters is a typo; more is another word.
        .filter(|(distance, candidate)| *distance <= name.chars().count().max(candidate.chars().count()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        let names = ["max_items", "max_bytes", "concurrency"];
        assert_eq!(nearest("max_itmes", names), Some("max_items"));
        assert_eq!(nearest("Concurrency", names), Some("concurrency"));
        assert_eq!(nearest("colour", names), None);
    }
}
