//! Cutting, in all its cases, and the same whatever the blocks.

use proptest::prelude::*;
use watershed_config::Section;

use super::super::multiline::MultilineSettings;
use super::*;

fn cutter(yaml: &str) -> Cutter {
    let multiline: Option<MultilineSettings> =
        (!yaml.is_empty()).then(|| Section::from_text("multiline", yaml).unwrap().read().unwrap());
    Cutter {
        encoding: Encoding::Utf8,
        multiline: multiline.map(|settings| settings.rule().unwrap()),
        max: 1000,
        on_oversize: OnOversize::Split,
        trim: (b" \t\r\n", b" \t\r\n"),
    }
}

/// What a text is cut into if it comes in blocks that grow by `step` bytes until something can be cut off.
fn entries(cutter: &Cutter, text: &str, step: usize) -> Vec<String> {
    let bytes = text.as_bytes();
    let (mut found, mut at, mut end, mut skipping) = (Vec::new(), 0, 0, false);
    loop {
        end = (end + step).min(bytes.len());
        let behind = if end == bytes.len() { Behind::Nothing } else { Behind::More };
        let cut = cutter.cut(&bytes[at..end], skipping, behind);
        let text = |entry: &Range<usize>| cutter.encoding.decode(&bytes[at..][entry.clone()]).0.into_owned();
        found.extend(cut.entries.iter().map(text));
        (at, skipping) = (at + cut.consumed, cut.skipping);
        if end == bytes.len() {
            assert_eq!(at, end, "all is consumed at the end");
            return found;
        }
    }
}

#[track_caller]
fn cuts(cutter: &Cutter, text: &str, expected: &[&str]) {
    assert_eq!(entries(cutter, text, text.len().max(1)), expected, "in one block");
}

#[test]
fn lines_are_cut_and_trimmed_and_empty_ones_left_out() {
    cuts(&cutter(""), "one\r\n\n  two \t\nthree", &["one", "two", "three"]);
    let kept = Cutter { trim: (b"", b""), ..cutter("") };
    cuts(&kept, " one \r\n", &[" one \r"]);
}

#[test]
fn what_is_unfinished_is_left_for_the_next_block() {
    let cut = cutter("").cut(b"one\ntw", false, Behind::More);
    assert_eq!((cut.entries.len(), cut.entries.first(), cut.consumed), (1, Some(&(0..3)), 4));
}

#[test]
fn large_lines_are_split_or_truncated() {
    let split = Cutter { max: 5, ..cutter("") };
    cuts(&split, "abcdefghijkl\nab\n", &["abcde", "fghij", "kl", "ab"]);
    cuts(&split, "abcdé\n", &["abcd", "é"]);
    let truncate = Cutter { on_oversize: OnOversize::Truncate, ..split };
    cuts(&truncate, "abcdefghijkl\nab\n", &["abcde", "ab"]);
    for step in 1..14 {
        assert_eq!(entries(&truncate, "abcdefghijkl\nab\n", step), ["abcde", "ab"], "{step}");
    }
}

#[test]
fn patterns_begin_and_end_entries() {
    let start = cutter("line_start_pattern: '^\\d{4}-'");
    cuts(&start, "left over\n2024-1 a\n b\n2025-1 c\n", &["left over", "2024-1 a\n b", "2025-1 c"]);
    let omitted = cutter("{line_start_pattern: '^>> ', omit_pattern: true}");
    cuts(&omitted, ">> a\nb\n>> c", &["a\nb", "c"]);
    let end = cutter("{line_end_pattern: ';$', omit_pattern: true}");
    cuts(&end, "a\nb;\nc;\nd", &["a\nb", "c", "d"]);
}

#[test]
fn entries_of_several_lines_can_be_too_large() {
    let split = Cutter { max: 8, ..cutter("line_start_pattern: '^>'") };
    cuts(&split, ">abc\ndefgh\n>i\n", &[">abc\ndef", "gh", ">i"]);
    let truncate = Cutter { on_oversize: OnOversize::Truncate, ..split };
    cuts(&truncate, ">abc\ndefgh\nij\n>k\n", &[">abc\ndef", ">k"]);
}

proptest! {
    #[test]
    fn property_blocks_make_no_difference(
        text in "(|>|\tat )[a-zé]{0,12}(\n(|>|\tat )[a-zé ]{0,12}){0,8}",
        step in 1..20_usize,
        yaml in prop::sample::select(vec![
            "", "line_start_pattern: '^>'", "line_end_pattern: 'a$'", "presets: [java]",
        ]),
    ) {
        let cutter = cutter(yaml);
        let whole = entries(&cutter, &text, text.len().max(1));
        prop_assert_eq!(whole, entries(&cutter, &text, step));
    }
}
