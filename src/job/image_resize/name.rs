//! The name of a result below the destination.

use super::config::Format;
use crate::job::JobError;

/// Extensions that say what kind of picture a file is, and so give way to the extension of another kind.
const PICTURES: [&str; 7] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif"];

/// The name of the result for the picture `name`: nothing but this decides it, so it is known without reading the picture.
pub(super) fn with_extension(name: &str, format: Format) -> String {
    let Some(&usual) = format.extensions().first() else {
        return name.to_string();
    };
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    // A point in front is a hidden file's, not that of an extension.
    let point = name[file..].rfind('.').filter(|point| *point > 0).map(|point| file + point);
    let is_one_of = |known: &[&str], extension: &str| known.iter().any(|one| one.eq_ignore_ascii_case(extension));
    match point.map(|point| name.split_at(point)) {
        Some((_, extension)) if is_one_of(format.extensions(), &extension[1..]) => name.to_string(),
        Some((stem, extension)) if is_one_of(&PICTURES, &extension[1..]) => format!("{stem}.{usual}"),
        _ => format!("{name}.{usual}"),
    }
}

/// Refuses names that could lead out of the destination or mean nothing there.
///
/// # Errors
/// `Item.InvalidName`, with the name and why.
pub(super) fn check(name: &str) -> Result<(), JobError> {
    let why = match name {
        "" => "it is empty",
        _ if name.starts_with('/') => "it is absolute",
        _ if name.contains('\0') => "it contains a NUL character",
        _ if name.split('/').any(str::is_empty) => "a part of it is empty",
        _ if name.split('/').any(|part| part == "." || part == "..") => "it has `.` or `..` as a part",
        _ => return Ok(()),
    };
    Err(JobError::permanent(format!("`{}` cannot be the name of a result: {why}", name.escape_debug())).named("Item.InvalidName"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pictures_extension_gives_way_any_other_stays() {
        for (name, format, expected) in [
            ("a/b.png", Format::Same, "a/b.png"),
            ("a/b.png", Format::Jpeg, "a/b.jpg"),
            ("a/b.JPEG", Format::Jpeg, "a/b.JPEG"),
            ("a.jpg/b", Format::Jpeg, "a.jpg/b.jpg"),
            ("a.jpg/b.jpg", Format::Webp, "a.jpg/b.webp"),
            ("scan.2024", Format::Png, "scan.2024.png"),
            (".jpg", Format::Png, ".jpg.png"),
            ("b.", Format::Png, "b..png"),
            ("ü.gif", Format::Png, "ü.png"),
        ] {
            assert_eq!(with_extension(name, format), expected, "{name} {format:?}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for (name, why) in [
            ("", "it is empty"),
            ("/etc/passwd", "it is absolute"),
            ("../x.jpg", "it has `.` or `..` as a part"),
            ("a/./b.jpg", "it has `.` or `..` as a part"),
            ("a//b.jpg", "a part of it is empty"),
            ("folder/", "a part of it is empty"),
            ("a\0b", "it contains a NUL character"),
        ] {
            let error = check(name).expect_err(name);
            let shown = name.escape_debug();
            assert_eq!(error.to_string(), format!("Item.InvalidName: `{shown}` cannot be the name of a result: {why}"));
        }
        check("a/..b/c..jpg").expect("points within a part are no way out");
    }
}
