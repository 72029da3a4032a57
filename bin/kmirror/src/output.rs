//! Rows as somebody wants to read them: a table for people, JSON, YAML or CSV for programs. A row is a flat struct; the names of its
//! fields are the names of the columns, and stay what they are, since scripts read them.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::TableFormat;
use crate::exit::Failure;
use crate::streams::{out, outln};

/// Prints rows to stdout. `name`: what they are, in JSON and YAML.
pub(crate) fn print<R: Serialize>(name: &str, rows: &[R], format: TableFormat) -> Result<(), Failure> {
    out!("{}", text(name, rows, format)?);
    Ok(())
}

/// Prints something that is more than rows, as JSON or YAML.
pub(crate) fn print_whole(whole: &impl Serialize, format: TableFormat) -> Result<(), Failure> {
    let whole = value(whole)?;
    match format {
        TableFormat::Yaml => {
            let text = serde_yaml::to_string(&whole);
            out!(
                "{}",
                text.map_err(|error| Failure::runtime(format!("the result cannot be printed: {error}")))?
            );
        }
        _ => outln!("{whole:#}"),
    }
    Ok(())
}

fn text<R: Serialize>(name: &str, rows: &[R], format: TableFormat) -> Result<String, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::runtime(format!("the result cannot be printed: {error}"));
    let whole =
        || -> Result<Value, Failure> { Ok(Value::from(Map::from_iter([(name.to_owned(), value(rows)?)]))) };
    match format {
        TableFormat::Text => table(&value(rows)?),
        TableFormat::Json => Ok(format!("{:#}\n", whole()?)),
        TableFormat::Yaml => serde_yaml::to_string(&whole()?).map_err(|error| failed(&error)),
        TableFormat::Csv => {
            let mut writer = csv::Writer::from_writer(Vec::new());
            rows.iter().try_for_each(|row| writer.serialize(row)).map_err(|error| failed(&error))?;
            let bytes = writer.into_inner().map_err(|error| failed(&error))?;
            String::from_utf8(bytes).map_err(|error| failed(&error))
        }
    }
}

fn value(result: &(impl Serialize + ?Sized)) -> Result<Value, Failure> {
    serde_json::to_value(result)
        .map_err(|error| Failure::runtime(format!("the result cannot be printed: {error}")))
}

/// Columns as wide as they must be; numbers to the right.
fn table(rows: &Value) -> Result<String, Failure> {
    let rows: Vec<&Map<String, Value>> =
        rows.as_array().into_iter().flatten().filter_map(Value::as_object).collect();
    let Some(first) = rows.first() else { return Ok(String::new()) };
    let names: Vec<&String> = first.keys().collect();
    let cell = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let width = |name: &&String| {
        let widths = rows.iter().map(|row| cell(row.get(*name)).chars().count());
        widths.chain([name.chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = names.iter().map(width).collect();
    let mut text = String::new();
    let mut line = |cells: Vec<(String, bool)>| {
        let mut line = String::new();
        for ((cell, is_number), width) in cells.iter().zip(&widths) {
            let _ = match is_number {
                true => write!(line, "{cell:>width$}  "),
                false => write!(line, "{cell:<width$}  "),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    };
    let is_number = |name: &&&String| rows.iter().any(|row| row.get(**name).is_some_and(Value::is_number));
    line(names.iter().map(|name| (name.to_uppercase(), is_number(&name))).collect());
    for row in &rows {
        line(names.iter().map(|name| (cell(row.get(*name)), is_number(&name))).collect());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Row {
        topic: &'static str,
        lag: Option<u64>,
    }

    #[test]
    fn the_same_rows_in_every_format() {
        let rows = [Row { topic: "orders", lag: Some(12) }, Row { topic: "a,b", lag: None }];
        let text = |format| text("topics", &rows, format).unwrap_or_default();
        assert_eq!(text(TableFormat::Text), "TOPIC   LAG\norders   12\na,b       -\n");
        assert_eq!(text(TableFormat::Csv), "topic,lag\norders,12\n\"a,b\",\n");
        assert_eq!(
            text(TableFormat::Yaml),
            "topics:\n- topic: orders\n  lag: 12\n- topic: a,b\n  lag: null\n"
        );
        let json: Value = serde_json::from_str(&text(TableFormat::Json)).expect("JSON");
        assert_eq!(json["topics"][0]["lag"], 12);
    }
}
