//! What a bench reports: a table for people, `target/bench/NAME.json` for machines.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;

/// One measured value beside what it is held against.
#[derive(Debug, Serialize)]
pub struct Measure {
    /// What is measured.
    #[serde(rename = "measure")]
    name: &'static str,
    /// Unit of `ours`, `peer` and `spread`.
    unit: &'static str,
    /// Median of our rounds, unless `name` says another statistic.
    ours: f64,
    /// The same of the peer, or the target.
    peer: Option<f64>,
    /// Who or what the peer is.
    peer_name: Option<&'static str>,
    /// `ours` ÷ `peer`.
    ratio: Option<f64>,
    /// How often it was measured.
    rounds: usize,
    /// Distance of the first from the third quartile of our rounds.
    spread: f64,
}

impl Measure {
    /// The median of `rounds`.
    pub fn new(name: &'static str, unit: &'static str, rounds: &[f64]) -> Self {
        Self::at(name, unit, rounds, 0.5)
    }

    /// Another quantile of `rounds`.
    pub fn at(name: &'static str, unit: &'static str, rounds: &[f64], part: f64) -> Self {
        let spread = quantile(rounds, 0.75) - quantile(rounds, 0.25);
        let (ours, rounds) = (quantile(rounds, part), rounds.len());
        Self { name, unit, ours, peer: None, peer_name: None, ratio: None, rounds, spread }
    }

    /// Held against the median of `peer`.
    pub fn against(self, peer_name: &'static str, peer: &[f64]) -> Self {
        let peer = quantile(peer, 0.5);
        let ratio = (peer != 0.0).then(|| self.ours / peer);
        Self { peer: Some(peer), peer_name: Some(peer_name), ratio, ..self }
    }
}

/// The value below which that part of the sample lies: the nearest of the values themselves.
fn quantile(sample: &[f64], part: f64) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sample has few values, and the place is within it"
    )]
    let place = ((sorted.len() - 1) as f64 * part).round() as usize;
    sorted[place]
}

/// Prints the table.
pub fn print(measures: &[Measure]) {
    io::stdout().write_all(table(measures).as_bytes()).unwrap();
}

/// Prints the table and writes `target/bench/NAME.json`.
pub fn publish(name: &str, measures: &[Measure]) {
    print(measures);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&folder).unwrap();
    let json = serde_json::to_string_pretty(measures).unwrap() + "\n";
    fs::write(folder.join(format!("{name}.json")), json).unwrap();
}

/// A Markdown table, as docs/benchmarks.md carries it.
fn table(measures: &[Measure]) -> String {
    let mut table = "| measure | unit | ours | peer | peer's name | ratio | rounds | spread |\n\
                     |---|---|--:|--:|---|--:|--:|--:|\n"
        .to_owned();
    let shown = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
    for it in measures {
        let Measure { name, unit, ours, rounds, spread, .. } = it;
        let (peer, peer_name, ratio) = (shown(it.peer), it.peer_name.unwrap_or("–"), shown(it.ratio));
        let line = format!(
            "| {name} | {unit} | {ours:.2} | {peer} | {peer_name} | {ratio} | {rounds} | {spread:.2} |"
        );
        writeln!(table, "{line}").unwrap();
    }
    table
}
