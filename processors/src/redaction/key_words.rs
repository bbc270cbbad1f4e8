//! Which keys are meant by words: `api_key` means `apiKey`, `API-KEY` and `user.api.key`, and not `api_keynote`.
//!
//! A key is cut into words at everything that is no letter or digit, where a small letter is followed by a capital, before
//! the last capital of several (`APIKey`), and between letters and digits. A rule means the keys whose *last* words, written
//! together, are its own. Numbers and a few words at the end do not count: `password2`, `token_value`. So
//! `token_count`, `tokenizer` and `password_hash` are left alone, `reset_token` and `userPassword` are not.

use std::collections::HashMap;

use super::window::ByteSet;

/// Keys longer than this are judged by their end.
const KEY_MAX: usize = 128;

/// Last words that say nothing about what a value is.
const TAILS: [&[u8]; 12] = [
    b"after",
    b"again",
    b"before",
    b"confirm",
    b"confirmation",
    b"new",
    b"old",
    b"plain",
    b"plaintext",
    b"raw",
    b"text",
    b"value",
];

/// A key, its words in small letters and written together.
struct Words {
    letters: [u8; KEY_MAX],
    len: usize,
    /// A bit for each letter that begins a word.
    begins: u128,
}

/// Rules that mean keys by their last words.
#[derive(Default)]
pub(super) struct KeyWords {
    rules: HashMap<Box<[u8]>, u16>,
    /// Hashes of the last three letters of all rules: a key with others needs no look at all.
    endings: Endings,
    longest: usize,
}

/// A set of endings of three letters, of 4,096 bits; it may hold more than was put in.
#[derive(Clone)]
struct Endings([u64; 64]);

impl KeyWords {
    /// Adds a rule for keys that end in these words, unless an earlier rule means the same keys.
    pub(super) fn add(&mut self, words: &str, rule: u16) {
        let words = Words::of(words.as_bytes());
        let letters = words.letters();
        if letters.is_empty() {
            return;
        }
        self.endings.add(letters);
        self.longest = self.longest.max(letters.len());
        self.rules.entry(letters.into()).or_insert(rule);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The words of all rules, written together in small letters.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u16)> {
        let text = |letters| std::str::from_utf8(letters).unwrap_or_default();
        self.rules.iter().map(move |(letters, rule)| (text(letters), *rule))
    }

    /// The words that do not count at the end of a key.
    pub(super) fn tails() -> impl Iterator<Item = String> {
        TAILS.into_iter().map(|tail| String::from_utf8_lossy(tail).into_owned())
    }

    /// The last three letters of all keys that are meant: the third, the second and the last from the end.
    pub(super) fn last_letters(&self) -> [ByteSet; 3] {
        let [mut first, mut second, mut third] = [ByteSet::default(); 3];
        for word in self.rules.keys().map(|letters| &**letters).chain(TAILS) {
            let mut letters = word.iter().rev();
            for set in [&mut third, &mut second, &mut first] {
                // In front of a word of two letters may stand anything.
                let Some(letter) = letters.next() else {
                    *set = ByteSet::ANY;
                    break;
                };
                set.add(*letter);
                set.add(letter.to_ascii_uppercase());
            }
        }
        // A number may stand behind a word, which is then further from the end: `password12`.
        third.add_all(ByteSet::any_of(b"0123456789"));
        second.add_all(third);
        first.add_all(second);
        [first, second, third]
    }

    /// The rule that means a key.
    pub(super) fn find(&self, key: &[u8]) -> Option<u16> {
        let mut words = Words::of(key);
        loop {
            if self.endings.contains(words.letters())
                && let Some(rule) = self.find_suffix(&words)
            {
                return Some(rule);
            }
            if !words.strip_tail() {
                return None;
            }
        }
    }

    fn find_suffix(&self, words: &Words) -> Option<u16> {
        let letters = words.letters();
        let first = letters.len().saturating_sub(self.longest);
        // From the longest to the shortest, so that the rule that says most wins.
        let mut starts = (first..letters.len()).filter(|start| words.begins >> start & 1 == 1);
        starts.find_map(|start| self.rules.get(letters.get(start..)?)).copied()
    }
}

impl Words {
    fn of(key: &[u8]) -> Self {
        let key = key.get(key.len().saturating_sub(KEY_MAX)..).unwrap_or(key);
        let mut words = Self { letters: [0; KEY_MAX], len: 0, begins: 0 };
        let mut before = Kind::Other;
        for (position, byte) in key.iter().enumerate() {
            let kind = Kind::of(*byte);
            if kind != Kind::Other {
                let next = key.get(position + 1).map_or(Kind::Other, |next| Kind::of(*next));
                words.push(byte.to_ascii_lowercase(), kind.begins_word(before, next));
            }
            before = kind;
        }
        words
    }

    fn push(&mut self, letter: u8, begins: bool) {
        if let Some(slot) = self.letters.get_mut(self.len) {
            *slot = letter;
            self.begins |= u128::from(begins) << self.len;
            self.len += 1;
        }
    }

    fn letters(&self) -> &[u8] {
        self.letters.get(..self.len).unwrap_or_default()
    }

    /// Forgets a last word that says nothing; false if there is none, or no other word.
    fn strip_tail(&mut self) -> bool {
        let start = (1..self.len).rev().find(|start| self.begins >> start & 1 == 1);
        let Some(start) = start else { return false };
        let word = self.letters().get(start..).unwrap_or_default();
        let says_nothing = word.iter().all(u8::is_ascii_digit) || TAILS.contains(&word);
        if says_nothing {
            self.len = start;
        }
        says_nothing
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Small,
    Capital,
    Digit,
    Other,
}

impl Kind {
    fn of(byte: u8) -> Self {
        match byte {
            b'A'..=b'Z' => Self::Capital,
            b'0'..=b'9' => Self::Digit,
            // Letters of other scripts have no case that matters here.
            b'a'..=b'z' | 0x80.. => Self::Small,
            _ => Self::Other,
        }
    }

    fn begins_word(self, before: Self, next: Self) -> bool {
        match (before, self) {
            (Self::Small, Self::Small) | (Self::Digit, Self::Digit) => false,
            (Self::Capital, Self::Small) => false,
            (Self::Capital, Self::Capital) => next == Self::Small,
            _ => true,
        }
    }
}

impl Default for Endings {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Endings {
    fn add(&mut self, letters: &[u8]) {
        let (word, bit) = Self::place(letters);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    fn contains(&self, letters: &[u8]) -> bool {
        let (word, bit) = Self::place(letters);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    fn place(letters: &[u8]) -> (usize, u64) {
        let last = letters.iter().rev().take(3);
        let hash = last.fold(0_u32, |hash, letter| hash * 33 + u32::from(*letter)) & 4095;
        ((hash >> 6) as usize, 1 << (hash & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_meant_by_their_last_words_however_they_are_written() {
        let mut rules = KeyWords::default();
        for (rule, words) in ["password", "token", "api_key", "access_token", "pwd"].into_iter().enumerate() {
            rules.add(words, u16::try_from(rule).unwrap());
        }
        for (key, expected) in [
            ("password", Some(0)),
            ("userPassword", Some(0)),
            ("PASSWORD", Some(0)),
            ("db.Password", Some(0)),
            ("password2", Some(0)),
            ("password_confirmation", Some(0)),
            ("new_password_value", Some(0)),
            ("X-Token", Some(1)),
            ("resetToken", Some(1)),
            ("apiKey", Some(2)),
            ("API-KEY", Some(2)),
            ("APIKey", Some(2)),
            ("user.apiKey", Some(2)),
            ("user.api.key", Some(2)),
            ("apikey", Some(2)),
            ("x-api-key", Some(2)),
            ("HTTP_X_API_KEY", Some(2)),
            ("oauth2_access_token", Some(3)),
            ("accessToken", Some(3)),
            ("accesstoken", Some(3)),
            ("PWD", Some(4)),
            ("tokenizer", None),
            ("token_count", None),
            ("input_tokens", None),
            ("mytoken", None),
            ("password_hash", None),
            ("passwords", None),
            ("key", None),
            ("", None),
            ("…token", None),
            ("clé.token", Some(1)),
            ("value", None),
            ("12", None),
        ] {
            assert_eq!(rules.find(key.as_bytes()), expected, "{key}");
        }
        let long = format!("{}.{}", "a".repeat(500), "password");
        assert_eq!(rules.find(long.as_bytes()), Some(0));
    }
}
