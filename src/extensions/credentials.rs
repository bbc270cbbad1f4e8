//! A header that holds credentials: its name, and the scheme before them (RFC 9110 §11.4).

use watershed_config::BuildError;
use watershed_pipeline::{AuthError, RequestHeaders};

/// Where credentials stand in a request.
#[derive(Clone, Debug)]
pub(super) struct Place {
    header: String,
    scheme: String,
}

impl Place {
    /// Makes a place of a header's name, in any case, and a scheme, which may be empty.
    ///
    /// # Errors
    /// One of them cannot stand in a request.
    pub(super) fn new(header: &str, scheme: &str) -> Result<Self, BuildError> {
        let name: http::HeaderName = header
            .parse()
            .map_err(|_| BuildError::at("header", format!("`{header}` is not the name of a header")))?;
        let is_token = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~+".contains(&byte));
        if !is_token {
            let problem = format!("`{scheme}` is no scheme; write one word, for instance `Bearer`");
            return Err(BuildError::at("scheme", problem));
        }
        Ok(Self { header: name.as_str().to_owned(), scheme: scheme.to_owned() })
    }

    /// The header, in lower case.
    pub(super) fn header(&self) -> &str {
        &self.header
    }

    /// The credentials of a request, without their scheme, whose case does not matter.
    ///
    /// # Errors
    /// There are none, or they have another scheme.
    pub(super) fn find<'r>(&self, headers: &'r dyn RequestHeaders) -> Result<&'r [u8], AuthError> {
        let value = headers.header(&self.header).map(<[u8]>::trim_ascii).filter(|value| !value.is_empty());
        let Some(value) = value else { return Err(AuthError::Missing { header: self.header.clone() }) };
        if self.scheme.is_empty() {
            return Ok(value);
        }
        match value.split_at_checked(self.scheme.len()) {
            Some((scheme, [b' ', rest @ ..])) if scheme.eq_ignore_ascii_case(self.scheme.as_bytes()) => {
                Ok(rest.trim_ascii_start())
            }
            _ => Err(AuthError::Invalid),
        }
    }

    /// A header's value with these credentials.
    pub(super) fn value(&self, credentials: &str) -> String {
        if self.scheme.is_empty() { credentials.to_owned() } else { format!("{} {credentials}", self.scheme) }
    }
}

#[cfg(test)]
pub(super) struct Sent(pub(super) &'static str, pub(super) String);

#[cfg(test)]
impl RequestHeaders for Sent {
    fn header(&self, name: &str) -> Option<&[u8]> {
        (name == self.0).then_some(self.1.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scheme: &str, value: &str, expected: Result<&[u8], &AuthError>) {
        let place = Place::new("Authorization", scheme).unwrap();
        let sent = Sent("authorization", value.to_owned());
        assert_eq!(place.find(&sent).as_ref().map(|found| *found), expected, "{scheme}: {value}");
    }

    #[test]
    fn credentials_are_found_behind_their_scheme() {
        check("Bearer", "Bearer abc", Ok(b"abc"));
        check("Bearer", "bearer  abc ", Ok(b"abc"));
        check("", "Bearer abc", Ok(b"Bearer abc"));
        check("Bearer", "Bearerabc", Err(&AuthError::Invalid));
        check("Bearer", "Basic abc", Err(&AuthError::Invalid));
        check("Bearer", "é", Err(&AuthError::Invalid));
        check("Bearer", " ", Err(&AuthError::Missing { header: "authorization".to_owned() }));
    }

    #[test]
    fn names_that_cannot_be_sent_are_refused() {
        assert_eq!(
            Place::new("x key", "").unwrap_err().to_string(),
            "header: `x key` is not the name of a header"
        );
        assert_eq!(
            Place::new("x-key", "two words").unwrap_err().to_string(),
            "scheme: `two words` is no scheme; write one word, for instance `Bearer`"
        );
    }
}
