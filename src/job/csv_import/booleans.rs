//! [`BooleanWords`]: the words for yes and no.

/// The words for yes and no, in lowercase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BooleanWords(Vec<(String, bool)>);

impl Default for BooleanWords {
    fn default() -> Self {
        let words = |words: [&str; 5], is| words.map(|word| (word.to_string(), is));
        let all = words(["true", "t", "yes", "y", "1"], true).into_iter().chain(words(["false", "f", "no", "n", "0"], false));
        Self(all.collect())
    }
}

impl BooleanWords {
    /// `yes/no`; several words on a side are divided by `|`.
    pub fn of(formats: &[String]) -> Result<Self, String> {
        let mut all: Vec<(String, bool)> = Vec::new();
        for format in formats {
            let Some((yes, no)) = format.split_once('/').filter(|(yes, no)| !yes.is_empty() && !no.is_empty()) else {
                return Err(format!("`{format}` does not say the words for yes and no: expected such as `yes/no`"));
            };
            for (words, is) in [(yes, true), (no, false)] {
                for word in words.split('|').map(str::to_lowercase) {
                    if all.iter().any(|(known, other)| *known == word && *other != is) {
                        return Err(format!("`{word}` cannot mean both yes and no"));
                    }
                    all.push((word, is));
                }
            }
        }
        Ok(Self(all))
    }

    /// What the word means; upper and lower case are the same.
    pub fn read(&self, text: &str) -> Option<bool> {
        let same = |word: &str| word.eq_ignore_ascii_case(text) || (!text.is_ascii() && text.to_lowercase() == word);
        self.0.iter().find(|(word, _)| same(word)).map(|(_, is)| *is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_yes_or_no() {
        let usual = BooleanWords::default();
        assert_eq!(["TRUE", "n", "1", "ja", ""].map(|word| usual.read(word)), [Some(true), Some(false), Some(true), None, None]);
        let german = BooleanWords::of(&["ja|wahr/NEIN".to_string(), "Ö/Ü".to_string()]).unwrap();
        assert_eq!(["Wahr", "nein", "ö", "true"].map(|word| german.read(word)), [Some(true), Some(false), Some(true), None]);
        assert!(BooleanWords::of(&["ja".to_string()]).is_err() && BooleanWords::of(&["a/b|a".to_string()]).is_err());
    }
}
