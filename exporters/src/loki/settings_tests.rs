//! Settings of the exporter: what they come to, and which are refused.

use watershed_config::Section;

use super::Config;
use super::tests::build;

#[test]
fn addresses_get_the_path_of_the_protocol() {
    for (yaml, url) in [
        ("endpoint: 'http://loki:3100'", "http://loki:3100/loki/api/v1/push"),
        ("endpoint: 'http://loki:3100/loki/api/v1/push'", "http://loki:3100/loki/api/v1/push"),
        ("endpoint: 'loki:3100'", "https://loki:3100/loki/api/v1/push"),
        ("{endpoint: 'loki:3100', tls: {insecure: true}}", "http://loki:3100/loki/api/v1/push"),
        ("{endpoint: 'http://gate/logs/?key=1', protocol: otlp}", "http://gate/logs/otlp/v1/logs?key=1"),
        ("{endpoint: 'http://loki/otlp', protocol: otlp}", "http://loki/otlp/v1/logs"),
        ("{endpoint: 'http://loki/otlp/v1/logs', protocol: otlp}", "http://loki/otlp/v1/logs"),
    ] {
        let section = Section::from_text("loki", yaml).unwrap();
        assert_eq!(section.read::<Config>().unwrap().url().unwrap().as_str(), url);
    }
}

#[test]
fn settings_that_cannot_work_are_refused_with_advice() {
    for (yaml, message) in [
        ("protocol: push", "endpoint"),
        (
            "{endpoint: 'http://h', protocol: otlp, labels: [a]}",
            "labels: has no effect with `protocol: otlp`",
        ),
        ("{endpoint: 'http://h', line: template}", "template: is missing"),
        ("{endpoint: 'http://h', username: me}", "password: is missing beside `username`"),
        ("{endpoint: 'http://h', username: me, password: x, bearer_token: y}", "a request has one of them"),
        ("{endpoint: 'http://h', tenant: {id: a/b}}", "tenant.id: `a/b` is no tenant"),
        ("{endpoint: 'http://h', limits: {streams_max: 0}}", "limits.streams_max: is 0"),
        ("{endpoint: 'http://h', lables: [a]}", "labels"),
    ] {
        let error = build(yaml).err().unwrap();
        assert!(error.contains(message), "{error}");
    }
}
