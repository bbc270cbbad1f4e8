//! Times in all their forms, against what jiff writes.

use proptest::prelude::*;

use super::super::time;
use super::*;

/// 2024-12-19T10:30:15Z.
const THEN: u64 = 1_734_604_215_000_000_000;
const MILLI: u64 = 1_000_000;

#[track_caller]
fn detected(text: &str, expected: Option<u64>) {
    assert_eq!(time::detect(text, &Zone::UTC, THEN), expected, "{text}");
}

#[test]
fn times_of_common_forms_are_detected() {
    for text in [
        "2024-12-19T10:30:15Z",
        "2024-12-19 10:30:15",
        "2024-12-19T11:30:15+01:00",
        "2024-12-19 10:30:15 UTC",
        "2024-12-19T11:30:15+0100",
        "2024-12-19T11:30:15+01",
        "2024/12/19 10:30:15",
        "20241219T103015Z",
        "1734604215",
        "1734604215000",
        "1734604215000000",
        "1734604215000000000",
        "19/Dec/2024:11:30:15 +0100",
        "[19/Dec/2024:10:30:15 +0000]",
        "Dec 19 10:30:15",
        "Dec 19 2024 10:30:15",
        "Thu, 19 Dec 2024 10:30:15 GMT",
        "Thu, 19 Dec 2024 05:30:15 -0500",
        "Thu Dec 19 10:30:15 2024",
    ] {
        detected(text, Some(THEN));
    }
    detected("2024-12-19 10:30:15,123", Some(THEN + 123 * MILLI));
    detected("2024-12-19T10:30:15.123456789Z", Some(THEN + 123_456_789));
    detected("1734604215.123456789", Some(THEN + 123_456_789));
    detected("1734604215123", Some(THEN + 123 * MILLI));
    detected("2024-12-19T10:30", Some(THEN - 15_000 * MILLI));
    for text in
        ["", "12", "soon", "2024-13-01T00:00:00Z", "2024-02-30 00:00:00", "2024-12-19T25:00:00Z", "1.2.3"]
    {
        detected(text, None);
    }
}

#[test]
fn a_year_that_is_missing_is_the_one_that_makes_the_time_recent() {
    let syslog = Layout::strptime("%b %e %H:%M:%S").unwrap();
    let at = |text: &str, reference: &str| {
        let reference = time::rfc3339(reference, &Zone::UTC, 0).unwrap();
        syslog.parse(text, &Zone::UTC, reference)
    };
    let expected = |text: &str| time::rfc3339(text, &Zone::UTC, 0);
    assert_eq!(at("Dec 31 23:59:59", "2025-01-01T00:00:05Z"), expected("2024-12-31T23:59:59Z"));
    assert_eq!(at("Jan  1 00:00:01", "2024-12-31T23:59:58Z"), expected("2025-01-01T00:00:01Z"));
    assert_eq!(at("Jan  9 00:00:00", "2024-12-31T23:59:58Z"), expected("2024-01-09T00:00:00Z"));
    assert_eq!(at("Feb 29 12:00:00", "2026-03-01T00:00:00Z"), expected("2024-02-29T12:00:00Z"));
}

#[test]
fn layouts_of_go_and_c_read_the_same_times() {
    for (strptime, go, text) in [
        ("%Y-%m-%d %H:%M:%S", "2006-01-02 15:04:05", "2024-12-19 10:30:15"),
        ("%FT%T%j", "2006-01-02T15:04:05Z07:00", "2024-12-19T11:30:15+01:00"),
        ("%FT%T.%L%z", "2006-01-02T15:04:05.000Z07:00", "2024-12-19T10:30:15.000Z"),
        ("%d/%b/%Y:%H:%M:%S %z", "02/Jan/2006:15:04:05 -0700", "19/Dec/2024:10:30:15 +0000"),
        ("%b %e %H:%M:%S", "Jan _2 15:04:05", "Dec 19 10:30:15"),
        (
            "%A, %d %B %y %I:%M:%S %p",
            "Monday, 02 January 06 03:04:05 PM",
            "Thursday, 19 December 24 10:30:15 AM",
        ),
        ("%m/%d/%Y %H:%M:%S %Z", "01/02/2006 15:04:05 MST", "12/19/2024 10:30:15 UTC"),
        ("%m%d %H:%M:%S.%f", "0102 15:04:05.000000", "1219 10:30:15.000000"),
        ("%Y%m%d%H%M%S", "20060102150405", "20241219103015"),
    ] {
        for layout in [Layout::strptime(strptime).unwrap(), Layout::gotime(go).unwrap()] {
            assert_eq!(layout.parse(text, &Zone::UTC, THEN), Some(THEN), "{strptime} {text} {layout:?}");
        }
    }
}

#[test]
fn zones_have_their_rules() {
    let vienna = Zone::named("Europe/Vienna").unwrap();
    let at = |text| time::rfc3339(text, &vienna, 0);
    assert_eq!(at("2024-12-19 11:30:15"), Some(THEN));
    assert_eq!(at("2024-07-01 12:00:00"), time::rfc3339("2024-07-01T10:00:00Z", &Zone::UTC, 0));
    assert_eq!(at("2024-07-01 12:00:00Z"), time::rfc3339("2024-07-01T12:00:00Z", &Zone::UTC, 0));
    assert_eq!(time::rfc3339("2024-12-19 12:30:15", &Zone::named("+02:00").unwrap(), 0), Some(THEN));
    assert!(Zone::named("Local").is_ok());
    assert_eq!(
        Zone::named("Europe/Wien").unwrap_err().to_string(),
        "unknown time zone `Europe/Wien`; write `UTC`, `Local`, an offset such as `+02:00`, or a name such as \
         `Europe/Vienna`"
    );
}

#[test]
fn a_pattern_that_can_not_be_is_refused() {
    assert_eq!(Layout::strptime("%Y %Q").unwrap_err(), LayoutError::Directive('Q'));
    assert_eq!(Layout::strptime("%").unwrap_err(), LayoutError::Directive(' '));
    assert!(matches!(Layout::gotime("yyyy"), Err(LayoutError::NoTime(_))));
    assert!(matches!(Layout::strptime("YYYY"), Err(LayoutError::NoTime(_))));
}

proptest! {
    #[test]
    fn property_a_time_that_was_written_is_read_as_it_was(nanos in 0_u64..9_000_000_000_000_000_000) {
        let written = jiff::Timestamp::from_nanosecond(nanos.into()).unwrap();
        let whole = nanos / 1_000_000_000 * 1_000_000_000;
        prop_assert_eq!(time::detect(&written.to_string(), &Zone::UTC, 0), Some(nanos));
        for pattern in ["%Y-%m-%d %H:%M:%S", "%d/%b/%Y:%H:%M:%S", "%a %b %e %H:%M:%S %Y", "%I:%M:%S %p %Y-%m-%d"] {
            let text = written.strftime(pattern).to_string();
            let read = Layout::strptime(pattern).unwrap().parse(&text, &Zone::UTC, 0);
            prop_assert_eq!(read, Some(whole), "{} {}", pattern, text);
        }
        if nanos > 100_000_000_000_000_000 {
            for unit in [1, 1_000, 1_000_000, 1_000_000_000] {
                prop_assert_eq!(time::detect(&(nanos / unit).to_string(), &Zone::UTC, 0), Some(nanos / unit * unit));
            }
        }
    }

    #[test]
    fn property_no_text_makes_it_panic(text in "(?s:.{0,40})|[-0-9:.,T+Z /JanDec]{0,30}", pattern in "(%[a-zA-Z%]|.){0,8}") {
        let found = time::detect(&text, &Zone::UTC, THEN);
        prop_assert!(found.is_none() || !text.is_empty());
        for layout in [Layout::strptime(&pattern), Layout::gotime(&text)].into_iter().flatten() {
            prop_assert_eq!(layout.parse(&text, &Zone::UTC, THEN), layout.parse(&text, &Zone::UTC, THEN));
        }
    }
}
