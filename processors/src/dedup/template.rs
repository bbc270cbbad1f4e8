//! A message without what differs from one time to the next.

use std::hash::Hasher;

/// Hashes a text in which every word that holds a digit is the same word. A word is a run of letters, digits, `_` and
/// `-`; so numbers, times, addresses, versions and ids fall together, and one pass over the text is enough.
pub(super) fn hash(text: &str, hasher: &mut impl Hasher) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let word = run(rest, is_word);
        let (word, after) = rest.split_at(word);
        if word.iter().any(u8::is_ascii_digit) {
            hasher.write_u8(0);
        } else {
            hasher.write(word);
        }
        let between = run(after, |byte| !is_word(byte));
        let (between, after) = after.split_at(between);
        hasher.write(between);
        rest = after;
    }
    // No text holds this byte, so that texts one after the other cannot be taken for one.
    hasher.write_u8(0xff);
}

/// Bytes above ASCII belong to letters of words.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte >= 0x80
}

fn run(bytes: &[u8], is_part: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !is_part(*byte)).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a hasher is given, so that equality does not depend on a hash.
    #[derive(Default)]
    struct Written(Vec<u8>);

    impl Hasher for Written {
        fn finish(&self) -> u64 {
            0
        }

        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    fn template(text: &str) -> Vec<u8> {
        let mut written = Written::default();
        hash(text, &mut written);
        written.0
    }

    #[test]
    fn words_with_digits_are_equal_and_others_are_not() {
        let equal = [
            ("user 17 logged in", "user 18 logged in"),
            ("took 12.5ms", "took 3.75ms"),
            ("id=550e8400-e29b-41d4-a716-446655440000", "id=6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
            ("2024-12-19T10:30:15Z up", "2025-01-02T23:00:00Z up"),
            ("from 10.0.0.1:5432", "from 192.168.7.9:80"),
        ];
        for (one, other) in equal {
            assert_eq!(template(one), template(other), "{one}");
        }
        let different = [
            ("user 17 logged in", "user 17 logged out"),
            ("a b", "a  b"),
            ("a 1", "a"),
            ("größe 1", "große 1"),
        ];
        for (one, other) in different {
            assert_ne!(template(one), template(other), "{one}");
        }
    }
}
