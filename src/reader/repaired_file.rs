//! Reads the file in which someone has repaired the rows that failed, as rows of the run's own source.

use std::path::Path;

use super::csv::{Columns, OWN_COLUMNS};
use super::csv_config::Delimiter;
use super::fields::Dialect;
use super::freeze::Plan;
use super::input::{CsvFormat, Format, Input, InputFile};
use super::repairs::Repairs;
use super::rows::Position;
use crate::{Error, Result};

/// A row that someone has repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairedRow {
    /// The key of the item that it stands for.
    pub name: String,
    /// The line of the file on which it begins, from 1.
    pub line: u64,
    /// The row, as it would be written in the source.
    pub record: Vec<u8>,
}

impl Input {
    /// The rows of `file`, which has the columns of this source, in any order, and `_fanfold_item`. It is UTF-8, written with the
    /// delimiter of the source. `shown` is what messages call it. Memory is that of its rows.
    ///
    /// # Errors
    /// The source is no CSV file. The file cannot be read, has other columns, or a row that is no item or says not which it is.
    pub fn repaired_rows(&self, file: &Path, shown: &str, run_dir: &Path) -> Result<Vec<RepairedRow>> {
        let Format::Csv(of_source) = &self.format else {
            return Err(Error::refused(format!("the items of this run are `{}`, rows are repaired only of `csv`", self.kind()))
                .hint("correct the source and begin a new run"));
        };
        let absolute = std::path::absolute(file).map_err(|error| super::freeze::unreadable(file, &error))?;
        let plan = Plan { source: shown.to_string(), run_dir: run_dir.to_path_buf(), limit: u64::MAX, counts: true };
        let input = plan.repairs(of_source, InputFile::InPlace(absolute))?;
        let Format::Csv(format) = &input.format else { return Ok(Vec::new()) };
        let order = order(of_source, format, shown)?;
        let open = input.open(run_dir)?;
        let mut rows = open.rows(Position::START)?;
        let mut repaired = Vec::new();
        while let Some(row) = rows.next()? {
            row.value().map_err(|failure| {
                let no_text = failure.cause.contains("is not UTF-8");
                let hint = if no_text { "save the file in UTF-8" } else { "repair this row too, or take it out" };
                Error::refused(failure.cause).hint(hint)
            })?;
            let line = row.line().1.unwrap_or(0);
            let Some(name) = row.item_name() else {
                return Err(Error::refused(format!("{shown}:{line}: nothing in `{}`: which item is it?", OWN_COLUMNS[0]))
                    .hint("only items of the run are repaired; what is new needs a new run"));
            };
            let Some(fields) = fields(&format.dialect(), row.record()) else { continue };
            let record = record(of_source, &order, &fields, &name);
            repaired.push(RepairedRow { name, line, record });
        }
        Ok(repaired)
    }

    /// This source with these rows in place of its own, and in place of those that were repaired before. They are written into
    /// `run_dir`, durably.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn with_repairs(&self, rows: impl IntoIterator<Item = (u64, Vec<u8>)>, run_dir: &Path) -> Result<Self> {
        let before = self.repairs.as_ref().map(|name| Repairs::open(&run_dir.join(name))).transpose()?;
        let number = self.repairs.as_ref().and_then(|name| name.split(['-', '.']).nth(1)?.parse().ok()).unwrap_or(0u32) + 1;
        let name = format!("repaired-{number}.rows");
        Repairs::write(before.as_ref(), &rows.into_iter().collect(), &run_dir.join(&name))?;
        Ok(Self { repairs: Some(name), ..self.clone() })
    }

    /// The file of the rows that were repaired, if there are any.
    pub fn repairs(&self) -> Option<&str> {
        self.repairs.as_deref()
    }
}

/// For each column of the source, which field of the file it is.
fn order(source: &CsvFormat, file: &CsvFormat, shown: &str) -> Result<Vec<usize>> {
    let wrong = |what: String| {
        Err(Error::refused(format!("`{shown}` {what}"))
            .hint("`fanfold results RUN --failed --format csv -o FILE` writes a file with the right columns"))
    };
    if let (None, [only]) = (file.item, file.columns.as_slice())
        && let Some(found) =
            Delimiter::ALL.into_iter().find(|found| only.split(char::from(found.byte())).any(|name| name == OWN_COLUMNS[0]))
    {
        let (found, wanted) = (found.word(), source.delimiter.word());
        return Err(Error::refused(format!(
            "`{shown}` is written with `{found}` between its fields, the source with `{wanted}`"
        ))
        .hint(format!("save it with `{wanted}`")));
    }
    if file.item.is_none() {
        return wrong(format!("has no column `{}`, so nobody knows which items its rows are", OWN_COLUMNS[0]));
    }
    if let Some(name) = file.columns.iter().find(|name| !source.columns.contains(name)) {
        return wrong(format!("has a column `{name}`, which the source has not"));
    }
    // Fields of fanfold's own stand between those of the data.
    let places: Vec<usize> = (0..file.columns.len() + file.own.len()).filter(|place| !file.own.contains(place)).collect();
    let mut order = Vec::with_capacity(source.columns.len());
    for name in &source.columns {
        match file.columns.iter().position(|found| found == name) {
            Some(number) => order.push(places[number]),
            None => return wrong(format!("has no column `{name}`")),
        }
    }
    Ok(order)
}

fn fields(dialect: &Dialect, record: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut fields = Vec::new();
    dialect.raw_fields(record, |field| fields.push(field.to_vec())).ok()?;
    Some(fields)
}

/// The row as it would be written in the source.
fn record(source: &CsvFormat, order: &[usize], fields: &[Vec<u8>], name: &str) -> Vec<u8> {
    let mut data = order.iter().map(|place| fields.get(*place).cloned().unwrap_or_default());
    let width = source.columns.len() + source.own.len();
    let row = (0..width).map(|place| match place {
        place if source.item == Some(place) => quoted(name, source.strict),
        place if source.own.contains(&place) => Vec::new(),
        _ => data.next().unwrap_or_default(),
    });
    row.collect::<Vec<_>>().join(&source.delimiter.byte())
}

/// A text in quotes, as this reader reads it.
pub(super) fn quoted(text: &str, strict: bool) -> Vec<u8> {
    let escaped = if strict { text.replace('"', "\"\"") } else { text.replace('\\', "\\\\").replace('"', "\"\"") };
    format!("\"{escaped}\"").into_bytes()
}

impl Plan {
    /// A file of repaired rows as a source of its own, with the columns that it says.
    fn repairs(&self, of_source: &CsvFormat, file: InputFile) -> Result<Input> {
        let format =
            CsvFormat { columns: Vec::new(), own: Vec::new(), item: None, encoding: super::Encoding::Utf8, ..of_source.clone() };
        if let InputFile::InPlace(path) = &file {
            self.check_file(path)?;
        }
        let start = self.start(&file, false)?;
        let headless = self.input(file.clone(), Format::Csv(format.clone()), start)?;
        let Some((Columns { names, own, item }, start)) = headless.header(&self.run_dir)? else {
            return Err(Error::refused(format!("`{}` is empty", self.source)));
        };
        self.count(file, Format::Csv(CsvFormat { columns: names, own, item, ..format }), start)
    }
}
