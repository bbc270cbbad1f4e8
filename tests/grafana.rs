//! The Grafana files in `examples/grafana`: everything that a dashboard asks for is there, and is what a running program
//! writes.
#![cfg(test)]

mod support {
    #[expect(dead_code, reason = "the exporter's own tests use more of the engine")]
    pub(crate) mod clickhouse;
    pub(crate) mod client;
    pub(crate) mod example;
    pub(crate) mod loki;
    pub(crate) mod outcome;
    pub(crate) mod program;
    #[expect(dead_code, reason = "examples are started with other ports than they say")]
    pub(crate) mod running;
}

use std::collections::BTreeSet;
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::clickhouse::Server;
use support::client::http;
use support::example::{generate, start_gateway, stop};
use support::loki::Loki;

/// Panels of a dashboard, at most: one has to see them.
const PANELS_MAX: usize = 8;
/// The columns of Grafana's grid.
const GRID_WIDTH: u64 = 24;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/grafana")
}

/// All dashboards with the names of their files.
fn dashboards() -> Vec<(String, Value)> {
    let entries = read_dir(folder().join("dashboards")).unwrap();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = read_to_string(path).unwrap();
        let dashboard = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, dashboard)
    };
    let found: Vec<_> = entries.map(|entry| read(entry.unwrap().path())).collect();
    assert!(!found.is_empty());
    found
}

/// Every value below a key, however deep.
fn below<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key));
            map.values().for_each(|inner| below(inner, key, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| below(inner, key, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn all<'v>(value: &'v Value, key: &str) -> Vec<&'v Value> {
    let mut found = Vec::new();
    below(value, key, &mut found);
    found
}

/// What is asked of data sources of a type: `(dashboard and panel or variable, query)`.
fn queries(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (file, dashboard) in dashboards() {
        let panels = dashboard["panels"].as_array().unwrap();
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        for panel in panels.iter().chain(variables).filter(|panel| panel["datasource"]["type"] == source) {
            let name = panel["title"].as_str().or(panel["name"].as_str()).unwrap();
            let own = panel["definition"].as_str();
            let texts = ["expr", "rawSql"].map(|key| all(panel, key)).concat();
            let texts = texts.into_iter().map(|text| text.as_str().unwrap()).chain(own);
            found.extend(texts.map(|text| (format!("{file}, {name}"), text.to_owned())));
        }
    }
    assert!(!found.is_empty(), "nothing is asked of {source}");
    found
}

/// The words of a query: names, keywords and numbers.
fn words(query: &str) -> impl Iterator<Item = &str> {
    query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
}

#[test]
fn dashboards_have_the_form_that_grafana_loads() {
    let mut uids = BTreeSet::new();
    for (name, dashboard) in dashboards() {
        assert_eq!(dashboard["schemaVersion"], 42, "{name}");
        assert!(dashboard["id"].is_null(), "{name}: an id belongs to one Grafana");
        let uid = dashboard["uid"].as_str().unwrap().to_owned();
        assert!(uid.len() <= 40 && uids.insert(uid.clone()), "{name}: the uid {uid} is long or there twice");
        let panels = dashboard["panels"].as_array().unwrap();
        assert!((1..=PANELS_MAX).contains(&panels.len()), "{name}: {} panels", panels.len());
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{name}: panels share an id");
        let mut cells = BTreeSet::new();
        for panel in panels {
            let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(place("x") + place("w") <= GRID_WIDTH, "{name}, {}: beyond the grid", panel["title"]);
            for x in place("x")..place("x") + place("w") {
                for y in place("y")..place("y") + place("h") {
                    assert!(cells.insert((x, y)), "{name}, {}: on top of another panel", panel["title"]);
                }
            }
            let references = all(panel, "refId");
            let distinct: BTreeSet<_> =
                references.iter().map(|reference| reference.as_str().unwrap()).collect();
            assert_eq!(distinct.len(), references.len(), "{name}, {}: refId twice", panel["title"]);
        }
    }
    for (name, dashboard) in dashboards() {
        for url in all(&dashboard, "url").into_iter().filter_map(Value::as_str) {
            let uid = url.strip_prefix("/d/").and_then(|rest| rest.split('/').next()).unwrap();
            assert!(uids.contains(uid), "{name}: a link to the dashboard {uid}, which is not here");
        }
    }
}

#[test]
fn every_data_source_that_is_asked_is_provisioned_with_its_type() {
    let text = read_to_string(folder().join("provisioning/datasources/watershed.yaml")).unwrap();
    let lines = |key: &str| {
        let values = text.lines().filter_map(|line| line.trim().strip_prefix(key));
        values.map(|value| value.trim().to_owned()).collect::<Vec<_>>()
    };
    let provisioned: BTreeSet<_> = lines("uid:").into_iter().zip(lines("type:")).collect();
    assert_eq!(provisioned.len(), 3, "{provisioned:?}");
    for (name, dashboard) in dashboards() {
        for source in all(&dashboard, "datasource") {
            let text = |key: &str| source[key].as_str().unwrap().to_owned();
            assert!(
                provisioned.contains(&(text("uid"), text("type"))),
                "{name}: {source} is not provisioned"
            );
        }
    }
}

#[test]
fn every_variable_that_is_used_is_defined() {
    for (name, dashboard) in dashboards() {
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let defined: BTreeSet<_> =
            variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        for key in ["expr", "rawSql", "definition"] {
            for query in all(&dashboard, key) {
                for rest in query.as_str().unwrap().split('$').skip(1) {
                    let variable = words(rest.trim_start_matches('{')).next().unwrap();
                    let is_known = variable.starts_with("__") || defined.contains(variable);
                    assert!(is_known, "{name}: ${variable} is not defined");
                }
            }
        }
        let used = dashboard.to_string();
        for variable in defined {
            let is_used = used.contains(&format!("${variable}")) || used.contains(&format!("${{{variable}"));
            assert!(is_used, "{name}: {variable} is never used");
        }
    }
}

/// `$__name(argument, …)` replaced by what `meaning` makes of the arguments.
fn expand(query: &str, name: &str, meaning: impl Fn(&[&str]) -> String) -> String {
    let mut out = String::new();
    let mut rest = query;
    while let Some((before, after)) = rest.split_once(&format!("$__{name}(")) {
        let mut depth = 1;
        let mut arguments = Vec::new();
        let mut start = 0;
        let end = after.char_indices().find_map(|(at, letter)| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            if depth == 0 || (depth == 1 && letter == ',') {
                arguments.push(after[start..at].trim());
                start = at + 1;
            }
            (depth == 0).then_some(at)
        });
        out.push_str(before);
        out.push_str(&meaning(&arguments));
        rest = &after[end.unwrap_or_else(|| panic!("not closed: {query}")) + 1..];
    }
    out + rest
}

/// A query as the plug-in sends it, for all services or one.
fn sent(query: &str, service: Option<&str>, trace: &str) -> String {
    let query = expand(query, "conditionalAll", |arguments| match service {
        Some(_) => arguments[0].to_owned(),
        None => "1=1".to_owned(),
    });
    let query = expand(&query, "timeFilter", |arguments| {
        format!("({0} >= toDateTime(0) AND {0} <= toDateTime(4102444800))", arguments[0])
    });
    let query = expand(&query, "timeInterval", |arguments| {
        format!("toStartOfInterval(toDateTime({}), INTERVAL 60 second)", arguments[0])
    });
    let query = query.replace("${service:singlequote}", &format!("'{}'", service.unwrap_or_default()));
    let query = query.replace("${trace_id:sqlstring}", &format!("'{trace}'"));
    let query = query.replace("${search:sqlstring}", "''");
    assert!(!query.contains('$'), "a macro that the test does not know: {query}");
    query
}

#[test]
fn every_sql_query_finds_what_the_gateway_wrote() {
    let server = Server::shared();
    let (url, database) = (server.url(), server.database());
    let variables = [("CLICKHOUSE_ENDPOINT", url.as_str()), ("CLICKHOUSE_DATABASE", &database)];
    let gateway = start_gateway("grafana_sql", "gateway-clickhouse.yaml", &variables);
    generate(&gateway, "logs", 1000);
    generate(&gateway, "traces", 1000);
    // A record that belongs to a span, so that a trace has both.
    let (trace, span) = ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let ids = format!(r#""traceId": "{trace}", "spanId": "{span}""#);
    let log = format!(r#"{{"resourceLogs": [{{"scopeLogs": [{{"logRecords": [{{{ids}}}]}}]}}]}}"#);
    let span = format!(
        r#"{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{{{ids}, "name": "GET /cart", "kind": 2,
        "startTimeUnixNano": "{now}", "endTimeUnixNano": "{now}"}}]}}]}}]}}"#
    );
    for (path, body) in [("/v1/logs", log), ("/v1/traces", span)] {
        let address = gateway.address("protocol", "http");
        let (status, answer) = http(address, "POST", path, "application/json", body.as_bytes());
        assert_eq!(status, 200, "{answer}");
    }
    stop(gateway);
    for (name, query) in queries("grafana-clickhouse-datasource") {
        for service in [None, Some("checkout")] {
            let query = sent(&query, service, trace);
            let query = query.replace("FROM otel_", &format!("FROM {database}.otel_"));
            assert_ne!(server.query(&query), "", "{name}: {query}");
        }
    }
}

#[test]
fn every_metric_that_is_asked_for_is_exposed() {
    // Nobody listens on port 9 (discard) of the loopback address, and no exporter needs its store to start.
    let variables = [("CLICKHOUSE_ENDPOINT", "http://127.0.0.1:9")];
    let gateway = start_gateway("grafana_metrics", "gateway-clickhouse.yaml", &variables);
    let (status, page) = http(gateway.address("message", "metrics available"), "GET", "/metrics", "", b"");
    assert_eq!(status, 200);
    stop(gateway);
    let exposed: BTreeSet<&str> =
        page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| words(line).next()).collect();
    let mut labels: BTreeSet<&str> = ["instance", "job"].into();
    labels.extend(page.lines().flat_map(|line| line.split(['{', ',']).skip(1)).filter_map(|pair| {
        let (name, _) = pair.split_once("=\"")?;
        Some(name)
    }));
    let alerts = read_to_string(folder().join("alerts.yaml")).unwrap();
    let alerts = alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let alerts = alerts.map(|query| ("alerts.yaml".to_owned(), query.to_owned()));
    for (name, query) in queries("prometheus").into_iter().chain(alerts) {
        check_balanced(&name, &query);
        for metric in words(&query).filter(|word| word.starts_with("otelcol_")) {
            assert!(exposed.contains(metric), "{name}: {metric} is not among {exposed:#?}");
        }
        for label in grouped(&query) {
            assert!(labels.contains(label), "{name}: no metric has the label {label}: {labels:?}");
        }
    }
}

/// The labels in `by (…)`.
fn grouped(query: &str) -> impl Iterator<Item = &str> {
    let lists = query.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    lists.flat_map(|list| list.split(',')).map(str::trim)
}

/// The names that LogQL compares with `=`, `=~`, `!=` or `!~` in a text.
fn compared(text: &str) -> Vec<&str> {
    let parts = text.split(['{', ',', '|']).filter_map(|part| part.split_once(['=', '!']));
    let names = parts.map(|(name, _)| name.trim()).filter(|name| !name.is_empty());
    names.filter(|name| words(name).count() == 1).collect()
}

/// Fails where brackets or quotes are not closed, as LogQL's parser does.
#[track_caller]
fn check_balanced(name: &str, query: &str) {
    let mut open = Vec::new();
    let mut is_quoted = false;
    for letter in query.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' => assert_eq!(open.pop(), Some(letter), "{name}: {query}"),
            _ => {}
        }
    }
    assert!(open.is_empty() && !is_quoted, "{name}: not closed: {query}");
}

#[test]
fn every_label_that_logql_names_is_one_that_the_gateway_writes() {
    let loki = Loki::start();
    let gateway = start_gateway("grafana_loki", "gateway-loki.yaml", &[("LOKI_ENDPOINT", &loki.url())]);
    generate(&gateway, "logs", 1000);
    stop(gateway);
    let pushes = loki.pushes();
    let streams = || pushes.iter().flat_map(|push| &push.request.streams);
    let labels: BTreeSet<&str> = streams().flat_map(|stream| compared(&stream.labels)).collect();
    let entries = streams().flat_map(|stream| &stream.entries);
    let metadata: BTreeSet<&str> =
        entries.flat_map(|entry| &entry.metadata).map(|pair| pair.name.as_str()).collect();
    assert!(!labels.is_empty() && metadata.contains("trace_id"), "{labels:?} {metadata:?}");
    let is_written = |name: &str| labels.contains(name) || metadata.contains(name);
    for (name, query) in queries("loki") {
        check_balanced(&name, &query);
        let (_, from) = query.split_once('{').unwrap_or_else(|| panic!("{name}: no selector: {query}"));
        let (selector, filters) = from.split_once('}').unwrap();
        let selected = compared(selector);
        assert!(!selected.is_empty(), "{name}: chooses every stream: {query}");
        for label in selected {
            assert!(labels.contains(label), "{name}: no stream has the label {label}: {labels:?}");
        }
        for field in compared(filters).into_iter().chain(grouped(&query)) {
            assert!(is_written(field), "{name}: nobody writes {field}: {labels:?} {metadata:?}");
        }
    }
    let sources = read_to_string(folder().join("provisioning/datasources/watershed.yaml")).unwrap();
    let linked = sources.lines().filter_map(|line| line.trim().strip_prefix("matcherRegex: "));
    assert!(linked.clone().count() > 0 && linked.clone().all(is_written), "{metadata:?}");
    let tenant = sources.lines().find_map(|line| line.trim().strip_prefix("httpHeaderValue1: ")).unwrap();
    assert!(pushes.iter().all(|push| push.tenant == tenant), "Grafana asks for another tenant: {tenant}");
    for (_, dashboard) in dashboards() {
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            if let Some(label) = variable["query"]["label"].as_str() {
                assert!(labels.contains(label), "no stream has the label {label} of a variable");
            }
        }
    }
}
