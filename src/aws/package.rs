//! [`Package`]: everything of a workflow that goes to AWS, made on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::deployment::Deployment;
use super::program::check_program;
use super::template::{Template, WORKER_ZIP, main_tf};
use crate::asl::{Machine, to_fill};
use crate::error::{Error, Result};
use crate::workflow::Workflow;

/// A workflow, ready to be put on AWS.
#[derive(Debug)]
pub(crate) struct Package {
    pub machine: Machine,
    pub template: Template,
    /// The program and the workflow.
    pub zip: Bytes,
    pub deployment: Deployment,
}

impl Package {
    /// Makes the package of a workflow. What is `given` (`-p`) is known to the deployment; buckets have to be. The worker is this very
    /// program, or the one in the file `bootstrap`.
    ///
    /// # Errors
    /// Everything that AWS cannot do, with its place; a bucket that is not known; a program that Lambda could not start.
    pub fn of(workflow: &Workflow, given: &[(String, String)], cwd: &Path, bootstrap: Option<&Path>) -> Result<Self> {
        let machine = Machine::of(workflow, given, cwd)?;
        buckets_are_known(&machine, workflow)?;
        let zip = pack(workflow, &machine, bootstrap)?;
        let params: BTreeMap<String, String> = given.iter().cloned().collect();
        let deployment = Deployment { workflow: workflow.text.clone(), params };
        // Texts cannot fail to be written.
        let also = serde_json::to_string(&deployment).unwrap_or_default();
        let template = Template::of(&machine, &hex::encode(Sha256::digest(&zip)), &also);
        Ok(Self { machine, template, zip, deployment })
    }

    /// The hash that names the deployment.
    pub fn hash(&self) -> &str {
        &self.template.hash
    }

    /// Writes the package into a folder, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let text = |value: &Value| format!("{value:#}\n").into_bytes();
        let files = [
            (WORKER_ZIP, self.zip.to_vec()),
            ("definition.json", text(&self.machine.definition())),
            ("machine-policy.json", text(self.machine.machine_policy())),
            ("worker-policy.json", text(self.machine.worker_policy())),
            ("template.json", text(&self.template.whole)),
            ("main.tf", main_tf(self.machine.name(), self.hash()).into_bytes()),
        ];
        let unwritable = |path: &Path, error| Error::surroundings(format!("`{}` cannot be written: {error}", path.display()));
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, error))?;
        let mut written = Vec::new();
        for (name, content) in files {
            let path = folder.join(name);
            fs::write(&path, content).map_err(|error| unwritable(&path, error))?;
            written.push(path);
        }
        Ok(written)
    }
}

/// Roles are for buckets that are known: each execution could give another one otherwise.
fn buckets_are_known(machine: &Machine, workflow: &Workflow) -> Result<()> {
    let policies = json!([machine.machine_policy(), machine.worker_policy()]);
    let left = to_fill(&policies);
    let bucket = |param: &str| crate::asl::placeholder(param).trim_start_matches("${").trim_end_matches('}').to_string();
    let wrong = machine.open_params().iter().filter(|param| left.contains(&bucket(param)));
    Error::all(
        wrong
            .map(|param| {
                let detail = format!(
                    "`params.{param}`: its bucket has to be known when the workflow is put on AWS, roles are made for it"
                );
                let place = workflow.place_of(&format!("params.{param}"));
                Error::refused(detail).at(Some(place)).hint(format!("-p {param}=s3://bucket/…, or that as its `default`"))
            })
            .collect(),
    )
    .map_or(Ok(()), Err)
}

/// The zip that the function is made of: the same bytes for the same program and workflow.
fn pack(workflow: &Workflow, machine: &Machine, bootstrap: Option<&Path>) -> Result<Bytes> {
    let unreadable = |path: &Path, error: std::io::Error| {
        Error::surroundings(format!("the program `{}` cannot be read: {error}", path.display()))
    };
    let (path, given) = match bootstrap {
        Some(path) => (path.to_path_buf(), true),
        None => {
            let path = std::env::current_exe().map_err(|error| {
                Error::surroundings(format!("this program cannot be found: {error}")).hint("--bootstrap FILE")
            })?;
            (path, false)
        }
    };
    let program = fs::read(&path).map_err(|error| {
        if given { Error::refused(unreadable(&path, error).detail().to_string()) } else { unreadable(&path, error) }
    })?;
    check_program(&path.display().to_string(), &program, machine.settings().aws.architecture)?;
    let write = || -> zip::result::ZipResult<Vec<u8>> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let file = |mode| {
            SimpleFileOptions::default()
                .compression_method(CompressionMethod::Deflated)
                .compression_level(Some(6))
                .last_modified_time(DateTime::default())
                .unix_permissions(mode)
        };
        zip.start_file("bootstrap", file(0o755))?;
        zip.write_all(&program)?;
        zip.start_file("workflow.yaml", file(0o644))?;
        zip.write_all(workflow.text.as_bytes())?;
        Ok(zip.finish()?.into_inner())
    };
    write().map(Bytes::from).map_err(|error| Error::bug(format!("the worker cannot be packed: {error}")))
}
