//! [`Location`]: a folder or an S3 prefix, as written in a workflow.

use std::borrow::Cow;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A folder or an S3 prefix: `photos`, `/data/photos` or `s3://bucket/photos/`.
///
/// A prefix always means a folder: `s3://bucket/photos1` is read as `s3://bucket/photos1/` and never reaches `photos10/`.
///
/// ```
/// use fanfold::storage::Location;
/// let location: Location = "s3://bucket/photos1".parse().unwrap();
/// assert_eq!(location.to_string(), "s3://bucket/photos1/");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// A folder of this machine.
    Folder(PathBuf),
    /// `s3://bucket/prefix/`.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// What every key starts with: empty, or text that ends in `/`.
        prefix: String,
    },
}

impl Location {
    /// A location on S3; a `/` is added to a prefix that is not empty and does not end in one.
    pub fn s3(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        let mut prefix = prefix.into();
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        Self::S3 { bucket: bucket.into(), prefix }
    }

    /// Whether it is on S3.
    pub fn is_s3(&self) -> bool {
        matches!(self, Self::S3 { .. })
    }

    /// Whether `other` is this location or lies inside it. Folders are compared after symlinks of what exists of them are
    /// followed.
    pub fn contains(&self, other: &Location) -> bool {
        match (self, other) {
            (Self::Folder(outer), Self::Folder(inner)) => real(inner).starts_with(real(outer)),
            (Self::S3 { bucket, prefix }, Self::S3 { bucket: other_bucket, prefix: other_prefix }) => {
                bucket == other_bucket && other_prefix.starts_with(prefix.as_str())
            }
            _ => false,
        }
    }

    /// The name, relative to this location, of the object whose item has this `Key`: a folder's items carry that name itself,
    /// those of S3 the full key. `None` if the key is not inside.
    pub fn name_of<'k>(&self, key: &'k str) -> Option<&'k str> {
        match self {
            Self::Folder(_) => Some(key),
            Self::S3 { prefix, .. } => key.strip_prefix(prefix.as_str()),
        }
    }

    /// `name` in this location as people write it: a path, or `s3://bucket/prefix/name`.
    pub fn address(&self, name: &str) -> String {
        match self {
            Self::Folder(root) => root.join(name).display().to_string(),
            Self::S3 { bucket, prefix } => format!("s3://{bucket}/{prefix}{name}"),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl FromStr for Location {
    type Err = String;

    /// # Errors
    /// What was found and what is allowed, as a lowercase fragment.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Err("`-` is standard input, which is no folder: a folder of this name is `./-`".to_string());
        }
        Ok(match split_url(text)? {
            Some((bucket, prefix)) => Self::s3(bucket, prefix),
            None => Self::Folder(PathBuf::from(text)),
        })
    }
}

/// The URL of a location that was split, as Step Functions needs it: `{"bucket", "prefix"}` or `{"bucket", "key"}`.
#[cfg(any(feature = "aws", feature = "lambda"))]
pub(crate) fn joined_url(split: &serde_json::Value) -> Option<String> {
    let text = |name: &str| split.get(name)?.as_str();
    Some(format!("s3://{}/{}", text("bucket")?, text("prefix").or_else(|| text("key"))?))
}

/// Bucket and key of an `s3://` URL, `None` for a path; every other form is refused.
pub(crate) fn split_url(text: &str) -> Result<Option<(&str, &str)>, String> {
    const ALLOWED: &str = "expected a path, or `s3://bucket/prefix/`";
    if text.is_empty() {
        return Err(format!("an empty text is not a location: {ALLOWED}"));
    }
    if text.contains('\0') {
        return Err(format!("`{}` contains a NUL character: {ALLOWED}", text.escape_debug()));
    }
    if text == "~" || text.starts_with("~/") {
        return Err(format!("`{text}`: `~` is not expanded here: write the whole path"));
    }
    if let Some(rest) = text.strip_prefix("s3://") {
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !(3..=255).contains(&bucket.len()) || !bucket.chars().all(fine) {
            return Err(format!(
                "`{bucket}` in `{text}` is not the name of a bucket: expected 3 to 63 letters, digits, `-` or `.`"
            ));
        }
        return Ok(Some((bucket, key)));
    }
    // `C:` or a file called `a:b` is a path; a scheme is what is followed by `//`, or nearly `s3://`.
    match text.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("s3") => {
            Err(format!("`{scheme}:{rest}` is not an S3 address: {ALLOWED}"))
        }
        Some((scheme, rest)) if rest.starts_with("//") => Err(format!("`{scheme}://` is not supported: {ALLOWED}")),
        _ => Ok(None),
    }
}

/// The path without symlinks, as far as it exists; the rest is appended, `.` and `..` resolved as text.
pub(super) fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut rest = Vec::new();
    let mut existing = path.as_path();
    let mut real = loop {
        if let Ok(real) = existing.canonicalize() {
            break real;
        }
        let mut components = existing.components();
        match components.next_back() {
            Some(last) => rest.push(last),
            None => break PathBuf::new(),
        }
        existing = components.as_path();
    };
    for component in rest.into_iter().rev() {
        match component {
            Component::ParentDir => {
                real.pop();
            }
            Component::CurDir => {}
            other => real.push(other),
        }
    }
    real
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Location {
    fn schema_name() -> Cow<'static, str> {
        "Location".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "fanfold-location", "minLength": 1, "examples": ["photos", "s3://bucket/photos/"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Location {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_prefix_means_a_folder() {
        assert_eq!(parse("s3://bucket/photos1"), parse("s3://bucket/photos1/"));
        assert_eq!(parse("s3://bucket").to_string(), "s3://bucket/");
        assert!(!parse("s3://bucket/photos1").contains(&parse("s3://bucket/photos10/")));
        assert!(parse("s3://bucket/photos1").contains(&parse("s3://bucket/photos1/small")));
        assert!(parse("s3://bucket/").contains(&parse("s3://bucket/x")));
        assert!(!parse("s3://bucket/").contains(&parse("s3://bucket-2/x")));
    }

    #[test]
    fn what_is_no_location_is_refused_in_words() {
        for (text, message) in [
            ("", "an empty text is not a location: expected a path, or `s3://bucket/prefix/`"),
            ("s3:/bucket/x", "`s3:/bucket/x` is not an S3 address: expected a path, or `s3://bucket/prefix/`"),
            ("S3://bucket/x", "`S3://bucket/x` is not an S3 address: expected a path, or `s3://bucket/prefix/`"),
            ("s3:///x", "`` in `s3:///x` is not the name of a bucket: expected 3 to 63 letters, digits, `-` or `.`"),
            ("gs://bucket/x", "`gs://` is not supported: expected a path, or `s3://bucket/prefix/`"),
            ("~/photos", "`~/photos`: `~` is not expanded here: write the whole path"),
            ("a\0b", "`a\\0b` contains a NUL character: expected a path, or `s3://bucket/prefix/`"),
        ] {
            assert_eq!(text.parse::<Location>(), Err(message.to_string()), "{text:?}");
        }
        assert_eq!(parse("a:b"), Location::Folder("a:b".into()));
    }

    #[test]
    fn a_folder_inside_another_is_found_through_symlinks_and_dots() {
        let stage = tempfile::tempdir().unwrap();
        let folder = |path: &str| Location::Folder(stage.path().join(path));
        std::fs::create_dir_all(stage.path().join("photos/raw")).unwrap();
        std::os::unix::fs::symlink(stage.path().join("photos/raw"), stage.path().join("link")).unwrap();
        assert!(folder("photos").contains(&folder("photos")));
        assert!(folder("photos").contains(&folder("photos/thumbs/not-there")));
        assert!(folder("photos").contains(&folder("link/small")));
        assert!(folder("photos").contains(&folder("other/../photos/x")));
        assert!(!folder("photos").contains(&folder("photos-2")));
        assert!(!folder("photos/raw").contains(&folder("photos")));
    }

    #[test]
    fn the_name_of_a_key_is_what_is_behind_the_prefix() {
        assert_eq!(parse("s3://bucket/a").name_of("a/b.jpg"), Some("b.jpg"));
        assert_eq!(parse("s3://bucket/a").name_of("ab.jpg"), None);
        assert_eq!(parse("photos").name_of("a/b.jpg"), Some("a/b.jpg"));
    }
}
