//! What a certificate says about itself: until when it is valid, and whose it is.
//!
//! Only as much of X.509 is read as that needs (RFC 5280 §4.1, DER as in X.690); whether a certificate is to be
//! trusted is rustls' business. Nothing here can fail worse than not knowing.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
/// The attribute type `commonName`, 2.5.4.3.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
/// Bytes of a subject that travels with the data.
const SUBJECT_MAX: usize = 256;

/// The verified certificate of a client, in the extensions of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// The common name of its subject.
    pub(crate) subject: Arc<str>,
}

impl ClientCertificate {
    /// Reads the common name; `None` if there is none that is text of up to 256 bytes.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (_, _, subject) = fields(der)?;
        let mut sets = subject;
        let mut found = None;
        while let Some((_, set, rest)) = element(sets) {
            sets = rest;
            // The last one is the most specific.
            found = common_name(set).or(found);
        }
        Some(Self { subject: found?.into() })
    }
}

/// From when and until when a certificate is valid.
pub(crate) fn validity(der: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (not_before, not_after, _) = fields(der)?;
    Some((not_before, not_after))
}

/// The times of validity, and the content of the subject.
fn fields(der: &[u8]) -> Option<(SystemTime, SystemTime, &[u8])> {
    let certificate = expect(SEQUENCE, der)?.0;
    let mut rest = expect(SEQUENCE, certificate)?.0;
    if let Some((_, after)) = expect(VERSION, rest) {
        rest = after;
    }
    // Serial number, signature algorithm and issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (validity, rest) = expect(SEQUENCE, rest)?;
    let (tag, not_before, after) = element(validity)?;
    let not_before = time(tag, not_before)?;
    let (tag, not_after, _) = element(after)?;
    let not_after = time(tag, not_after)?;
    Some((not_before, not_after, expect(SEQUENCE, rest)?.0))
}

fn common_name(set: &[u8]) -> Option<&str> {
    let (kind, after) = expect(OBJECT_IDENTIFIER, expect(SEQUENCE, set)?.0)?;
    let (tag, text, _) = element(after)?;
    let is_text = [UTF8_STRING, PRINTABLE_STRING, IA5_STRING].contains(&tag);
    let usable = kind == COMMON_NAME && is_text && !text.is_empty() && text.len() <= SUBJECT_MAX;
    std::str::from_utf8(text).ok().filter(|text| usable && !text.contains(char::is_control))
}

/// The content of the first element, if it has this tag, and what comes behind it.
fn expect(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// Tag and content of the first element, and what comes behind it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Long form: so many bytes hold the length; four are more than any certificate needs.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5), which are the only forms of a certificate.
fn time(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let digits = text.strip_suffix(b"Z")?;
    let number = |digits: &[u8]| -> Option<u64> {
        digits.iter().try_fold(0, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
        })
    };
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 {
        return None;
    }
    let mut parts = rest.chunks_exact(2).map(number);
    let mut part = || parts.next().flatten();
    let (month, day, hour, minute, second) = (part()?, part()?, part()?, part()?, part()?);
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = (days_since_epoch(year, month, day)? * 24 + hour) * 3600 + minute * 60 + second;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Days from 1970 to a date of the Gregorian calendar; `None` before 1970.
fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    // Years that begin in March have the leap day at their end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    // So many days lie between the first of March of the year 0 and the first of January 1970.
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn times_and_subject_are_read() {
        let der = made(|params| {
            params.not_before = date_time_ymd(1999, 12, 31);
            params.not_after = date_time_ymd(2052, 2, 29);
            params.distinguished_name.push(DnType::OrganizationName, "shop");
            params.distinguished_name.push(DnType::CommonName, "checkout-7");
        });
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        // As `date -u -d 1999-12-31 +%s` and `date -u -d 2052-02-29 +%s` say.
        assert_eq!(validity(&der), Some((at(946_598_400), at(2_592_777_600))));
        assert_eq!(ClientCertificate::read(&der).unwrap().subject.as_ref(), "checkout-7");
    }

    #[test]
    fn a_certificate_without_a_name_or_with_an_unusable_one_has_no_subject() {
        for name in ["", "two\nlines", &"x".repeat(SUBJECT_MAX + 1)] {
            let der = made(|params| params.distinguished_name.push(DnType::CommonName, name));
            assert_eq!(ClientCertificate::read(&der), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn damaged_certificates_are_read_without_panic(place in 0_usize..200, byte: u8, cut in 0_usize..400) {
            let mut der = made(|_| {});
            if let Some(there) = der.get_mut(place) {
                *there = byte;
            }
            der.truncate(der.len().saturating_sub(cut));
            // Whatever comes out, it does come out.
            let _ = (validity(&der), ClientCertificate::read(&der));
        }
    }
}
