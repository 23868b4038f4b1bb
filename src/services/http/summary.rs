//! Metrics as JSON: read back from the OpenMetrics text of the same registry, so the two can never disagree. Pure.
//!
//! `metrics` holds every family by name: a list of `{labels, value}`, and for a histogram `{labels, count, sum, p50,
//! p95, p99}`. Beside it stand what people look at first, over all routes: requests, errors, error rate, latency.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value, json};

/// Reads the OpenMetrics text that [`crate::telemetry::Metrics::encode`] writes.
pub fn summarise(service: &str, openmetrics: &str) -> Value {
    let families = parse(openmetrics);
    let total = |name: &str| -> f64 {
        families.get(name).map_or(0.0, |family| family.samples.iter().map(|sample| sample.value).sum())
    };
    let requests = total("http_requests");
    let errors = total("http_request_errors");
    let error_rate = if requests > 0.0 { errors / requests } else { 0.0 };
    let all_routes = families.get("http_request_duration_seconds").map(Family::merged).unwrap_or_default();
    let metrics: Map<String, Value> =
        families.iter().map(|(name, family)| ((*name).to_owned(), family.to_json())).collect();
    json!({
        "service": service,
        "requests": number(requests),
        "errors": number(errors),
        "errorRate": error_rate,
        "latencySeconds": all_routes.quantiles(),
        "metrics": metrics,
    })
}

/// Samples of one name.
#[derive(Debug, Default)]
struct Family<'t> {
    samples: Vec<Sample<'t>>,
    histograms: BTreeMap<Vec<(&'t str, String)>, Buckets>,
    is_histogram: bool,
}

#[derive(Debug)]
struct Sample<'t> {
    labels: Vec<(&'t str, String)>,
    value: f64,
}

/// A histogram: cumulative counts by upper bound, ascending, the last one infinite.
#[derive(Clone, Debug, Default, PartialEq)]
struct Buckets {
    cumulative: Vec<(f64, f64)>,
    count: f64,
    sum: f64,
}

impl Family<'_> {
    fn to_json(&self) -> Value {
        if self.is_histogram {
            self.histograms.iter().map(|(labels, buckets)| buckets.to_json(labels)).collect()
        } else {
            self.samples
                .iter()
                .map(|sample| json!({"labels": object(&sample.labels), "value": number(sample.value)}))
                .collect()
        }
    }

    /// All histograms of the family as one. They share their bounds.
    fn merged(&self) -> Buckets {
        let mut all = Buckets::default();
        for buckets in self.histograms.values() {
            all.count += buckets.count;
            all.sum += buckets.sum;
            all.cumulative.resize(buckets.cumulative.len(), (f64::INFINITY, 0.0));
            for (into, (bound, count)) in all.cumulative.iter_mut().zip(&buckets.cumulative) {
                *into = (*bound, into.1 + count);
            }
        }
        all
    }
}

impl Buckets {
    /// The value below which a share of the observations lies, interpolated inside its bucket as Prometheus does.
    fn quantile(&self, share: f64) -> Option<f64> {
        if self.count <= 0.0 {
            return None;
        }
        let rank = share * self.count;
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, cumulative) in &self.cumulative {
            if *cumulative >= rank && *cumulative > below {
                // Beyond the last finite bound nothing is known but that bound.
                return Some(if bound.is_infinite() {
                    lower
                } else {
                    lower + (bound - lower) * (rank - below) / (cumulative - below)
                });
            }
            (lower, below) = (*bound, *cumulative);
        }
        None
    }

    fn quantiles(&self) -> Value {
        json!({"p50": self.quantile(0.50), "p95": self.quantile(0.95), "p99": self.quantile(0.99)})
    }

    fn to_json(&self, labels: &[(&str, String)]) -> Value {
        let mut value = self.quantiles();
        value["labels"] = object(labels);
        value["count"] = number(self.count);
        value["sum"] = number(self.sum);
        value
    }
}

fn object(labels: &[(&str, String)]) -> Value {
    labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
        .collect::<Map<_, _>>()
        .into()
}

/// A count is written without a fraction; what JSON cannot hold (NaN, infinity) is null.
fn number(value: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53, as just checked")]
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        Value::from(value as i64)
    } else {
        Number::from_f64(value).map_or(Value::Null, Value::Number)
    }
}

fn parse(text: &str) -> BTreeMap<&str, Family<'_>> {
    let mut families: BTreeMap<&str, Family<'_>> = BTreeMap::new();
    let mut current = "";
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            current = name;
            families.entry(name).or_default().is_histogram = kind == "histogram";
        } else if !line.starts_with('#')
            && let Some((name, labels, value)) = parse_sample(line)
            && let Some(family) = families.get_mut(current)
        {
            family.add(name.strip_prefix(current).unwrap_or_default(), labels, value);
        }
    }
    // The registry keeps its series in a hash map, so each scrape has them in another order.
    for family in families.values_mut() {
        family.samples.sort_by(|one, other| one.labels.cmp(&other.labels));
    }
    families
}

impl<'t> Family<'t> {
    fn add(&mut self, suffix: &str, mut labels: Vec<(&'t str, String)>, value: f64) {
        if !self.is_histogram {
            self.samples.push(Sample { labels, value });
            return;
        }
        let bound = labels
            .iter()
            .position(|(name, _)| *name == "le")
            .map(|at| labels.remove(at).1.parse().unwrap_or(f64::INFINITY));
        let buckets = self.histograms.entry(labels).or_default();
        match (suffix, bound) {
            ("_bucket", Some(bound)) => buckets.cumulative.push((bound, value)),
            ("_count", _) => buckets.count = value,
            ("_sum", _) => buckets.sum = value,
            _ => {}
        }
    }
}

/// A sample line: name, labels, value.
type ParsedSample<'t> = (&'t str, Vec<(&'t str, String)>, f64);

fn parse_sample(line: &str) -> Option<ParsedSample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, value) = rest.trim_start_matches(',').split_once("=\"")?;
            let (value, after) = unquote(value)?;
            labels.push((label, value));
            rest = after;
        }
        rest = &rest[1..];
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// Reads up to the closing quote, undoing the escapes, and returns what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped => escaped,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::services::http::record::{Finished, RequestMetrics};
    use crate::telemetry::Metrics;

    #[test]
    fn the_json_holds_what_the_text_holds_and_percentiles() {
        let metrics = Metrics::default();
        let requests = RequestMetrics::register(&metrics);
        let read = Finished {
            method: "GET",
            route: "/api/users",
            status: 200,
            failed: false,
            duration: Duration::from_nanos(1_953_125),
        };
        let failed =
            Finished { method: "POST", status: 503, failed: true, duration: Duration::from_mins(1), ..read };
        for finished in [read, read, read, failed] {
            requests.started();
            requests.finished(finished);
        }
        requests.started();
        assert_eq!(
            summarise("user", &metrics.encode()),
            json!({
                "service": "user",
                "requests": 4,
                "errors": 1,
                "errorRate": 0.25,
                "latencySeconds": {"p50": 0.001 + 0.001 * 2.0 / 3.0, "p95": 30.0, "p99": 30.0},
                "metrics": {
                    "http_requests": [
                        {"labels": {"method": "GET", "route": "/api/users", "status": "200"}, "value": 3},
                        {"labels": {"method": "POST", "route": "/api/users", "status": "503"}, "value": 1},
                    ],
                    "http_request_errors": [
                        {"labels": {"method": "POST", "route": "/api/users"}, "value": 1},
                    ],
                    "http_request_duration_seconds": [
                        {
                            "labels": {"method": "GET", "route": "/api/users"},
                            "count": 3, "sum": 0.005_859_375, "p50": 0.0015, "p95": 0.00195, "p99": 0.00199,
                        },
                        {
                            "labels": {"method": "POST", "route": "/api/users"},
                            "count": 1, "sum": 60, "p50": 30.0, "p95": 30.0, "p99": 30.0,
                        },
                    ],
                    "http_requests_in_flight": [{"labels": {}, "value": 1}],
                },
            })
        );
    }

    #[test]
    fn nothing_observed_has_no_percentiles() {
        let metrics = Metrics::default();
        RequestMetrics::register(&metrics);
        let value = summarise("user", &metrics.encode());
        assert_eq!(value["latencySeconds"], json!({"p50": null, "p95": null, "p99": null}));
        assert_eq!((&value["requests"], &value["errorRate"]), (&json!(0), &json!(0.0)));
    }

    #[test]
    fn labels_are_unescaped() {
        assert_eq!(
            parse_sample(r#"a_total{b="x\"y\\z\nw",c=""} 1.5"#),
            Some(("a_total", vec![("b", "x\"y\\z\nw".to_owned()), ("c", String::new())], 1.5))
        );
        assert_eq!(parse_sample("a 2"), Some(("a", vec![], 2.0)));
        for torn in ["a", "a{b", "a{b=\"", "a{b=\"c\"}", "a x"] {
            assert_eq!(parse_sample(torn), None, "{torn}");
        }
    }
}
