//! The rules for values that the program knows: what each looks like, checked to the last digit.
//!
//! A detector is asked at a candidate that the filter found, looks at a bounded stretch around it and answers with the
//! bytes to hide. What it finds stands alone: no letter or digit touches it.

mod address;
mod card;
mod iban;
mod number;
mod token;
mod url;

use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;

use super::window::{ByteSet, WIDTH};

/// A rule for values that the program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Detector {
    /// Payment card numbers of 13 to 19 digits, plain or in groups, with the prefix and length of an issuer and a right
    /// last digit (ISO/IEC 7812-1, Luhn). On by default.
    CreditCard,
    /// Social security numbers of the United States, `NNN-NN-NNNN`, without numbers never given out. On by default.
    Ssn,
    /// Account numbers with the length of their country and a right check (ISO 13616). On by default.
    Iban,
    /// Signed and encrypted JSON Web Tokens (RFC 7519). On by default.
    Jwt,
    /// What follows `Bearer` (RFC 6750). On by default.
    BearerToken,
    /// Access key ids of Amazon Web Services. On by default.
    AwsKey,
    /// API keys and OAuth client secrets of Google. On by default.
    GcpKey,
    /// Tokens of GitHub. On by default.
    GithubToken,
    /// Tokens of Slack. On by default.
    SlackToken,
    /// Private keys as PEM blocks (RFC 7468). On by default.
    PrivateKey,
    /// The password in `scheme://user:password@host` (RFC 3986, section 3.2.1). On by default.
    UrlPassword,
    /// Email addresses. Off by default.
    Email,
    /// Telephone numbers: with `+` and country code, or in the North American form. Off by default.
    Phone,
    /// IPv4 addresses, and whatever else is four small numbers with dots. Off by default.
    Ipv4,
    /// IPv6 addresses. Off by default.
    Ipv6,
}

impl Detector {
    /// All detectors.
    pub(super) const ALL: [Self; 15] = [
        Self::CreditCard,
        Self::Ssn,
        Self::Iban,
        Self::Jwt,
        Self::BearerToken,
        Self::AwsKey,
        Self::GcpKey,
        Self::GithubToken,
        Self::SlackToken,
        Self::PrivateKey,
        Self::UrlPassword,
        Self::Email,
        Self::Phone,
        Self::Ipv4,
        Self::Ipv6,
    ];

    /// The name in settings and counters.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CreditCard => "credit_card",
            Self::Ssn => "ssn",
            Self::Iban => "iban",
            Self::Jwt => "jwt",
            Self::BearerToken => "bearer_token",
            Self::AwsKey => "aws_key",
            Self::GcpKey => "gcp_key",
            Self::GithubToken => "github_token",
            Self::SlackToken => "slack_token",
            Self::PrivateKey => "private_key",
            Self::UrlPassword => "url_password",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }

    /// Whether the detector works unless told otherwise: what is secret or regulated and hardly ever anything else.
    /// Addresses and telephone numbers are what many logs are for, so these are a choice.
    pub(super) const fn is_default(self) -> bool {
        !matches!(self, Self::Email | Self::Phone | Self::Ipv4 | Self::Ipv6)
    }

    /// The windows by which candidates are found.
    pub(super) fn windows(self) -> Vec<[ByteSet; WIDTH]> {
        let mut windows = Vec::new();
        let digit = ByteSet::of(|byte| byte.is_ascii_digit());
        let letter = ByteSet::of(|byte| byte.is_ascii_alphabetic());
        let capital = ByteSet::of(|byte| byte.is_ascii_uppercase());
        let hexadecimal = ByteSet::of(|byte| byte.is_ascii_hexdigit());
        let word = ByteSet::of(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80);
        let mut add = |window: [ByteSet; WIDTH]| windows.push(window);
        let one = ByteSet::any_of;
        match self {
            Self::CreditCard => {
                // In front of the first digit stands no letter or digit, unless it ends an escape: `%3D`, `\n`, `%20`, `\u0022`.
                let edge = ByteSet::of(|byte| !byte.is_ascii_alphanumeric() && byte != b'%' && byte < 0x80);
                let first = one(b"23456");
                add([edge, first, digit, digit]);
                add([one(b"ABCDEFnrt"), first, digit, digit]);
                add([one(b"%"), one(b"234567"), digit, first]);
                add([b"0", b"0", b"2", b"2"].map(|digit| one(digit)));
            }
            Self::Ssn => add([one(b"- "), digit, digit, one(b"- ")]),
            Self::Iban => add([capital, capital, digit, digit]),
            Self::Jwt => add([one(b"e"), one(b"y"), one(b"J"), letter]),
            Self::BearerToken => add([b"aA", b"rR", b"eE", b"rR"].map(|pair| one(pair))),
            Self::AwsKey => add([one(b"A"), one(b"KS"), one(b"I"), one(b"A")]),
            Self::GcpKey => {
                add([b"A", b"I", b"z", b"a"].map(|byte| one(byte)));
                add([b"G", b"O", b"C", b"S"].map(|byte| one(byte)));
            }
            Self::GithubToken => {
                add([one(b"g"), one(b"h"), one(b"pousr"), one(b"_")]);
                add([one(b"_"), one(b"p"), one(b"a"), one(b"t")]);
            }
            Self::SlackToken => add([one(b"x"), one(b"oa"), one(b"xp"), one(b"abeoprsp")]),
            Self::PrivateKey => add([b"-", b"B", b"E", b"G"].map(|byte| one(byte))),
            Self::UrlPassword => add([one(b":"), one(b"/"), one(b"/"), ByteSet::ANY]),
            Self::Email => {
                add([ByteSet::of(address::is_local), one(b"@"), word, ByteSet::ANY]);
                add([ByteSet::of(address::is_local), one(b"%"), one(b"4"), one(b"0")]);
            }
            Self::Phone => {
                add([one(b"+(0123456789"), digit, one(b"0123456789-. "), one(b"0123456789-. )")]);
                add([one(b"%"), one(b"2"), one(b"Bb"), digit]);
            }
            Self::Ipv4 => add([digit, one(b"."), digit, one(b".0123456789")]),
            Self::Ipv6 => {
                let part = ByteSet::of(|byte| byte.is_ascii_hexdigit() || byte == b':');
                add([part, one(b":"), part, ByteSet::ANY]);
                add([ByteSet::ANY, one(b":"), one(b":"), hexadecimal]);
            }
        }
        windows
    }

    /// The rule for JavaScript: an expression, its flags, and the name of a check that a match must pass.
    pub(super) const fn javascript(self) -> (&'static str, &'static str, Option<&'static str>) {
        match self {
            Self::CreditCard => {
                (r"(?<![\d.A-Za-z])\d{4}(?:(?:[ +-]|%20)?\d){9,15}(?![\dA-Za-z])", "gu", Some("luhn"))
            }
            Self::Ssn => (r"(?<![\dA-Za-z])\d{3}([- ])\d{2}\1\d{4}(?![\dA-Za-z])", "gu", Some("ssn")),
            Self::Iban => (
                r"(?<![\dA-Za-z])[A-Z]{2}\d{2}(?:(?:[ +-]|%20)?[A-Z0-9]){11,30}(?![\dA-Za-z])",
                "gu",
                Some("iban"),
            ),
            Self::Jwt => (r"(?<![\w-])eyJ[\w-]+\.[\w-]*\.[\w-]*(?:\.[\w-]*){0,2}", "gu", None),
            Self::BearerToken => (
                r"(?<![\dA-Za-z])bearer(?:[ +\t]|%20)+(?<secret>[\w.~+/=-]{16,}|(?=[a-z._~+/=-]*\d)[\w.~+/=-]{8,})",
                "giu",
                None,
            ),
            Self::AwsKey => (r"(?<![\dA-Za-z])A[KS]IA[A-Z0-9]{16}(?![\dA-Za-z])", "gu", None),
            Self::GcpKey => (r"(?<![\dA-Za-z])(?:AIza[\w-]{35}|GOCSPX-[\w-]{28})(?![\w-])", "gu", None),
            Self::GithubToken => {
                (r"(?<![\dA-Za-z_])(?:gh[pousr]_[A-Za-z0-9_]{36,}|github_pat_[A-Za-z0-9_]{22,})", "gu", None)
            }
            Self::SlackToken => (r"(?<![\dA-Za-z])(?:xox[abeoprs]-|xapp-)[A-Za-z0-9-]{10,}", "gu", None),
            Self::PrivateKey => (
                r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----[^]*?(?:-----END [^-]*-----|$)",
                "gu",
                None,
            ),
            Self::UrlPassword => {
                (r#":\/\/[^:\s\/?#"'<>\\`@]*:(?<secret>[^\s\/?#"'<>\\`]+)(?=@)"#, "gu", None)
            }
            Self::Email => (r"[\p{L}\d._+-]{1,64}(?:@|%40)[\p{L}\d.-]+\.\p{L}{2,}", "gu", None),
            Self::Phone => (
                r"(?<![\w+.-])(?:\+\d(?:[ .()-]?\d){7,14}|(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-. ])[2-9]\d{2}[-. ]\d{4})(?![\dA-Za-z])",
                "gu",
                None,
            ),
            Self::Ipv4 => {
                (r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|(?![\d.]))){4}(?<!\.)", "gu", None)
            }
            Self::Ipv6 => (
                r"(?<![\w:.])(?=[\dA-Fa-f:]*::|(?:[\dA-Fa-f]+:){7})(?:[\dA-Fa-f]{1,4}:){1,7}(?::|(?::?[\dA-Fa-f]{1,4}){1,7})(?![\w:])",
                "gu",
                None,
            ),
        }
    }

    /// What there is to hide at a candidate whose window ends at `end`: the bytes to replace, all of them at or behind `floor`.
    pub(super) fn find(self, text: &[u8], end: usize, floor: usize) -> Option<Range<usize>> {
        let found = match self {
            Self::CreditCard => card::find(text, end),
            Self::Ipv6 => address::ipv6(text, end, floor),
            other => other.find_at(text, end.checked_sub(WIDTH)?, floor),
        };
        found.filter(|found| found.start >= floor)
    }

    /// As `find`, by the position at which the window begins.
    fn find_at(self, text: &[u8], at: usize, floor: usize) -> Option<Range<usize>> {
        match self {
            Self::CreditCard | Self::Ipv6 => None,
            Self::Ssn => number::ssn(text, at),
            Self::Iban => iban::find(text, at),
            Self::Jwt => token::jwt(text, at),
            Self::BearerToken => token::bearer(text, at),
            Self::AwsKey => token::aws(text, at),
            Self::GcpKey => token::gcp(text, at),
            Self::GithubToken => token::github(text, at),
            Self::SlackToken => token::slack(text, at),
            Self::PrivateKey => token::private_key(text, at),
            Self::UrlPassword => url::password(text, at),
            Self::Email => address::email(text, at, floor),
            Self::Phone => number::phone(text, at),
            Self::Ipv4 => address::ipv4(text, at),
        }
    }
}

/// The byte at a position; 0 beyond the end.
fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or_default()
}

/// Whether the text from a position on begins with these bytes.
fn has(text: &[u8], at: usize, bytes: &[u8]) -> bool {
    text.get(at..).is_some_and(|rest| rest.starts_with(bytes))
}

/// Where bytes of a kind end that begin at a position, not looking further than `limit` bytes.
fn run(text: &[u8], at: usize, limit: usize, is_in: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take(limit).take_while(|byte| is_in(**byte)).count()
}

/// Whether something may begin here: no letter or digit before it, unless that ends an escape such as `%3D` or `\n`.
fn begins(text: &[u8], at: usize) -> bool {
    let before = |distance: usize| at.checked_sub(distance).map_or(0, |at| byte(text, at));
    if !before(1).is_ascii_alphanumeric() && before(1) < 0x80 {
        return true;
    }
    let is_hexadecimal = |from: usize| (from..=2).all(|distance| before(distance).is_ascii_hexdigit());
    (before(3) == b'%' && is_hexadecimal(1))
        || (before(2) == b'\\' && b"nrtbf".contains(&before(1)))
        || (before(6) == b'\\' && before(5) == b'u' && (1..=4).all(|n| before(n).is_ascii_hexdigit()))
}

/// Whether something may end here: no letter or digit behind it.
fn ends(text: &[u8], at: usize) -> bool {
    let next = byte(text, at);
    !next.is_ascii_alphanumeric() && next < 0x80
}

#[cfg(test)]
mod tests;
