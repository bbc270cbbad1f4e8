//! No text makes the program panic.

#![cfg(test)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use watershed_config::{ByteSize, Endpoint, Percentage, Period, Section, ServerUrl, Source, Sources, load};

#[derive(Deserialize)]
struct Anything {
    _a: Option<BTreeMap<String, Vec<u8>>>,
    _b: Option<Period>,
    _c: Option<String>,
}

/// Text that looks like YAML often enough to get past the first line.
fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "_a",
        "_b",
        "_c",
        ": ",
        ":",
        "- ",
        "\n",
        "  ",
        "\t",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "&x ",
        "*x",
        "<<: ",
        "!!str ",
        "! ",
        "|",
        ">-\n",
        "'",
        "\"",
        "#",
        "---\n",
        "...\n",
        "%",
        "@",
        "?",
        "? ",
        "~",
        "1.5",
        "${env:A}",
        "${",
        "}",
        "$$",
        "${A:-${B}}",
        "é",
        "\u{feff}",
        "\r",
        "\u{0}",
        "service",
        "pipelines",
        "logs",
        "receivers",
        "5s",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn swallow(text: &str) {
    if let Ok(section) = Section::from_text("x", text) {
        drop(section.read::<Anything>());
        drop(section.error_at(text, "wrong"));
    }
    let sources = Sources {
        files: vec![Source::text("a", text), Source::from(format!("yaml:{text}").as_str())],
        set: vec![text.to_owned()],
    };
    match load(&sources, &|name| Some(format!("[{name}"))) {
        Ok(loaded) => drop(loaded.document.effective(true)),
        Err(mut errors) => drop(errors.take_document().map(|document| document.effective(false))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn property_arbitrary_text_never_panics(text in any::<String>()) {
        swallow(&text);
    }

    #[test]
    fn property_text_like_yaml_never_panics(text in yaml_like()) {
        swallow(&text);
    }

    #[test]
    fn property_values_never_panic_and_read_back(text in "[0-9.:/a-zA-Z%µ\\[\\] -]{0,12}") {
        if let Ok(period) = text.parse::<Period>() {
            prop_assert_eq!(period.to_string().parse::<Period>(), Ok(period));
        }
        if let Ok(size) = text.parse::<ByteSize>() {
            prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
        }
        if let Ok(endpoint) = text.parse::<Endpoint>() {
            prop_assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint));
        }
        if let Ok(url) = text.parse::<ServerUrl>() {
            prop_assert_eq!(url.to_string().parse::<ServerUrl>(), Ok(url));
        }
        if let Ok(percentage) = text.parse::<Percentage>() {
            prop_assert_eq!(percentage.to_string().parse::<Percentage>(), Ok(percentage));
        }
    }
}
