//! [`Manifest`]: which files an S3 inventory is made of, and what their columns are called.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::csv_config::check_names;
use crate::{Error, Result};

/// The `manifest.json` of a report.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    /// The bucket that is listed.
    pub source_bucket: String,
    /// The bucket that the report is in, as an ARN.
    destination_bucket: String,
    file_format: String,
    file_schema: String,
    pub files: Vec<ReportFile>,
}

/// One of the files of a report.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ReportFile {
    /// In the bucket of the report.
    pub key: String,
    /// As it is there, compressed.
    pub size: u64,
    #[serde(rename = "MD5checksum")]
    pub md5: String,
}

impl Manifest {
    /// Reads a manifest; `source` is what messages call it.
    pub fn parse(text: &[u8], source: &str) -> Result<Self> {
        let manifest: Self = serde_json::from_slice(text).map_err(|error| {
            Error::refused(format!("`{source}` is no manifest of an S3 inventory: {error}"))
                .hint("`source` names the `manifest.json` of one report, `…/2026-11-22T01-00Z/manifest.json`")
        })?;
        if manifest.file_format != "CSV" {
            let format = &manifest.file_format;
            return Err(Error::refused(format!("the files of the inventory `{source}` are {format}, only CSV is read"))
                .hint("choose CSV as the output format of the inventory; its next report is the first in it"));
        }
        let columns: Vec<String> = manifest.columns().map(str::to_string).collect();
        check_names(&columns).map_err(|wrong| Error::refused(format!("`fileSchema` of the inventory `{source}`: {wrong}")))?;
        if !columns.iter().any(|name| name == "Key") {
            let found = columns.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return Err(Error::refused(format!("`fileSchema` of the inventory `{source}` has no `Key`, it has {found}")));
        }
        Ok(manifest)
    }

    /// The names of the columns, in the order of the files.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.file_schema.split(',').map(str::trim)
    }

    /// The name of the bucket that the report is in.
    pub fn bucket(&self) -> &str {
        self.destination_bucket.rsplit(':').next().unwrap_or_default()
    }

    /// Where a file of the report is on this machine: by its key, or a part of it from the end, in the folder of the manifest or one
    /// above it. The longest part that leads to a file counts.
    pub fn path_of(&self, file: &ReportFile, manifest: &Path) -> Result<PathBuf> {
        let parts: Vec<&str> = file.key.split('/').collect();
        if parts.iter().any(|part| matches!(*part, "" | "." | "..") || part.contains('\0')) {
            return Err(Error::refused(format!(
                "`{}` names a file `{}`, which is none of a report",
                manifest.display(),
                file.key.escape_debug()
            )));
        }
        let folders = || manifest.ancestors().skip(1);
        let ends = (0..parts.len()).map(|from| parts[from..].iter().collect::<PathBuf>());
        let mut paths = ends.flat_map(|end| folders().map(move |folder| folder.join(&end)));
        paths.find(|path| fs::metadata(path).is_ok_and(|found| found.is_file())).ok_or_else(|| {
            // `CONFIG/data/NAME.csv.gz` and `CONFIG/TIME/manifest.json`.
            let config = parts[..parts.len().saturating_sub(2)].join("/");
            let here = folders().nth(1).or(folders().next()).unwrap_or(Path::new("."));
            Error::refused(format!("`{}`, a file of the inventory `{}`, is not there", file.key, manifest.display()))
                .hint(format!("aws s3 sync s3://{}/{config}/ {}", self.bucket(), here.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn manifest(more: Value) -> Result<Manifest> {
        let mut text = json!({
            "sourceBucket": "photos", "destinationBucket": "arn:aws:s3:::reports", "version": "2016-11-30",
            "creationTimestamp": "1668560400000", "fileFormat": "CSV", "fileSchema": "Bucket, Key, Size",
            "files": [{ "key": "in/photos/daily/data/1.csv.gz", "size": 9, "MD5checksum": "a7ff4a1d4164c3cd55851055ec8f6b20" }],
        });
        text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Manifest::parse(text.to_string().as_bytes(), "manifest.json")
    }

    #[test]
    fn what_it_says_is_read() {
        let manifest = manifest(json!({})).unwrap();
        assert_eq!((manifest.source_bucket.as_str(), manifest.bucket()), ("photos", "reports"));
        assert_eq!(manifest.columns().collect::<Vec<_>>(), ["Bucket", "Key", "Size"]);
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_words() {
        for (more, message) in [
            (
                json!({ "fileFormat": "ORC", "fileSchema": "struct<bucket:string,key:string>" }),
                "the files of the inventory `manifest.json` are ORC, only CSV is read; hint: choose CSV as the output format of the \
                 inventory; its next report is the first in it",
            ),
            (
                json!({ "fileFormat": "Parquet", "fileSchema": "message s3.inventory { required binary bucket (UTF8); }" }),
                "the files of the inventory `manifest.json` are Parquet, only CSV is read; hint: choose CSV as the output format of \
                 the inventory; its next report is the first in it",
            ),
            (
                json!({ "fileSchema": "Bucket, Size" }),
                "`fileSchema` of the inventory `manifest.json` has no `Key`, it has `Bucket`, `Size`",
            ),
            (
                json!({ "fileSchema": "Bucket, Key, Key" }),
                "`fileSchema` of the inventory `manifest.json`: columns 2 and 3 of the header are both called `Key`",
            ),
        ] {
            assert_eq!(manifest(more).unwrap_err().to_string(), message);
        }
        for text in ["[]", "{\"DestinationBucket\": \"b\", \"ResultFiles\": {}}", "{\"sourceBucket\": \"a", "\"a\",\"b\"\n"] {
            let error = Manifest::parse(text.as_bytes(), "m.json").unwrap_err().to_string();
            assert!(error.starts_with("`m.json` is no manifest of an S3 inventory: "), "{error}");
        }
    }

    #[test]
    fn files_are_found_wherever_the_report_was_copied_to() {
        let here = tempfile::tempdir().unwrap();
        let at = |path: &str| {
            let path = here.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        };
        let manifest = manifest(json!({})).unwrap();
        let file = &manifest.files[0];
        for (copied, of_manifest) in [
            // The whole bucket, the folder of the inventory, everything in one folder.
            ("a/in/photos/daily/data/1.csv.gz", "a/in/photos/daily/2026-11-22T01-00Z/manifest.json"),
            ("b/data/1.csv.gz", "b/2026-11-22T01-00Z/manifest.json"),
            ("c/1.csv.gz", "c/manifest.json"),
        ] {
            let (copied, of_manifest) = (at(copied), at(of_manifest));
            assert_eq!(manifest.path_of(file, &of_manifest).unwrap(), copied);
        }
        let missing = manifest.path_of(file, &at("d/2026-11-22T01-00Z/manifest.json")).unwrap_err().to_string();
        let folder = here.path().join("d");
        assert!(missing.ends_with(&format!("hint: aws s3 sync s3://reports/in/photos/daily/ {}", folder.display())), "{missing}");
        for key in ["../x.csv", "/etc/passwd", "a//b"] {
            let file = ReportFile { key: key.to_string(), ..file.clone() };
            let error = manifest.path_of(&file, &at("d/manifest.json")).unwrap_err().to_string();
            assert!(error.ends_with(&format!("names a file `{key}`, which is none of a report")), "{error}");
        }
    }
}
