//! Finds the files of a source: one, those that match a glob, an object on S3, or standard input.

use std::fs;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::SourceFile;
use super::freeze::{Plan, unreadable};
use crate::storage::{Location, Storage, Storages};
use crate::{Error, Result};

/// One file of a source.
#[derive(Debug)]
pub(super) struct FoundFile {
    /// What messages and keys call it.
    pub source: String,
    pub at: At,
}

/// Where a file is.
#[derive(Debug)]
pub(super) enum At {
    Path(PathBuf),
    Object { storage: Storage, name: String },
    Stdin,
}

impl Plan {
    /// The files of the source, in byte order of their names: at least one. Whether a single one is there is seen when it is read.
    pub async fn find(&self, source: &SourceFile, storages: &Storages) -> Result<Vec<FoundFile>> {
        let found = match source {
            SourceFile::Stdin => vec![FoundFile { source: self.source.clone(), at: At::Stdin }],
            SourceFile::Path(path) => {
                let path = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
                if path.to_str().is_none() {
                    // The record of a run is text.
                    return Err(Error::refused(format!("the path `{}` is not UTF-8", path.display())).hint("rename the folder"));
                }
                if source.has_glob() {
                    let plan = self.clone();
                    super::freeze::blocking(move || plan.matching_files(&path)).await?
                } else {
                    vec![FoundFile { source: self.source.clone(), at: At::Path(path) }]
                }
            }
            SourceFile::S3 { bucket, key } if source.has_glob() => self.matching_objects(bucket, key, storages).await?,
            SourceFile::S3 { bucket, key } => {
                let storage = storages.open(&Location::s3(bucket, "")).await?;
                vec![FoundFile { source: self.source.clone(), at: At::Object { storage, name: key.clone() } }]
            }
        };
        if found.is_empty() {
            return Err(Error::refused(format!("no file matches `{}`", self.source))
                .hint("`*` and `?` stay within a folder, `**` does not"));
        }
        Ok(found)
    }

    fn matching_files(&self, pattern: &Path) -> Result<Vec<FoundFile>> {
        let text = pattern.to_string_lossy();
        // What stands in front of the name as the user wrote it stands in front of every name.
        let shown_from = text.strip_suffix(self.source.as_str()).map_or(0, str::len);
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        let mut paths = Vec::new();
        walk(Path::new("/"), &parts, &mut paths)?;
        paths.sort();
        paths.dedup();
        let found = paths.into_iter().map(|path| match path.to_str() {
            Some(text) => Ok(FoundFile { source: text[shown_from.min(text.len())..].to_string(), at: At::Path(path) }),
            None => Err(Error::refused(format!("the path `{}` is not UTF-8", path.display())).hint("rename the file")),
        });
        found.collect()
    }

    async fn matching_objects(&self, bucket: &str, key: &str, storages: &Storages) -> Result<Vec<FoundFile>> {
        let fixed = key.find(['*', '?']).and_then(|glob| key[..glob].rfind('/')).map_or(0, |slash| slash + 1);
        let (folder, pattern) = key.split_at(fixed);
        let glob = matcher(pattern)?;
        let storage = storages.open(&Location::s3(bucket, folder)).await?;
        let mut pages = storage.list();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await? {
            for object in page {
                if !object.not_utf8 && !object.name.ends_with('/') && glob.is_match(&object.name) {
                    let source = format!("s3://{bucket}/{folder}{}", object.name);
                    found.push(FoundFile { source, at: At::Object { storage: storage.clone(), name: object.name } });
                }
            }
        }
        Ok(found)
    }
}

fn matcher(pattern: &str) -> Result<GlobMatcher> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
    glob.map(|glob| glob.compile_matcher())
        .map_err(|error| Error::refused(format!("`{pattern}` is not a glob: {}", error.kind())))
}

/// Files below `folder` that match the parts of a path. Looks into no folder that cannot have one.
fn walk(folder: &Path, parts: &[&str], found: &mut Vec<PathBuf>) -> Result<()> {
    let Some((part, rest)) = parts.split_first() else { return Ok(()) };
    let everywhere = *part == "**";
    if everywhere {
        walk(folder, rest, found)?;
    } else if !part.contains(['*', '?', '[', '{']) {
        let path = folder.join(part);
        match fs::metadata(&path) {
            Ok(data) if rest.is_empty() && data.is_file() => found.push(path),
            Ok(data) if data.is_dir() => walk(&path, rest, found)?,
            _ => {}
        }
        return Ok(());
    }
    let glob = matcher(if everywhere { "*" } else { part })?;
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let (name, path) = (entry.file_name(), entry.path());
        // Hidden files and folders are meant only where a pattern says so, as in a shell.
        let hidden = name.as_encoded_bytes().starts_with(b".") && !part.starts_with('.');
        if hidden || !glob.is_match(&name) {
            continue;
        }
        match fs::metadata(&path) {
            Ok(data) if data.is_dir() && everywhere => walk(&path, parts, found)?,
            Ok(data) if data.is_dir() => walk(&path, rest, found)?,
            Ok(data) if data.is_file() && rest.is_empty() && !everywhere => found.push(path),
            _ => {}
        }
    }
    Ok(())
}
