//! A build without S3 (cargo feature `s3`): every location on S3 is refused.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;

use super::{Object, OnExists, Put, S3Endpoint, StorageError, StorageErrorKind};

#[derive(Debug)]
pub(super) struct S3Client;

impl S3Client {
    pub fn from_environment() -> Self {
        Self
    }

    pub fn at(_: S3Endpoint) -> Self {
        Self
    }

    pub async fn open(&self, bucket: &str, prefix: &str) -> Result<S3, StorageError> {
        let detail = format!("`s3://{bucket}/{prefix}`: this build of fanfold has no S3 (cargo feature `s3`)");
        Err(StorageError::new(StorageErrorKind::Unusable, detail))
    }
}

/// Cannot be made.
#[derive(Debug)]
pub(super) struct S3(Infallible);

impl S3 {
    pub async fn get(&self, _: &str, _: Option<&str>) -> Result<Bytes, StorageError> {
        match self.0 {}
    }

    pub async fn put(&self, _: &str, _: Bytes, _: OnExists) -> Result<Put, StorageError> {
        match self.0 {}
    }

    pub async fn exists(&self, _: &str) -> Result<bool, StorageError> {
        match self.0 {}
    }

    pub async fn writable(&self) -> Result<(), StorageError> {
        match self.0 {}
    }

    pub async fn answer(&self, _: &str, _: Option<&str>, _: u64) -> Result<Answer, StorageError> {
        match self.0 {}
    }

    pub fn address(&self, _: &str) -> String {
        match self.0 {}
    }

    pub fn torn(&self, _: &str, _: &dyn std::fmt::Display) -> StorageError {
        match self.0 {}
    }
}

/// Never comes.
#[derive(Debug)]
pub(super) struct Answer {
    never: Infallible,
    pub from: u64,
    pub length: Option<u64>,
    pub etag: String,
}

impl Answer {
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match self.never {}
    }
}

#[derive(Debug)]
pub(super) struct S3Pages(Arc<S3>);

impl S3Pages {
    pub fn new(s3: Arc<S3>) -> Self {
        Self(s3)
    }

    pub fn after(s3: Arc<S3>, _: &str) -> Self {
        Self(s3)
    }

    pub async fn next(&mut self) -> Result<Option<Vec<Object>>, StorageError> {
        match self.0.0 {}
    }
}
