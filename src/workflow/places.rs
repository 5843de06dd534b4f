//! Where in the file a setting is that is known by its path only, and what is told of it there.

use super::check::Finding;
use super::decode::within;
use super::tree::{Entry, Node, NodeKind, Spot};
use super::warning::{Doubt, Warning, no_rows, shown_though_redacted};
use super::{Decoded, Workflow};
use crate::error::{Error, Place};
use crate::expression::Expression;
use crate::job::ConfigError;

impl Workflow {
    /// The mistakes that the job itself found in its settings, each with the place of the setting.
    pub fn place_config_error(&self, error: &ConfigError) -> Error {
        // There is at least the one.
        Error::all(self.config_errors(error)).unwrap_or_else(|| Error::bug(error.to_string()))
    }

    pub(super) fn config_errors(&self, error: &ConfigError) -> Vec<Error> {
        let job = self.known.job.as_str();
        let setting = error.setting.as_str();
        let path = if setting.is_empty() { format!("job.{job}") } else { format!("job.{job}.{setting}") };
        let detail = format!("`{path}`: {}", error.detail);
        let told = if error.surroundings { Error::surroundings(detail) } else { Error::refused(detail) };
        let told = told.at(Some(self.spot(&path).in_file(&self.file)));
        let told = match &error.hint {
            Some(hint) => told.hint(hint),
            None => told,
        };
        std::iter::once(told).chain(error.more.iter().flat_map(|error| self.config_errors(error))).collect()
    }

    /// Where the setting with this path is, or the nearest thing around it.
    pub fn place_of(&self, path: &str) -> Place {
        self.spot(path).in_file(&self.file)
    }

    /// Whether the setting with this path is written in the file.
    pub(crate) fn says(&self, path: &str) -> bool {
        self.root.find(path).0.is_some()
    }

    /// The text of the setting with this path, if it is an expression as it is written in the file.
    pub(crate) fn expression_at(&self, path: &str) -> Option<&str> {
        let text = self.root.find(path).0?.scalar()?.text.as_str();
        Expression::is(text).then_some(text)
    }

    /// The region that the file names for AWS. It is a literal there: `definition` refuses anything else.
    pub(crate) fn aws_region(&self) -> Option<&str> {
        let text = self.root.find("aws.region").0?.scalar()?.text.as_str();
        (!Expression::is(text)).then_some(text)
    }

    pub(super) fn told(&self, finding: Finding) -> Error {
        let error = Error::refused(format!("`{}`: {}", finding.path, finding.detail));
        let error = error.at(Some(self.spot(&finding.path).in_file(&self.file)));
        match finding.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    pub(super) fn warn(&self, decoded: &Decoded) -> Vec<Warning> {
        let redact = decoded.section("redact").unwrap_or_default();
        let tests = decoded.section("tests").unwrap_or_default();
        let others = shown_though_redacted(&self.root, &redact).into_iter().chain(no_rows(&self.root, &tests));
        let mut warnings: Vec<Warning> =
            decoded.doubts.iter().map(|doubt| self.warning(doubt)).chain(others.map(|doubt| self.warning(&doubt))).collect();
        warnings.sort_by(|a, b| a.place.cmp(&b.place));
        warnings
    }

    fn warning(&self, doubt: &Doubt) -> Warning {
        let place = match self.root.find(&doubt.path) {
            (Some(node), at) => node.scalar().map_or(at, |scalar| within(node, scalar, doubt.offset)),
            (None, at) => at,
        };
        let detail = format!("`{}`: {}", doubt.path, doubt.detail);
        Warning { detail, place: place.in_file(&self.file), hint: doubt.hint.clone() }
    }

    /// Where the setting with this path is, or the nearest thing around it.
    fn spot(&self, path: &str) -> Spot {
        self.root.find(path).1
    }
}

impl Node {
    /// The setting with this path and where it is; if it is not there, where the nearest thing around it is. A key may have points
    /// in it itself.
    fn find(&self, path: &str) -> (Option<&Node>, Spot) {
        let mut node = self;
        let mut at = Spot::START;
        let mut rest = path;
        while !rest.is_empty() {
            let found = match &node.kind {
                NodeKind::Map(entries) => {
                    let left = |entry: &Entry| rest.strip_prefix(entry.key.as_str()).filter(|left| is_end_of_key(left));
                    let fits = entries.iter().filter_map(|entry| Some((entry, left(entry)?)));
                    fits.max_by_key(|(entry, _)| entry.key.len()).map(|(entry, left)| (&entry.value, entry.key_at, left))
                }
                NodeKind::List(nodes) => {
                    let index = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
                    let element = index.and_then(|(index, left)| Some((nodes.get(index.parse::<usize>().ok()?)?, left)));
                    element.map(|(node, left)| (node, node.at, left))
                }
                NodeKind::Scalar(_) => None,
            };
            let Some((next, next_at, left)) = found else { return (None, at) };
            (node, at, rest) = (next, next_at, left.strip_prefix('.').unwrap_or(left));
        }
        (Some(node), node.at)
    }
}

fn is_end_of_key(left: &str) -> bool {
    left.is_empty() || left.starts_with(['.', '['])
}
