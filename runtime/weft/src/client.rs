//! `weft query 'select …'`: asks a running weft and prints the rows.

use crate::cli::QueryArgs;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::Write;

/// Asks and prints.
pub(crate) fn sql(args: &QueryArgs) -> Result<()> {
    let Some(statement) = &args.sql else { bail!("no SQL was given") };
    let server = match &args.server {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{}", args.common.http.as_deref().unwrap_or("127.0.0.1:9090")),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = runtime.block_on(async {
        let url = format!("{server}/api/v1/sql");
        let sent =
            reqwest::Client::new().post(&url).header("content-type", "text/plain").body(statement.clone()).send();
        let answer = sent.await.with_context(|| format!("asking {url}: is weft running there?"))?;
        let status = answer.status();
        let body: Value =
            answer.json().await.with_context(|| format!("{url} did not answer JSON (status {status})"))?;
        if let Some(error) = body["error"].as_str() {
            bail!("{error}");
        }
        Ok(body)
    })?;
    let columns: Vec<&str> =
        body["columns"].as_array().into_iter().flatten().filter_map(|column| column["name"].as_str()).collect();
    let rows: Vec<Vec<String>> = body["rows"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| columns.iter().map(|column| cell(&row[*column])).collect())
        .collect();
    let text = match args.format.as_str() {
        "json" => format!("{}\n", body["rows"]),
        "csv" => csv(&columns, &rows),
        _ => table(&columns, &rows),
    };
    // A closed pipe (`| head`) is no failure.
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn csv(columns: &[&str], rows: &[Vec<String>]) -> String {
    let quote = |text: &str| {
        if text.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let line = |cells: Vec<String>| cells.join(",") + "\n";
    let mut out = line(columns.iter().map(|name| quote(name)).collect());
    for row in rows {
        out += &line(row.iter().map(|text| quote(text)).collect());
    }
    out
}

/// Columns as wide as their widest cell, up to a limit; longer cells end in `…`.
fn table(columns: &[&str], rows: &[Vec<String>]) -> String {
    const WIDEST: usize = 60;
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, name)| rows.iter().map(|row| width(&row[at])).chain([width(name)]).max().unwrap_or(0).min(WIDEST))
        .collect();
    let line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).map(|(text, widest)| {
            let mut shown = text.replace(['\n', '\t', '\r'], " ");
            if width(&shown) > *widest {
                shown = shown.chars().take(widest.saturating_sub(1)).chain(['…']).collect();
            }
            format!("{shown:<widest$}")
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut out = line(columns);
    out += &(widths.iter().map(|widest| "-".repeat(*widest)).collect::<Vec<_>>().join("  ") + "\n");
    for row in rows {
        out += &line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let count = rows.len();
    out += &format!("({count} row{})\n", if count == 1 { "" } else { "s" });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_print_as_an_aligned_table_or_as_csv() {
        let rows = vec![vec!["api".to_owned(), "3".to_owned()], vec!["a,\"b\"".to_owned(), String::new()]];
        assert_eq!(table(&["name", "n"], &rows), "name   n\n-----  -\napi    3\na,\"b\"\n(2 rows)\n");
        assert_eq!(csv(&["name", "n"], &rows), "name,n\napi,3\n\"a,\"\"b\"\"\",\n");
    }
}
