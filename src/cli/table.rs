//! Tables exactly as kubectl prints them: the server's columns and rows, padded as Go's tabwriter pads.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::kinds::Resource;

/// kubectl's tabwriter: at least 6 wide, 3 spaces between columns.
const MIN_WIDTH: usize = 6;
const PADDING: usize = 3;

/// The server's answer to a request for rows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Table {
    /// Metadata of the list.
    pub metadata: ListMeta,
    /// Columns; empty in all but the first event of a watch.
    pub column_definitions: Vec<Column>,
    /// Rows.
    pub rows: Vec<Row>,
}

/// Metadata of a list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListMeta {
    /// Version of the list: a watch goes on from here.
    pub resource_version: String,
}

/// A column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Column {
    /// Title.
    pub name: String,
    /// `name` for the column that holds the object's name.
    pub format: String,
    /// 0 for columns that are always shown.
    pub priority: i32,
}

/// A row.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Row {
    /// Cells, one a column.
    pub cells: Vec<Value>,
    /// The object's metadata, if it was asked for.
    pub object: Option<RowObject>,
}

/// An object of which only metadata was asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RowObject {
    /// The metadata.
    pub metadata: RowMeta,
}

/// The metadata that kubectl can add to a row.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RowMeta {
    /// Namespace.
    pub namespace: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl Table {
    /// The names in the rows.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let column = self.column_definitions.iter().position(|column| column.format == "name");
        self.rows.iter().filter_map(move |row| row.cells.get(column?)?.as_str())
    }
}

/// What is shown of a table.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub(super) struct Layout {
    /// No line of titles.
    pub no_headers: bool,
    /// All columns.
    pub wide: bool,
    /// NAMESPACE in front.
    pub namespace: bool,
    /// LABELS at the end.
    pub labels: bool,
    /// Names as `tenant.tenantry.dev/acme`.
    pub kind: Option<Resource>,
}

/// Prints tables of one kind below each other, with one line of titles and common widths.
#[derive(Debug, Default)]
pub(super) struct Printer {
    layout: Layout,
    columns: Vec<Column>,
    titled: bool,
    lines: Vec<Vec<String>>,
    widths: Vec<usize>,
}

impl Printer {
    /// A printer for tables of one kind.
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, ..Self::default() }
    }

    /// Adds the rows of a table.
    pub(super) fn add(&mut self, table: &Table) {
        if !table.column_definitions.is_empty() && table.column_definitions != self.columns {
            self.columns.clone_from(&table.column_definitions);
            self.titled = false;
        }
        if table.rows.is_empty() {
            return;
        }
        if !self.layout.no_headers && !std::mem::replace(&mut self.titled, true) {
            let titles = self.shown().map(|(_, column)| column.name.to_uppercase()).collect();
            let titles = self.framed(titles, "NAMESPACE", "LABELS");
            self.lines.push(titles);
        }
        for row in &table.rows {
            let cells = self.shown().map(|(index, column)| self.cell(row.cells.get(index), column)).collect();
            let meta = row.object.as_ref().map(|object| &object.metadata);
            let labels = meta.map_or_else(String::new, |meta| labels(&meta.labels));
            let cells = self.framed(cells, meta.map_or("", |meta| &meta.namespace), &labels);
            self.lines.push(cells);
        }
    }

    /// The lines so far, padded. Widths never shrink, so that a watch stays aligned.
    pub(super) fn flush(&mut self) -> String {
        for line in &self.lines {
            self.widths.resize(self.widths.len().max(line.len()), MIN_WIDTH);
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count() + PADDING);
            }
        }
        let mut text = String::new();
        for line in self.lines.drain(..) {
            let last = line.len().saturating_sub(1);
            for (index, (cell, width)) in line.iter().zip(&self.widths).enumerate() {
                text.push_str(cell);
                if index < last {
                    text.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
                }
            }
            text.push('\n');
        }
        text
    }

    fn shown(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().filter(|(_, column)| self.layout.wide || column.priority == 0)
    }

    fn framed(&self, mut cells: Vec<String>, namespace: &str, labels: &str) -> Vec<String> {
        if self.layout.namespace {
            cells.insert(0, namespace.to_owned());
        }
        if self.layout.labels {
            cells.push(labels.to_owned());
        }
        cells
    }

    fn cell(&self, cell: Option<&Value>, column: &Column) -> String {
        let text = match cell {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => escaped(text),
            Some(other) => other.to_string(),
        };
        match self.layout.kind {
            Some(resource) if column.format == "name" => resource.object(&text),
            _ => text,
        }
    }
}

/// Rows of our own below their titles, padded in the same way.
pub(super) fn columns(titles: &[&str], rows: Vec<Vec<String>>) -> String {
    let titles = titles.iter().map(ToString::to_string).collect();
    let lines = std::iter::once(titles)
        .chain(rows)
        .map(|row: Vec<String>| row.iter().map(|cell| escaped(cell)).collect());
    let mut printer = Printer { lines: lines.collect(), ..Printer::default() };
    // An empty last cell leaves the padding of the one before at the line's end.
    let lines: Vec<String> = printer.flush().lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

fn labels(labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() {
        return "<none>".to_owned();
    }
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(",")
}

/// One line, and nothing that a terminal would obey.
fn escaped(text: &str) -> String {
    let line = text.find(['\u{c}', '\n', '\r']).map(|end| format!("{}...", &text[..end]));
    line.unwrap_or_else(|| text.to_owned()).replace('\u{1b}', "^[")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kinds::TENANT;
    use serde_json::json;

    fn table() -> Table {
        serde_json::from_value(json!({
            "metadata": {"resourceVersion": "7"},
            "columnDefinitions": [
                {"name": "Name", "type": "string", "format": "name", "priority": 0},
                {"name": "Ready", "type": "string", "format": "", "priority": 0},
                {"name": "Id", "type": "string", "format": "", "priority": 1},
                {"name": "Age", "type": "date", "format": "", "priority": 0},
            ],
            "rows": [
                {"cells": ["acme", "True", "abc", "5d"], "object": {"metadata": {"labels": {"b": "1", "a": "2"}}}},
                {"cells": ["a-long-name", null, 3, "\u{1b}[31mx\nrest"], "object": null},
            ],
        }))
        .unwrap()
    }

    fn printed(layout: Layout) -> String {
        let mut printer = Printer::new(layout);
        printer.add(&table());
        printer.flush()
    }

    #[test]
    fn columns_are_padded_and_the_last_is_not() {
        assert_eq!(
            printed(Layout::default()),
            "NAME          READY   AGE\nacme          True    5d\na-long-name           ^[[31mx...\n"
        );
    }

    #[test]
    fn wide_kinds_and_labels_are_added_as_asked() {
        let layout =
            Layout { wide: true, labels: true, no_headers: true, kind: Some(TENANT), namespace: false };
        assert_eq!(
            printed(layout),
            "tenant.tenantry.dev/acme          True   abc   5d           a=2,b=1\n\
             tenant.tenantry.dev/a-long-name          3     ^[[31mx...   \n"
        );
    }

    #[test]
    fn titles_come_once_and_widths_stay() {
        let mut printer = Printer::new(Layout::default());
        printer.add(&table());
        printer.flush();
        let mut event = table();
        event.column_definitions.clear();
        event.rows.truncate(1);
        printer.add(&event);
        assert_eq!(printer.flush(), "acme          True    5d\n");
    }

    #[test]
    fn no_rows_no_titles() {
        let mut printer = Printer::new(Layout::default());
        printer.add(&Table { rows: vec![], ..table() });
        assert_eq!(printer.flush(), "");
    }

    #[test]
    fn names_are_found_by_their_column() {
        assert_eq!(table().names().collect::<Vec<_>>(), ["acme", "a-long-name"]);
    }
}
